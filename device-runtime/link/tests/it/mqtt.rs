//! The MQTT uplink against a real broker: mutual TLS, retained messages, lost sessions, and children.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use espalier_embedded::broker::{
    Admission, BrokerConfig, BrokerGuard, EmbeddedBroker, NotAccepted,
};
use espalier_link::children::ChildError;
use espalier_protocol::claim::Uplink;
use espalier_protocol::desired::DesiredModel;
use espalier_protocol::enrol::Role;
use espalier_protocol::envelope;
use espalier_protocol::report::{Attack, Report, Step};
use espalier_protocol::topic::{Channel, Topic};
use espalier_protocol::{DeviceIdentity, Incarnation};
use espalier_support::raw_broker::{RawBroker, message};
use espalier_trust::ca::DeviceCa;
use ring::rand::SystemRandom;
use tempfile::TempDir;

use crate::agent::Device;
use crate::cloud::{Cloud, PATIENCE, gateway, validity};
use crate::engine::bundle;
use crate::mint::{device, key, model, name, order};

/// How often the broker was asked whether the gateway may hear for a device.
type Asked = Arc<Mutex<BTreeMap<DeviceIdentity, usize>>>;

struct Guard {
    cloud: Cloud,
    asked: Asked,
}

#[async_trait]
impl BrokerGuard for Guard {
    async fn authenticate(&self, _device: &DeviceIdentity, _serial: &str) -> Admission {
        Admission::Allow
    }

    async fn speaks_for(&self, connected: &DeviceIdentity, other: &DeviceIdentity) -> bool {
        *self.asked.lock().unwrap().entry(other.clone()).or_default() += 1;
        *connected == gateway() && *other == device()
    }

    async fn on_publish(
        &self,
        _: &DeviceIdentity,
        _: &Topic,
        payload: Bytes,
    ) -> Result<(), NotAccepted> {
        self.cloud.take_report(&payload);
        Ok(())
    }

    async fn on_connected(&self, _device: &DeviceIdentity) {}

    async fn on_cloned(&self, _device: &DeviceIdentity) {}

    async fn on_disconnected(&self, _device: &DeviceIdentity) {}
}

struct Site {
    cloud: Cloud,
    broker: EmbeddedBroker,
    asked: Asked,
    _files: TempDir,
}

impl Site {
    async fn open() -> Self {
        Self::of(Cloud::open(), None).await
    }

    /// With a broker whose certificate is this authority's, not the cloud's own.
    async fn of(cloud: Cloud, authority: Option<&DeviceCa>) -> Self {
        let files = TempDir::new().unwrap();
        let file = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let config = {
            let world = cloud.world();
            let names = ["localhost".to_owned()];
            let certificate = authority
                .unwrap_or(&world.ca)
                .issue_server(&names, validity(), &SystemRandom::new())
                .unwrap();
            BrokerConfig {
                listen: "127.0.0.1:0".parse().unwrap(),
                certificate: file("broker.pem", &certificate.pem),
                key: file("broker.key", &certificate.key_pem),
                client_ca: file("ca.pem", world.ca.certificate_pem()),
                max_connections: 16,
            }
        };
        let asked = Asked::default();
        let guard = Guard {
            cloud: cloud.clone(),
            asked: asked.clone(),
        };
        let broker = EmbeddedBroker::start(config, Arc::new(guard))
            .await
            .unwrap();
        Self {
            cloud,
            broker,
            asked,
            _files: files,
        }
    }

    async fn enrolled(&self, device: &DeviceIdentity, role: Role) -> Device {
        Device::enrolled(&self.cloud, device, role, self.uplink()).await
    }

    fn uplink(&self) -> Uplink {
        let broker = format!("mqtts://localhost:{}", self.broker.address().port());
        self.cloud.by_cloud(broker.parse().unwrap())
    }

    async fn publish(&self, channel: Channel, bytes: Vec<u8>, retained: bool) {
        let topic = Topic::new(device(), channel);
        self.broker
            .publish(&topic, bytes.into(), retained)
            .await
            .unwrap();
    }

    async fn order(&self, sequence: u64, wanted: DesiredModel) {
        let envelope = {
            let world = self.cloud.world();
            world.mint.sign(&world.mint.desired(sequence, vec![wanted]))
        };
        self.publish(Channel::Desired, envelope, true).await;
    }

    async fn active(&self, number: u128) {
        self.cloud
            .step(number, |step| matches!(step, Step::Active(_)))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_order_is_carried_out_and_reports_are_freed_by_the_signed_word() {
    let site = Site::open().await;
    let release = site.cloud.world().mint.release(1, &bundle(1));
    site.order(1, order(1, 1, release, &bundle(1))).await;
    let agent = site.enrolled(&device(), Role::Device).await;
    let agent = agent.start();
    site.active(1).await;
    assert_eq!(agent.bench.serves(&model()), Some(bundle(1).digest()));
    // PUBACK came long ago, and frees nothing.
    assert!(agent.handle.status.borrow().reports_waiting > 0);
    for ack in site.cloud.acks() {
        site.publish(Channel::Ack, ack, false).await;
    }
    agent.status(|status| status.reports_waiting == 0).await;
    site.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_session_is_subscribed_again() {
    let site = Site::open().await;
    let first = site.cloud.world().mint.release(1, &bundle(1));
    let device_folder = site.enrolled(&device(), Role::Device).await;
    let agent = device_folder.start();
    site.order(1, order(1, 1, first, &bundle(1))).await;
    site.active(1).await;
    site.broker.kick(&device()).await;
    let second = site.cloud.world().mint.release(2, &bundle(2));
    site.order(2, order(2, 1, second, &bundle(2))).await;
    site.active(2).await;
    assert_eq!(agent.bench.serves(&model()), Some(bundle(2).digest()));
    site.broker.stop().await;
}

/// The broker is away when the device starts; the one that comes up in its place keeps to no protocol, and then does.
#[tokio::test(flavor = "multi_thread")]
async fn broker_that_is_away_or_speaks_nonsense_costs_a_connection_and_no_more() {
    let cloud = Cloud::open();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let broker = cloud.by_cloud(
        format!("mqtts://localhost:{}", address.port())
            .parse()
            .unwrap(),
    );
    let device_folder = Device::enrolled(&cloud, &device(), Role::Device, broker).await;
    let agent = device_folder.start();
    let away = agent.status(|status| status.disconnected_because.is_some());
    assert!(!away.await.connected);

    let (certificate, honest) = {
        let mut world = cloud.world();
        let release = world.mint.release(1, &bundle(1));
        let desired = world
            .mint
            .desired(1, vec![order(1, 1, release, &bundle(1))]);
        let names = ["localhost".to_owned()];
        let certificate = world
            .ca
            .issue_server(&names, validity(), &SystemRandom::new());
        (certificate.unwrap(), world.mint.sign(&desired))
    };
    let own = Topic::new(device(), Channel::Desired);
    let anothers = Topic::new(gateway(), Channel::Desired);
    let sayings = [
        vec![0xff; 4096],
        message(&own, &vec![0; 1 << 20]),
        [
            message(&anothers, &honest),
            message(&own, &[0x9f; 60_000]),
            message(&own, b""),
        ]
        .concat(),
        message(&own, &honest),
    ];
    // One saying for each connection; the third breaks none, and the fourth comes after the broker's own end.
    let (nonsense, sense) = sayings.split_at(3);
    let (chain, key) = (&certificate.pem, &certificate.key_pem);
    let raw = RawBroker::start(address, chain, key, nonsense.to_vec())
        .await
        .unwrap();
    let refused = agent.status(|status| {
        status
            .refused
            .iter()
            .any(|refusal| refusal.attack == Attack::Malformed)
    });
    assert!(refused.await.models.is_empty());
    raw.stop().await;

    let _raw = RawBroker::start(address, chain, key, sense.to_vec())
        .await
        .unwrap();
    agent.serves(bundle(1).digest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_carries_its_childs_messages_unread() {
    let site = Site::open().await;
    let gate = site.enrolled(&gateway(), Role::Gateway).await;
    let child = site.enrolled(&device(), Role::Device).await;
    let agent = gate.start();
    agent.status(|status| status.connected).await;
    let children = agent.handle.children.clone().unwrap();
    let first = children
        .next_down(&device(), 0, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!((first.desired.as_ref(), first.acks.len()), (None, 0));

    site.publish(Channel::Desired, b"for the child alone".to_vec(), true)
        .await;
    let news = children
        .next_down(&device(), first.at, PATIENCE)
        .await
        .unwrap();
    assert_eq!(news.desired.unwrap(), "for the child alone");

    let report = Report {
        device: device(),
        boot: 1,
        seq: 1,
        incarnation: Some(Incarnation::from_bytes([5; 16])),
        nonce: vec![7],
        at: crate::mint::noon(),
        class: crate::mint::class(),
        desired_sequence: 0,
        models: vec![],
        progress: None,
        refused: vec![],
        inventory: None,
        traceparent: None,
    };
    let signed = envelope::seal(&report, child.identity.key()).unwrap();
    children.submit(&device(), signed.into()).unwrap();
    assert_eq!(
        site.cloud.report(|report| report.device == device()).await,
        report
    );

    let stranger = name("globex/press-7");
    let refused = children
        .next_down(&stranger, 0, Duration::ZERO)
        .await
        .unwrap_err();
    assert_eq!(refused, ChildError::OtherTenant);
    site.broker.stop().await;
}

/// A device of the same tenant that is enrolled behind another gateway asks this one.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_the_broker_refuses_is_given_up_and_disturbs_nobody() {
    let site = Site::open().await;
    let gate = site.enrolled(&gateway(), Role::Gateway).await;
    let agent = gate.start();
    agent.status(|status| status.connected).await;
    let children = agent.handle.children.clone().unwrap();
    let first = children
        .next_down(&device(), 0, Duration::ZERO)
        .await
        .unwrap();
    site.publish(Channel::Desired, b"one".to_vec(), true).await;
    let child = device();
    let news = children.next_down(&child, first.at, PATIENCE);
    let heard = news.await.unwrap();
    assert_eq!(heard.desired.unwrap(), "one");
    let asked = |whom: &DeviceIdentity| site.asked.lock().unwrap().get(whom).copied();
    let for_the_child = asked(&device());

    let stranger: DeviceIdentity = name("acme/press-9");
    let nothing = children
        .next_down(&stranger, 0, Duration::ZERO)
        .await
        .unwrap();
    // The question ends before its time, without news.
    let question = children.next_down(&stranger, nothing.at, 2 * PATIENCE);
    let ended = tokio::time::timeout(PATIENCE, question).await;
    assert_eq!(ended.expect("it is never given up").unwrap(), nothing);
    assert!(asked(&stranger).unwrap() >= 8);
    assert_eq!(
        asked(&device()),
        for_the_child,
        "the granted one was asked for again"
    );
    site.publish(Channel::Desired, b"two".to_vec(), true).await;
    let news = children.next_down(&child, heard.at, PATIENCE);
    assert_eq!(news.await.unwrap().desired.unwrap(), "two");
    site.broker.stop().await;
}

/// A broker of somebody else's: its authority is believed by whom the claim names it to, and by nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn broker_of_another_authority_needs_the_claims_word() {
    let authority = DeviceCa::create(Arc::new(key()), validity(), &SystemRandom::new()).unwrap();
    let site = Site::of(Cloud::open(), Some(&authority)).await;
    let mut named = site.uplink();
    if let Uplink::Cloud { broker_ca_pem, .. } = &mut named {
        *broker_ca_pem = Some(authority.certificate_pem().to_owned());
    }
    let told = Device::enrolled(&site.cloud, &device(), Role::Device, named).await;
    told.start().status(|status| status.connected).await;

    let not_told = site.enrolled(&gateway(), Role::Gateway).await;
    let agent = not_told.start();
    agent
        .status(|status| status.disconnected_because.is_some())
        .await;
    assert!(!agent.handle.status.borrow().connected);
    site.broker.stop().await;
}
