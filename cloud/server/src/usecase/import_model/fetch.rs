//! A model from an address. The cloud must not become a way into the network that it stands in: no
//! redirects, http(s) only, nothing where clouds keep their credentials (also by a name that resolves to
//! there), sizes capped while reading.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use espalier_api::error::ErrorCode;
use espalier_domain::model::ModelFile;
use espalier_protocol::{
    BundlePath,
    manifest::{FileEntry, MAX_FILE_BYTES, MAX_MANIFEST_BYTES, MODEL_FILE, ModelDescription},
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::{
    blobs::Received,
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// How long a server may take to answer, and to send its next bytes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Amazon's credentials, for machines that speak IPv6 only; it is no link-local address.
const CREDENTIALS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// The client for imports and for the model host.
///
/// # Errors
/// When the TLS provider is missing.
pub fn import_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Arc::new(Harmless))
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
        Some(Host::Ipv4(ip)) => holds_credentials(ip.into()),
        Some(Host::Ipv6(ip)) => holds_credentials(ip.into()),
        // Looked at once it is resolved.
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

/// Where clouds keep their credentials: link-local addresses, and the one of Amazon's that is not.
fn holds_credentials(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip == CREDENTIALS_V6,
    }
}

/// The machine's resolver, without the addresses that hold credentials: a name is looked at when it is
/// resolved for the connection itself, so that no second answer can slip in between.
struct Harmless;

impl Resolve for Harmless {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is the connection's; reqwest puts it in place of 0.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let harmless = only_harmless(found)?;
            Ok(Box::new(harmless.into_iter()) as Addrs)
        })
    }
}

fn only_harmless(found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let harmless: Vec<_> = found
        .filter(|address| !holds_credentials(address.ip()))
        .collect();
    if harmless.is_empty() {
        return Err(io::Error::other(
            "its name leads to no address to import from",
        ));
    }
    Ok(harmless)
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

#[cfg(test)]
mod tests {
    use super::only_harmless;

    /// What a resolver of the attacker's answers, judged as it is for every connection.
    fn left(found: &[&str]) -> Option<Vec<String>> {
        let found = found
            .iter()
            .map(|ip| (ip.parse::<std::net::IpAddr>().unwrap(), 0).into());
        let left = only_harmless(found).ok()?;
        Some(
            left.iter()
                .map(|address| address.ip().to_string())
                .collect(),
        )
    }

    #[test]
    fn a_name_that_leads_to_credentials_is_not_followed() {
        for credentials in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
        ] {
            assert_eq!(left(&[credentials]), None, "{credentials}");
            assert_eq!(
                left(&[credentials, "192.0.2.7"]).unwrap(),
                ["192.0.2.7"],
                "{credentials}"
            );
        }
        assert_eq!(left(&["2001:db8::1", "127.0.0.1"]).unwrap().len(), 2);
    }
}
