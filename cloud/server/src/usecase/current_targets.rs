use espalier_api::tuf::TufTargetsView;
use espalier_domain::principal::Principal;
use espalier_store::Role;

use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// The signed metadata that the next targets are made from.
///
/// # Errors
/// `database_unavailable` while there is none yet.
pub async fn current_targets(cloud: &Cloud, who: &Principal) -> Outcome<TufTargetsView> {
    let root = cloud.root(&who.tenant).await?;
    let targets = cloud
        .store()?
        .tuf()
        .newest(&who.tenant, Role::Targets)
        .await?;
    Ok(TufTargetsView {
        root_version: root.version().get(),
        targets_version: targets.as_ref().map_or(0, |targets| targets.version),
        targets_json: targets.map(|targets| text(targets.bytes)).transpose()?,
        root_json: text(root.bytes().to_vec())?,
        trust: root.trust().into(),
    })
}

fn text(bytes: Vec<u8>) -> Outcome<String> {
    String::from_utf8(bytes).map_err(Refusal::internal)
}
