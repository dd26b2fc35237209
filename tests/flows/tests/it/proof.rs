//! A bundle leaves the house: exported, verified without us or by `inspect`, and never half.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use espalier_api::release::ReleaseView;
use espalier_protocol::Digest;
use espalier_support::blobs::Blobs;
use espalier_support::workshop::{DEVICE_CLASS, Workshop};
use espalier_support::{Operator, cloud::CloudOptions};

/// Exit codes of `espalier`.
const USAGE: i32 = 2;
const UNTRUSTED: i32 = 7;

/// An operator who exports into a folder of a scratch place.
struct Exporter<'a> {
    operator: &'a Operator,
    release: String,
    place: PathBuf,
}

impl Exporter<'_> {
    async fn export(&self, more: &[&str]) -> Result<Output> {
        let into = self.folder();
        let into = into.to_str().context("a folder that is no text")?;
        let mut args = vec!["release", "export", &self.release, into];
        args.extend(["--class", DEVICE_CLASS]);
        args.extend(more);
        self.operator.try_run(&args).await
    }

    fn folder(&self) -> PathBuf {
        self.place.join("bundle")
    }

    /// Whether the export is refused with this code and words, and leaves nothing.
    async fn refused(&self, more: &[&str], code: i32, words: &str) -> Result<()> {
        let said = self.export(more).await?;
        let complaint = String::from_utf8_lossy(&said.stderr);
        ensure!(
            said.status.code() == Some(code),
            "{}: {complaint}",
            said.status
        );
        ensure!(
            complaint.contains(words),
            "`{words}` is not in: {complaint}"
        );
        let left = std::fs::read_dir(&self.place)?.count();
        ensure!(
            left == 0,
            "{left} things were left by an export that failed"
        );
        Ok(())
    }
}

#[tokio::test]
async fn an_exported_bundle_is_whole_and_verified_or_not_there() -> Result<()> {
    let workshop = Workshop::open(CloudOptions::default()).await?;
    let operator = workshop.operator();
    let build = workshop.order(DEVICE_CLASS, 1).await?;
    operator.built(build, |_| ()).await?;
    let draft: ReleaseView = operator
        .run(&["release", "create", &build.to_string()])
        .await?;
    let place = workshop.folder().join("exports");
    std::fs::create_dir(&place)?;
    let exporter = Exporter {
        operator: &operator,
        release: draft.id.to_string(),
        place,
    };
    exporter.refused(&[], USAGE, "has no signature").await?;

    let release: ReleaseView = operator
        .run(&["release", "sign", &exporter.release])
        .await?;
    let stranger = strangers_key(&operator, workshop.folder()).await?;
    exporter
        .refused(&["--key", &stranger], UNTRUSTED, "is by the key")
        .await?;
    let blobs = Blobs::of(workshop.cloud.state());
    let graph = decoder(&blobs, &release)?;
    blobs.flip_bit(graph)?;
    exporter.refused(&[], UNTRUSTED, "other bytes for").await?;
    blobs.flip_bit(graph)?;

    let said = exporter.export(&[]).await?;
    let complaint = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "{complaint}");
    let again = exporter.export(&[]).await?;
    ensure!(again.status.code() == Some(USAGE), "it was overwritten");
    let key = workshop.cloud.state().join("keys/bundle.pub.pem");
    let key = key.to_str().context("a path that is no text")?;
    let folder = exporter.folder();
    let folder = folder.to_str().context("a path that is no text")?;
    let found: serde_json::Value = operator.run(&["inspect", folder, "--key", key]).await?;
    for check in found["checks"].as_array().context("no checks")? {
        ensure!(check["verdict"] == "verified", "{check}");
    }
    Ok(())
}

/// The public half of a key that signed nothing here.
async fn strangers_key(operator: &Operator, scratch: &Path) -> Result<String> {
    let keys = scratch.join("stranger");
    std::fs::create_dir(&keys)?;
    let folder = keys.to_str().context("a folder that is no text")?;
    operator
        .run::<serde_json::Value>(&["keys", "bundle", folder, "--development"])
        .await?;
    Ok(format!("{folder}/bundle.pub.pem"))
}

/// The digest of the release's decoder.
fn decoder(blobs: &Blobs, release: &ReleaseView) -> Result<Digest> {
    let build = release.builds.first().context("no build")?;
    let manifest = blobs.manifest(build.bundle)?;
    let path = "decoder.onnx".parse()?;
    let entry = manifest.files.get(&path).context("no decoder")?;
    Ok(entry.sha256)
}
