//! The deployer's words, opened as a device opens them.

use espalier_protocol::desired::{DesiredState, TufVersions};
use espalier_protocol::envelope::{Envelope, EnvelopeError};
use espalier_protocol::report::Ack;
use espalier_protocol::trust::DeployerKeys;
use espalier_trust::{Deployer, deployer_target};

use crate::fixture::{cloud, identity, now};

fn desired() -> DesiredState {
    DesiredState {
        device: identity("acme/press-1"),
        sequence: 7,
        issued_at: now(),
        expires_at: now(),
        class: "x86-int8".parse().unwrap(),
        models: Vec::new(),
        tuf: TufVersions {
            root: 1,
            timestamp: 1,
            snapshot: 1,
            targets: 1,
        },
        traceparent: None,
    }
}

#[test]
fn devices_open_what_the_deployer_signs_with_the_keys_from_its_target() {
    let cloud = cloud();
    let deployer = Deployer::new(cloud.online.deployer.clone());
    let keys: DeployerKeys = serde_json::from_slice(&cloud.first.deployer_json).unwrap();

    let envelope = Envelope::parse(&deployer.sign_desired(&desired()).unwrap()).unwrap();
    let opened: DesiredState = envelope.open(|id| keys.find(id)).unwrap();
    assert_eq!(opened, desired());

    let (target, bytes) = deployer_target(&[deployer.public_key()]).unwrap();
    assert_eq!(bytes, cloud.first.deployer_json);
    assert_eq!(target.digest(), espalier_protocol::Digest::of(&bytes));
}

#[test]
fn a_word_of_one_kind_is_none_of_another() {
    let cloud = cloud();
    let deployer = Deployer::new(cloud.online.deployer.clone());
    let keys: DeployerKeys = serde_json::from_slice(&cloud.first.deployer_json).unwrap();
    let ack = Ack {
        device: identity("acme/press-1"),
        boot: 1,
        seq: 2,
    };
    let envelope = Envelope::parse(&deployer.sign_ack(&ack).unwrap()).unwrap();
    let opened = envelope.open::<DesiredState>(|id| keys.find(id));
    assert!(matches!(opened, Err(EnvelopeError::WrongType { .. })));
    assert_eq!(envelope.open::<Ack>(|id| keys.find(id)).unwrap(), ack);
}

#[test]
fn a_strange_deployer_is_refused() {
    let (cloud, stranger) = (cloud(), crate::fixture::cloud());
    let keys: DeployerKeys = serde_json::from_slice(&cloud.first.deployer_json).unwrap();
    let forged = Deployer::new(stranger.online.deployer.clone())
        .sign_desired(&desired())
        .unwrap();
    let opened = Envelope::parse(&forged)
        .unwrap()
        .open::<DesiredState>(|id| keys.find(id));
    assert!(matches!(opened, Err(EnvelopeError::UnknownKey(_))));
}
