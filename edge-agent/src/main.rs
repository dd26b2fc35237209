//! Forbids the arrow from the agent to the cloud's crates: link and serving, wired.
//!
//! `espalier-agent` is the daemon on gateways and devices. It holds the conversation with its cloud
//! or gateway (`link`), keeps bundles in slots, tries and serves them (`serving`), and on a gateway
//! relays for the devices behind it (`relay`).

mod command;
mod config;
mod doors;
mod inventory;
mod lock;
mod overlay;
mod place;
mod probe;
mod relay;
mod socket;
mod telemetry;
mod trial;

use std::{future::Future, process::ExitCode};

use clap::{Parser, Subcommand};
use jiff::Timestamp;

use crate::config::{Config, Flags};

/// Keeps models on this gateway or device fresh, and serves them locally.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Enrol(command::enrol::Enrol),
    Run(command::run::Run),
    Status(command::status::Status),
    Infer(command::infer::Infer),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Two TLS providers are linked into the workspace, so rustls cannot choose by itself. A second
    // installation is refused and harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("espalier-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.flags)?;
    match arguments.command {
        Command::Enrol(command) => in_runtime(command.run(&config)),
        Command::Run(command) => in_runtime(command.run(&config)),
        Command::Status(command) => in_runtime(command.run(&config)),
        Command::Infer(command) => command.run(&config),
    }
}

fn in_runtime(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    // The HTTP doors need actix's own runtime; it is tokio underneath.
    actix_web::rt::System::with_tokio_rt(runtime).block_on(work)
}

#[expect(
    clippy::expect_used,
    reason = "without an event loop there is no agent, and nobody to tell"
)]
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the system gives threads")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the agent's wiring is where the clock comes from"
)]
fn now() -> Timestamp {
    Timestamp::now()
}
