//! The HTTPS side of the conversation: metadata, bytes and certificates, from the cloud's device door or a gateway's LAN
//! door.
//!
//! Both doors have the same shape below their prefix, so a device does not care which one it talks to. Nothing that comes
//! through is believed for that: metadata carry signatures, and bytes are digested by whoever asked for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use espalier_protocol::claim::{Uplink, gateway_dns_name};
use espalier_protocol::{DeviceIdentity, Digest};
use futures::StreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header, redirect};
use url::Url;

use crate::relay::{Down, MAX_DOWN_BYTES, RELAY_PREFIX};
use crate::tls::{self, TlsError};
use crate::{Identity, uplink};

/// What all paths of the cloud's device door begin with.
pub const DEVICE_PREFIX: &str = "/device/v1/";
/// The largest answer to an enrolment or a renewal in bytes; stops endless data.
const MAX_CERTIFICATE_ANSWER: u64 = 64 * 1024;
/// A connection that is not made in this time has failed.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A transfer that brings nothing for this long has failed.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// Metadata, certificates and small blobs are here in this time or not at all; stops slow retrieval, where a source keeps a device from
/// renewing its trust with a byte now and then. Larger blobs have a pace to keep, see [`Pace`](crate::download::Pace).
const SMALL_LIMIT: Duration = Duration::from_secs(120);

/// Why the door gave nothing usable.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address is not `https://host:port/`.
    #[error("`{0}` is not the address of a door: https://HOST:PORT/ is needed")]
    Address(Url),
    /// No answer, or one that broke off.
    #[error("{url} cannot be reached: {detail}")]
    Unreachable {
        /// What was asked for.
        url: Url,
        /// The reason, with the reasons behind it.
        detail: String,
    },
    /// An answer that is not a success.
    #[error("{url} answered {status}: {detail}")]
    Status {
        /// What was asked for.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// What the other side said about it, shortened.
        detail: String,
    },
    /// More bytes than were allowed.
    #[error("{url} answered with more than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: Url,
        /// The most that was allowed.
        limit: u64,
    },
    /// Not the JSON that was expected.
    #[error("{url} answered with something that is not understood: {detail}")]
    Malformed {
        /// What was asked for.
        url: Url,
        /// What is wrong.
        detail: String,
    },
}

impl DoorError {
    /// Whether trying again later may help, without anybody doing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::Tls(_) | Self::Address(_) | Self::TooLarge { .. } | Self::Malformed { .. } => {
                false
            }
        }
    }
}

/// An open connection to a door, shared and reused.
#[derive(Debug, Clone)]
pub struct Door {
    client: Client,
    base: Url,
}

impl Door {
    /// The door of an enrolled device's cloud or gateway, with its certificate.
    ///
    /// # Errors
    /// When the address or the certificates cannot be used.
    pub fn open(identity: &Identity) -> Result<Self, DoorError> {
        Self::dial(&identity.facts().uplink, tls::client(identity)?)
    }

    /// The door of a claim, without a certificate: good for enrolment only.
    ///
    /// # Errors
    /// When the address or the authority cannot be used.
    pub fn anonymous(uplink: &Uplink, ca_pem: &str) -> Result<Self, DoorError> {
        Self::dial(uplink, tls::anonymous_client(ca_pem)?)
    }

    fn dial(uplink: &Uplink, tls: rustls::ClientConfig) -> Result<Self, DoorError> {
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(SILENCE_LIMIT);
        let base = match uplink {
            Uplink::Cloud { door, .. } => base(door, DEVICE_PREFIX)?,
            Uplink::Gateway { door, gateway } => {
                let name = gateway_dns_name(gateway);
                builder = builder.dns_resolver(Arc::new(GatewayName::new(&name, door)?));
                let mut base = base(door, RELAY_PREFIX)?;
                base.set_host(Some(&name))
                    .map_err(|_| DoorError::Address(door.clone()))?;
                base
            }
        };
        let client = builder
            .build()
            .map_err(|error| unreachable(&base, &error))?;
        Ok(Self { client, base })
    }

    /// A TUF metadata file, or `None` when there is no such file.
    ///
    /// # Errors
    /// When it cannot be fetched or is larger than `limit` bytes.
    pub async fn metadata(&self, file: &str, limit: u64) -> Result<Option<Bytes>, DoorError> {
        self.small(&format!("tuf/{file}"), limit).await
    }

    /// A small blob, or `None` when there is no such blob. Its digest is the caller's to check.
    ///
    /// # Errors
    /// When it cannot be fetched or is larger than `limit` bytes.
    pub async fn blob(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, DoorError> {
        self.small(&format!("blobs/{digest}"), limit).await
    }

    /// The bytes of a blob from `offset` on, as a stream. The first value says where the stream really begins: at
    /// `offset`, or at 0 when the other side does not resume.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub async fn blob_from(
        &self,
        digest: &Digest,
        offset: u64,
    ) -> Result<(u64, BlobStream), DoorError> {
        let mut request = self.request(Method::GET, &format!("blobs/{digest}"))?;
        if offset > 0 {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
        }
        let response = self.send(request).await?;
        let begins = if response.status() == StatusCode::PARTIAL_CONTENT {
            offset
        } else {
            0
        };
        let url = response.url().clone();
        Ok((begins, BlobStream { response, url }))
    }

    /// Passes an enrolment request on and gives the answer's status and body, whatever they are.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn enrol(&self, request: Bytes) -> Result<(u16, Bytes), DoorError> {
        self.pass("enrol", "application/json", request).await
    }

    /// Passes on a device's signed request for its next certificate, and gives the answer's status and body, whatever
    /// they are.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn renew(
        &self,
        device: &DeviceIdentity,
        request: Bytes,
    ) -> Result<(u16, Bytes), DoorError> {
        let path = format!("{device}/renew");
        self.pass(&path, "application/octet-stream", request).await
    }

    async fn pass(
        &self,
        path: &str,
        kind: &'static str,
        body: Bytes,
    ) -> Result<(u16, Bytes), DoorError> {
        let request = self
            .request(Method::POST, path)?
            .header(header::CONTENT_TYPE, kind)
            .timeout(SMALL_LIMIT)
            .body(body);
        let response = self.answer(request).await?;
        let status = response.status().as_u16();
        Ok((status, collect(response, MAX_CERTIFICATE_ANSWER).await?))
    }

    pub(crate) async fn down(
        &self,
        device: &DeviceIdentity,
        after: u64,
        wait: Duration,
    ) -> Result<Down, DoorError> {
        let path = format!("{device}/down?after={after}&wait={}", wait.as_secs());
        let request = self
            .request(Method::GET, &path)?
            .timeout(wait + SILENCE_LIMIT);
        let response = self.send(request).await?;
        let url = response.url().clone();
        let body = collect(response, MAX_DOWN_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| DoorError::Malformed {
            url,
            detail: error.to_string(),
        })
    }

    pub(crate) async fn up(&self, device: &DeviceIdentity, report: Bytes) -> Result<(), DoorError> {
        let request = self
            .request(Method::POST, &format!("{device}/up"))?
            .body(report);
        self.send(request).await.map(drop)
    }

    async fn small(&self, path: &str, limit: u64) -> Result<Option<Bytes>, DoorError> {
        let request = self.request(Method::GET, path)?.timeout(SMALL_LIMIT);
        let response = self.answer(request).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = success(response).await?;
        collect(response, limit).await.map(Some)
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, DoorError> {
        let url = self
            .base
            .join(path)
            .map_err(|_| DoorError::Address(self.base.clone()))?;
        Ok(self.client.request(method, url))
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, DoorError> {
        request.send().await.map_err(|error| {
            let url = error.url().unwrap_or(&self.base).clone();
            unreachable(&url, &error)
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, DoorError> {
        success(self.answer(request).await?).await
    }
}

/// Bytes of a blob as they come in.
#[derive(Debug)]
pub struct BlobStream {
    response: Response,
    url: Url,
}

impl BlobStream {
    /// How many bytes are to come in all, as the other side announced before the first of them.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next bytes, or `None` at the end.
    ///
    /// # Errors
    /// When the transfer broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, DoorError> {
        self.response
            .chunk()
            .await
            .map_err(|error| unreachable(&self.url, &error))
    }
}

fn base(door: &Url, prefix: &str) -> Result<Url, DoorError> {
    if door.scheme() != "https" || door.host().is_none() {
        return Err(DoorError::Address(door.clone()));
    }
    door.join(prefix)
        .map_err(|_| DoorError::Address(door.clone()))
}

async fn success(response: Response) -> Result<Response, DoorError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let url = response.url().clone();
    let body = collect(response, MAX_CERTIFICATE_ANSWER)
        .await
        .unwrap_or_default();
    Err(DoorError::Status {
        url,
        status: status.as_u16(),
        detail: problem(&body),
    })
}

/// What a problem document says, or the first words of anything else.
pub(crate) fn problem(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: Option<String>,
        title: Option<String>,
    }
    serde_json::from_slice::<Problem>(body)
        .ok()
        .and_then(|problem| problem.detail.or(problem.title))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
        .chars()
        .take(300)
        .collect()
}

async fn collect(response: Response, limit: u64) -> Result<Bytes, DoorError> {
    let url = response.url().clone();
    let mut body = BytesMut::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| unreachable(&url, &error))?;
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(DoorError::TooLarge { url, limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn unreachable(url: &Url, error: &reqwest::Error) -> DoorError {
    let mut detail = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        detail = format!("{detail}: {error}");
        cause = error.source();
    }
    DoorError::Unreachable {
        url: url.clone(),
        detail,
    }
}

/// Finds a gateway at the claim's address while TLS asks for the name in its certificate: addresses on a LAN change, and
/// a device certificate names a device and no address.
struct GatewayName {
    name: String,
    host: String,
}

impl GatewayName {
    fn new(name: &str, door: &Url) -> Result<Self, DoorError> {
        let host = door
            .host_str()
            .ok_or_else(|| DoorError::Address(door.clone()))?;
        Ok(Self {
            name: name.to_owned(),
            host: host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
        })
    }
}

impl Resolve for GatewayName {
    fn resolve(&self, name: Name) -> Resolving {
        let host = if name.as_str() == self.name {
            self.host.clone()
        } else {
            name.as_str().to_owned()
        };
        Box::pin(async move {
            // The port is the URL's; 0 stands for "not said here".
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl From<DoorError> for uplink::NotConnected {
    fn from(_: DoorError) -> Self {
        Self
    }
}
