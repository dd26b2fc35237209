//! Devices that try what they may not.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use espalier_embedded::broker::EmbeddedBroker;
use espalier_protocol::topic::{Channel, Topic};
use rumqttc::v5::ConnectionError;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, LastWill, PubAckReason, SubscribeReasonCode};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::certificates::Authority;
use crate::devices::{Cloud, Device, Ears, Introduction, Told, identity, topic};

const A: &str = "default/device-a";
const B: &str = "default/device-b";

struct Stage {
    ca: Authority,
    cloud: Arc<Cloud>,
    ears: Ears,
    broker: EmbeddedBroker,
    _files: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Result<Self> {
        Self::with(Cloud::new()).await
    }

    async fn with((cloud, ears): (Arc<Cloud>, Ears)) -> Result<Self> {
        let ca = Authority::new()?;
        let (files, config) = ca.broker()?;
        let broker = EmbeddedBroker::start(config, cloud.clone()).await?;
        Ok(Self {
            ca,
            cloud,
            ears,
            broker,
            _files: files,
        })
    }

    async fn device(&self, name: &str) -> Result<Device> {
        Device::connect(self.broker.address(), name, &self.ca.device(name, 1)?).await
    }

    async fn refusal(&self, introduction: Introduction) -> Result<ConnectionError> {
        match Device::introduce(self.broker.address(), introduction).await {
            Ok(_) => bail!("it was let in"),
            Err(error) => Ok(*error),
        }
    }
}

fn is_not_authorized(refusal: &ConnectionError) -> bool {
    matches!(
        refusal,
        ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn device_reads_another_devices_topics() -> Result<()> {
    let stage = Stage::set().await?;
    let (mut a, mut b) = (stage.device(A).await?, stage.device(B).await?);
    let desired = topic(A, Channel::Desired);
    stage
        .broker
        .publish(&desired, "secret, retained".into(), true)
        .await?;
    let tries = [
        "#",
        "espalier/#",
        "espalier/v1/default/+/down/desired",
        "espalier/v1/default/device-b/#",
        "$SYS/#",
        "+",
    ];
    for filter in tries
        .into_iter()
        .map(str::to_owned)
        .chain([desired.to_string(), format!("$share/x/{desired}")])
    {
        let answer = b.subscribe(&filter).await?;
        assert!(
            !matches!(answer, SubscribeReasonCode::Success(_)),
            "{filter}"
        );
    }
    a.subscribe(&desired).await?;
    let own = topic(B, Channel::Desired);
    b.subscribe(&own).await?;
    stage
        .broker
        .publish(&desired, "secret".into(), false)
        .await?;
    stage.broker.publish(&own, "its own".into(), false).await?;
    // Had the broker let one through, it would have come before this one.
    assert_eq!(b.message().await?.payload, "its own");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn device_writes_another_devices_topics() -> Result<()> {
    let mut stage = Stage::set().await?;
    let (mut a, mut b) = (stage.device(A).await?, stage.device(B).await?);
    a.subscribe(topic(A, Channel::Desired)).await?;
    let tries = [
        topic(A, Channel::Report),
        topic(A, Channel::Desired),
        topic(B, Channel::Desired),
        topic(B, Channel::Ack),
    ];
    let texts = tries.iter().map(Topic::to_string).chain([
        "espalier/v1/default/device-b/up/other".to_owned(),
        "x".to_owned(),
    ]);
    for name in texts {
        assert_eq!(
            b.publish(&name, "forged").await?,
            PubAckReason::NotAuthorized,
            "{name}"
        );
    }
    stage
        .broker
        .publish(&topic(A, Channel::Desired), "true".into(), false)
        .await?;
    assert_eq!(a.message().await?.payload, "true");
    b.publish(topic(B, Channel::Report), "true").await?;
    let first_report = loop {
        if let Told::Published { payload, .. } = stage.ears.next().await? {
            break payload;
        }
    };
    assert_eq!(first_report, "true");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn device_leaves_retained_messages_and_wills() -> Result<()> {
    let stage = Stage::set().await?;
    let mut b = stage.device(B).await?;
    let retained = b
        .publish_with(topic(B, Channel::Report), "stays", true)
        .await?;
    assert_eq!(retained, PubAckReason::NotAuthorized);
    let will = LastWill::new(
        topic(A, Channel::Desired).to_string(),
        "forged",
        QoS::AtLeastOnce,
        true,
        None,
    );
    let introduction = Introduction {
        client_id: B.to_owned(),
        tls: stage.ca.device(B, 1)?,
        will: Some(will),
    };
    let refusal = stage.refusal(introduction).await?;
    assert!(is_not_authorized(&refusal), "{refusal:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_speaks_for_its_child_and_for_nobody_else() -> Result<()> {
    let family = Some((identity("default/gateway-1"), identity(A)));
    let stage = Stage::with(Cloud::with_gateway(family)).await?;
    let mut gateway = stage.device("default/gateway-1").await?;
    let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
    assert_eq!(
        gateway.subscribe(topic(A, Channel::Desired)).await?,
        granted
    );
    assert_eq!(
        gateway.publish(topic(A, Channel::Report), "from a").await?,
        PubAckReason::Success
    );
    assert_eq!(
        gateway.subscribe(topic(B, Channel::Desired)).await?,
        SubscribeReasonCode::NotAuthorized
    );
    assert_eq!(
        gateway.publish(topic(B, Channel::Report), "forged").await?,
        PubAckReason::NotAuthorized
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn client_id_of_another_device() -> Result<()> {
    let stage = Stage::set().await?;
    let introduction = Introduction {
        client_id: A.to_owned(),
        tls: stage.ca.device(B, 1)?,
        will: None,
    };
    let refusal = stage.refusal(introduction).await?;
    assert!(is_not_authorized(&refusal), "{refusal:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_without_a_device_identity() -> Result<()> {
    let stage = Stage::set().await?;
    for name in ["device-a", "default/UPPER", "default/a/b", "default/+", "#"] {
        let introduction = Introduction {
            client_id: name.to_owned(),
            tls: stage.ca.device(name, 1)?,
            will: None,
        };
        let refusal = stage.refusal(introduction).await?;
        assert!(is_not_authorized(&refusal), "{name}: {refusal:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_certificate_or_one_of_another_ca() -> Result<()> {
    let stage = Stage::set().await?;
    let stranger = Introduction {
        client_id: A.to_owned(),
        tls: stage.ca.stranger()?,
        will: None,
    };
    let refusal = stage.refusal(stranger).await?;
    assert!(
        !matches!(refusal, ConnectionError::ConnectionRefused(_)),
        "it got as far as MQTT: {refusal:?}"
    );
    let another = Authority::new()?;
    let forged = Introduction {
        client_id: A.to_owned(),
        tls: another.device(A, 1)?,
        will: None,
    };
    let refusal = stage.refusal(forged).await?;
    assert!(
        !matches!(refusal, ConnectionError::ConnectionRefused(_)),
        "it got as far as MQTT: {refusal:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_certificate_is_kicked_and_stays_out() -> Result<()> {
    let mut stage = Stage::set().await?;
    let tls = stage.ca.device(A, 0x0a51)?;
    let mut a = Device::connect(stage.broker.address(), A, &tls).await?;
    assert_eq!(stage.ears.next().await?, Told::Connected(A.to_owned()));
    stage
        .cloud
        .revoked
        .lock()
        .expect("no test panicked while it held this")
        .insert("a51".to_owned());
    stage.broker.kick(&identity(A)).await;
    a.ended().await?;
    assert_eq!(stage.ears.next().await?, Told::Disconnected(A.to_owned()));
    let refusal = stage
        .refusal(Introduction {
            client_id: A.to_owned(),
            tls,
            will: None,
        })
        .await?;
    assert!(is_not_authorized(&refusal), "{refusal:?}");
    assert!(stage.broker.connected().await.is_empty());
    // Its successor, with a new certificate, is welcome.
    Device::connect(stage.broker.address(), A, &stage.ca.device(A, 2)?).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kicked_device_without_a_connection() -> Result<()> {
    let stage = Stage::set().await?;
    stage.broker.kick(&identity(A)).await;
    stage.device(A).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_are_huge_or_nonsense() -> Result<()> {
    let stage = Stage::set().await?;
    let address = stage.broker.address();
    // PUBLISH headers that announce 256 MB, and a length that does not end.
    for hostile in [
        &[0x32, 0xff, 0xff, 0xff, 0x7f][..],
        &[0x32, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xf0, 0x00],
        &[0x00; 64],
    ] {
        let (tls, hostile) = (stage.ca.device(B, 1)?, hostile.to_vec());
        tokio::task::spawn_blocking(move || speak_after_connecting(address, tls, &hostile))
            .await??;
    }
    let mut a = stage.device(A).await?;
    assert_eq!(
        a.publish(topic(A, Channel::Report), "still here").await?,
        PubAckReason::Success
    );
    Ok(())
}

/// Connects by hand, sends bytes that no client would, and waits until the broker ends the
/// connection.
fn speak_after_connecting(
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    hostile: &[u8],
) -> Result<()> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let session = ClientConnection::new(tls, "localhost".try_into()?)?;
    let mut stream = StreamOwned::new(session, socket);
    stream.write_all(&connect_packet(B))?;
    let mut header = [0; 2];
    stream.read_exact(&mut header)?;
    let mut acknowledgement = vec![0; usize::from(header[1])];
    stream.read_exact(&mut acknowledgement)?;
    ensure!(
        header[0] == 0x20 && acknowledgement[1] == 0,
        "not connected"
    );
    stream.write_all(hostile)?;
    match stream.read_to_end(&mut Vec::new()) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            bail!("the connection stays")
        }
        _ => Ok(()),
    }
}

/// MQTT 5, clean start, keep-alive 60 s, no properties.
fn connect_packet(client_id: &str) -> Vec<u8> {
    let mut body = vec![
        0,
        4,
        b'M',
        b'Q',
        b'T',
        b'T',
        5,
        2,
        0,
        60,
        0,
        0,
        client_id.len() as u8,
    ];
    body.extend(client_id.as_bytes());
    let mut packet = vec![0x10, body.len() as u8];
    packet.append(&mut body);
    packet
}
