//! `espalier keys root sign`.

use std::path::PathBuf;

use clap::Args;
use espalier_trust::draft::RootDraft;

use super::show::draft_view;
use crate::commands::Context;
use crate::commands::keys::files::{beside, read, refused, root, write};
use crate::commands::keys::passphrase::PassphraseArgs;
use crate::failure::Failure;

/// Add a holder's signature to a draft; the last one makes N.root.json beside it.
///
/// Says first what the draft would change. Compare its fingerprint with the other holders, by voice: a draft
/// travels by hands that may not be theirs. With --current the draft must stand on the root that you know.
#[derive(Debug, Args)]
pub struct Sign {
    /// The draft
    #[arg(value_name = "DRAFT")]
    draft: PathBuf,
    /// Your key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The root that devices follow now, as you know it
    #[arg(long, value_name = "FILE")]
    current: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl Sign {
    /// Checks, says, signs.
    ///
    /// # Errors
    /// When the draft was changed or stands on another root, or the key may not sign it.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let mut draft = RootDraft::read(&read(&self.draft)?).map_err(refused)?;
        self.check_ground(&draft)?;
        draft_view(&draft)?.say(context.output);
        let key = self.passphrase.open(&self.key)?;
        draft.sign(&key).map_err(refused)?;
        write(&self.draft, &draft.to_bytes().map_err(refused)?)?;
        let mut finished = None;
        if let Some(made) = draft.finished().map_err(refused)? {
            let path = beside(&self.draft, &format!("{}.root.json", made.version));
            write(&path, &made.bytes)?;
            finished = Some(path);
        }
        context
            .output
            .show(&draft_view(&draft)?.signed(self.draft, finished))
    }

    fn check_ground(&self, draft: &RootDraft) -> Result<(), Failure> {
        let Some(path) = &self.current else {
            return Ok(());
        };
        let known = root(path)?;
        match draft
            .current()
            .is_some_and(|root| root.bytes() == known.bytes())
        {
            true => Ok(()),
            false => Err(Failure::untrusted(
                format!("the draft does not stand on the root in {}", path.display()),
                "do not sign; ask whoever made the draft which root it follows",
            )),
        }
    }
}
