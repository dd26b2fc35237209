//! Writes the seeds of every target into `corpus/`, with our own writers and keys that everybody knows. A file that is there
//! stays: it may be older than what is written today, and must be read for ever.

mod ceremony;
mod certified;
mod devices;
mod documents;
mod files;
mod hazards;
mod messages;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder that seeds are written into.
struct Corpus(PathBuf);

impl Corpus {
    /// Puts a seed in its target's folder, unless one of that name is there.
    fn put(&self, target: &str, name: &str, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let folder = self.0.join(target);
        fs::create_dir_all(&folder)?;
        let path = folder.join(name);
        if path.exists() {
            return Ok(());
        }
        fs::write(path, bytes)
    }
}

fn main() -> io::Result<()> {
    let corpus = Corpus(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"));
    messages::write(&corpus)?;
    documents::write(&corpus)?;
    files::write(&corpus)?;
    ceremony::write(&corpus)?;
    devices::write(&corpus)
}
