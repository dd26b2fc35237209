//! `espalier model …`.

mod import;
mod list;
mod show;

pub use show::named;

use clap::Subcommand;

use super::Context;
use crate::failure::Failure;

/// Import and look at full models.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Import a full model from a folder or an address
    Import(import::Import),
    /// List models
    List(list::List),
    /// Show a model with its versions, or one version
    Show(show::Show),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Import(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
        }
    }
}
