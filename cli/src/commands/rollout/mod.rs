//! `espalier rollout …`.

mod act;
mod list;
mod show;
mod start;
mod watch;

use clap::Subcommand;

use super::Context;
use crate::failure::Failure;

/// Bring a release to devices, in stages.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a rollout of a signed release
    Start(start::Start),
    /// List rollouts
    List(list::List),
    /// Show a rollout with its stages and devices
    Show(show::Show),
    /// Follow a rollout until it ends
    Watch(watch::WatchRollout),
    /// Give no further device the release until it is resumed
    Pause(act::Pause),
    /// Go on with a paused rollout
    Resume(act::Resume),
    /// Stop a rollout for good; devices keep what they run
    Abort(act::Abort),
    /// Bring devices back to the slot they kept
    Revert(act::Revert),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Start(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Watch(command) => command.run(context).await,
            Self::Pause(command) => command.run(context).await,
            Self::Resume(command) => command.run(context).await,
            Self::Abort(command) => command.run(context).await,
            Self::Revert(command) => command.run(context).await,
        }
    }
}
