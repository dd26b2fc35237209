//! `espalier keys root …`.

mod new;
mod next;
mod publish;
mod show;
mod sign;

use clap::Subcommand;

use crate::commands::Context;
use crate::failure::Failure;

/// Say which keys hold which role: the root.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Draft the first root of a new installation
    New(new::New),
    /// Draft the root that follows: add and revoke keys, change thresholds, renew
    Next(next::Next),
    /// Add a holder's signature to a draft; the last one makes N.root.json
    Sign(sign::Sign),
    /// Show a draft or a root: who holds what, how many must sign, until when, who has
    Show(show::Show),
    /// Hand a finished root to the server, which brings it to all devices
    Publish(publish::Publish),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::New(command) => command.run(&context),
            Self::Next(command) => command.run(&context),
            Self::Sign(command) => command.run(&context),
            Self::Show(command) => command.run(&context),
            Self::Publish(command) => command.run(context).await,
        }
    }
}
