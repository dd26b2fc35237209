//! Forbids the arrow from operators to the server's insides: everything goes through the public API.
//!
//! `espalier` is the operator's command. Each command has a file of its own under `commands/`; they
//! share one way to find the server (`connection`), one client (`client`), one way to show results
//! (`output`) and one way to fail (`failure`).

mod args;
mod client;
mod commands;
mod connection;
mod digest;
mod failure;
mod format;
mod happening;
mod output;
mod up;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use jiff::Timestamp;
use ring::rand::SystemRandom;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::{Output, printable};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", printable(&failure.report()));
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    // Two TLS providers are linked into the workspace, so rustls cannot choose by itself. A second
    // installation is refused and harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let output = Output::new(cli.output.format(), now);
    // One thread is enough for one operator, and children started by `up` are bound to it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::File {
            action: "create",
            path: "the event loop".into(),
            source,
        })?;
    runtime.block_on(cli.command.run(commands::Context {
        connection: cli.connection,
        output,
        random: SystemRandom::new(),
    }))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command's wiring is where the clock comes from"
)]
fn now() -> Timestamp {
    Timestamp::now()
}
