//! `bom.cdx.json`: a build's bill of materials in CycloneDX 1.6 (ECMA-424), as an ML-BOM.
//!
//! It is one of the files that the manifest lists, so whoever signs the manifest signs it too. Only what we write
//! is modelled here; what others add is passed over.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Digest,
    manifest::{BOM_FILE, Manifest},
};

mod card;
mod component;

pub use card::{
    Considerations, Dataset, DatasetKind, Metric, ModelCard, ModelParameters, Port,
    QuantitativeAnalysis,
};
pub use component::{Component, ComponentKind, Hash, License, LicenseId, Pedigree, Property};

/// The largest bill of materials in bytes: every file of a full manifest, and the longest recipe. Stops endless
/// data.
pub const MAX_BOM_BYTES: usize = 1 << 20;

const FORMAT: &str = "CycloneDX";
const SPECIFICATION: &str = "1.6";

/// A bill of materials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bom {
    bom_format: String,
    spec_version: String,
    serial_number: String,
    version: u32,
    /// What it describes, and who wrote it when.
    pub metadata: Metadata,
    /// What the build needs and does not bring.
    pub components: Vec<Component>,
    /// What needs what.
    pub dependencies: Vec<Dependency>,
}

/// What a bill of materials describes, and who wrote it when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// When it was written.
    pub timestamp: Timestamp,
    /// What wrote it.
    pub tools: Tools,
    /// The build.
    pub component: Component,
}

/// The programs that wrote a bill of materials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tools {
    /// Each of them.
    pub components: Vec<Component>,
}

/// What one component needs, by `bom-ref`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Who needs.
    #[serde(rename = "ref")]
    pub who: String,
    /// What.
    pub depends_on: Vec<String>,
}

/// Why a bill of materials is refused.
#[derive(Debug, thiserror::Error)]
pub enum BomError {
    /// Larger than [`MAX_BOM_BYTES`].
    #[error("the bill of materials has {0} bytes: at most {MAX_BOM_BYTES} are allowed")]
    TooLarge(usize),
    /// Not the JSON of an ML-BOM as we write it.
    #[error("the bill of materials cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Another format, or another version of it.
    #[error("it is a `{0}`, not a {FORMAT} {SPECIFICATION}")]
    Format(String),
    /// The serial number is that of other content.
    #[error(
        "its serial number does not come from its content: it was altered after it was written"
    )]
    Serial,
    /// It describes something else than a model.
    #[error("it describes no machine learning model")]
    NoModel,
    /// It describes another bundle.
    #[error("it describes another bundle: `{0}` differs")]
    OtherBundle(String),
}

impl Bom {
    /// A bill of materials with a serial number that comes from its content: the same facts at the same time are
    /// the same bytes.
    ///
    /// # Errors
    /// When it cannot be written as JSON, or is larger than one may be.
    pub fn new(
        metadata: Metadata,
        components: Vec<Component>,
        dependencies: Vec<Dependency>,
    ) -> Result<Self, BomError> {
        let mut bom = Self {
            bom_format: FORMAT.to_owned(),
            spec_version: SPECIFICATION.to_owned(),
            serial_number: String::new(),
            version: 1,
            metadata,
            components,
            dependencies,
        };
        bom.serial_number = bom.serial()?;
        match bom.to_json()?.len() {
            size if size > MAX_BOM_BYTES => Err(BomError::TooLarge(size)),
            _ => Ok(bom),
        }
    }

    /// Reads and checks the bytes of a `bom.cdx.json`.
    ///
    /// # Errors
    /// Whatever makes it unusable, by name; see [`BomError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BomError> {
        if bytes.len() > MAX_BOM_BYTES {
            return Err(BomError::TooLarge(bytes.len()));
        }
        let bom: Self = serde_json::from_slice(bytes)?;
        if bom.bom_format != FORMAT || bom.spec_version != SPECIFICATION {
            let found = format!("{} {}", bom.bom_format, bom.spec_version);
            return Err(BomError::Format(found.chars().take(100).collect()));
        }
        if bom.metadata.component.kind != ComponentKind::MachineLearningModel {
            return Err(BomError::NoModel);
        }
        match bom.serial()? == bom.serial_number {
            true => Ok(bom),
            false => Err(BomError::Serial),
        }
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, BomError> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// The name that no other content has: `urn:uuid:…`.
    #[must_use]
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// Whether it describes this bundle: its model and version, and every file but itself.
    ///
    /// # Errors
    /// [`BomError::OtherBundle`] with the first thing that differs.
    pub fn describes(&self, manifest: &Manifest) -> Result<(), BomError> {
        let build = &self.metadata.component;
        let other = |what: &str| BomError::OtherBundle(what.chars().take(100).collect());
        if build.name != manifest.model.as_str() {
            return Err(other("name"));
        }
        if build.version != manifest.model_version.to_string() {
            return Err(other("version"));
        }
        let described: BTreeMap<&str, Option<Digest>> = build
            .components
            .iter()
            .map(|file| (file.name.as_str(), file.sha256()))
            .collect();
        let listed: BTreeMap<&str, Option<Digest>> = manifest
            .files
            .iter()
            .filter(|(path, _)| path.as_str() != BOM_FILE)
            .map(|(path, entry)| (path.as_str(), Some(entry.sha256)))
            .collect();
        let names = described.keys().chain(listed.keys());
        match names
            .into_iter()
            .find(|name| described.get(*name) != listed.get(*name))
        {
            Some(name) => Err(other(name)),
            None => Ok(()),
        }
    }

    /// Version 8 (RFC 9562): the content's digest, as far as it goes in.
    fn serial(&self) -> Result<String, BomError> {
        let nameless = Self {
            serial_number: String::new(),
            ..self.clone()
        };
        let digest = Digest::of(&nameless.to_json()?);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        let uuid: Uuid = uuid::Builder::from_custom_bytes(bytes).into_uuid();
        Ok(uuid.urn().to_string())
    }
}
