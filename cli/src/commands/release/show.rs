//! `espalier release show`.

use clap::Args;
use espalier_api::TrustLevel;
use espalier_api::release::{ReleaseState, ReleaseView};
use espalier_protocol::id::ReleaseId;
use jiff::Timestamp;

use crate::commands::Context;
use crate::failure::Failure;
use crate::format::{bytes, moment};
use crate::output::{Shown, facts, rows};

/// Show a release with its builds.
#[derive(Debug, Args)]
pub struct Show {
    /// The release's id
    id: ReleaseId,
}

impl Show {
    /// Reads and shows.
    ///
    /// # Errors
    /// When the server cannot be asked or knows no such release.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let release: ReleaseView = context
            .client()?
            .get(&format!("/releases/{}", self.id))
            .await?;
        context.output.show(&release)
    }
}

impl Shown for ReleaseView {
    fn text(&self, now: Timestamp) -> String {
        let mut about = vec![
            ("release", self.id.to_string()),
            (
                "model",
                format!("{} (version {})", self.model, self.model_version),
            ),
            ("counter", self.counter.to_string()),
            ("digest", self.digest.to_string()),
            ("created", moment(self.created_at, now)),
            ("state", state(&self.state)),
        ];
        if let ReleaseState::Signed {
            signed_at,
            targets_version,
            ..
        } = &self.state
        {
            about.push(("signed", moment(*signed_at, now)));
            about.push(("targets", format!("named since version {targets_version}")));
        }
        let builds = self.builds.iter().map(|build| {
            let size = bytes(build.files_bytes + build.manifest_bytes);
            [
                build.device_class.to_string(),
                build.bundle.short(),
                size,
                build
                    .signature
                    .map_or("none".into(), |digest| digest.short()),
                build.build.to_string(),
            ]
        });
        format!(
            "{}\n\n{}",
            facts(about),
            rows(
                ["class", "bundle", "size", "signature", "build"],
                builds,
                "It has no builds."
            )
        )
    }
}

/// Draft or signed, and by which sort of key: nobody should mistake one for the other.
pub fn state(state: &ReleaseState) -> String {
    match state {
        ReleaseState::Draft => "draft".into(),
        ReleaseState::Signed {
            trust: TrustLevel::Production,
            ..
        } => "signed".into(),
        ReleaseState::Signed {
            trust: TrustLevel::Development,
            ..
        } => "signed with DEVELOPMENT keys".into(),
    }
}
