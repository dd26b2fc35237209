//! `espalier device …`.

mod label;
mod list;
mod show;

use clap::Subcommand;

use super::Context;
use crate::failure::Failure;

/// Look at gateways and devices.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List gateways and devices
    List(list::List),
    /// Show one gateway or device
    Show(show::Show),
    /// Set and remove labels, by which rollouts select devices
    Label(label::Label),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Label(command) => command.run(context).await,
        }
    }
}
