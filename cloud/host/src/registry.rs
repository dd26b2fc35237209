//! The cloud's registry as a source of full models: fetched by digest, loaded beside the old one, switched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use espalier_protocol::digest::Hasher;
use espalier_protocol::id::ModelVersionId;
use espalier_protocol::manifest::{
    MAX_FILE_BYTES, MAX_MANIFEST_BYTES, MODEL_FILE, ModelDescription, Serving,
};
use espalier_protocol::{BundlePath, Digest, ModelName};
use espalier_runtime::ModelFolder;
use espalier_serving::{ModelHost, Origin};
use reqwest::{Client, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use url::{Host, Url};

use crate::arguments::Arguments;

/// The largest answer of the API that is read into memory, in bytes.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// A transfer that brings nothing for this long has failed.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// What this host reads of the API's views; fields that it does not need are not named.
#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Model {
    name: ModelName,
    latest_version: ModelVersionId,
}

#[derive(Deserialize)]
struct Version {
    description: Digest,
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    path: BundlePath,
    size: u64,
    digest: Digest,
}

/// Keeps a host at the registry's newest versions.
pub struct Follower {
    client: Client,
    api: Url,
    token: String,
    only: Vec<ModelName>,
    pause: Duration,
    host: Arc<ModelHost>,
    /// What serves, with the folder it was loaded from.
    served: BTreeMap<ModelName, (ModelVersionId, TempDir)>,
    /// Versions that cannot be served. A version never changes, so none of them is fetched again.
    refused: BTreeSet<ModelVersionId>,
}

impl Follower {
    pub fn new(arguments: &Arguments, host: Arc<ModelHost>) -> anyhow::Result<Self> {
        let (Some(cloud), Some(token_file)) = (&arguments.cloud, &arguments.token_file) else {
            bail!("a cloud and its token file are needed");
        };
        refuse_clear_text(cloud)?;
        let token = fs::read_to_string(token_file)
            .with_context(|| format!("the token cannot be read from {}", token_file.display()))?;
        Ok(Self {
            client: Client::builder().read_timeout(SILENCE_LIMIT).build()?,
            api: cloud.join("/api/v1/")?,
            token: token.trim().to_owned(),
            only: arguments.only.clone(),
            pause: Duration::from_secs(arguments.follow.max(1)),
            host,
            served: BTreeMap::new(),
            refused: BTreeSet::new(),
        })
    }

    /// Looks for newer versions for ever. A cloud that is away changes nothing about what serves.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(self.pause).await;
            if let Err(error) = self.catch_up().await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the cloud's models could not be followed"
                );
            }
        }
    }

    /// Fetches and serves every version that is newer than what serves. A version that does not serve is
    /// told of and passed over: it is no reason to keep the others waiting, or to stop what serves.
    ///
    /// # Errors
    /// When the cloud does not say which versions there are.
    pub async fn catch_up(&mut self) -> anyhow::Result<()> {
        let models: Page<Model> = self.get("models?limit=1000").await?;
        for model in &models.items {
            let version = model.latest_version;
            let settled = self.serves(model) || self.refused.contains(&version);
            if settled || !self.wants(&model.name) {
                continue;
            }
            if let Err(error) = self.serve(model).await {
                let error = format!("{error:#}");
                tracing::warn!(model = %model.name, %version, error, "a version is not served");
            }
        }
        Ok(())
    }

    fn wants(&self, model: &ModelName) -> bool {
        self.only.is_empty() || self.only.contains(model)
    }

    fn serves(&self, model: &Model) -> bool {
        let served = self.served.get(&model.name);
        served.is_some_and(|(version, _)| *version == model.latest_version)
    }

    /// What does not arrive is fetched again at the next look; what arrived and does not serve never is.
    async fn serve(&mut self, model: &Model) -> anyhow::Result<()> {
        let version = model.latest_version;
        let folder = TempDir::new()?;
        let files = self.fetch_description(version, &folder).await?;
        if let Err(error) = can_serve(&folder) {
            self.refused.insert(version);
            return Err(error);
        }
        self.fetch_graphs(&files, &folder).await?;
        if let Err(error) = self.load(version, folder.path()).await {
            self.refused.insert(version);
            return Err(error);
        }
        tracing::info!(model = %model.name, %version, "serving a version from the cloud");
        self.served.insert(model.name.clone(), (version, folder));
        Ok(())
    }

    async fn load(&self, version: ModelVersionId, folder: &Path) -> anyhow::Result<()> {
        let (host, path) = (Arc::clone(&self.host), folder.to_owned());
        let origin = Origin {
            release: None,
            model_version: Some(version),
        };
        let loading = move || -> anyhow::Result<()> {
            let folder = ModelFolder::open(&path)?;
            let candidate = host.load(&folder)?.check_golden(&folder, || ())?;
            host.switch(candidate, origin);
            Ok(())
        };
        tokio::task::spawn_blocking(loading).await?
    }

    /// Saves a version's description; gives the files that belong to it.
    async fn fetch_description(
        &self,
        version: ModelVersionId,
        folder: &TempDir,
    ) -> anyhow::Result<Vec<File>> {
        let version: Version = self.get(&format!("model-versions/{version}")).await?;
        let path = folder.path().join(MODEL_FILE);
        self.save(version.description, MAX_MANIFEST_BYTES as u64, &path)
            .await?;
        Ok(version.files)
    }

    async fn fetch_graphs(&self, files: &[File], folder: &TempDir) -> anyhow::Result<()> {
        for file in files.iter().filter(|file| file.path.as_str() != MODEL_FILE) {
            ensure!(
                file.size <= MAX_FILE_BYTES,
                "{} is larger than a file may be",
                file.path
            );
            self.save(file.digest, file.size, &file.path.under(folder.path()))
                .await?;
        }
        Ok(())
    }

    /// Saves a blob, never more than `limit` bytes of it, and only if it is what its digest says.
    async fn save(&self, digest: Digest, limit: u64, path: &Path) -> anyhow::Result<()> {
        let mut answer = self.ask(&format!("blobs/{digest}")).await?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = tokio::fs::File::create(path).await?;
        let (mut hasher, mut size) = (Hasher::new(), 0);
        while let Some(chunk) = answer.chunk().await? {
            size += chunk.len() as u64;
            ensure!(size <= limit, "blob {digest} has more than {limit} bytes");
            hasher.update(&chunk);
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        ensure!(
            hasher.finish() == digest,
            "blob {digest} came with other bytes than its digest says"
        );
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let mut answer = self.ask(path).await?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            body.extend_from_slice(&chunk);
            ensure!(
                body.len() <= MAX_ANSWER_BYTES,
                "the answer to {path} is too large"
            );
        }
        serde_json::from_slice(&body)
            .with_context(|| format!("the answer to {path} is not understood"))
    }

    async fn ask(&self, path: &str) -> anyhow::Result<Response> {
        let answer = self
            .client
            .get(self.api.join(path)?)
            .bearer_auth(&self.token)
            .send()
            .await?;
        Ok(answer.error_for_status()?)
    }
}

/// Full models of any graph can be kept, and not served: that is known before their graphs are fetched.
fn can_serve(folder: &TempDir) -> anyhow::Result<()> {
    let description = ModelDescription::parse(&fs::read(folder.path().join(MODEL_FILE))?)?;
    match description.serving {
        Serving::PromptableSegmentation(_) => Ok(()),
        serving @ Serving::Tensor(_) => bail!("models of task `{}` are not served", serving.task()),
    }
}

/// Plain HTTP shows the operator's token to everybody on the way, so it is for this machine only.
fn refuse_clear_text(cloud: &Url) -> anyhow::Result<()> {
    let here = match cloud.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match cloud.scheme() {
        "https" => Ok(()),
        "http" if here => Ok(()),
        "http" => bail!(
            "{cloud} would carry the token in clear text: use https, or reach the cloud through a tunnel to 127.0.0.1"
        ),
        other => bail!("`{other}` is not a scheme of a cloud's address: use https://…"),
    }
}
