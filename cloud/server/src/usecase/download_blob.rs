use bytes::Bytes;
use espalier_domain::principal::Principal;
use espalier_protocol::Digest;
use futures::stream::BoxStream;

use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// Gives a file back to an operator: one that the tenant sent, or that its models, builds and releases
/// are made of. Another tenant's is not there, whoever knows its digest.
///
/// # Errors
/// `not_found`.
pub async fn download_blob(
    cloud: &Cloud,
    who: &Principal,
    digest: Digest,
) -> Outcome<BoxStream<'static, object_store::Result<Bytes>>> {
    if !cloud.store()?.blobs().belongs(&who.tenant, digest).await? {
        return Err(Refusal::absent(format!("blob {digest}")));
    }
    cloud.blobs.read(digest, None).await
}
