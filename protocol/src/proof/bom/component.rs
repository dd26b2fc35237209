//! Components: the build, the full model behind it, its files, and what it needs.

use serde::{Deserialize, Serialize};

use super::ModelCard;
use crate::Digest;

const SHA256: &str = "SHA-256";

/// One thing in a bill of materials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ComponentKind,
    /// How others in the same bill name it; empty when none does.
    #[serde(rename = "bom-ref", default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// Its name.
    pub name: String,
    /// Its version; empty when it has none, or any will do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Digests of its bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hash>,
    /// Under what it may be used, where that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<License>,
    /// What it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pedigree: Option<Pedigree>,
    /// What it consists of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
    /// What a model does, and how well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_card: Option<Box<ModelCard>>,
    /// Facts that CycloneDX has no field for, by names that begin with `espalier:`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
}

/// The kinds of component that we name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComponentKind {
    /// A program.
    Application,
    /// Code that others load.
    Library,
    /// A file.
    File,
    /// A trained model.
    MachineLearningModel,
}

/// A digest with its algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hash {
    /// The algorithm, as CycloneDX names it.
    pub alg: String,
    /// The digest in hex.
    pub content: String,
}

/// A licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct License {
    /// Which.
    pub license: LicenseId,
}

/// A licence by its SPDX identifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicenseId {
    /// The identifier.
    pub id: String,
}

/// What a component was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pedigree {
    /// Its origins.
    pub ancestors: Vec<Component>,
    /// How it was made from them.
    pub notes: String,
}

/// A fact by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// Which.
    pub name: String,
    /// What.
    pub value: String,
}

impl Component {
    /// A component with a name and nothing else.
    #[must_use]
    pub fn new(kind: ComponentKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            reference: String::new(),
            name: name.into(),
            version: String::new(),
            description: String::new(),
            hashes: Vec::new(),
            licenses: Vec::new(),
            pedigree: None,
            components: Vec::new(),
            model_card: None,
            properties: Vec::new(),
        }
    }

    /// A file with its digest.
    #[must_use]
    pub fn file(name: impl Into<String>, digest: Digest) -> Self {
        Self {
            hashes: vec![Hash {
                alg: SHA256.to_owned(),
                content: digest.to_string(),
            }],
            ..Self::new(ComponentKind::File, name)
        }
    }

    /// Its SHA-256, where it has one.
    #[must_use]
    pub fn sha256(&self) -> Option<Digest> {
        let hash = self.hashes.iter().find(|hash| hash.alg == SHA256)?;
        hash.content.parse().ok()
    }
}

impl Property {
    /// A fact of ours; `name` is put behind `espalier:`.
    #[must_use]
    pub fn new(name: &str, value: impl ToString) -> Self {
        Self {
            name: format!("espalier:{name}"),
            value: value.to_string(),
        }
    }
}

impl License {
    /// A licence by its SPDX identifier.
    #[must_use]
    pub fn spdx(id: &str) -> Self {
        Self {
            license: LicenseId { id: id.to_owned() },
        }
    }
}
