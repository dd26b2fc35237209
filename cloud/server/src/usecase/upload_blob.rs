use bytes::Bytes;
use espalier_api::model::BlobView;
use espalier_domain::principal::Principal;
use espalier_protocol::{Digest, manifest::MAX_FILE_BYTES};
use futures::Stream;

use crate::{cloud::Cloud, refusal::Outcome};

/// Keeps one file under its digest.
///
/// # Errors
/// `too_large`, `digest_mismatch`, `storage_full`, `malformed_body`.
pub async fn upload_blob<E: std::fmt::Display>(
    cloud: &Cloud,
    who: &Principal,
    digest: Digest,
    content: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Outcome<BlobView> {
    let received = cloud
        .blobs
        .receive(content, MAX_FILE_BYTES, Some(digest), &cloud.world)
        .await?;
    tracing::info!(principal = who.name, %digest, bytes = received.size, "a file was uploaded");
    Ok(BlobView {
        digest,
        size: received.size,
    })
}
