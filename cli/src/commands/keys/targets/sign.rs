//! `espalier keys targets sign`.

use std::path::{Path, PathBuf};

use clap::Args;
use espalier_trust::draft::TargetsDraft;
use espalier_trust::tuf::TrustedRoot;

use super::{draft_view, write_draft};
use crate::commands::Context;
use crate::commands::keys::files::{beside, read, refused, root, write};
use crate::commands::keys::passphrase::PassphraseArgs;
use crate::failure::Failure;

/// Add a holder's signature to a draft; the last one makes N.targets.json beside it.
///
/// Says first what the draft names. Compare its fingerprint with the other holders, and the digests of builds with
/// what you know of them. The roots must be your own: whoever chooses them chooses whose targets are the
/// current ones.
#[derive(Debug, Args)]
pub struct Sign {
    /// The draft
    #[arg(value_name = "DRAFT")]
    draft: PathBuf,
    /// Your key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The root that the signature must answer to, from your own disk
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// The root before it, from your own disk too, when the draft's current targets were signed under that one
    #[arg(long, value_name = "FILE")]
    previous_root: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl Sign {
    /// Checks, says, signs.
    ///
    /// # Errors
    /// When the draft was changed or answers to another root, or the key may not sign it.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let mut draft = TargetsDraft::read(&read(&self.draft)?).map_err(refused)?;
        self.check_ground(&draft)?;
        draft_view(&draft)?.say(context.output);
        let key = self.passphrase.open(&self.key)?;
        draft.sign(&key).map_err(refused)?;
        let mut finished = None;
        if let Some(made) = draft.finished().map_err(refused)? {
            let name = format!("{}.targets.json", made.version);
            let path = beside(&self.draft, &name, &made.bytes)?;
            write(&path, &made.bytes)?;
            finished = Some(path);
        }
        write_draft(&self.draft, &draft)?;
        context
            .output
            .show(&draft_view(&draft)?.signed(self.draft, finished))
    }

    /// Both roots of the draft must be the signer's own: they decide which targets are the current ones, and with a root
    /// before it of his choice whoever made the draft could have others signed again.
    fn check_ground(&self, draft: &TargetsDraft) -> Result<(), Failure> {
        same_root(draft.root(), &self.root)?;
        match (draft.previous_root(), &self.previous_root) {
            (None, _) => Ok(()),
            (Some(previous), Some(own)) => same_root(previous, own),
            (Some(previous), None) => Err(Failure::usage(
                format!(
                    "the draft's current targets are signed under root version {}",
                    previous.version()
                ),
                "name your own copy of that root, too: --previous-root FILE",
            )),
        }
    }
}

fn same_root(drafted: &TrustedRoot, own: &Path) -> Result<(), Failure> {
    match drafted.bytes() == root(own)?.bytes() {
        true => Ok(()),
        false => Err(Failure::untrusted(
            format!("the draft does not answer to the root in {}", own.display()),
            "do not sign; ask whoever made the draft which root it is for",
        )),
    }
}
