//! `espalier-cloud`: the control plane.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use espalier_server::{
    config::{Config, ServeFlags},
    http, serve,
    telemetry::Telemetry,
    world::World,
};

#[derive(Parser)]
#[command(
    name = "espalier-cloud",
    version,
    about = "The control plane of Espalier: registry, forge jobs, releases, rollouts, devices."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API, the console, the device door and, unless told otherwise, broker and database.
    Serve(Box<ServeFlags>),
    /// Print the OpenAPI document.
    Openapi,
    /// Check a configuration and print what it comes to.
    CheckConfig(Box<ServeFlags>),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Openapi => {
            print!("{}", http::openapi()?);
            Ok(())
        }
        Command::CheckConfig(flags) => {
            println!("{:#?}", Config::load(&flags)?);
            Ok(())
        }
        Command::Serve(flags) => serve_until_told(&Config::load(&flags)?),
    }
}

fn serve_until_told(config: &Config) -> anyhow::Result<()> {
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        anyhow::bail!("another TLS provider was installed first");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let _telemetry = Telemetry::install()?;
        serve::serve(config, world(), serve::terminated()?).await
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where this process reads its clock"
)]
fn world() -> World {
    World::new(jiff::Timestamp::now, ring::rand::SystemRandom::new())
}
