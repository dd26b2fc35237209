//! `espalier keys targets …`.

mod next;
mod publish;
mod show;
mod sign;

pub use publish::{Published, publication, text};
pub use show::draft_view;

use std::path::Path;

use clap::Subcommand;
use espalier_trust::draft::TargetsDraft;

use super::files::{refused, write};
use crate::commands::Context;
use crate::failure::Failure;

/// Sign the list of releases and deployer keys with several holders, or anew.
///
/// A release that several holders must sign begins with `espalier release sign RELEASE --draft FILE`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Draft the next targets without a new release: the first ones, other deployer keys, a new root, a longer time
    Next(next::Next),
    /// Add a holder's signature to a draft; the last one makes N.targets.json
    Sign(sign::Sign),
    /// Show a draft: what it names, who must sign, who has
    Show(show::Show),
    /// Hand a finished draft to the server
    Publish(publish::Publish),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Next(command) => command.run(context).await,
            Self::Sign(command) => command.run(&context),
            Self::Show(command) => command.run(&context),
            Self::Publish(command) => command.run(context).await,
        }
    }
}

/// Writes a draft for the next holder.
///
/// # Errors
/// When it cannot be written.
pub fn write_draft(path: &Path, draft: &TargetsDraft) -> Result<(), Failure> {
    write(path, &draft.to_bytes().map_err(refused)?)
}
