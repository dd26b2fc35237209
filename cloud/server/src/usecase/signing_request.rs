use espalier_api::release::SigningRequestView;
use espalier_domain::principal::Principal;
use espalier_protocol::{Digest, id::ReleaseId, release::ReleaseDocument};
use espalier_trust::deployer_target;

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
    let deployer = deployer_target(&[cloud.authority.deployer.public_key()]);
    let (_, deployer_json) = deployer.map_err(Refusal::internal)?;
    Ok(SigningRequestView {
        release: id,
        digest,
        length: document.len() as u64,
        target_name: ReleaseDocument::target_name(&digest),
        release_json: String::from_utf8(document).map_err(Refusal::internal)?,
        deployer_json: String::from_utf8(deployer_json).map_err(Refusal::internal)?,
    })
}
