//! `espalier keys targets next`.

use std::path::{Path, PathBuf};

use clap::Args;
use espalier_api::tuf::TufTargetsView;
use espalier_protocol::trust::{DEPLOYER_TARGET, TrustLevel};
use espalier_trust::draft::{Document, DraftError, TargetsDraft};
use espalier_trust::keys::PublicHalf;
use espalier_trust::{Lifetimes, deployer_target};
use jiff::Timestamp;

use super::{draft_view, text, write_draft};
use crate::commands::Context;
use crate::commands::keys::files::{fresh, moment, public_half, read, refused, root};
use crate::failure::Failure;

/// Draft the next targets without a new release.
///
/// They name all that the current ones name. Use it for the first targets of an installation, for other deployer
/// keys, under a new root that revoked a targets key, or to renew the time until which devices believe them.
#[derive(Debug, Args)]
#[command(
    after_help = "The first targets:    espalier keys targets next --root 1.root.json --first --deployer deployer.pub.json\n\
    Under a new root:     espalier keys targets next --root 2.root.json --previous-root 1.root.json --current 7.targets.json"
)]
pub struct Next {
    /// The root that the signatures must answer to
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// The root before it, when the current targets were signed under that one
    #[arg(long, value_name = "FILE")]
    previous_root: Option<PathBuf>,
    /// The current signed targets [default: asked of the server, and checked against the root]
    #[arg(long, value_name = "FILE", conflicts_with = "first")]
    current: Option<PathBuf>,
    /// There are no targets yet
    #[arg(long, requires = "deployer")]
    first: bool,
    /// A key that may deploy, the newest last; once for each. Without it the deployer's keys stay
    #[arg(long, value_name = "PUBLIC")]
    deployer: Vec<PathBuf>,
    /// When devices stop believing them, like 2028-01-01 [default: in 540 days]
    #[arg(long, value_name = "DATE", value_parser = moment)]
    expires: Option<Timestamp>,
    /// Where to write the draft [default: N.targets.draft.json]
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
}

impl Next {
    /// Drafts them.
    ///
    /// # Errors
    /// When the current targets do not hold under the root, a file is no public half, or its key is a development key and
    /// the root a production root.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let now = context.output.now();
        let previous = self.previous_root.as_deref().map(root).transpose()?;
        let current = self.current(&context).await?;
        let root = root(&self.root)?;
        let documents = self.documents(root.trust())?;
        let draft = TargetsDraft::next(
            root,
            previous,
            current.as_deref(),
            documents,
            self.expires.unwrap_or(now + Lifetimes::default().targets),
        )
        .map_err(refused)?;
        let name = format!("{}.targets.draft.json", draft.version());
        let into = fresh(self.into.unwrap_or_else(|| name.into()))?;
        write_draft(&into, &draft)?;
        context.output.show(&draft_view(&draft)?.written(into))
    }

    async fn current(&self, context: &Context) -> Result<Option<Vec<u8>>, Failure> {
        if self.first {
            return Ok(None);
        }
        if let Some(path) = &self.current {
            return read(path).map(Some);
        }
        let view: TufTargetsView = context.client()?.get("/tuf/targets").await?;
        Ok(view.targets_json.map(String::into_bytes))
    }

    /// Under a production root no key may deploy that lies in the clear.
    fn documents(&self, trust: TrustLevel) -> Result<Vec<Document>, Failure> {
        if self.deployer.is_empty() {
            return Ok(Vec::new());
        }
        let mut keys = Vec::new();
        for file in &self.deployer {
            let half = public_half(file)?;
            if (trust, half.trust()) == (TrustLevel::Production, TrustLevel::Development) {
                return Err(refused(DraftError::DevelopmentKey { key: half.id() }));
            }
            keys.push(half);
        }
        let keys: Vec<_> = keys.iter().map(PublicHalf::key).collect();
        let (_, json) = deployer_target(&keys).map_err(|error| refused(error.into()))?;
        Ok(vec![Document {
            name: DEPLOYER_TARGET.to_owned(),
            text: text(json, Path::new(DEPLOYER_TARGET))?,
        }])
    }
}
