//! `espalier release …`.

mod bundles;
mod create;
mod export;
mod list;
mod show;
mod sign;

use clap::Subcommand;

use super::Context;
use crate::failure::Failure;

/// Draft, sign and export releases.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Draft a release of builds that passed their gates, one for each device class
    Create(create::Create),
    /// Sign a release with the release key on this machine
    Sign(sign::Sign),
    /// List releases
    List(list::List),
    /// Show a release with its builds
    Show(show::Show),
    /// Download a bundle of a signed release as a folder that anybody can verify
    Export(export::Export),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run(context).await,
            Self::Sign(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Export(command) => command.run(context).await,
        }
    }
}
