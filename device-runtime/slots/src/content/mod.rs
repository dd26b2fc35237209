//! Bundles' bytes: staged file by file, digested while they are written, and named by digest once they are whole.
//!
//! ```text
//! STORE/staging/BUNDLE/manifest.json    verified before anything else is fetched
//! STORE/staging/BUNDLE/files/PATH       whole and verified
//! STORE/staging/BUNDLE/parts/SHA256     on its way: continued after a break, digested again from its start
//! STORE/bundles/BUNDLE/…                a staging folder, renamed when nothing was missing
//! STORE/trash/…                         what nobody needs any more: set aside in one step, removed when there is time
//! ```

mod intake;
mod staging;

pub use intake::Intake;
pub use staging::{Missing, Staging};

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use espalier_protocol::digest::Hasher;
use espalier_protocol::manifest::{
    FileEntry, MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest, ManifestError,
};
use espalier_protocol::{BundlePath, Digest};

use crate::StoreError;
use crate::files::{self, Files};

/// Bytes that a download must leave free on the disk, for records and logs.
pub const DISK_RESERVE: u64 = 32 * 1024 * 1024;
/// Bytes moved at a time when a file is digested.
const CHUNK: usize = 256 * 1024;

/// Why bytes are not taken.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The manifest's bytes do not have the promised digest.
    #[error("the manifest of bundle {} has another digest: its bytes were altered", .0.short())]
    ManifestDigest(Digest),
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// More bytes came than the manifest promises.
    #[error("`{path}` is longer than the {size} bytes of the manifest")]
    TooLong {
        /// Which file.
        path: String,
        /// Its promised size.
        size: u64,
    },
    /// Fewer bytes came than the manifest promises.
    #[error("`{path}` ended after {have} of {size} bytes")]
    Short {
        /// Which file.
        path: String,
        /// Bytes that came.
        have: u64,
        /// Its promised size.
        size: u64,
    },
    /// The bytes do not have the promised digest.
    #[error("`{path}` does not have the digest of the manifest: its bytes were altered")]
    FileDigest {
        /// Which file.
        path: String,
    },
    /// The bundle would not fit.
    #[error(
        "the bundle needs {needed} more bytes, and the disk has {free} free of which {DISK_RESERVE} stay reserved"
    )]
    NoSpace {
        /// Bytes still to be fetched.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The disk refused something.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ContentError {
    /// Whether the bytes here are not, or not all, those of the bundle: no later try reads anything better. An error of
    /// the disk may pass, and says nothing about the bytes.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::ManifestDigest(_)
            | Self::Manifest(_)
            | Self::TooLong { .. }
            | Self::Short { .. }
            | Self::FileDigest { .. } => true,
            Self::NoSpace { .. } => false,
            Self::Store(error) => error.is_absence(),
        }
    }
}

/// A bundle whose every byte was digested in this process; the only thing that a probe gets to see.
#[derive(Debug, Clone)]
pub struct VerifiedBundle {
    digest: Digest,
    folder: PathBuf,
    manifest: Manifest,
}

impl VerifiedBundle {
    /// The digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Where its files lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

/// The bundles of a store.
#[derive(Debug, Clone)]
pub struct Content {
    files: Arc<dyn Files>,
    bundles: PathBuf,
    staging: PathBuf,
    documents: PathBuf,
    trash: PathBuf,
}

/// What must not be collected.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    pub(crate) bundles: BTreeSet<Digest>,
    pub(crate) documents: BTreeSet<Digest>,
}

impl Content {
    pub(crate) fn new(files: Arc<dyn Files>, store: &Path) -> Self {
        Self {
            files,
            bundles: store.join("bundles"),
            staging: store.join("staging"),
            documents: store.join("documents"),
            trash: store.join("trash"),
        }
    }

    /// Digests every byte of a bundle that was staged before.
    ///
    /// # Errors
    /// What is wrong with the first file that is not as promised; `None` when there is no such bundle.
    pub fn verify(&self, digest: &Digest) -> Result<Option<VerifiedBundle>, ContentError> {
        let folder = self.bundles.join(digest.to_string());
        if !self.files.is_folder(&folder) {
            return Ok(None);
        }
        let path = folder.join(MANIFEST_FILE);
        let bytes = self
            .files
            .read(&path, MAX_MANIFEST_BYTES as u64)
            .map_err(StoreError::disk("read", &path))?;
        let manifest = check_manifest(digest, &bytes)?;
        for (name, entry) in &manifest.files {
            self.check_file(&name.under(&folder), name, entry)?;
        }
        Ok(Some(VerifiedBundle {
            digest: *digest,
            folder,
            manifest,
        }))
    }

    /// Opens the staging area of a bundle, with whatever an earlier try left in it. Files in it are digested again.
    ///
    /// # Errors
    /// When `manifest` does not have the promised digest or cannot be used.
    pub fn stage(&self, digest: &Digest, manifest: &[u8]) -> Result<Staging, ContentError> {
        let parsed = check_manifest(digest, manifest)?;
        let folder = self.staging.join(digest.to_string());
        for part in ["files", "parts"] {
            let path = folder.join(part);
            self.files
                .create_folder(&path)
                .map_err(StoreError::disk("make", &path))?;
        }
        let path = folder.join(MANIFEST_FILE);
        files::replace(self.files.as_ref(), &path, manifest)
            .map_err(StoreError::disk("write", &path))?;
        Staging::open(self.clone(), *digest, folder, parsed)
    }

    /// The manifest that an earlier try left in a staging area, if there is one.
    ///
    /// # Errors
    /// The disk's.
    pub fn staged_manifest(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_small(
            &self.staging.join(digest.to_string()).join(MANIFEST_FILE),
            digest,
        )
    }

    /// Gives a staging area back with all that is in it, where there is one.
    ///
    /// # Errors
    /// The disk's.
    pub fn unstage(&self, digest: &Digest) -> Result<(), StoreError> {
        let folder = self.staging.join(digest.to_string());
        self.files
            .remove_folder(&folder)
            .map_err(StoreError::disk("remove", &folder))
    }

    /// A small document (release, deployer keys) that was kept by its digest.
    ///
    /// # Errors
    /// The disk's. One whose bytes no longer have the digest counts as not kept.
    pub fn document(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_small(&self.documents.join(digest.to_string()), digest)
    }

    /// Keeps a small document by its digest.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep_document(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.documents.join(Digest::of(bytes).to_string());
        self.files
            .create_folder(&self.documents)
            .and_then(|()| files::replace(self.files.as_ref(), &path, bytes))
            .map_err(StoreError::disk("write", &path))
    }

    /// The path of a file with this digest in any bundle that is here. The caller digests it while copying: it may have
    /// rotted, and its bundle may be collected meanwhile.
    fn find(&self, digest: &Digest) -> Result<Option<PathBuf>, StoreError> {
        for name in self.names(&self.bundles)? {
            let folder = self.bundles.join(&name);
            if name == digest.to_string() {
                return Ok(Some(folder.join(MANIFEST_FILE)));
            }
            let Some(manifest) = self.manifest_in(&folder, &name)? else {
                continue;
            };
            if let Some((path, _)) = manifest
                .files
                .iter()
                .find(|(_, entry)| entry.sha256 == *digest)
            {
                return Ok(Some(path.under(&folder)));
            }
        }
        Ok(None)
    }

    /// Sets everything aside that is not needed: quick, so that nothing waits for it.
    pub(crate) fn retain(&self, needed: &Needed) -> Result<(), StoreError> {
        let areas = [
            (&self.bundles, &needed.bundles),
            (&self.staging, &needed.bundles),
            (&self.documents, &needed.documents),
        ];
        for (area, held) in areas {
            for name in self.names(area)? {
                let is_held = name
                    .parse::<Digest>()
                    .is_ok_and(|digest| held.contains(&digest));
                if !is_held {
                    self.set_aside(area, &name)?;
                }
            }
        }
        Ok(())
    }

    fn set_aside(&self, area: &Path, name: &str) -> Result<(), StoreError> {
        let path = area.join(name);
        // A bundle, its staging area and a document may have the same name.
        let kind = area.file_name().unwrap_or_default().to_string_lossy();
        let aside = self.trash.join(format!("{kind}-{name}"));
        self.files
            .create_folder(&self.trash)
            .and_then(|()| self.files.remove_folder(&aside))
            .and_then(|()| self.files.rename(&path, &aside))
            .map_err(StoreError::disk("set aside", &path))
    }

    /// Removes what was set aside; takes as long as the disk does.
    ///
    /// # Errors
    /// The disk's; what is left is removed the next time.
    pub fn empty_trash(&self) -> Result<(), StoreError> {
        self.files
            .remove_folder(&self.trash)
            .map_err(StoreError::disk("remove", &self.trash))
    }

    fn names(&self, folder: &Path) -> Result<Vec<String>, StoreError> {
        self.files
            .list(folder)
            .map_err(StoreError::disk("list", folder))
    }

    fn manifest_in(&self, folder: &Path, name: &str) -> Result<Option<Manifest>, StoreError> {
        let Ok(digest) = name.parse::<Digest>() else {
            return Ok(None);
        };
        let bytes = self.read_small(&folder.join(MANIFEST_FILE), &digest)?;
        Ok(bytes.and_then(|bytes| Manifest::parse(&bytes).ok()))
    }

    fn read_small(&self, path: &Path, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        match self.files.read(path, MAX_MANIFEST_BYTES as u64) {
            Ok(bytes) => Ok((Digest::of(&bytes) == *digest).then_some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::disk("read", path)(error)),
        }
    }

    fn check_file(
        &self,
        at: &Path,
        name: &BundlePath,
        entry: &FileEntry,
    ) -> Result<(), ContentError> {
        let mut file = self.files.open(at).map_err(StoreError::disk("read", at))?;
        let (digest, size) =
            digest_stream(&mut file, entry.size).map_err(StoreError::disk("read", at))?;
        if size == entry.size && digest == entry.sha256 {
            Ok(())
        } else {
            Err(ContentError::FileDigest {
                path: name.to_string(),
            })
        }
    }
}

fn check_manifest(digest: &Digest, bytes: &[u8]) -> Result<Manifest, ContentError> {
    if Digest::of(bytes) != *digest {
        return Err(ContentError::ManifestDigest(*digest));
    }
    Ok(Manifest::parse(bytes)?)
}

/// Digests a stream, reading at most one byte past `limit`.
fn digest_stream(stream: &mut dyn Read, limit: u64) -> io::Result<(Digest, u64)> {
    let mut stream = stream.take(limit.saturating_add(1));
    let mut hasher = Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok((hasher.finish(), size));
        }
        hasher.update(&chunk[..read]);
        size += read as u64;
    }
}
