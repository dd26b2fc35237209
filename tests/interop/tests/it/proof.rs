//! A bundle that came by the real door (forge, release, signature, export), before the verifiers of others.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use espalier_support::cloud::CloudOptions;
use espalier_support::workshop::{DEVICE_CLASS, Workshop};

use crate::python::{Python, Said};

/// A bundle as `espalier release export` leaves it.
struct Exported {
    workshop: Workshop,
    folder: PathBuf,
}

impl Exported {
    async fn make() -> Result<Self> {
        let workshop = Workshop::open(CloudOptions::default()).await?;
        let operator = workshop.operator();
        let build = workshop.order(DEVICE_CLASS, 1).await?;
        operator.built(build, |_| ()).await?;
        let release = operator.release(&[build]).await?.id.to_string();
        let folder = workshop.folder().join("bundle");
        let into = folder.to_str().context("a folder that is no text")?;
        let export = ["release", "export", &release, into, "--class", DEVICE_CLASS];
        operator.run::<serde_json::Value>(&export).await?;
        Ok(Self { workshop, folder })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What `model_signing verify key` says.
    fn verify(&self, python: &Python) -> Result<Said> {
        let key = self.workshop.cloud.state().join("keys/bundle.pub.pem");
        let signature = self.file("model.sig");
        let line = ["-m", "model_signing", "verify", "key"].map(Path::new);
        let line = line.into_iter().chain([
            self.folder.as_path(),
            Path::new("--signature"),
            &signature,
            Path::new("--public_key"),
            &key,
        ]);
        python.run(line)
    }
}

#[tokio::test]
async fn model_signing_verifies_a_bundle_and_notices_every_change() -> Result<()> {
    let test = "model_signing_verifies_a_bundle_and_notices_every_change";
    let Some(python) = Python::find(test) else {
        return Ok(());
    };
    let bundle = Exported::make().await?;
    bundle.verify(&python)?.agrees()?;

    let graph = bundle.file("decoder.onnx");
    let honest = std::fs::read(&graph)?;
    let mut flipped = honest.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&graph, flipped)?;
    let said = bundle.verify(&python)?;
    said.refuses("Hash mismatch")?;
    said.refuses("decoder.onnx")?;

    std::fs::remove_file(&graph)?;
    let said = bundle.verify(&python)?;
    said.refuses("Missing files")?;

    std::fs::write(&graph, honest)?;
    let added = bundle.file("golden/extra.json");
    std::fs::write(&added, "{}")?;
    let said = bundle.verify(&python)?;
    said.refuses("golden/extra.json")?;

    std::fs::remove_file(added)?;
    bundle.verify(&python)?.agrees()
}

/// Validates strictly: unknown fields are errors.
const VALIDATE: &str = "\
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
with open(sys.argv[1], encoding='utf-8') as bom:
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom.read())
sys.exit(str(error) if error else 0)
";

#[tokio::test]
async fn a_cyclonedx_validator_accepts_the_bom() -> Result<()> {
    let Some(python) = Python::find("a_cyclonedx_validator_accepts_the_bom") else {
        return Ok(());
    };
    let bundle = Exported::make().await?;
    let bom = bundle.file("bom.cdx.json");
    let validate = |file: &Path| python.run([Path::new("-c"), Path::new(VALIDATE), file]);
    validate(&bom)?.agrees()?;

    // Without this, the validator might be one that accepts anything.
    let broken = bundle.workshop.folder().join("broken.json");
    let text = std::fs::read_to_string(&bom)?;
    std::fs::write(&broken, text.replace("\"modelCard\"", "\"modelCart\""))?;
    validate(&broken)?.refuses("modelCart")
}
