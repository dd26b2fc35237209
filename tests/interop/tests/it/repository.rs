//! The repository that the cloud wrote, before the reference implementation of TUF.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use espalier_api::claim::ClaimView;
use espalier_api::release::ReleaseView;
use espalier_link::Door;
use espalier_protocol::Digest;
use espalier_protocol::release::ReleaseDocument;
use espalier_sim::Device;
use espalier_slots::trust::MAX_METADATA_BYTES;
use espalier_support::cloud::CloudOptions;
use espalier_support::workshop::{DEVICE_CLASS, MODEL, Workshop};
use serde_json::{Value, json};

use crate::python::{Python, Said};

/// What a device is served, as files in a folder.
struct Copied {
    /// Keeps the cloud.
    _workshop: Workshop,
    folder: PathBuf,
    release: String,
}

impl Copied {
    async fn make() -> Result<Self> {
        let workshop = Workshop::open(CloudOptions::default()).await?;
        let operator = workshop.operator();
        let build = workshop.order(DEVICE_CLASS, 1).await?;
        operator.built(build, |_| ()).await?;
        let release = operator.release(&[build]).await?;
        let claim: ClaimView = operator.post("/claims", &json!({})).await?;
        let states = workshop.folder().join("devices");
        let name = "reader".parse()?;
        let device = Device::enrol(&claim.claim, name, DEVICE_CLASS.parse()?, &states, 1).await?;
        let folder = workshop.folder().join("repository");
        let door = Door::open(device.identity())?;
        let release = copy(&door, &release, &folder).await?;
        Ok(Self {
            _workshop: workshop,
            folder,
            release,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What python-tuf says of the release.
    fn verify(&self, python: &Python) -> Result<Said> {
        let local = tempfile::tempdir()?;
        let line: [&Path; 5] = [
            Path::new("-c"),
            Path::new(VERIFY),
            &self.folder,
            local.path(),
            Path::new(&self.release),
        ];
        python.run(line)
    }
}

/// Copies metadata and the release's document; gives the name of its target.
async fn copy(door: &Door, release: &ReleaseView, folder: &Path) -> Result<String> {
    fs::create_dir_all(folder)?;
    let version = |role: &Value, of: &str| role["signed"]["meta"][of]["version"].to_string();
    let timestamp = fetch(door, folder, "timestamp.json").await?;
    let snapshot = format!("{}.snapshot.json", version(&timestamp, "snapshot.json"));
    let snapshot = fetch(door, folder, &snapshot).await?;
    let targets = format!("{}.targets.json", version(&snapshot, "targets.json"));
    fetch(door, folder, &targets).await?;
    fetch(door, folder, "1.root.json").await?;
    let document: Digest = release.digest;
    let bytes = door.blob(&document, MAX_METADATA_BYTES).await?;
    let name = ReleaseDocument::target_name(&MODEL.parse()?, &document);
    let bytes = bytes.context("the release's document is not there")?;
    fs::write(folder.join(format!("{document}.{name}")), bytes)?;
    Ok(name)
}

async fn fetch(door: &Door, folder: &Path, name: &str) -> Result<Value> {
    let bytes = door.metadata(name, MAX_METADATA_BYTES).await?;
    let bytes = bytes.with_context(|| format!("{name} is not there"))?;
    fs::write(folder.join(name), &bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Reads a repository from a folder, and downloads one target of it.
const VERIFY: &str = "\
import pathlib, sys
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater
folder, local, name = sys.argv[1:]

class Files(FetcherInterface):
    def _fetch(self, url):
        path = pathlib.Path(url)
        if not path.is_file():
            raise DownloadHTTPError(url, 404)
        yield path.read_bytes()

root = (pathlib.Path(folder) / '1.root.json').read_bytes()
updater = Updater(local, folder, local, folder, Files(), bootstrap=root)
updater.refresh()
target = updater.get_targetinfo(name)
sys.exit('no such target' if target is None else updater.download_target(target) and 0)
";

#[tokio::test]
async fn python_tuf_verifies_the_clouds_repository_and_notices_every_change() -> Result<()> {
    let test = "python_tuf_verifies_the_clouds_repository_and_notices_every_change";
    let Some(python) = Python::find(test) else {
        return Ok(());
    };
    let repository = Copied::make().await?;
    repository.verify(&python)?.agrees()?;
    for entry in fs::read_dir(&repository.folder)? {
        let name = entry?.file_name();
        let name = name.to_str().context("a name that is no text")?;
        let honest = fs::read(repository.file(name))?;
        // A digit of the expiry, or of the document's format: still well-formed.
        let digit = honest.iter().rposition(u8::is_ascii_digit);
        let mut altered = honest.clone();
        altered[digit.context("a file without a digit")?] ^= 1;
        fs::write(repository.file(name), altered)?;
        repository.verify(&python)?.refuses("tuf")?;
        fs::write(repository.file(name), honest)?;
    }
    repository.verify(&python)?.agrees()
}
