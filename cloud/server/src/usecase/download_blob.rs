use bytes::Bytes;
use espalier_domain::principal::Principal;
use espalier_protocol::Digest;
use futures::stream::BoxStream;

use crate::{cloud::Cloud, refusal::Outcome};

/// Gives a file back to an operator. To know a digest is to have seen the file's name or bytes.
///
/// # Errors
/// `not_found`.
pub async fn download_blob(
    cloud: &Cloud,
    _: &Principal,
    digest: Digest,
) -> Outcome<BoxStream<'static, object_store::Result<Bytes>>> {
    cloud.blobs.read(digest, None).await
}
