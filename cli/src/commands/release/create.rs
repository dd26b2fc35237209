//! `espalier release create`.

use clap::Args;
use espalier_api::release::{CreateRelease, ReleaseView};
use espalier_protocol::id::BuildId;

use crate::commands::Context;
use crate::failure::Failure;

/// Draft a release of builds that passed their gates, one for each device class.
///
/// All builds must come from one model version. No device takes a draft: sign it next.
#[derive(Debug, Args)]
pub struct Create {
    /// The builds' ids
    #[arg(required = true, value_name = "BUILD")]
    builds: Vec<BuildId>,
}

impl Create {
    /// Drafts and shows.
    ///
    /// # Errors
    /// When the server refuses, for instance because a build did not pass its gate.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let request = CreateRelease {
            builds: self.builds,
        };
        let release: ReleaseView = context.client()?.post("/releases", &request).await?;
        context.output.show(&release)?;
        context
            .output
            .remark(format_args!("next: espalier release sign {}", release.id));
        Ok(())
    }
}
