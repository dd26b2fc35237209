//! One file while its bytes come in.

use std::path::PathBuf;
use std::sync::Arc;

use espalier_protocol::digest::Hasher;
use espalier_protocol::manifest::FileEntry;
use espalier_protocol::{BundlePath, Digest};

use super::ContentError;
use crate::StoreError;
use crate::files::{self, Files, WriteFile};

/// One file while its bytes come in: capped and digested as they are written.
pub struct Intake {
    pub(super) files: Arc<dyn Files>,
    pub(super) name: BundlePath,
    pub(super) part: PathBuf,
    pub(super) goal: PathBuf,
    pub(super) entry: FileEntry,
    pub(super) have: u64,
    pub(super) hasher: Hasher,
    pub(super) file: Box<dyn WriteFile>,
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
