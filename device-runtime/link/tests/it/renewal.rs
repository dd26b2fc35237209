//! A device keeps its certificate from ending, and nothing that goes wrong on the way leaves it without one.

use std::sync::Arc;

use espalier_link::renew::{self, RenewError};
use espalier_link::{Door, EnrolError, Identity, StateFolder, enrol, tls};
use espalier_protocol::claim::gateway_dns_name;
use espalier_protocol::enrol::Role;
use espalier_slots::Disk;
use espalier_support::wait;
use espalier_trust::ca::read_peer;
use ring::rand::SystemRandom;
use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::agent::{Agent, wish};
use crate::cloud::{PATIENCE, validity};
use crate::engine::{Fleet, serving_the_first};
use crate::full_disk::SmallDisk;
use crate::mint::{device, name, noon};
use crate::register::Gives;

/// Less than a third of the first certificate's hundred years is left.
const DUE: &str = "2095-01-01T00:00:00Z";
const ENDED: &str = "2120-06-01T00:00:00Z";

fn state(fleet: &Fleet) -> StateFolder {
    StateFolder::new(fleet.device.folder.path())
}

/// The serial number of the certificate that the next start will show.
fn on_disk(fleet: &Fleet) -> String {
    let kept = Identity::load(Arc::new(Disk), &state(fleet)).unwrap();
    kept.unwrap().certificate().serial().to_owned()
}

fn given(fleet: &Fleet) -> String {
    fleet.cloud.world().register.newest()
}

async fn renewed(agent: &Agent) {
    let first = validity().not_after;
    agent
        .status(|status| status.certificate_until > first && status.renewal_failed.is_none())
        .await;
}

/// A handshake between two configurations: the serial numbers that client and server showed. What the server says after it
/// is heard, too: by then the client could resume the session.
async fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    at: &str,
) -> [Option<String>; 2] {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let at: ServerName<'static> = at.to_owned().try_into().unwrap();
    let (connected, accepted) = tokio::join!(
        TlsConnector::from(client.clone()).connect(at, near),
        TlsAcceptor::from(server.clone()).accept(far),
    );
    let (mut connected, mut accepted) = (connected.unwrap(), accepted.unwrap());
    accepted.write_u8(1).await.unwrap();
    accepted.flush().await.unwrap();
    assert_eq!(connected.read_u8().await.unwrap(), 1);
    [
        shown(accepted.get_ref().1.peer_certificates()),
        shown(connected.get_ref().1.peer_certificates()),
    ]
}

fn shown(chain: Option<&[CertificateDer<'_>]>) -> Option<String> {
    let peer = read_peer(chain?.first()?).ok()?;
    Some(peer.serial.to_string())
}

/// A server as the cloud's doors are: it reads the caller's certificate.
fn door(fleet: &Fleet) -> ServerConfig {
    let world = fleet.cloud.world();
    let ca = CertificateDer::from_pem_slice(world.ca.certificate_pem().as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca).unwrap();
    let provider = Arc::new(default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
    drop(world);
    let clients = clients.build().unwrap();
    fleet.cloud.tls_for("localhost", clients)
}

#[tokio::test]
async fn due_certificate_is_followed_and_the_next_connections_show_it() {
    let fleet = Fleet::new().await;
    let identity = fleet.device.identity.clone();
    let first = identity.certificate().serial().to_owned();
    // All were made before there was a new one, as those of a running agent are.
    let client = Arc::new(tls::client(&identity).unwrap());
    let lan = Arc::new(tls::relay_server(&identity).unwrap());
    let door = Arc::new(door(&fleet));
    let at_the_door = async || handshake(&client, &door, "localhost").await[0].clone();
    assert_eq!(at_the_door().await.as_ref(), Some(&first));

    let agent = fleet.device.start();
    agent.status(|status| status.connected).await;
    assert_eq!(fleet.cloud.world().register.asked, 0, "nothing was due");
    fleet.device.set_clock(DUE);
    renewed(&agent).await;
    let second = given(&fleet);
    assert_ne!(second, first);
    assert_eq!(at_the_door().await.as_ref(), Some(&second));
    let lan_name = gateway_dns_name(&device());
    let on_the_lan = handshake(&client, &lan, &lan_name).await[1].clone();
    assert_eq!(on_the_lan.as_ref(), Some(&second));
    agent.stop().await;
    assert_eq!(on_disk(&fleet), second);
    let kept = Identity::load(Arc::new(Disk), &state(&fleet))
        .unwrap()
        .unwrap();
    assert_eq!(kept.facts(), identity.facts());
    assert_eq!(kept.key().public(), identity.key().public());
}

#[tokio::test]
async fn certificate_that_the_disk_refuses_is_not_shown_and_is_given_again() {
    let mut fleet = Fleet::new().await;
    let disk = SmallDisk::of(&fleet, u64::MAX);
    let loaded = Identity::load(disk.clone(), &state(&fleet)).unwrap();
    fleet.device.identity = loaded.unwrap();
    let first = on_disk(&fleet);
    let agent = fleet.device.start_on(disk.clone());
    agent.status(|status| status.connected).await;
    disk.leave(0);
    fleet.device.set_clock(DUE);
    agent.status(|status| status.renewal_failed.is_some()).await;
    assert_eq!(fleet.device.identity.certificate().serial(), first);
    assert_eq!(on_disk(&fleet), first);
    // As after a cut between the answer and the disk.
    agent.kill();
    disk.leave(u64::MAX);
    let again = fleet.device.start_on(disk.clone());
    renewed(&again).await;
    assert_eq!(on_disk(&fleet), given(&fleet));
    assert_eq!(fleet.cloud.world().register.count(), 2, "one was enough");
}

#[tokio::test]
async fn certificates_that_are_not_this_devices_next_one_are_not_kept() {
    let fleet = Fleet::new().await;
    let identity = &fleet.device.identity;
    let (first, door) = (on_disk(&fleet), Door::open(identity).unwrap());
    let words = [
        (Gives::OfAnotherDevice, "the certificate of acme/press-8"),
        (Gives::ForAnotherKey, "for another key"),
        (Gives::OfAnotherAuthority, "not from the authority"),
        (Gives::ThatEndsSooner, "ends no later"),
        (Gives::Nonsense, "cannot be read"),
    ];
    let agent = fleet.device.start();
    for (gives, words) in words {
        fleet.cloud.world().register.gives = gives;
        let refused = renew::ask(identity, &door).await.unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
        fleet.device.set_clock(DUE);
        let says =
            |failed: &Option<String>| failed.as_ref().is_some_and(|said| said.contains(words));
        agent.status(|status| says(&status.renewal_failed)).await;
        assert_eq!(identity.certificate().serial(), first, "{gives:?}");
        assert_eq!(on_disk(&fleet), first, "{gives:?}");
    }
    fleet.cloud.world().register.gives = Gives::Next;
    renewed(&agent).await;
}

#[tokio::test]
async fn clock_far_ahead_makes_a_device_ask_once_and_not_hammer() {
    let fleet = Fleet::new().await;
    fleet.cloud.world().register.gives = Gives::Newest;
    let agent = fleet.device.start();
    fleet.device.set_clock(DUE);
    let asked = async || Ok((fleet.cloud.world().register.asked > 0).then_some(()));
    wait::until("the first question", PATIENCE, asked)
        .await
        .unwrap();
    // Lost connections and new ones take far longer than many looks at the clock.
    for _ in 0..5 {
        fleet.cloud.answer_with(Some(503));
        agent.status(|status| !status.connected).await;
        fleet.cloud.answer_with(None);
        agent.status(|status| status.connected).await;
    }
    let register = &fleet.cloud.world().register;
    assert_eq!((register.asked, register.count()), (1, 1));
    assert_eq!(agent.handle.status.borrow().renewal_failed, None);
}

#[tokio::test]
async fn refusals_are_shown_and_asked_about_again() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    fleet.cloud.answer_with(Some(403));
    fleet.device.set_clock(DUE);
    let status = agent.status(|status| status.renewal_failed.is_some()).await;
    let words = status.renewal_failed.unwrap();
    assert!(words.contains("403: not today"), "{words}");
    fleet.cloud.answer_with(None);
    renewed(&agent).await;
}

#[tokio::test]
async fn ended_certificate_is_named_and_a_new_claim_brings_the_device_back() {
    let (fleet, agent) = serving_the_first().await;
    let first = on_disk(&fleet);
    // The doors let nobody in with a certificate that ended.
    fleet.cloud.answer_with(Some(403));
    fleet.device.set_clock(ENDED);
    let ended = |words: &Option<String>| {
        words
            .as_ref()
            .is_some_and(|words| words.contains("ended at"))
    };
    let status = agent.status(|status| ended(&status.renewal_failed)).await;
    assert!(status.renewal_failed.unwrap().contains("with a new claim"));
    assert!(status.models[0].active.is_some(), "it serves all the same");
    agent.stop().await;

    fleet.cloud.answer_with(None);
    let mut claim = fleet.cloud.claim(fleet.cloud.by_gateway());
    claim.expires_at = ENDED.parse().unwrap();
    let (random, mut wish) = (SystemRandom::new(), wish(&device(), Role::Device));
    let files = || Arc::new(Disk);
    let now = ENDED.parse().unwrap();
    wish.class = name("arm-fp16");
    let refused = enrol(files(), &state(&fleet), &claim, &wish, now, &random).await;
    assert!(matches!(refused, Err(EnrolError::OtherClass { .. })));
    wish.class = fleet.device.identity.facts().class.clone();
    let back = enrol(files(), &state(&fleet), &claim, &wish, now, &random)
        .await
        .unwrap();
    assert_eq!(back.key().public(), fleet.device.identity.key().public());
    let second = on_disk(&fleet);
    assert_ne!(second, first);
    assert_eq!(second, given(&fleet));

    // Nobody is asked about one that holds, unless somebody wishes so.
    for again in [false, true] {
        wish.again = again;
        enrol(files(), &state(&fleet), &claim, &wish, noon(), &random)
            .await
            .unwrap();
        assert_eq!(on_disk(&fleet) != second, again);
    }
}

#[tokio::test]
async fn door_that_is_away_is_no_answer() {
    let fleet = Fleet::new().await;
    let identity = &fleet.device.identity;
    fleet.cloud.answer_with(Some(502));
    let refused = renew::ask(identity, &Door::open(identity).unwrap()).await;
    assert!(matches!(
        refused,
        Err(RenewError::Refused { status: 502, .. })
    ));
}
