//! `espalier-forge`: makes edge builds from full models, and trains our own.

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "espalier-forge",
    version,
    about = "Makes edge builds from full models, and trains our own"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read and check a full model.
    Inspect(command::inspect::Args),
    /// Make an edge build of a full model.
    Build(command::build::Args),
    /// Try whether a hostile model could get out of this machine's sandbox.
    Sandbox(command::sandbox::Args),
    /// Work inside the sandbox; started by the other commands.
    #[command(hide = true)]
    Worker,
    /// Render scenes with exact masks.
    Scenes(command::scenes::Args),
    /// Train the full model of a recipe.
    Train(command::train::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Inspect(args) => command::inspect::run(&args),
        Command::Build(args) => command::build::run(&args),
        Command::Sandbox(args) => command::sandbox::run(&args),
        Command::Worker => Ok(command::worker::run()),
        Command::Scenes(args) => command::scenes::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Train(args) => command::train::run(&args).map(|()| ExitCode::SUCCESS),
    }
}
