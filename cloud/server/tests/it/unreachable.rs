//! Database or broker out of reach, at the start and in the middle: said at every door, and over when they are back.

use std::net::{SocketAddr, TcpListener};

use espalier_api::{claim::CreateClaim, device::DeviceView, error::ErrorCode, page::Page};
use espalier_embedded::postgres::{EmbeddedPostgres, PostgresConfig, Programs, Survives};
use espalier_protocol::{
    claim::Uplink,
    enrol::Role,
    topic::{Channel, Topic},
};
use espalier_support::{
    raw_broker::{RawBroker, message},
    skip::skipped,
};
use rcgen::CertifiedKey;
use reqwest::{Method, StatusCode};
use tempfile::tempdir;

use crate::{
    device::{Device, claim},
    reports::{acknowledged, deployer},
    stack::{Stack, eventually, problem},
};

#[tokio::test(flavor = "multi_thread")]
async fn database_that_is_away_at_the_start_and_in_the_middle() {
    if Programs::find().is_err() {
        return skipped("database_that_is_away", "there is no PostgreSQL here");
    }
    let folder = tempdir().unwrap();
    let config = PostgresConfig {
        survives: Survives::Crash,
        ..PostgresConfig::new(folder.path())
    };
    let postgres = EmbeddedPostgres::start(config.clone()).await.unwrap();
    let url = postgres.url("postgres");
    postgres.stop().await;

    let stack = Stack::launch(tempdir().unwrap(), |flags| flags.database_url = Some(url)).await;
    assert_eq!(
        stack.misses("database").await,
        "The database does not answer now.",
        "everybody may read it, so it says nothing of addresses and files"
    );
    refused_for_want_of_the_database(&stack).await;
    let postgres = EmbeddedPostgres::start(config.clone()).await.unwrap();
    stack.ready().await;

    let claim = claim(&stack, &CreateClaim::default()).await;
    let device = Device::enrol(claim, "press-1", Role::Device, None).await;
    let deployer = deployer(&stack, &device).await;
    let mut session = device.connect().await;
    session.say(device.report(1, 1)).await;
    assert_eq!(acknowledged(&mut session, &deployer).await, (1, 1));

    postgres.stop().await;
    session.say(device.report(1, 2)).await;
    let back = async {
        refused_for_want_of_the_database(&stack).await;
        stack.misses("database").await;
        let metadata = device.fetch("tuf/1.root.json").await;
        assert_eq!(metadata.status(), StatusCode::SERVICE_UNAVAILABLE);
        EmbeddedPostgres::start(config).await.unwrap()
    };
    // What came in meanwhile is stored when the database is back, and only then acknowledged.
    let (acknowledged, postgres) = tokio::join!(acknowledged(&mut session, &deployer), back);
    assert_eq!(acknowledged, (1, 2));
    stack.ready().await;
    let devices: Page<DeviceView> = stack.get("/devices").await;
    assert!(devices.items[0].last_seen.is_some());
    stack.stop().await;
    postgres.stop().await;
}

async fn refused_for_want_of_the_database(stack: &Stack) {
    let answer = stack.call(Method::GET, "/devices", None::<&()>).await;
    let problem = problem(answer).await;
    assert_eq!(problem.code, ErrorCode::DatabaseUnavailable, "{problem:?}");
}

/// Somebody else's broker is away, then keeps to no protocol, then does, then goes away again.
#[tokio::test(flavor = "multi_thread")]
async fn external_broker_that_is_away_or_speaks_nonsense() {
    if Programs::find().is_err() {
        return skipped(
            "external_broker_that_is_away",
            "there is no PostgreSQL here",
        );
    }
    let folder = tempdir().unwrap();
    let authority = folder.path().join("broker.pem");
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&authority, cert.pem()).unwrap();
    let address = free_address();
    let start = async |sayings| {
        let key = signing_key.serialize_pem();
        RawBroker::start(address, &cert.pem(), &key, sayings)
            .await
            .unwrap()
    };

    let url = format!("mqtts://localhost:{}", address.port());
    let stack = Stack::launch(tempdir().unwrap(), |flags| {
        flags.broker = Some(url.parse().unwrap());
        flags.broker_ca = Some(authority);
        flags.broker_listen = None;
    })
    .await;
    let said = stack.misses("broker").await;
    assert_eq!(said, "The broker does not answer now.");
    eventually("the API to answer without a broker", async || {
        let answer = stack.call(Method::GET, "/devices", None::<&()>).await;
        (answer.status() == StatusCode::OK).then_some(())
    })
    .await;

    let claim = claim(&stack, &CreateClaim::default()).await;
    let Uplink::Cloud { broker_ca_pem, .. } = claim.uplink else {
        panic!("the claim leads to a gateway")
    };
    assert_eq!(
        broker_ca_pem,
        Some(cert.pem()),
        "devices believe whom the server believes"
    );
    assert_ne!(claim.ca_pem, cert.pem(), "and at no other door");

    let press = |channel| Topic::new("default/press-1".parse().unwrap(), channel);
    let broker = start(vec![
        vec![0xff; 4096],
        message(&press(Channel::Report), &vec![0; 1 << 20]),
        [
            message(&press(Channel::Report), &[0x9f; 60_000]),
            message(&press(Channel::Desired), b"down is not up"),
            message(&press(Channel::Report), b""),
        ]
        .concat(),
    ])
    .await;
    eventually("all three messages to be refused", async || {
        let metrics = stack
            .http
            .get(format!("{}/metrics", stack.endpoints.api))
            .send();
        let text = metrics.await.ok()?.text().await.ok()?;
        let refused = "espalier_cloud_reports_total{outcome=\"Refused\"} 3";
        text.lines().any(|line| line == refused).then_some(())
    })
    .await;
    stack.ready().await;

    broker.stop().await;
    stack.misses("broker").await;
    let devices: Page<DeviceView> = stack.get("/devices").await;
    assert_eq!(devices.items, []);
    let _broker = start(Vec::new()).await;
    stack.ready().await;
    stack.stop().await;
}

/// An address where nobody listens, and somebody may later.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
