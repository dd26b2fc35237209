//! `espalier keys list`.

use std::path::{Path, PathBuf};

use clap::Args;
use espalier_api::TrustLevel;
use espalier_protocol::trust::{KeyId, PublicKey};
use espalier_trust::draft::short;
use espalier_trust::keys::{KeyFile, PublicHalf};
use jiff::Timestamp;
use serde::Serialize;

use super::files::read;
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::{Shown, rows};

/// List the keys in folders and files. No passphrase is needed: public halves are never encrypted.
#[derive(Debug, Args)]
pub struct List {
    /// Folders with keys, key files, or public halves
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

/// One key.
#[derive(Debug, Serialize)]
pub struct KeyView {
    file: PathBuf,
    key_id: KeyId,
    public_key: PublicKey,
    trust: TrustLevel,
    /// Whether the file holds the private half, too.
    private: bool,
}

/// Several keys.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Listed {
    /// The keys.
    pub keys: Vec<KeyView>,
}

impl KeyView {
    /// A key and where it is.
    pub fn new(file: PathBuf, half: &PublicHalf, private: bool) -> Self {
        Self {
            file,
            key_id: half.id(),
            public_key: half.key(),
            trust: half.trust().into(),
            private,
        }
    }
}

impl List {
    /// Reads and shows them.
    ///
    /// # Errors
    /// When a path cannot be read, or a file that was named is no key.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let mut keys = Vec::new();
        for path in &self.paths {
            match path.is_dir() {
                true => keys.extend(in_folder(path)?),
                false => keys.push(key(path).map_err(|error| {
                    Failure::usage(
                        format!("{}: {error}", path.display()),
                        "name key files, their public halves, or folders that hold some",
                    )
                })?),
            }
        }
        context.output.show(&Listed { keys })
    }
}

/// What else lies in a folder is passed over: roots and drafts often do.
fn in_folder(folder: &Path) -> Result<Vec<KeyView>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(Failure::reading(folder))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(Failure::reading(folder))?.path());
    }
    paths.sort();
    let json = |path: &&PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    };
    Ok(paths
        .iter()
        .filter(json)
        .filter_map(|path| key(path).ok())
        .collect())
}

fn key(path: &Path) -> Result<KeyView, String> {
    let bytes = read(path).map_err(|error| error.to_string())?;
    let view = |half: &PublicHalf, private| KeyView::new(path.to_owned(), half, private);
    match PublicHalf::from_json(&bytes) {
        Ok(half) => Ok(view(&half, false)),
        Err(_) => KeyFile::from_json(&bytes)
            .map(|file| view(&file.public_half(), true))
            .map_err(|error| error.to_string()),
    }
}

impl Shown for Listed {
    fn text(&self, _now: Timestamp) -> String {
        let row = |key: &KeyView| {
            let kind = match (key.private, key.trust) {
                (false, TrustLevel::Production) => "public half",
                (false, TrustLevel::Development) => "public half of a development key",
                (true, TrustLevel::Production) => "encrypted",
                (true, TrustLevel::Development) => "development, in the clear",
            };
            [
                short(key.key_id),
                kind.to_owned(),
                String::from(key.public_key),
                key.file.display().to_string(),
            ]
        };
        rows(
            ["key id", "kind", "public key", "file"],
            self.keys.iter().map(row),
            "No keys there.",
        )
    }
}
