//! `espalier rollout pause|resume|abort|revert`: the verbs that change a rollout under way.

use clap::Args;
use espalier_api::rollout::RolloutView;
use espalier_protocol::id::RolloutId;

use super::watch::follow;
use crate::commands::Context;
use crate::failure::Failure;

macro_rules! verb {
    ($(#[$doc:meta])* $name:ident, $verb:literal) => {
        $(#[$doc])*
        #[derive(Debug, Args)]
        pub struct $name {
            #[command(flatten)]
            act: Act,
        }

        impl $name {
            /// Does it, and follows what it leads to if that was wanted.
            ///
            /// # Errors
            /// When the rollout's state does not allow it, or the watched rollout ends badly.
            pub async fn run(self, context: Context) -> Result<(), Failure> {
                self.act.run(context, $verb).await
            }
        }
    };
}

verb!(
    /// Give no further device the release until it is resumed.
    ///
    /// Devices that already have it go on.
    Pause, "pause"
);
verb!(
    /// Go on with a paused rollout.
    Resume, "resume"
);
verb!(
    /// Stop a rollout for good; devices keep what they run.
    Abort, "abort"
);
verb!(
    /// Bring devices back to the slot they kept.
    ///
    /// A device goes back to what it ran before, without a download. One that ran nothing before has nothing to go back
    /// to, and keeps the release.
    Revert, "revert"
);

#[derive(Debug, Args)]
struct Act {
    /// The rollout's id
    id: RolloutId,
    /// Follow the rollout until it ends
    #[arg(long)]
    watch: bool,
}

impl Act {
    async fn run(self, context: Context, verb: &str) -> Result<(), Failure> {
        let client = context.client()?;
        let rollout: RolloutView = client.act(&format!("/rollouts/{}/{verb}", self.id)).await?;
        if self.watch {
            follow(&client, rollout, context.output).await
        } else {
            context.output.show(&rollout)
        }
    }
}
