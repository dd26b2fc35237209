//! The passphrase of a key: from a file, from the environment, or from the person; never from the command line.

use std::path::{Path, PathBuf};

use clap::Args;
use espalier_protocol::trust::TrustLevel;
use espalier_trust::keys::{
    BundleKeyFile, BundleSigner, KeyError, KeyFile, KeyFolder, SoftwareKey, refuse_exposed,
};
use ring::rand::SecureRandom;

use crate::failure::Failure;

/// The environment's passphrase, for scripts.
const VARIABLE: &str = "ESPALIER_PASSPHRASE";

/// Where the passphrase of a key comes from. The same for every command that opens one.
#[derive(Debug, Clone, Default, Args)]
pub struct PassphraseArgs {
    /// A file with the passphrase, mode 0600; else ESPALIER_PASSPHRASE is used, else you are asked
    #[arg(long, value_name = "FILE", env = "ESPALIER_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// A passphrase for new keys. A person types it twice: one that is mistyped once is lost.
    ///
    /// # Errors
    /// When the file cannot be read, the two differ, or there is nobody to ask.
    pub fn for_new_keys(&self) -> Result<String, Failure> {
        if let Some(known) = self.known()? {
            return Ok(known);
        }
        let first = ask("Passphrase for the new key: ")?;
        match ask("The same again: ")? == first {
            true => Ok(first),
            false => Err(Failure::usage(
                "the two passphrases differ, and no key was made",
                "run the command again",
            )),
        }
    }

    /// Opens a key file; asks only when it is encrypted.
    ///
    /// # Errors
    /// When the file is none, or the passphrase does not open it.
    pub fn open(&self, path: &Path) -> Result<SoftwareKey, Failure> {
        let file = KeyFile::read(path).map_err(|error| unusable(path, error))?;
        let passphrase = match file.trust() {
            TrustLevel::Development => None,
            TrustLevel::Production => Some(self.of(path)?),
        };
        file.open(passphrase.as_deref())
            .map_err(|error| unusable(path, error))
    }

    /// Opens the key of a folder that signs bundles; asks only when it is encrypted.
    ///
    /// # Errors
    /// When there is none, or the passphrase does not open it.
    pub fn open_bundle_key(
        &self,
        folder: &KeyFolder,
        random: &dyn SecureRandom,
    ) -> Result<BundleSigner, Failure> {
        let path = folder.bundle_key();
        if !path.exists() {
            return Err(Failure::usage(
                format!(
                    "there is no key that signs bundles: {} does not exist",
                    path.display()
                ),
                format!("make one: espalier keys bundle {}", folder.path().display()),
            ));
        }
        let file = BundleKeyFile::read(&path).map_err(|error| unusable(&path, error))?;
        let passphrase = match file.trust() {
            TrustLevel::Development => None,
            TrustLevel::Production => Some(self.of(&path)?),
        };
        file.open(passphrase.as_deref(), random)
            .map_err(|error| unusable(&path, error))
    }

    fn of(&self, path: &Path) -> Result<String, Failure> {
        match self.known()? {
            Some(known) => Ok(known),
            None => ask(&format!("Passphrase of {}: ", path.display())),
        }
    }

    fn known(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.passphrase_file else {
            return Ok(std::env::var(VARIABLE).ok());
        };
        let facts = std::fs::metadata(path).map_err(Failure::reading(path))?;
        refuse_exposed(path, &facts).map_err(|error| {
            Failure::usage(
                error.to_string(),
                "a passphrase that others may know protects no key; think of a new one if they may have read it",
            )
        })?;
        let text = std::fs::read_to_string(path).map_err(Failure::reading(path))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

fn ask(question: &str) -> Result<String, Failure> {
    rpassword::prompt_password(question).map_err(|error| {
        Failure::usage(
            format!("nobody can be asked for the passphrase here: {error}"),
            format!("run it in a terminal, or give --passphrase-file or {VARIABLE}"),
        )
    })
}

fn unusable(path: &Path, error: KeyError) -> Failure {
    let advice = match &error {
        KeyError::WrongPassphrase => {
            "give the passphrase with which this file was made; it cannot be had in any other way"
        }
        KeyError::Malformed(_) => "name a file that `espalier keys generate` made",
        _ => "see `espalier keys list`",
    };
    match error.of(path) {
        KeyError::File {
            path,
            action: "read",
            source,
        } => Failure::reading(&path)(source),
        error => Failure::usage(error.to_string(), advice),
    }
}
