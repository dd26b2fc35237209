//! Bundles' bytes: staged file by file, digested while they are written, and named by digest once they are whole.
//!
//! ```text
//! STORE/staging/BUNDLE/manifest.json    verified before anything else is fetched
//! STORE/staging/BUNDLE/files/PATH       whole and verified
//! STORE/staging/BUNDLE/parts/SHA256     on its way: continued after a break, digested again from its start
//! STORE/bundles/BUNDLE/…                a staging folder, renamed when nothing was missing
//! ```

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
use crate::files::{self, Files, WriteFile};

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
}

impl Content {
    pub(crate) fn new(files: Arc<dyn Files>, store: &Path) -> Self {
        Self {
            files,
            bundles: store.join("bundles"),
            staging: store.join("staging"),
            documents: store.join("documents"),
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
        let mut staging = Staging {
            content: self.clone(),
            digest: *digest,
            folder,
            missing: Vec::new(),
            manifest: parsed,
        };
        staging.missing = staging.look()?;
        Ok(staging)
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

    /// The path of a whole file with this digest in any verified bundle, for a relay that serves it. The caller digests
    /// it while serving: it may have rotted since.
    ///
    /// # Errors
    /// The disk's.
    pub fn find(&self, digest: &Digest) -> Result<Option<PathBuf>, StoreError> {
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

    pub(crate) fn retain(&self, held: &BTreeSet<Digest>) -> Result<(), StoreError> {
        for area in [&self.bundles, &self.staging] {
            for name in self.names(area)? {
                if name
                    .parse::<Digest>()
                    .is_ok_and(|digest| held.contains(&digest))
                {
                    continue;
                }
                let path = area.join(name);
                self.files
                    .remove_folder(&path)
                    .map_err(StoreError::disk("remove", &path))?;
            }
        }
        Ok(())
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

/// A file that is still to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its name in the bundle.
    pub path: BundlePath,
    /// Its promised size and digest.
    pub entry: FileEntry,
}

/// A bundle on its way.
#[derive(Debug)]
pub struct Staging {
    content: Content,
    digest: Digest,
    folder: PathBuf,
    manifest: Manifest,
    missing: Vec<Missing>,
}

impl Staging {
    /// What the bundle will be.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Files that are still to be fetched, smallest path first.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Bytes of the missing files, less what lies in their parts.
    ///
    /// # Errors
    /// The disk's.
    pub fn bytes_to_fetch(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for missing in &self.missing {
            let part = self.part(&missing.entry);
            let have = self
                .content
                .files
                .size(&part)
                .map_err(StoreError::disk("read", &part))?;
            bytes += missing.entry.size.saturating_sub(have.unwrap_or(0));
        }
        Ok(bytes)
    }

    /// Refuses a bundle that would not fit, before its first byte is fetched.
    ///
    /// # Errors
    /// [`ContentError::NoSpace`], or the disk's.
    pub fn check_space(&self) -> Result<(), ContentError> {
        let needed = self.bytes_to_fetch()?;
        let free = self
            .content
            .files
            .free_bytes(&self.folder)
            .map_err(StoreError::disk("measure", &self.folder))?;
        if needed.saturating_add(DISK_RESERVE) > free {
            return Err(ContentError::NoSpace { needed, free });
        }
        Ok(())
    }

    /// Takes missing files from bundles that are here already, so that nothing is fetched twice.
    ///
    /// # Errors
    /// The disk's. A source that has rotted is passed over.
    pub fn take_from_bundles(&mut self) -> Result<(), ContentError> {
        for missing in self.missing.clone() {
            let Some(source) = self.content.find(&missing.entry.sha256)? else {
                continue;
            };
            match self.copy(&missing, &source) {
                Err(
                    ContentError::FileDigest { .. }
                    | ContentError::Short { .. }
                    | ContentError::TooLong { .. },
                ) => {
                    tracing::warn!(file = %missing.path, "a file of an installed bundle has rotted; it is fetched instead");
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Opens a missing file for its bytes; what an earlier try left of it is digested and kept.
    ///
    /// # Errors
    /// The disk's.
    pub fn intake(&self, missing: &Missing) -> Result<Intake, StoreError> {
        let part = self.part(&missing.entry);
        let mut hasher = Hasher::new();
        let have = self.digest_part(&part, missing.entry.size, &mut hasher)?;
        if have.is_none() {
            self.content
                .files
                .remove_file(&part)
                .map_err(StoreError::disk("remove", &part))?;
            hasher = Hasher::new();
        }
        let file = self
            .content
            .files
            .append(&part)
            .map_err(StoreError::disk("write", &part))?;
        Ok(Intake {
            files: self.content.files.clone(),
            name: missing.path.clone(),
            goal: missing.path.under(&self.folder.join("files")),
            entry: missing.entry,
            have: have.unwrap_or(0),
            hasher,
            file,
            part,
        })
    }

    /// Notes that a file is whole.
    pub fn arrived(&mut self, path: &BundlePath) {
        self.missing.retain(|missing| missing.path != *path);
    }

    /// Makes the bundle one of the store's, when nothing is missing; else gives the staging area back.
    ///
    /// # Errors
    /// What is wrong with it, or the disk's.
    pub fn finish(self) -> Result<VerifiedBundle, ContentError> {
        if let Some(missing) = self.missing.first() {
            return Err(ContentError::Short {
                path: missing.path.to_string(),
                have: 0,
                size: missing.entry.size,
            });
        }
        let files = self.content.files.as_ref();
        let ready = self.folder.join("files");
        let goal = self.content.bundles.join(self.digest.to_string());
        let manifest = self.folder.join(MANIFEST_FILE);
        let steps = || -> io::Result<()> {
            files.rename(&manifest, &ready.join(MANIFEST_FILE))?;
            for folder in self.folders(&ready) {
                files.sync_folder(&folder)?;
            }
            files.create_folder(&self.content.bundles)?;
            files.remove_folder(&goal)?;
            files.rename(&ready, &goal)?;
            files.sync_folder(&self.content.bundles)?;
            files.remove_folder(&self.folder)
        };
        steps().map_err(StoreError::disk("complete", &goal))?;
        Ok(VerifiedBundle {
            digest: self.digest,
            folder: goal,
            manifest: self.manifest,
        })
    }

    fn part(&self, entry: &FileEntry) -> PathBuf {
        self.folder.join("parts").join(entry.sha256.to_string())
    }

    /// Every folder that holds a file of the bundle.
    fn folders(&self, top: &Path) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::from([top.to_owned()]);
        for path in self.manifest.files.keys() {
            let mut folder = files::parent(&path.under(top)).to_owned();
            while folder != top && folders.insert(folder.clone()) {
                folder = files::parent(&folder).to_owned();
            }
        }
        folders
    }

    fn look(&self) -> Result<Vec<Missing>, ContentError> {
        let ready = self.folder.join("files");
        let mut missing = Vec::new();
        for (path, entry) in &self.manifest.files {
            let at = path.under(&ready);
            let size = self
                .content
                .files
                .size(&at)
                .map_err(StoreError::disk("read", &at))?;
            let whole =
                size == Some(entry.size) && self.content.check_file(&at, path, entry).is_ok();
            if !whole {
                self.content
                    .files
                    .remove_file(&at)
                    .map_err(StoreError::disk("remove", &at))?;
                missing.push(Missing {
                    path: path.clone(),
                    entry: *entry,
                });
            }
        }
        Ok(missing)
    }

    fn digest_part(
        &self,
        part: &Path,
        size: u64,
        hasher: &mut Hasher,
    ) -> Result<Option<u64>, StoreError> {
        let have = self
            .content
            .files
            .size(part)
            .map_err(StoreError::disk("read", part))?;
        let Some(have) = have.filter(|have| *have <= size) else {
            return Ok(None);
        };
        let mut file = self
            .content
            .files
            .open(part)
            .map_err(StoreError::disk("read", part))?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = file
                .read(&mut chunk)
                .map_err(StoreError::disk("read", part))?;
            if read == 0 {
                return Ok(Some(have));
            }
            hasher.update(&chunk[..read]);
        }
    }

    fn copy(&mut self, missing: &Missing, source: &Path) -> Result<(), ContentError> {
        let mut intake = self.intake(missing)?.restarted()?;
        let mut file = self
            .content
            .files
            .open(source)
            .map_err(StoreError::disk("read", source))?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = file
                .read(&mut chunk)
                .map_err(StoreError::disk("read", source))?;
            if read == 0 {
                break;
            }
            intake.write(&chunk[..read])?;
        }
        intake.finish()?;
        self.arrived(&missing.path);
        Ok(())
    }
}

/// One file while its bytes come in: capped and digested as they are written.
pub struct Intake {
    files: Arc<dyn Files>,
    name: BundlePath,
    part: PathBuf,
    goal: PathBuf,
    entry: FileEntry,
    have: u64,
    hasher: Hasher,
    file: Box<dyn WriteFile>,
}

impl Intake {
    /// Bytes that are here: where the next ones must begin.
    #[must_use]
    pub fn have(&self) -> u64 {
        self.have
    }

    /// Bytes that will have come in the end.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entry.size
    }

    /// The digest that the file will have.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.entry.sha256
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`ContentError::TooLong`] before a byte too many is written, or the disk's.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        if self.have + bytes.len() as u64 > self.entry.size {
            return Err(ContentError::TooLong {
                path: self.name.to_string(),
                size: self.entry.size,
            });
        }
        self.file
            .write_all(bytes)
            .map_err(StoreError::disk("write", &self.part))?;
        self.hasher.update(bytes);
        self.have += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what is here: the source starts again from the file's first byte.
    ///
    /// # Errors
    /// The disk's.
    pub fn restarted(self) -> Result<Self, StoreError> {
        let file = self
            .files
            .create(&self.part)
            .map_err(StoreError::disk("write", &self.part))?;
        Ok(Self {
            file,
            have: 0,
            hasher: Hasher::new(),
            ..self
        })
    }

    /// Makes the file durable under its name, when it is as promised; bytes that are not are thrown away.
    ///
    /// # Errors
    /// [`ContentError::Short`] leaves the part to be continued; [`ContentError::FileDigest`] leaves nothing.
    pub fn finish(mut self) -> Result<(), ContentError> {
        let path = self.name.to_string();
        if self.have < self.entry.size {
            return Err(ContentError::Short {
                path,
                have: self.have,
                size: self.entry.size,
            });
        }
        if self.hasher.finish() != self.entry.sha256 {
            self.files
                .remove_file(&self.part)
                .map_err(StoreError::disk("remove", &self.part))?;
            return Err(ContentError::FileDigest { path });
        }
        self.file
            .sync()
            .map_err(StoreError::disk("write", &self.part))?;
        let folder = files::parent(&self.goal);
        self.files
            .create_folder(folder)
            .and_then(|()| self.files.rename(&self.part, &self.goal))
            .map_err(StoreError::disk("complete", &self.goal))?;
        Ok(())
    }
}
