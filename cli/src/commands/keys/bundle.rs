//! `espalier keys bundle`.

use std::path::PathBuf;

use clap::Args;
use espalier_protocol::Digest;
use espalier_trust::keys::{BundleKeyFile, KeyFolder};
use jiff::Timestamp;
use serde::Serialize;

use super::generate::refused;
use super::passphrase::PassphraseArgs;
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::{Shown, facts};

/// Make the key that signs bundles for other people's tools.
///
/// It is an ECDSA P-256 key, as OpenSSF Model Signing asks for. `espalier release sign` signs every bundle with it.
/// Its public half, bundle.pub.pem, is for whoever verifies bundles; devices do not need it.
#[derive(Debug, Args)]
pub struct Bundle {
    /// The folder of the release keys, which gets bundle.key.json and bundle.pub.pem
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Make a development key: in the clear, marked as such
    #[arg(long, conflicts_with = "passphrase_file")]
    development: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// The key that was made.
#[derive(Debug, Serialize)]
struct Made {
    key: PathBuf,
    public_half: PathBuf,
    fingerprint: Digest,
}

impl Bundle {
    /// Makes it.
    ///
    /// # Errors
    /// When there is one already, or the passphrase is too short.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let folder = KeyFolder::new(self.folder);
        let (key, public_half) = (folder.bundle_key(), folder.bundle_public_key());
        if let Some(there) = [&key, &public_half].into_iter().find(|file| file.exists()) {
            return Err(Failure::usage(
                format!("{} is already there, and no key was made", there.display()),
                "a key is never overwritten: name another folder",
            ));
        }
        let file = match self.development {
            true => BundleKeyFile::development(&context.random),
            false => BundleKeyFile::encrypted(&self.passphrase.for_new_keys()?, &context.random),
        }
        .map_err(refused)?;
        file.create(&folder).map_err(refused)?;
        context.output.show(&Made {
            key,
            public_half,
            fingerprint: file.public_key().fingerprint(),
        })
    }
}

impl Shown for Made {
    fn text(&self, _now: Timestamp) -> String {
        facts(vec![
            ("key", self.key.display().to_string()),
            ("public half", self.public_half.display().to_string()),
            ("fingerprint", self.fingerprint.to_string()),
        ])
    }
}
