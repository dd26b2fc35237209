use bytes::Bytes;
use espalier_domain::{principal::Principal, release::Release};
use espalier_protocol::{
    DeviceClassName, Digest,
    id::ReleaseId,
    manifest::{MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest, SIGNATURE_FILE},
};
use futures::stream::BoxStream;

use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// Gives a file of a released bundle: `manifest.json`, whatever it lists, and the bundle's signature.
///
/// # Errors
/// `not_found`.
pub async fn release_file(
    cloud: &Cloud,
    who: &Principal,
    id: ReleaseId,
    class: &DeviceClassName,
    path: &str,
) -> Outcome<BoxStream<'static, object_store::Result<Bytes>>> {
    let release = cloud.store()?.releases().find(&who.tenant, id).await?;
    let release = release.ok_or_else(|| Refusal::absent(format!("release {id}")))?;
    let digest = digest_of(cloud, &release, class, path).await?;
    let digest = digest
        .ok_or_else(|| Refusal::absent(format!("file {path} of release {id} for class {class}")))?;
    cloud.blobs.read(digest, None).await
}

async fn digest_of(
    cloud: &Cloud,
    release: &Release,
    class: &DeviceClassName,
    path: &str,
) -> Outcome<Option<Digest>> {
    let Some(build) = release.document.build_for(class) else {
        return Ok(None);
    };
    match path {
        MANIFEST_FILE => Ok(Some(build.bundle)),
        SIGNATURE_FILE => Ok(release.signatures.get(class).copied()),
        path => {
            let bytes = cloud
                .blobs
                .load(build.bundle, MAX_MANIFEST_BYTES as u64)
                .await?;
            let manifest = Manifest::parse(&bytes).map_err(Refusal::internal)?;
            let listed = path.parse().ok().and_then(|path| manifest.files.get(&path));
            Ok(listed.map(|entry| entry.sha256))
        }
    }
}
