//! A worker's bundle is looked at as a device would: every byte, and nothing that the manifest does not name.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use espalier_protocol::manifest::{
    FileEntry, MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest, ManifestError,
};
use espalier_protocol::path::InvalidPath;
use espalier_protocol::{BundlePath, Digest, digest::Hasher};

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The manifest is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file is not what the manifest says.
    #[error("`{0}` differs from what the manifest says")]
    Differs(BundlePath),
    /// Something that the manifest does not name, or that is no plain file.
    #[error("{} does not belong into a bundle", .0.display())]
    Foreign(PathBuf),
    /// A name that no bundle can have.
    #[error(transparent)]
    Path(#[from] InvalidPath),
}

/// The digest of a bundle's manifest, when every file is exactly what the manifest says and nothing else is there.
pub(super) fn bundle(folder: &Path) -> Result<Digest, VerifyError> {
    let bytes = manifest_bytes(folder)?;
    files(folder, &Manifest::parse(&bytes)?)?;
    Ok(Digest::of(&bytes))
}

/// The manifest of a bundle whose files were not looked at.
pub(super) fn manifest(folder: &Path) -> Result<Manifest, VerifyError> {
    Ok(Manifest::parse(&manifest_bytes(folder)?)?)
}

/// Whether every file is exactly what the manifest says and nothing else is there.
pub(super) fn files(folder: &Path, manifest: &Manifest) -> Result<(), VerifyError> {
    let mut expected: BTreeSet<PathBuf> = manifest
        .files
        .keys()
        .map(|path| path.under(folder))
        .collect();
    expected.insert(folder.join(MANIFEST_FILE));
    refuse_foreign(folder, &expected)?;
    for (path, entry) in &manifest.files {
        if digest(&path.under(folder), entry)? != entry.sha256 {
            return Err(VerifyError::Differs(path.clone()));
        }
    }
    Ok(())
}

fn manifest_bytes(folder: &Path) -> Result<Vec<u8>, VerifyError> {
    read(&folder.join(MANIFEST_FILE), MAX_MANIFEST_BYTES as u64 + 1)
}

fn refuse_foreign(folder: &Path, expected: &BTreeSet<PathBuf>) -> Result<(), VerifyError> {
    let unreadable = |source| VerifyError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // Not following links: a link is foreign, wherever it leads.
        let kind = entry.file_type().map_err(unreadable)?;
        let path = entry.path();
        if kind.is_dir() {
            refuse_foreign(&path, expected)?;
        } else if !kind.is_file() || !expected.contains(&path) {
            return Err(VerifyError::Foreign(path));
        }
    }
    Ok(())
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, VerifyError> {
    let unreadable = |source| VerifyError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(unreadable)?
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// The digest of a file's bytes, of at most one more than the entry allows: more is a difference anyway.
fn digest(path: &Path, entry: &FileEntry) -> Result<Digest, VerifyError> {
    let file = File::open(path).map(|file| file.take(entry.size + 1));
    file.and_then(digest_of)
        .map_err(|source| VerifyError::Unreadable {
            path: path.to_owned(),
            source,
        })
}

/// The digest of everything that a stream gives.
pub(super) fn digest_of(mut stream: impl Read) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&piece[..read]),
        }
    }
}
