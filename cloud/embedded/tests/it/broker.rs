//! The broker's services to devices that behave.

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use espalier_embedded::broker::{BrokerError, EmbeddedBroker};
use espalier_protocol::envelope::MAX_ENVELOPE_BYTES;
use espalier_protocol::topic::Channel;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, SubscribeReasonCode};

use crate::certificates::Authority;
use crate::devices::{Cloud, Device, Told, identity, topic};

const A: &str = "default/device-a";
const B: &str = "default/device-b";

#[tokio::test(flavor = "multi_thread")]
async fn messages_travel_both_ways() -> Result<()> {
    let ca = Authority::new()?;
    let (_files, config) = ca.broker()?;
    let (cloud, mut ears) = Cloud::new();
    let broker = EmbeddedBroker::start(config, cloud).await?;
    let mut a = Device::connect(broker.address(), A, &ca.device(A, 1)?).await?;
    assert_eq!(ears.next().await?, Told::Connected(A.to_owned()));
    assert_eq!(broker.connected().await, [identity(A)]);

    let report = topic(A, Channel::Report);
    assert_eq!(a.publish(&report, "hello").await?, PubAckReason::Success);
    let told = Told::Published {
        from: A.to_owned(),
        topic: report.to_string(),
        payload: "hello".into(),
    };
    assert_eq!(ears.next().await?, told);

    let ack = topic(A, Channel::Ack);
    assert_eq!(
        a.subscribe(&ack).await?,
        SubscribeReasonCode::Success(QoS::AtLeastOnce)
    );
    broker.publish(&ack, "well received".into(), false).await?;
    assert_eq!(a.message().await?.payload, "well received");
    broker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_message_reaches_a_late_subscriber_and_only_the_last_one() -> Result<()> {
    let ca = Authority::new()?;
    let (_files, config) = ca.broker()?;
    let (cloud, _ears) = Cloud::new();
    let broker = EmbeddedBroker::start(config, cloud).await?;
    let desired = topic(A, Channel::Desired);
    broker.publish(&desired, "old".into(), true).await?;
    broker.publish(&desired, "new".into(), true).await?;
    let mut a = Device::connect(broker.address(), A, &ca.device(A, 1)?).await?;
    a.subscribe(&desired).await?;
    let message = a.message().await?;
    assert!(message.retain);
    assert_eq!(message.payload, "new");
    broker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn largest_message_travels_both_ways_and_a_larger_one_does_not() -> Result<()> {
    let ca = Authority::new()?;
    let (_files, config) = ca.broker()?;
    let (cloud, _ears) = Cloud::new();
    let broker = EmbeddedBroker::start(config, cloud).await?;
    let mut a = Device::connect(broker.address(), A, &ca.device(A, 1)?).await?;
    let (report, desired) = (topic(A, Channel::Report), topic(A, Channel::Desired));
    let (largest, larger) = (
        Bytes::from(vec![7; MAX_ENVELOPE_BYTES]),
        Bytes::from(vec![7; MAX_ENVELOPE_BYTES + 1]),
    );

    assert_eq!(
        a.publish(&report, largest.clone()).await?,
        PubAckReason::Success
    );
    assert_eq!(
        a.publish(&report, larger.clone()).await?,
        PubAckReason::PayloadFormatInvalid
    );
    a.subscribe(&desired).await?;
    let refused = broker.publish(&desired, larger, true).await;
    assert!(
        matches!(refused, Err(BrokerError::Publish { .. })),
        "{refused:?}"
    );
    broker.publish(&desired, largest.clone(), true).await?;
    assert_eq!(a.message().await?.payload, largest);
    broker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_the_cloud_cannot_take_now_is_not_acknowledged() -> Result<()> {
    let ca = Authority::new()?;
    let (_files, config) = ca.broker()?;
    let (cloud, _ears) = Cloud::new();
    let broker = EmbeddedBroker::start(config, cloud).await?;
    let mut a = Device::connect(broker.address(), A, &ca.device(A, 1)?).await?;
    let report = topic(A, Channel::Report);
    assert_eq!(
        a.publish(&report, "not now").await?,
        PubAckReason::QuotaExceeded
    );
    assert_eq!(a.publish(&report, "now").await?, PubAckReason::Success);
    broker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_answer_holds_up_only_the_device_that_waits_for_it() -> Result<()> {
    let ca = Authority::new()?;
    let (_files, config) = ca.broker()?;
    let (cloud, _ears) = Cloud::new();
    let broker = EmbeddedBroker::start(config, cloud.clone()).await?;
    let mut a = Device::connect(broker.address(), A, &ca.device(A, 1)?).await?;
    let mut b = Device::connect(broker.address(), B, &ca.device(B, 2)?).await?;
    let waiting = tokio::spawn(async move { a.publish(topic(A, Channel::Report), "slow").await });
    let answer = b.publish(topic(B, Channel::Report), "quick").await?;
    assert_eq!(answer, PubAckReason::Success);
    assert!(
        !waiting.is_finished(),
        "acknowledged before it was accepted"
    );
    cloud.slow.notify_one();
    assert_eq!(waiting.await??, PubAckReason::Success);
    broker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_fleet_connects_at_once() -> Result<()> {
    const FLEET: u64 = 100;
    let ca = Arc::new(Authority::new()?);
    let (_files, config) = ca.broker()?;
    let (cloud, _ears) = Cloud::new();
    let broker = Arc::new(EmbeddedBroker::start(config, cloud).await?);
    let mut fleet = tokio::task::JoinSet::new();
    for number in 0..FLEET {
        let (ca, broker) = (ca.clone(), broker.clone());
        fleet.spawn(async move {
            let name = format!("default/device-{number}");
            let desired = topic(&name, Channel::Desired);
            broker.publish(&desired, name.clone().into(), true).await?;
            let tls = ca.device(&name, number + 1)?;
            let mut device = Device::connect(broker.address(), &name, &tls).await?;
            device.subscribe(&desired).await?;
            assert_eq!(device.message().await?.payload, name);
            anyhow::Ok(device)
        });
    }
    let mut devices = Vec::new();
    while let Some(device) = fleet.join_next().await {
        devices.push(device??);
    }
    assert_eq!(broker.connected().await.len(), devices.len());
    broker.stop().await;
    for device in &mut devices {
        device.ended().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn device_that_connects_again_is_not_reported_as_gone() -> Result<()> {
    let ca = Authority::new()?;
    let (_files, config) = ca.broker()?;
    let (cloud, mut ears) = Cloud::new();
    let broker = EmbeddedBroker::start(config, cloud).await?;
    let tls = ca.device(A, 1)?;
    let mut first = Device::connect(broker.address(), A, &tls).await?;
    let mut second = Device::connect(broker.address(), A, &tls).await?;
    first.ended().await?;
    second
        .publish(topic(A, Channel::Report), "still here")
        .await?;
    // The old connection's end may be told before the new one's beginning, and not after it.
    let mut last = None;
    loop {
        match ears.next().await? {
            Told::Published { .. } => break,
            other => last = Some(other),
        }
    }
    assert_eq!(last, Some(Told::Connected(A.to_owned())));
    assert_eq!(broker.connected().await, [identity(A)]);
    drop(second);
    assert_eq!(ears.next().await?, Told::Disconnected(A.to_owned()));
    broker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_broker_ends_connections_and_its_port_is_free_again() -> Result<()> {
    let ca = Authority::new()?;
    let (_files, mut config) = ca.broker()?;
    let (cloud, _ears) = Cloud::new();
    let broker = EmbeddedBroker::start(config.clone(), cloud.clone()).await?;
    let mut a = Device::connect(broker.address(), A, &ca.device(A, 1)?).await?;
    config.listen = broker.address();
    broker.stop().await;
    a.ended().await?;
    let again = EmbeddedBroker::start(config, cloud).await?;
    Device::connect(again.address(), A, &ca.device(A, 1)?).await?;
    again.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn address_that_is_taken_and_files_that_are_none() -> Result<()> {
    let ca = Authority::new()?;
    let (files, mut config) = ca.broker()?;
    let (cloud, _ears) = Cloud::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    config.listen = taken.local_addr()?;
    let refused = EmbeddedBroker::start(config.clone(), cloud.clone())
        .await
        .err();
    assert!(
        matches!(refused, Some(BrokerError::Listen { .. })),
        "{refused:?}"
    );
    config.listen = "127.0.0.1:0".parse()?;
    config.key = files.path().join("missing");
    let refused = EmbeddedBroker::start(config, cloud).await.err();
    assert!(
        matches!(refused, Some(BrokerError::Tls { .. })),
        "{refused:?}"
    );
    Ok(())
}
