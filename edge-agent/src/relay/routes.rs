//! The calls of the LAN door; `espalier_link::relay` has their table.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{ACCEPT_RANGES, CONTENT_RANGE, ContentType, RANGE},
    },
    web::{self, Bytes, Data, Json, Path, PayloadConfig, Query, ServiceConfig},
};
use espalier_link::{
    DoorError,
    children::ChildError,
    relay::{Down, MAX_WAIT_SECONDS},
};
use espalier_protocol::{
    DeviceIdentity, DeviceName, Digest, Tenant, enrol::MAX_ENROL_BYTES,
    envelope::MAX_ENVELOPE_BYTES,
};
use espalier_slots::trust::MAX_METADATA_BYTES;
use serde::Deserialize;

use super::{CacheError, Relay, peer};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(
        web::scope("/relay/v1")
            .app_data(PayloadConfig::new(MAX_ENVELOPE_BYTES.max(MAX_ENROL_BYTES)))
            .route("/enrol", web::post().to(enrol))
            .route("/tuf/{file}", web::get().to(metadata))
            .route("/blobs/{digest}", web::get().to(blob))
            .route("/{tenant}/{device}/renew", web::post().to(renew))
            .route("/{tenant}/{device}/down", web::get().to(down))
            .route("/{tenant}/{device}/up", web::post().to(up)),
    );
}

/// A door's refusal: a status and a problem document (RFC 9457).
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("show the certificate of an enrolled device")]
    NoCertificate,
    #[error("your certificate is of another device")]
    SomebodyElse,
    #[error("`{0}` names no metadata file")]
    NoSuchMetadata(String),
    #[error("a blob is named by 64 hexadecimal digits")]
    NoDigest,
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error("the cloud cannot be reached through this gateway now: try again later")]
    Upstream(#[source] DoorError),
    #[error("the blob is not to be had through this gateway now: try again later")]
    Blob(#[from] Arc<CacheError>),
    #[error("the blob has {0} bytes, and the range begins after them")]
    OutsideOf(u64),
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NoCertificate => StatusCode::UNAUTHORIZED,
            Self::SomebodyElse | Self::Child(ChildError::OtherTenant) => StatusCode::FORBIDDEN,
            Self::NoSuchMetadata(_) | Self::NoDigest => StatusCode::NOT_FOUND,
            Self::Child(ChildError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Child(ChildError::TooMany | ChildError::NotConnected) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::OutsideOf(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Upstream(error) => as_upstream_says(error),
            Self::Blob(error) => match &**error {
                CacheError::Upstream(error) => as_upstream_says(error),
                CacheError::TooLarge(_) | CacheError::NoSpace { .. } => {
                    StatusCode::INSUFFICIENT_STORAGE
                }
                CacheError::Full | CacheError::Busy => StatusCode::SERVICE_UNAVAILABLE,
                CacheError::NoSize(_) | CacheError::Short(_) | CacheError::Digest(_) => {
                    StatusCode::BAD_GATEWAY
                }
                CacheError::Disk(_) | CacheError::Lost => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let title = status.canonical_reason().unwrap_or("refused");
        HttpResponse::build(status)
            .content_type("application/problem+json")
            .json(serde_json::json!({"title": title, "status": status.as_u16(), "detail": self.to_string()}))
    }
}

fn as_upstream_says(error: &DoorError) -> StatusCode {
    match error {
        DoorError::Status { status: 404, .. } => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_GATEWAY,
    }
}

#[derive(Deserialize)]
struct Since {
    /// What the child has seen.
    #[serde(default)]
    after: u64,
    /// Seconds that the child is willing to wait.
    #[serde(default)]
    wait: u64,
}

async fn enrol(relay: Data<Relay>, request: Bytes) -> Result<HttpResponse, Refusal> {
    passed_on(relay.upstream.enrol(request).await)
}

async fn renew(
    request: HttpRequest,
    relay: Data<Relay>,
    child: Path<(Tenant, DeviceName)>,
    asked: Bytes,
) -> Result<HttpResponse, Refusal> {
    let child = itself(&request, child)?;
    passed_on(relay.upstream.renew(&child, asked).await)
}

fn passed_on(answer: Result<(u16, Bytes), DoorError>) -> Result<HttpResponse, Refusal> {
    let (status, body) = answer.map_err(Refusal::Upstream)?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    Ok(HttpResponse::build(status)
        .insert_header(ContentType::json())
        .body(body))
}

async fn down(
    request: HttpRequest,
    relay: Data<Relay>,
    child: Path<(Tenant, DeviceName)>,
    since: Query<Since>,
) -> Result<Json<Down>, Refusal> {
    let child = itself(&request, child)?;
    let wait = Duration::from_secs(since.wait.min(MAX_WAIT_SECONDS));
    Ok(Json(
        relay.children.next_down(&child, since.after, wait).await?,
    ))
}

async fn up(
    request: HttpRequest,
    relay: Data<Relay>,
    child: Path<(Tenant, DeviceName)>,
    report: Bytes,
) -> Result<HttpResponse, Refusal> {
    relay.children.submit(&itself(&request, child)?, report)?;
    Ok(HttpResponse::Accepted().finish())
}

async fn metadata(
    request: HttpRequest,
    relay: Data<Relay>,
    file: Path<String>,
) -> Result<HttpResponse, Refusal> {
    somebody(&request)?;
    if !is_metadata_name(&file) {
        return Err(Refusal::NoSuchMetadata(file.into_inner()));
    }
    let found = relay
        .upstream
        .metadata(&file, MAX_METADATA_BYTES)
        .await
        .map_err(Refusal::Upstream)?;
    match found {
        Some(bytes) => Ok(HttpResponse::Ok()
            .insert_header(ContentType::json())
            .body(bytes)),
        None => Err(Refusal::NoSuchMetadata(file.into_inner())),
    }
}

async fn blob(
    request: HttpRequest,
    relay: Data<Relay>,
    digest: Path<String>,
) -> Result<HttpResponse, Refusal> {
    somebody(&request)?;
    let digest: Digest = digest.parse().map_err(|_| Refusal::NoDigest)?;
    let blob = relay.cache.get(digest).await?;
    let (size, wanted) = (blob.size(), wanted_from(&request));
    let mut answer = match wanted {
        None => HttpResponse::Ok(),
        Some(at) if at < size => {
            let mut partial = HttpResponse::PartialContent();
            partial.insert_header((CONTENT_RANGE, format!("bytes {at}-{}/{size}", size - 1)));
            partial
        }
        Some(_) => return Err(Refusal::OutsideOf(size)),
    };
    let at = wanted.unwrap_or(0);
    Ok(answer
        .content_type(ContentType::octet_stream())
        .insert_header((ACCEPT_RANGES, "bytes"))
        .no_chunking(size - at)
        .streaming(blob.read_from(at)))
}

/// Where a child goes on. Devices ask for no other kind of range; one that is ignored is answered with everything.
fn wanted_from(request: &HttpRequest) -> Option<u64> {
    let range = request.headers().get(RANGE)?.to_str().ok()?;
    range
        .strip_prefix("bytes=")?
        .strip_suffix('-')?
        .parse()
        .ok()
}

/// A child speaks for itself alone.
fn itself(
    request: &HttpRequest,
    child: Path<(Tenant, DeviceName)>,
) -> Result<DeviceIdentity, Refusal> {
    let (tenant, device) = child.into_inner();
    let named = DeviceIdentity::new(tenant, device);
    if *somebody(request)? == named {
        Ok(named)
    } else {
        Err(Refusal::SomebodyElse)
    }
}

fn somebody(request: &HttpRequest) -> Result<&DeviceIdentity, Refusal> {
    peer::of(request).ok_or(Refusal::NoCertificate)
}

/// `timestamp.json` and `N.role.json`: nothing that could climb out of the door's folder.
fn is_metadata_name(file: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-' || b == b'_';
    file.len() <= 100 && file.ends_with(".json") && file.bytes().all(plain) && !file.contains("..")
}
