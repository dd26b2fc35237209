use actix_web::{
    HttpRequest, HttpResponse, get,
    http::header::{self, ContentEncoding, HeaderName},
    web,
};
use espalier_api::error::ErrorCode;
use espalier_protocol::Digest;
use futures::StreamExt;

use super::Caller;
use crate::{
    cloud::Cloud,
    http::range::Wanted,
    refusal::{Outcome, Refusal},
    usecase,
};

/// Serves a released blob, or the part of it that a device does not have yet.
#[get("/blobs/{digest}")]
pub async fn blob(
    cloud: web::Data<Cloud>,
    caller: Caller,
    digest: web::Path<Digest>,
    request: HttpRequest,
) -> Outcome<HttpResponse> {
    let size = usecase::released_blob(&cloud, &caller, *digest).await?;
    let etag = format!("\"{digest}\"");
    let text = |name: HeaderName| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let part = match Wanted::read(text(header::RANGE), text(header::IF_RANGE), &etag, size) {
        Wanted::All => None,
        Wanted::Part(range) => Some(range),
        Wanted::Outside => return Err(outside(*digest, size)),
    };
    let mut answer = match &part {
        None => HttpResponse::Ok(),
        Some(range) => {
            let mut partial = HttpResponse::PartialContent();
            partial.insert_header((
                header::CONTENT_RANGE,
                format!("bytes {}-{}/{size}", range.start, range.end - 1),
            ));
            partial
        }
    };
    let length = part.as_ref().map_or(size, |range| range.end - range.start);
    let stream = cloud.blobs.read(*digest, part).await?;
    let served = cloud.metrics.blob_bytes_served.clone();
    let counted = stream.inspect(move |piece| {
        if let Ok(piece) = piece {
            served.inc_by(piece.len() as u64);
        }
    });
    Ok(answer
        .content_type("application/octet-stream")
        .insert_header((header::ETAG, etag))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((
            header::CACHE_CONTROL,
            "private, max-age=31536000, immutable",
        ))
        // Bytes go out as they are: their digest is what the device checks.
        .insert_header(ContentEncoding::Identity)
        .no_chunking(length)
        .streaming(counted))
}

fn outside(digest: Digest, size: u64) -> Refusal {
    Refusal::new(
        ErrorCode::RangeNotSatisfiable,
        format!("Blob {digest} has {size} bytes; the range lies outside."),
    )
}
