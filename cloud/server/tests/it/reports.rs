//! What devices publish, and what they hear of it.

use espalier_api::{claim::CreateClaim, device::DeviceView};
use espalier_protocol::{
    enrol::Role,
    envelope::Envelope,
    report::{Ack, Attack, Refusal},
    topic::Channel,
    trust::{PublicKey, SigningKey},
};

use crate::{
    device::{Device, Session, claim},
    stack::{Stack, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn report_is_acknowledged_by_the_deployer_once_it_is_stored() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let device = Device::enrol(
        claim(&stack, &CreateClaim::default()).await,
        "press-1",
        Role::Device,
        None,
    )
    .await;
    let deployer = deployer(&stack, &device).await;
    let mut session = device.connect().await;

    session.say(device.report(3, 1)).await;
    assert_eq!(acknowledged(&mut session, &deployer).await, (3, 1));
    let view: DeviceView = stack.get("/devices/press-1").await;
    assert!(view.last_seen.is_some());

    // Delivered twice, late, and from an earlier life: each changes nothing, and each is answered for itself. One that was
    // lost on its way must not be freed by a later one.
    for (boot, seq) in [(3, 1), (2, 900), (3, 0)] {
        session.say(device.report(boot, seq)).await;
        assert_eq!(acknowledged(&mut session, &deployer).await, (boot, seq));
    }
    session.say(device.report(3, 2)).await;
    assert_eq!(acknowledged(&mut session, &deployer).await, (3, 2));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_malformed_reports_are_not_believed() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let device = Device::enrol(
        claim(&stack, &CreateClaim::default()).await,
        "press-1",
        Role::Device,
        None,
    )
    .await;
    let other = Device::enrol(
        claim(&stack, &CreateClaim::default()).await,
        "press-2",
        Role::Device,
        None,
    )
    .await;
    let deployer = deployer(&stack, &device).await;
    let (stranger, _) = SigningKey::generate(&ring::rand::SystemRandom::new()).unwrap();
    let mut bent = device.report(9, 9);
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    let mut session = device.connect().await;
    for forged in [
        device.report_by(&stranger, 9, 9),
        device.report_by(&other.signing, 9, 9),
        other.report(9, 9),
        bent,
        vec![0xff; 60_000],
        Vec::new(),
    ] {
        session.say(forged).await;
    }
    // Only the honest one is answered, and nothing of the others was stored before it.
    session.say(device.report(1, 1)).await;
    assert_eq!(acknowledged(&mut session, &deployer).await, (1, 1));
    let refused = eventually("the refusals to be counted", async || {
        let metrics = stack
            .http
            .get(format!("{}/metrics", stack.endpoints.api))
            .send()
            .await
            .ok()?
            .text()
            .await
            .ok()?;
        metrics
            .lines()
            .find(|line| line.starts_with("espalier_cloud_reports_total{outcome=\"Refused\"}"))
            .map(str::to_owned)
    });
    assert!(refused.await.ends_with(" 6"));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_refused_is_shown() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let device = Device::enrol(
        claim(&stack, &CreateClaim::default()).await,
        "press-1",
        Role::Device,
        None,
    )
    .await;
    let deployer = deployer(&stack, &device).await;
    let mut session = device.connect().await;
    for (seq, attack) in [(1, Attack::Replay), (2, Attack::WrongKey)] {
        // A nul is a character like others to a device, and none to Postgres.
        let refusal = Refusal {
            attack,
            detail: format!("number {seq}\0"),
        };
        session.say(device.report_of(refusal, 1, seq)).await;
        assert_eq!(acknowledged(&mut session, &deployer).await, (1, seq));
    }
    let view: DeviceView = stack.get("/devices/press-1").await;
    let refused: Vec<_> = view
        .refused
        .iter()
        .map(|refused| (refused.attack.as_str(), refused.detail.as_str()))
        .collect();
    assert_eq!(
        refused,
        [
            ("wrong-key", "number 2\u{fffd}"),
            ("replay", "number 1\u{fffd}")
        ]
    );
    assert!(
        view.refused
            .iter()
            .all(|refused| Some(refused.at) <= view.last_seen)
    );
    stack.stop().await;
}

/// The deployer's key, as devices learn it: from the target that the signed metadata names.
pub async fn deployer(stack: &Stack, device: &Device) -> PublicKey {
    let targets: serde_json::Value = device
        .fetch("tuf/1.targets.json")
        .await
        .json()
        .await
        .unwrap();
    let digest = targets["signed"]["targets"]["deployer.json"]["hashes"]["sha256"]
        .as_str()
        .unwrap()
        .to_owned();
    let keys: espalier_protocol::trust::DeployerKeys = device
        .fetch(&format!("blobs/{digest}"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(keys.keys.len(), 1, "{}", stack.endpoints.api);
    keys.keys[0]
}

pub async fn acknowledged(session: &mut Session, deployer: &PublicKey) -> (u64, u64) {
    let (topic, payload) = session.hear().await;
    assert_eq!(topic.channel, Channel::Ack);
    let ack: Ack = Envelope::parse(&payload)
        .unwrap()
        .open(|id| (id == deployer.id()).then_some(deployer))
        .unwrap();
    assert_eq!(ack.device, topic.identity);
    (ack.boot, ack.seq)
}
