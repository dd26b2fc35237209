//! `espalier keys targets publish`.

use std::path::{Path, PathBuf};

use clap::Args;
use espalier_api::TrustLevel;
use espalier_api::release::{ReleaseSignature, ReleaseView};
use espalier_api::tuf::{PublishTargets, TufTargetsView};
use espalier_trust::draft::TargetsDraft;
use jiff::Timestamp;
use serde::Serialize;

use crate::commands::Context;
use crate::commands::keys::files::{read, refused};
use crate::commands::status::DEVELOPMENT_KEYS;
use crate::failure::Failure;
use crate::output::{Shown, facts};

/// Hand a finished draft to the server.
///
/// A draft that names a release for the first time makes it a signed release.
#[derive(Debug, Args)]
pub struct Publish {
    /// The draft, signed by all who must
    #[arg(value_name = "DRAFT")]
    draft: PathBuf,
}

impl Publish {
    /// Hands it in.
    ///
    /// # Errors
    /// When signatures are missing, or the server refuses it.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let draft = TargetsDraft::read(&read(&self.draft)?).map_err(refused)?;
        let targets = finished(&draft)?;
        let client = context.client()?;
        if let Some(release) = draft.release() {
            let path = format!("/releases/{}/signature", release.id);
            let targets_json = targets.targets_json;
            let release: ReleaseView = client
                .post(&path, &ReleaseSignature { targets_json })
                .await?;
            return context.output.show(&release);
        }
        let view: TufTargetsView = client.post("/tuf/targets", &targets).await?;
        context.output.show(&Published::of(&view))
    }
}

/// What a finished draft hands to the server.
///
/// # Errors
/// When it cannot be read, was changed, or is not finished.
pub fn publication(draft: &Path) -> Result<PublishTargets, Failure> {
    finished(&TargetsDraft::read(&read(draft)?).map_err(refused)?)
}

fn finished(draft: &TargetsDraft) -> Result<PublishTargets, Failure> {
    let Some(made) = draft.finished().map_err(refused)? else {
        let missing = draft.requirement().map_err(refused)?.missing();
        return Err(Failure::usage(
            format!("the draft is not finished: {missing} more must sign"),
            "see `espalier keys targets show`",
        ));
    };
    Ok(PublishTargets {
        targets_json: text(made.bytes, Path::new("the targets"))?,
        deployer_json: draft.deployer_json().map(str::to_owned),
    })
}

/// Metadata are text.
///
/// # Errors
/// When these bytes are none.
pub fn text(bytes: Vec<u8>, path: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|_| {
        Failure::usage(
            format!("{} is not text", path.display()),
            "name a file that `espalier keys` made",
        )
    })
}

/// What devices are told from now on.
#[derive(Debug, Serialize)]
pub struct Published {
    root_version: u64,
    targets_version: u64,
    trust: TrustLevel,
}

impl Published {
    /// What the server says is current now.
    pub fn of(view: &TufTargetsView) -> Self {
        Self {
            root_version: view.root_version,
            targets_version: view.targets_version,
            trust: view.trust,
        }
    }
}

impl Shown for Published {
    fn text(&self, _now: Timestamp) -> String {
        let trust = match self.trust {
            TrustLevel::Development => DEVELOPMENT_KEYS.replace('\n', " "),
            TrustLevel::Production => "production keys".into(),
        };
        facts([
            ("root version", self.root_version.to_string()),
            ("targets version", self.targets_version.to_string()),
            ("trust", trust),
        ])
    }
}
