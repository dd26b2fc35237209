//! A bundle on its way: which of its files are missing, and how it becomes one of the store's.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use espalier_protocol::digest::Hasher;
use espalier_protocol::manifest::{FileEntry, MANIFEST_FILE, Manifest};
use espalier_protocol::{BundlePath, Digest};

use super::{CHUNK, Content, ContentError, DISK_RESERVE, Intake, VerifiedBundle};
use crate::StoreError;
use crate::files;

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
    pub(super) fn open(
        content: Content,
        digest: Digest,
        folder: PathBuf,
        manifest: Manifest,
    ) -> Result<Self, ContentError> {
        let mut staging = Self {
            content,
            digest,
            folder,
            manifest,
            missing: Vec::new(),
        };
        staging.missing = staging.look()?;
        Ok(staging)
    }

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
    /// The disk's. A source that has rotted, or is collected meanwhile, is passed over.
    pub fn take_from_bundles(&mut self) -> Result<(), ContentError> {
        for missing in self.missing.clone() {
            let Some(source) = self.content.find(&missing.entry.sha256)? else {
                continue;
            };
            match self.copy(&missing, &source) {
                Err(error) if error.is_damage() => {
                    tracing::warn!(file = %missing.path, %error, "a file of an installed bundle cannot be used again; it is fetched instead");
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
        let goal = missing.path.under(&self.folder.join("files"));
        Ok(Intake {
            files: self.content.files.clone(),
            name: missing.path.clone(),
            goal,
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
