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
/// travels by hands that may not be theirs. What it says that it changes is only as true as the root that it follows:
/// --current names your own copy of that.
#[derive(Debug, Args)]
pub struct Sign {
    /// The draft
    #[arg(value_name = "DRAFT")]
    draft: PathBuf,
    /// Your key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The root that devices follow now, from your own disk; needed for every root but the first
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
        let mut finished = None;
        if let Some(made) = draft.finished().map_err(refused)? {
            let name = format!("{}.root.json", made.version);
            let path = beside(&self.draft, &name, &made.bytes)?;
            write(&path, &made.bytes)?;
            finished = Some(path);
        }
        write(&self.draft, &draft.to_bytes().map_err(refused)?)?;
        context
            .output
            .show(&draft_view(&draft)?.signed(self.draft, finished))
    }

    /// What a draft says that it changes is only as true as the root that it says it changes: that one must be the
    /// signer's own.
    fn check_ground(&self, draft: &RootDraft) -> Result<(), Failure> {
        let (follows, own) = match (draft.current(), &self.current) {
            (None, None) => return Ok(()),
            (Some(follows), None) => {
                let version = follows.version();
                return Err(Failure::usage(
                    format!("the draft follows root version {version}"),
                    format!("name your own copy of that root: --current {version}.root.json"),
                ));
            }
            (follows, Some(own)) => (follows, own),
        };
        let known = root(own)?;
        match follows.is_some_and(|root| root.bytes() == known.bytes()) {
            true => Ok(()),
            false => Err(Failure::untrusted(
                format!("the draft does not stand on the root in {}", own.display()),
                "do not sign; ask whoever made the draft which root it follows",
            )),
        }
    }
}
