//! A model from an address. The cloud must not become a way into the network that it stands in: no
//! redirects, http(s) only, nothing on link-local addresses, sizes capped while reading.

use std::{net::IpAddr, time::Duration};

use espalier_api::error::ErrorCode;
use espalier_domain::model::ModelFile;
use espalier_protocol::{
    BundlePath,
    manifest::{FileEntry, MAX_FILE_BYTES, MAX_MANIFEST_BYTES, MODEL_FILE, ModelDescription},
};
use url::{Host, Url};

use crate::{
    blobs::Received,
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// How long a server may take to answer, and to send its next bytes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The client for imports and for the model host.
///
/// # Errors
/// When the TLS provider is missing.
pub fn import_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(PATIENCE)
        .read_timeout(PATIENCE)
        .build()
}

/// Fetches `model.json` and the graphs that it names beside it.
///
/// # Errors
/// `import_failed`, `invalid_model`, `storage_full`.
pub async fn fetch(cloud: &Cloud, url: &Url) -> Outcome<Vec<ModelFile>> {
    check(url)?;
    let description: BundlePath = MODEL_FILE.parse().map_err(Refusal::internal)?;
    let received = download(cloud, url, MAX_MANIFEST_BYTES as u64).await?;
    let text = cloud
        .blobs
        .load(received.digest, MAX_MANIFEST_BYTES as u64)
        .await?;
    let parsed = ModelDescription::parse(&text)
        .map_err(|error| Refusal::new(ErrorCode::InvalidModel, format!("{url}: {error}.")))?;
    let mut files = vec![file(description, received)];
    for graph in parsed.serving.graphs() {
        let beside = url
            .join(graph.as_str())
            .map_err(|error| failed(url, &error))?;
        files.push(file(
            graph.clone(),
            download(cloud, &beside, MAX_FILE_BYTES).await?,
        ));
    }
    Ok(files)
}

fn check(url: &Url) -> Outcome<()> {
    let forbidden = match url.host() {
        Some(Host::Ipv4(ip)) => is_link_local(ip.into()),
        Some(Host::Ipv6(ip)) => is_link_local(ip.into()),
        Some(Host::Domain(_)) => false,
        None => true,
    };
    if forbidden || !matches!(url.scheme(), "http" | "https") {
        return Err(Refusal::new(
            ErrorCode::ImportFailed,
            format!("{url} is not an address to import from."),
        )
        .with_hint("give the http(s) address of a model.json"));
    }
    Ok(())
}

/// Where clouds keep their credentials.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_link_local())
        }
    }
}

async fn download(cloud: &Cloud, url: &Url, cap: u64) -> Outcome<Received> {
    let answer = cloud
        .settings
        .http
        .get(url.clone())
        .send()
        .await
        .map_err(|error| failed(url, &error))?;
    if !answer.status().is_success() {
        return Err(failed(
            url,
            &format!("the server answers {}", answer.status()),
        ));
    }
    cloud
        .blobs
        .receive(answer.bytes_stream(), cap, None, &cloud.world)
        .await
}

fn failed(url: &Url, reason: &impl std::fmt::Display) -> Refusal {
    Refusal::new(
        ErrorCode::ImportFailed,
        format!("{url} could not be fetched: {reason}."),
    )
}

fn file(path: BundlePath, received: Received) -> ModelFile {
    ModelFile {
        path,
        entry: FileEntry {
            size: received.size,
            sha256: received.digest,
        },
    }
}
