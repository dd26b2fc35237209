//! What lies where in a job's work folder.

use std::path::{Path, PathBuf};

/// The folders and files that stages leave for each other.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The full model, whole and described: `model.json` and graphs without outside weights.
    pub full: PathBuf,
    /// The same with folded graphs: where every build starts.
    pub folded: PathBuf,
    /// The build's graphs with a `model.json`, so that they can be served before they are a bundle.
    pub build: PathBuf,
    /// Builds that were tried on the way.
    pub candidate: PathBuf,
    /// The ranges of activations that calibration found.
    pub ranges: PathBuf,
    /// The finished bundle.
    pub bundle: PathBuf,
}

impl Folders {
    /// The folders inside a work folder.
    #[must_use]
    pub fn inside(work: &Path) -> Self {
        Self {
            full: work.join("full"),
            folded: work.join("folded"),
            build: work.join("build"),
            candidate: work.join("candidate"),
            ranges: work.join("ranges.json"),
            bundle: work.join("bundle"),
        }
    }
}

/// Empties a folder, or makes it.
pub(super) fn fresh(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(folder)
}
