//! `espalier release …`.

mod create;
mod list;
mod show;
mod sign;

use clap::Subcommand;

use super::Context;
use crate::failure::Failure;

/// Draft and sign releases.
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
        }
    }
}
