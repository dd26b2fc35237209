//! Forbids a verifier that only conforms in tests: `espalier-tuf-client` shows the agent's own to other people's suites.
//!
//! It speaks the command line of the [TUF conformance suite](https://github.com/theupdateframework/tuf-conformance) and
//! does nothing by itself: verification, the durable store and every limit are those of a device.

mod client;
mod repository;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use url::Url;

use crate::client::Client;
use crate::repository::Repository;

#[derive(Debug, Parser)]
struct Arguments {
    /// Where trusted metadata is kept
    #[arg(long)]
    metadata_dir: PathBuf,
    /// Where metadata comes from
    #[arg(long)]
    metadata_url: Option<Url>,
    /// A target to download; may be repeated
    #[arg(long)]
    target_name: Vec<String>,
    /// Where targets come from
    #[arg(long)]
    target_base_url: Option<Url>,
    /// Where downloaded targets are kept
    #[arg(long)]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Begin trust with a root
    Init {
        /// The root
        trusted_root: PathBuf,
    },
    /// Renew the metadata
    Refresh,
    /// Renew the metadata, and download targets
    Download,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // An error only says that one is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("espalier-tuf-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let folder = arguments.metadata_dir;
    if let Command::Init { trusted_root } = arguments.command {
        return Client::create(&folder, &trusted_root);
    }
    let metadata = arguments
        .metadata_url
        .context("`--metadata-url` is needed")?;
    let repository = Repository::new(metadata, arguments.target_base_url)?;
    let mut client = Client::open(&folder, repository)?;
    client.refresh().await?;
    if let Command::Download = arguments.command {
        let into = arguments.target_dir.context("`--target-dir` is needed")?;
        for name in &arguments.target_name {
            client.download(name, &into).await?;
        }
    }
    Ok(())
}
