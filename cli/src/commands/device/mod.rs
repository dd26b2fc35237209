//! `espalier device …`.

mod label;
mod list;
mod readmit;
mod revoke;
mod show;

use clap::Subcommand;

use super::Context;
use crate::failure::Failure;

/// Look at gateways and devices, shut them out and let them in again.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List gateways and devices
    List(list::List),
    /// Show one gateway or device
    Show(show::Show),
    /// Set and remove labels, by which rollouts select devices
    Label(label::Label),
    /// Shut one out for good
    Revoke(revoke::Revoke),
    /// End a quarantine
    Readmit(readmit::Readmit),
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
            Self::Revoke(command) => command.run(context).await,
            Self::Readmit(command) => command.run(context).await,
        }
    }
}
