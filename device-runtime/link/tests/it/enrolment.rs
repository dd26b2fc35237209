//! Enrolment: only with the claim's trust, and safe to try again.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use espalier_link::{DoorError, EnrolError, Identity, StateFolder, enrol};
use espalier_protocol::claim::Claim;
use espalier_protocol::enrol::Role;
use espalier_protocol::trust::TrustLevel;
use espalier_slots::Disk;
use ring::rand::SystemRandom;
use tempfile::TempDir;

use crate::agent::wish;
use crate::cloud::Cloud;
use crate::mint::{Mint, device, hours, name, noon};

async fn try_enrol(
    folder: &TempDir,
    claim: &Claim,
    wish: &espalier_link::Wish,
) -> Result<Identity, EnrolError> {
    let state = StateFolder::new(folder.path());
    enrol(
        Arc::new(Disk),
        &state,
        claim,
        wish,
        noon(),
        &SystemRandom::new(),
    )
    .await
}

#[tokio::test]
async fn enrolled_device_is_itself_after_a_restart() {
    let cloud = Cloud::open();
    let folder = TempDir::new().unwrap();
    let claim = cloud.claim(cloud.by_gateway());
    let wish = wish(&device(), Role::Device);
    let identity = try_enrol(&folder, &claim, &wish).await.unwrap();
    let loaded = Identity::load(Arc::new(Disk), &StateFolder::new(folder.path()))
        .unwrap()
        .unwrap();
    assert_eq!(loaded.facts(), identity.facts());
    assert_eq!(cloud.world().enrolled, [loaded.key().public()]);
    // Again: nobody is asked.
    try_enrol(&folder, &claim, &wish).await.unwrap();
    assert_eq!(cloud.world().enrolled.len(), 1);
    for file in ["identity", "identity.copy"] {
        let mode = folder
            .path()
            .join(file)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn enrolment_that_was_cut_off_goes_on_with_the_same_key() {
    let cloud = Cloud::open();
    let folder = TempDir::new().unwrap();
    let claim = cloud.claim(cloud.by_gateway());
    let wish = wish(&device(), Role::Device);
    cloud.world().faults.status = Some(503);
    let refused = try_enrol(&folder, &claim, &wish).await.unwrap_err();
    assert!(
        matches!(&refused, EnrolError::Refused { status: 503, detail } if detail == "not today"),
        "{refused}"
    );
    let state = StateFolder::new(folder.path());
    assert!(Identity::load(Arc::new(Disk), &state).unwrap().is_none());
    let pending = std::fs::read(state.identity()).unwrap();
    cloud.world().faults.status = None;
    let identity = try_enrol(&folder, &claim, &wish).await.unwrap();
    assert_ne!(std::fs::read(state.identity()).unwrap(), pending);
    assert_eq!(cloud.world().enrolled, [identity.key().public()]);
}

#[tokio::test]
async fn development_keys_are_refused_even_under_a_production_claim() {
    let cloud = Cloud::open();
    let mut claim = cloud.claim(cloud.by_gateway());
    claim.trust = TrustLevel::Production;
    let mut wish = wish(&device(), Role::Device);
    wish.development_trust = false;
    let refused = try_enrol(&TempDir::new().unwrap(), &claim, &wish)
        .await
        .unwrap_err();
    assert!(matches!(refused, EnrolError::DevelopmentTrust), "{refused}");
    assert!(cloud.world().enrolled.is_empty());
}

#[tokio::test]
async fn door_of_another_authority_gets_nothing() {
    let cloud = Cloud::open();
    let mut claim = cloud.claim(cloud.by_gateway());
    claim.ca_pem = Cloud::open().world().ca.certificate_pem().to_owned();
    let refused = try_enrol(
        &TempDir::new().unwrap(),
        &claim,
        &wish(&device(), Role::Device),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(refused, EnrolError::Door(DoorError::Unreachable { .. })),
        "{refused}"
    );
    assert!(cloud.world().enrolled.is_empty());
}

#[tokio::test]
async fn door_that_is_not_the_claimed_gateway_gets_nothing() {
    let cloud = Cloud::open();
    let mut claim = cloud.claim(cloud.by_gateway());
    claim.uplink = espalier_protocol::claim::Uplink::Gateway {
        door: cloud.lan.clone(),
        gateway: name("acme/gate-2"),
    };
    let refused = try_enrol(
        &TempDir::new().unwrap(),
        &claim,
        &wish(&device(), Role::Device),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(refused, EnrolError::Door(DoorError::Unreachable { .. })),
        "{refused}"
    );
}

#[tokio::test]
async fn expired_or_foreign_claims_are_refused_before_anybody_is_asked() {
    let cloud = Cloud::open();
    let mut claim = cloud.claim(cloud.by_gateway());
    let wish = wish(&device(), Role::Device);
    claim.class = Some(name("arm-fp16"));
    let refused = try_enrol(&TempDir::new().unwrap(), &claim, &wish)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, EnrolError::WrongClass { .. }),
        "{refused}"
    );
    claim.class = None;
    claim.expires_at = noon() - hours(1);
    let refused = try_enrol(&TempDir::new().unwrap(), &claim, &wish)
        .await
        .unwrap_err();
    assert!(matches!(refused, EnrolError::Expired(_)), "{refused}");
    claim.expires_at = noon();
    claim.tuf_root = Mint::new().first_root().replacen("2027", "2030", 1);
    let refused = try_enrol(&TempDir::new().unwrap(), &claim, &wish)
        .await
        .unwrap_err();
    assert!(matches!(refused, EnrolError::Store(_)), "{refused}");
    assert!(cloud.world().enrolled.is_empty());
}

#[tokio::test]
async fn state_folder_of_another_device_is_left_alone() {
    let cloud = Cloud::open();
    let folder = TempDir::new().unwrap();
    let claim = cloud.claim(cloud.by_gateway());
    try_enrol(&folder, &claim, &wish(&device(), Role::Device))
        .await
        .unwrap();
    let refused = try_enrol(&folder, &claim, &wish(&name("acme/other"), Role::Device))
        .await
        .unwrap_err();
    assert!(matches!(refused, EnrolError::Taken(taken) if taken == device()));
}
