//! `espalier keys targets show`.

use std::path::PathBuf;

use clap::Args;
use espalier_trust::draft::TargetsDraft;

use crate::commands::Context;
use crate::commands::keys::files::{read, refused};
use crate::commands::keys::signers::DraftView;
use crate::failure::Failure;

/// Show a draft: what it names, who must sign, who has.
#[derive(Debug, Args)]
pub struct Show {
    /// The draft
    #[arg(value_name = "DRAFT")]
    draft: PathBuf,
}

impl Show {
    /// Reads, checks and shows it.
    ///
    /// # Errors
    /// When it is none, or was changed.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let draft = TargetsDraft::read(&read(&self.draft)?).map_err(refused)?;
        context.output.show(&draft_view(&draft)?)
    }
}

/// A draft as it is shown.
///
/// # Errors
/// When it does not hold.
pub fn draft_view(draft: &TargetsDraft) -> Result<DraftView, Failure> {
    Ok(DraftView::new(
        draft.says(),
        draft.fingerprint().map_err(refused)?,
        vec![draft.requirement().map_err(refused)?],
    ))
}
