//! Models and their immutable versions.
//!
//! An import is two steps that can each be repeated: the files go up one by one to
//! `PUT /api/v1/blobs/{sha256}`, then a version names them. So a broken upload costs one file, and
//! bytes that the cloud already holds are not sent again.

use espalier_protocol::{BundlePath, Digest, ModelName, id::ModelVersionId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer to an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobView {
    /// SHA-256 of the content, lower-case hex.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// Where the files of a new model version come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum CreateModelVersion {
    /// Files uploaded before.
    Files {
        /// The name of each file beside its content; one of them is `model.json`.
        files: Vec<NamedBlob>,
    },
    /// The cloud fetches `model.json` at this address and the files it names beside it.
    Url {
        /// `https://…/model.json`.
        #[schema(value_type = String, format = "uri")]
        url: url::Url,
    },
}

/// A file of a model version: its name in the model's folder and its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedBlob {
    /// A relative path without `..`.
    #[schema(value_type = String, example = "encoder.onnx")]
    pub path: BundlePath,
    /// SHA-256 of the content, lower-case hex.
    #[schema(value_type = String)]
    pub digest: Digest,
}

/// A named line of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelView {
    /// The name.
    #[schema(value_type = String)]
    pub name: ModelName,
    /// The contract by which its bundles are served.
    #[schema(example = "promptable-segmentation")]
    pub task: String,
    /// The newest version.
    #[schema(value_type = Uuid)]
    pub latest_version: ModelVersionId,
    /// When that was imported.
    #[schema(value_type = String, format = DateTime)]
    pub latest_at: Timestamp,
}

/// An immutable full model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelVersionView {
    /// The version's id.
    #[schema(value_type = Uuid)]
    pub id: ModelVersionId,
    /// The model it belongs to.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// When it was imported.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The task that it is served by.
    #[schema(example = "promptable-segmentation")]
    pub task: String,
    /// One sentence for people.
    pub summary: String,
    /// The digest of its `model.json`.
    #[schema(value_type = String)]
    pub description: Digest,
    /// The other files with sizes and digests.
    pub files: Vec<FileView>,
    /// Bytes of these files together.
    pub total_bytes: u64,
    /// What the inspection of its graphs found: inputs, outputs, opset, parameters, operators.
    #[schema(value_type = Object)]
    pub facts: serde_json::Value,
}

/// A file that the cloud holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileView {
    /// Relative path in its folder.
    #[schema(value_type = String)]
    pub path: BundlePath,
    /// Bytes.
    pub size: u64,
    /// SHA-256, lower-case hex.
    #[schema(value_type = String)]
    pub digest: Digest,
}

/// A page of models.
pub type ModelPage = crate::page::Page<ModelView>;

/// A page of model versions.
pub type ModelVersionPage = crate::page::Page<ModelVersionView>;
