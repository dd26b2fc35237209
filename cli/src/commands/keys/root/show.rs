//! `espalier keys root show`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use espalier_api::TrustLevel;
use espalier_protocol::trust::KeyId;
use espalier_trust::draft::{DraftError, RootDraft, short};
use espalier_trust::keys::PublicHalf;
use espalier_trust::tuf::{RootPlan, TrustedRoot, TufRole};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::commands::Context;
use crate::commands::keys::files::{read, refused};
use crate::commands::keys::signers::DraftView;
use crate::failure::Failure;
use crate::format::to_the_second;
use crate::output::Shown;

/// Show a draft or a root: who holds what, how many must sign, until when, who has signed.
#[derive(Debug, Args)]
pub struct Show {
    /// A draft, or a finished root
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Show {
    /// Reads, checks and shows it.
    ///
    /// # Errors
    /// When it is neither, or was changed.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let bytes = read(&self.file)?;
        let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if json.get("draft").is_some() {
            let draft = RootDraft::read(&bytes).map_err(refused)?;
            return context.output.show(&draft_view(&draft)?);
        }
        let root = TrustedRoot::read(&bytes).map_err(|error| refused(DraftError::Tuf(error)))?;
        let plan = root
            .plan()
            .map_err(|error| refused(DraftError::Tuf(error)))?;
        context.output.show(&RootView::new(&root, &plan))
    }
}

/// A draft as it is shown.
///
/// # Errors
/// When it does not hold.
pub fn draft_view(draft: &RootDraft) -> Result<DraftView, Failure> {
    Ok(DraftView::new(
        draft.says(),
        draft.fingerprint().map_err(refused)?,
        draft.requirements().map_err(refused)?,
    ))
}

#[derive(Debug, Serialize)]
struct RootView {
    version: u64,
    expires: Timestamp,
    trust: TrustLevel,
    roles: BTreeMap<&'static str, RoleView>,
}

#[derive(Debug, Serialize)]
struct RoleView {
    threshold: u64,
    keys: Vec<KeyId>,
}

impl RootView {
    fn new(root: &TrustedRoot, plan: &RootPlan) -> Self {
        let role = |role: TufRole| {
            let held = plan.holders(role);
            let view = RoleView {
                threshold: held.threshold.get(),
                keys: held.keys.iter().map(PublicHalf::id).collect(),
            };
            (role.name(), view)
        };
        Self {
            version: root.version().get(),
            expires: root.expires(),
            trust: root.trust().into(),
            roles: TufRole::ALL.into_iter().map(role).collect(),
        }
    }
}

impl Shown for RootView {
    fn text(&self, now: Timestamp) -> String {
        let over = match self.expires <= now {
            true => " (it has ended)",
            false => "",
        };
        let mut lines = vec![format!(
            "root version {}, signed by its own keys",
            self.version
        )];
        for role in TufRole::ALL {
            let Some(view) = self.roles.get(role.name()) else {
                continue;
            };
            lines.push(format!(
                "{role}: {} of {} must sign",
                view.threshold,
                view.keys.len()
            ));
            lines.extend(
                view.keys
                    .iter()
                    .map(|key| format!("  holds {}", short(*key))),
            );
        }
        lines.push(format!("ends: {}{over}", to_the_second(self.expires)));
        let trust = match self.trust {
            TrustLevel::Development => "development",
            TrustLevel::Production => "production",
        };
        lines.push(format!("trust: {trust} keys"));
        lines.join("\n")
    }
}
