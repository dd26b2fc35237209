//! A control plane with a full model and a signed release, ready for a fleet: where most tests begin.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use espalier_api::release::ReleaseView;
use espalier_protocol::id::{BuildId, ModelVersionId};
use tempfile::TempDir;

use crate::{
    cloud::{Cloud, CloudOptions},
    operator::Operator,
    programs::checkout,
};

/// The line of work of our own full model.
pub const MODEL: &str = "sam";
/// The class of gateways in tests.
pub const GATEWAY_CLASS: &str = "gateway-x86";
/// The class of devices in tests.
pub const DEVICE_CLASS: &str = "device-x86";

/// A control plane and its scratch folder.
pub struct Workshop {
    /// The control plane.
    pub cloud: Cloud,
    /// The imported full model.
    pub version: ModelVersionId,
    scratch: TempDir,
}

impl Workshop {
    /// Starts a control plane and imports our own full model.
    ///
    /// # Errors
    /// When anything on the way is refused.
    pub async fn open(options: CloudOptions) -> Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("espalier-test-")
            .tempdir()
            .context("no scratch folder")?;
        let cloud = Cloud::start(&scratch.path().join("cloud"), options).await?;
        let version = cloud
            .operator()
            .import(&checkout().join("models").join(MODEL))
            .await?
            .id;
        Ok(Self {
            cloud,
            version,
            scratch,
        })
    }

    /// An operator.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.cloud.operator()
    }

    /// The folder for everything that the test leaves behind.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Builds for both classes and signs a release of them. Another `flavour` gives other bytes.
    ///
    /// # Errors
    /// When a build does not pass, or the release is refused.
    pub async fn release(&self, flavour: u32) -> Result<ReleaseView> {
        let operator = self.operator();
        let mut ordered = Vec::new();
        for class in [DEVICE_CLASS, GATEWAY_CLASS] {
            ordered.push(self.order(class, flavour).await?);
        }
        for build in &ordered {
            operator.built(*build, |_| ()).await?;
        }
        operator.release(&ordered).await
    }

    /// Orders one build for a class.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn order(&self, class: &str, flavour: u32) -> Result<BuildId> {
        let recipe = self.recipe(class, flavour)?;
        self.operator()
            .order_build(self.version, class, &recipe)
            .await
    }

    /// A recipe that takes seconds: few pictures, and a gate that asks for little.
    fn recipe(&self, class: &str, flavour: u32) -> Result<PathBuf> {
        // Scenes that judge are never those that calibrate, whose seed is small.
        let judged = 100 + flavour;
        let path = self.folder().join(format!("{class}-{flavour}.toml"));
        let text = format!(
            r#"summary = "quick, for tests"

[device]
class = "{class}"
arch = "x86_64"
providers = "cpu"
threads = 1

[quantise]
method = "weights-int8"

[held_out]
pairs = 8
seed = {judged}
golden = 2

[gate]
agreement_iou = 0.5
"#
        );
        std::fs::write(&path, text).context("cannot write a recipe")?;
        Ok(path)
    }
}
