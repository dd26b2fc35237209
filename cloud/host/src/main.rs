//! Forbids a second serving path for full models: the edge's own serving and tasks, on the cloud's hardware.
//!
//! `espalier-host` serves full models from folders, or the newest versions from the cloud's registry.

mod arguments;
mod registry;
mod serve;

use std::io::IsTerminal as _;

use clap::Parser as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::arguments::Arguments;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        anyhow::bail!("another TLS provider was installed first");
    }
    install_log()?;
    actix_web::rt::System::new().block_on(serve::serve(&arguments))
}

/// JSON for machines, plain lines for a person at a terminal; always on standard error.
fn install_log() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if std::io::stderr().is_terminal() {
        lines.boxed()
    } else {
        lines.json().boxed()
    };
    Ok(tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .try_init()?)
}
