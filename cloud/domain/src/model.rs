//! Model versions: immutable full models, known by their files' digests.

use espalier_protocol::id::ModelVersionId;
use espalier_protocol::manifest::FileEntry;
use espalier_protocol::{BundlePath, Digest, ModelName, Tenant};
use jiff::Timestamp;

/// An immutable full model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelVersion {
    /// Its id.
    pub id: ModelVersionId,
    /// The owner.
    pub tenant: Tenant,
    /// The line of work.
    pub model: ModelName,
    /// The task that it is served by.
    pub task: String,
    /// One sentence for people.
    pub summary: String,
    /// The digest of its `model.json`, which is a blob like its other files.
    pub description: Digest,
    /// Every other file.
    pub files: Vec<ModelFile>,
    /// What the inspection of its graphs found, for people.
    pub facts: serde_json::Value,
    /// When it was imported.
    pub created_at: Timestamp,
}

/// One file of a model version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// Its path beside `model.json`.
    pub path: BundlePath,
    /// Size and digest.
    pub entry: FileEntry,
}

impl ModelVersion {
    /// Bytes of all files together, without the description.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.entry.size).sum()
    }
}
