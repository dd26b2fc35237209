use espalier_protocol::Digest;

use crate::{
    cloud::Cloud,
    door::Caller,
    refusal::{Outcome, Refusal},
};

/// The size of a blob that a device of this tenant may fetch: one that belongs to a signed release.
/// Anything else is not there for it, whether or not it exists.
///
/// # Errors
/// `not_found`.
pub async fn released_blob(cloud: &Cloud, caller: &Caller, digest: Digest) -> Outcome<u64> {
    let absent = || Refusal::absent(format!("released blob {digest}"));
    if !cloud
        .catalogue
        .holds(cloud, &caller.identity.tenant, digest)
        .await?
    {
        return Err(absent());
    }
    cloud.blobs.size(digest).await?.ok_or_else(absent)
}
