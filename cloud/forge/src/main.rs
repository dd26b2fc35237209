//! `espalier-forge`: makes edge builds from full models, and trains our own.

mod command;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "espalier-forge", version, about = "Makes edge builds from full models, and trains our own")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Render scenes with exact masks.
    Scenes(command::scenes::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Scenes(args) => command::scenes::run(&args),
    }
}
