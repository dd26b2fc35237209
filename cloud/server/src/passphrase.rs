//! The passphrase of the server's own key files: it comes from where the machine keeps its secrets, never from the
//! command line.

use std::path::{Path, PathBuf};

use crate::{
    principal::guard_mode,
    refusal::{Outcome, Refusal},
};

/// The file among a systemd unit's credentials (`LoadCredential=espalier-keys:…`).
const CREDENTIAL: &str = "espalier-keys";
/// Where systemd puts them.
const CREDENTIALS_FOLDER: &str = "CREDENTIALS_DIRECTORY";
/// The passphrase itself, where a machine hands out secrets as variables.
const VARIABLE: &str = "ESPALIER_PASSPHRASE";

/// The passphrase of key files. It shows itself nowhere.
#[derive(Clone)]
pub struct Passphrase(String);

impl Passphrase {
    /// From the file that the configuration names, else from a systemd credential, else from the environment; none
    /// where the keys need none.
    ///
    /// # Errors
    /// When a file that is there cannot be read, or others than its owner may read it.
    pub fn find(named: Option<&Path>) -> Outcome<Option<Self>> {
        let credential = || {
            let folder = std::env::var_os(CREDENTIALS_FOLDER)?;
            Some(PathBuf::from(folder).join(CREDENTIAL)).filter(|path| path.exists())
        };
        match named.map(Path::to_owned).or_else(credential) {
            Some(path) => Self::read(&path).map(Some),
            None => Ok(std::env::var(VARIABLE).ok().map(Self)),
        }
    }

    fn read(path: &Path) -> Outcome<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Refusal::internal(format!("the passphrase in {}: {error}", path.display()))
        })?;
        guard_mode(path)?;
        Ok(Self(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}
