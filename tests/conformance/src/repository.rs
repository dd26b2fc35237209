//! Files by HTTP, none longer than asked for.

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use url::Url;

pub struct Repository {
    http: reqwest::Client,
    metadata: Url,
    targets: Option<Url>,
}

impl Repository {
    pub fn new(metadata: Url, targets: Option<Url>) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            http,
            metadata,
            targets,
        })
    }

    /// A metadata file by its name, which is escaped already; `None` when there is no such file.
    pub async fn metadata(&self, file: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let address = format!("{}/{file}", self.metadata.as_str().trim_end_matches('/'));
        self.get(address.parse()?, limit).await
    }

    /// A target of `length` bytes. With a consistent snapshot its digest stands in front of its file's name.
    pub async fn target(
        &self,
        name: &str,
        prefix: Option<&str>,
        length: u64,
    ) -> Result<Option<Vec<u8>>> {
        let mut address = self
            .targets
            .clone()
            .context("`--target-base-url` is needed")?;
        let (folders, file) = name.rsplit_once('/').unwrap_or(("", name));
        let file = prefix.map_or_else(|| file.to_owned(), |prefix| format!("{prefix}.{file}"));
        address
            .path_segments_mut()
            .map_err(|()| anyhow::anyhow!("`--target-base-url` is no base"))?
            .pop_if_empty()
            .extend(folders.split('/').filter(|folder| !folder.is_empty()))
            .push(&file);
        self.get(address, length).await
    }

    async fn get(&self, address: Url, limit: u64) -> Result<Option<Vec<u8>>> {
        let answer = self.http.get(address.clone()).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut answer = answer.error_for_status()?;
        while let Some(chunk) = answer.chunk().await? {
            bytes.extend_from_slice(&chunk);
            ensure!(
                bytes.len() as u64 <= limit,
                "{address} is longer than {limit} bytes"
            );
        }
        Ok(Some(bytes))
    }
}
