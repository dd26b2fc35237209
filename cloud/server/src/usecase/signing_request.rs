use espalier_api::release::{BundleToSign, SigningRequestView};
use espalier_domain::principal::Principal;
use espalier_protocol::{
    Digest, id::ReleaseId, manifest::MAX_MANIFEST_BYTES, release::ReleaseDocument,
};

use super::publication::proposed_deployer_list;
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// What a signer needs: the exact bytes that the next targets must name.
///
/// # Errors
/// `not_found`.
pub async fn signing_request(
    cloud: &Cloud,
    who: &Principal,
    id: ReleaseId,
) -> Outcome<SigningRequestView> {
    let document = cloud.store()?.releases().document(&who.tenant, id).await?;
    let document = document.ok_or_else(|| Refusal::absent(format!("release {id}")))?;
    let digest = Digest::of(&document);
    let says = ReleaseDocument::parse(&document).map_err(Refusal::internal)?;
    // A key that is to replace another one may lie there since a moment ago.
    cloud.authority.look_again().await?;
    let deployer_json = proposed_deployer_list(cloud, &who.tenant).await?;
    Ok(SigningRequestView {
        release: id,
        digest,
        length: document.len() as u64,
        target_name: ReleaseDocument::target_name(&says.model, &digest),
        release_json: String::from_utf8(document).map_err(Refusal::internal)?,
        deployer_json: String::from_utf8(deployer_json).map_err(Refusal::internal)?,
        bundles: bundles(cloud, &says).await?,
    })
}

async fn bundles(cloud: &Cloud, release: &ReleaseDocument) -> Outcome<Vec<BundleToSign>> {
    let mut bundles = Vec::with_capacity(release.builds.len());
    for build in &release.builds {
        let manifest = cloud
            .blobs
            .load(build.bundle, MAX_MANIFEST_BYTES as u64)
            .await?;
        bundles.push(BundleToSign {
            device_class: build.device_class.clone(),
            manifest_json: String::from_utf8(manifest.to_vec()).map_err(Refusal::internal)?,
        });
    }
    Ok(bundles)
}
