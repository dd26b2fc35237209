//! `espalier build cancel`.

use clap::Args;
use espalier_api::build::BuildView;
use espalier_protocol::id::BuildId;

use crate::commands::Context;
use crate::failure::Failure;

/// Stop a build.
#[derive(Debug, Args)]
pub struct Cancel {
    /// The build's id
    id: BuildId,
}

impl Cancel {
    /// Stops it.
    ///
    /// # Errors
    /// When the server refuses, for instance because the build has ended.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let build: BuildView = context
            .client()?
            .act(&format!("/builds/{}/cancel", self.id))
            .await?;
        context.output.show(&build)
    }
}
