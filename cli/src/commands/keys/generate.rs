//! `espalier keys generate`.

use std::path::PathBuf;

use clap::Args;
use espalier_trust::keys::{KeyError, KeyFile};

use super::list::{KeyView, Listed};
use super::passphrase::PassphraseArgs;
use crate::commands::Context;
use crate::failure::Failure;

/// Make new keys, each in an encrypted file.
///
/// The private half never leaves its file. Give others the public half only (`espalier keys public`). A
/// passphrase has at least 12 characters, cannot be changed, and a lost one cannot be had back: keep it where
/// you keep no key.
#[derive(Debug, Args)]
#[command(
    after_help = "The server's own keys: espalier keys generate STATE/keys/{snapshot,timestamp,deployer,device-ca}.key.json\n\
    A key that is to replace one: espalier keys generate STATE/keys/timestamp.2027.key.json"
)]
pub struct Generate {
    /// Where to keep each key; the files must not exist yet
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Make development keys: in the clear, marked as such, refused by devices without --development-trust
    #[arg(long, conflicts_with = "passphrase_file")]
    development: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl Generate {
    /// Makes them.
    ///
    /// # Errors
    /// When a file is there already, or the passphrase is too short.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        if let Some(there) = self.files.iter().find(|file| file.exists()) {
            return Err(Failure::usage(
                format!("{} is already there, and no key was made", there.display()),
                "a key is never overwritten: name another file",
            ));
        }
        let passphrase = match self.development {
            true => None,
            false => Some(self.passphrase.for_new_keys()?),
        };
        let mut keys = Vec::new();
        for path in self.files {
            let made = match &passphrase {
                Some(passphrase) => KeyFile::encrypted(passphrase, &context.random),
                None => KeyFile::development(&context.random),
            };
            let file = made.map_err(refused)?;
            file.create(&path).map_err(refused)?;
            keys.push(KeyView::new(path, &file.public_half(), true));
        }
        context.output.show(&Listed { keys })
    }
}

/// What kept a key from being made.
pub(super) fn refused(error: KeyError) -> Failure {
    match error {
        KeyError::File { path, source, .. } => Failure::writing(&path)(source),
        error => Failure::usage(
            error.to_string(),
            "several words that you find nowhere together make a good passphrase",
        ),
    }
}
