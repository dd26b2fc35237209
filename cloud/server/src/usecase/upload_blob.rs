use bytes::Bytes;
use espalier_api::model::BlobView;
use espalier_domain::principal::Principal;
use espalier_protocol::{Digest, manifest::MAX_FILE_BYTES};
use futures::Stream;

use crate::{cloud::Cloud, refusal::Outcome};

/// Keeps one file under its digest. It belongs to the caller's tenant from then on.
///
/// # Errors
/// `database_unavailable`, `too_large`, `digest_mismatch`, `storage_full`, `malformed_body`.
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
    // Only now: who has not sent all of the bytes knows no more than their digest.
    cloud
        .store()?
        .blobs()
        .uploaded(&who.tenant, digest, cloud.world.now())
        .await?;
    tracing::info!(principal = who.name, %digest, bytes = received.size, "a file was uploaded");
    Ok(BlobView {
        digest,
        size: received.size,
    })
}
