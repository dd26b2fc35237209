//! The control plane's store of blobs on disk, as one who got hold of the disk sees it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use espalier_protocol::{Digest, manifest::Manifest};

/// The folder of blobs.
#[derive(Debug, Clone)]
pub struct Blobs(PathBuf);

impl Blobs {
    /// The blobs of the control plane whose state is in `state`.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self(state.join("blobs/sha256"))
    }

    /// A bundle's manifest.
    ///
    /// # Errors
    /// When it is not there, or is none.
    pub fn manifest(&self, bundle: Digest) -> Result<Manifest> {
        let path = self.path(bundle);
        let bytes = std::fs::read(&path).with_context(|| format!("no blob {}", path.display()))?;
        Ok(Manifest::parse(&bytes)?)
    }

    /// Flips one bit in the middle of a blob.
    ///
    /// # Errors
    /// When it is not there.
    pub fn flip_bit(&self, blob: Digest) -> Result<()> {
        let path = self.path(blob);
        let mut bytes =
            std::fs::read(&path).with_context(|| format!("no blob {}", path.display()))?;
        let middle = bytes.len() / 2;
        *bytes.get_mut(middle).context("an empty blob")? ^= 1;
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    fn path(&self, blob: Digest) -> PathBuf {
        let name = blob.to_string();
        self.0.join(&name[..2]).join(&name)
    }
}
