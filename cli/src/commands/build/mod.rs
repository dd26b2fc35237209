//! `espalier build …`.

mod cancel;
mod create;
mod list;
mod show;

use clap::Subcommand;

use super::Context;
use crate::failure::Failure;

/// Make builds of a model for a class of devices.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask the forge for a build
    Create(create::Create),
    /// List builds
    List(list::List),
    /// Show a build with its evaluation report
    Show(show::Show),
    /// Stop a build
    Cancel(cancel::Cancel),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Cancel(command) => command.run(context).await,
        }
    }
}
