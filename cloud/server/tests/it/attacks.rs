//! What somebody with a good certificate, or with the key that makes them, tries at the cloud's doors.

use std::sync::Arc;

use espalier_api::{
    claim::{CreateClaim, ViaGateway},
    device::DeviceView,
    error::ErrorCode,
};
use espalier_protocol::{enrol::Role, trust::SigningKey};
use espalier_trust::{
    ca::{DeviceCa, Validity},
    keys::{KeyFolder, KeyRole},
};
use ring::rand::SystemRandom;

use crate::{
    device::{Device, claim, https, key, request},
    reports::{acknowledged, deployer},
    stack::{Stack, eventually, problem},
};

#[tokio::test(flavor = "multi_thread")]
async fn gateway_says_nothing_in_its_childs_name() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let own = claim(&stack, &CreateClaim::default()).await;
    let gateway = Device::enrol(own, "hall", Role::Gateway, None).await;
    let via = ViaGateway {
        name: "hall".parse().unwrap(),
        door: "https://192.0.2.1:7480/".parse().unwrap(),
    };
    let behind = CreateClaim {
        gateway: Some(via),
        ..CreateClaim::default()
    };
    let behind = claim(&stack, &behind).await;
    let child = Device::enrol(behind, "press-1", Role::Device, Some(&gateway)).await;
    let deployer = deployer(&stack, &gateway).await;
    let mut session = gateway.connect().await;
    let honest = child.report(1, 1);
    let mut bent = honest.clone();
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    for forged in [
        child.report_by(&gateway.signing, 9, 9),
        gateway.report(9, 9),
        bent,
    ] {
        session.say_for(&child.identity, forged).await;
    }
    session.say(gateway.report(1, 1)).await;
    assert_eq!(acknowledged(&mut session, &deployer).await, (1, 1));
    let seen = async || -> Option<_> {
        let view: DeviceView = stack.get("/devices/press-1").await;
        view.last_seen
    };
    assert_eq!(seen().await, None, "a gateway spoke for its child");

    // What the child itself said is carried as it is.
    session.say_for(&child.identity, honest).await;
    session.say(gateway.report(1, 2)).await;
    assert_eq!(acknowledged(&mut session, &deployer).await, (1, 2));
    eventually("the child to be heard", seen).await;
    stack.stop().await;
}

/// The authority's key makes certificates in any name, and the records know which were made.
#[tokio::test(flavor = "multi_thread")]
async fn certificate_by_a_stolen_authority_opens_no_door() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let own = claim(&stack, &CreateClaim::default()).await;
    let device = Device::enrol(own, "press-1", Role::Device, None).await;
    let keys = KeyFolder::new(stack.folder.path().join("keys"));
    let stolen = keys.open(KeyRole::DeviceCa, None).unwrap();
    let authority = DeviceCa::open(&device.claim.ca_pem, Arc::new(stolen)).unwrap();
    let key = key();
    let asked = request(&device.claim, "press-1", Role::Device, &key);
    let long = Validity {
        not_before: "2020-01-01T00:00:00Z".parse().unwrap(),
        not_after: "2120-01-01T00:00:00Z".parse().unwrap(),
    };
    let random = SystemRandom::new();
    let forged = authority.issue_device(&device.identity, &asked.csr_pem, long, &random);
    let forged = forged.unwrap().pem;
    let impostor = Device {
        http: https(&device.claim, Some((&forged, &key))),
        signing: SigningKey::from_pkcs8(key.serialized_der()).unwrap(),
        identity: device.identity.clone(),
        claim: device.claim.clone(),
        certificate_pem: forged,
        key,
    };
    let answer = impostor.fetch("tuf/timestamp.json").await;
    assert_eq!(problem(answer).await.code, ErrorCode::CertificateRefused);
    impostor.connect().await.ends().await;
    // Whose name it was is let in as before.
    assert!(
        device
            .fetch("tuf/timestamp.json")
            .await
            .status()
            .is_success()
    );
    stack.stop().await;
}
