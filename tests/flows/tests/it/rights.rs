//! Per-device rights on somebody else's broker: what `espalier broker config mosquitto` writes keeps
//! each device to its own topics.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use espalier_link::{Identity, StateFolder, tls};
use espalier_protocol::{
    DeviceIdentity,
    topic::{Channel, Topic},
};
use espalier_slots::Disk;
use espalier_support::{
    Operator,
    agent::AgentSpec,
    cloud::{Cloud, CloudOptions},
    mosquitto::Mosquitto,
    skip::skipped,
    workshop::DEVICE_CLASS,
};
use rumqttc::{
    TlsConfiguration, Transport,
    v5::{
        AsyncClient, Event, EventLoop, MqttOptions,
        mqttbytes::{
            QoS,
            v5::{Packet, PubAckReason},
        },
    },
};

const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Lets the product write the configuration for this port, and starts Mosquitto with it.
pub async fn start_mosquitto(
    operator: &Operator,
    program: &Path,
    folder: &Path,
    port: u16,
) -> Result<Mosquitto> {
    std::fs::create_dir_all(folder)?;
    write_config(operator, folder).await?;
    let conf = folder.join("mosquitto.conf");
    let mut text = std::fs::read_to_string(&conf)?;
    // Started as root it would become a user that may not read a test's folder.
    text.push_str("user root\n");
    std::fs::write(&conf, text)?;
    Mosquitto::start(program, folder, port).await
}

async fn write_config(operator: &Operator, folder: &Path) -> Result<()> {
    let into = folder.to_str().context("a folder that is no text")?;
    let command = ["broker", "config", "mosquitto", "--into", into];
    operator.run::<serde_json::Value>(&command).await.map(drop)
}

#[tokio::test]
async fn a_device_cannot_read_or_write_anothers_topics_on_mosquitto() -> Result<()> {
    let Some(program) = Mosquitto::program() else {
        skipped(
            "a_device_cannot_read_or_write_anothers_topics_on_mosquitto",
            "Mosquitto is not on this machine",
        );
        return Ok(());
    };
    let scratch = tempfile::tempdir()?;
    let port = Mosquitto::free_port()?;
    let broker = Some(format!("mqtts://127.0.0.1:{port}"));
    let cloud = Cloud::start(
        &scratch.path().join("cloud"),
        CloudOptions {
            broker,
            database_url: None,
        },
    )
    .await?;
    let operator = cloud.operator();
    let folder = scratch.path().join("mosquitto");
    let mosquitto = start_mosquitto(&operator, &program, &folder, port).await?;
    let [a, b] = ["device-a", "device-b"].map(|name| AgentSpec {
        name: name.into(),
        class: DEVICE_CLASS.into(),
        gateway: false,
    });
    let mut victim = operator.enrol(a, scratch.path(), None).await?;
    victim.stop().await?;
    let mut thief = operator.enrol(b, scratch.path(), None).await?;
    thief.stop().await?;
    let victim_reports = reports_of(&operator, "device-a").await?;
    let thief_state = Topic {
        channel: Channel::Desired,
        ..reports_of(&operator, "device-b").await?
    };

    let mut thief = Party::connect(thief.state(), port)?;
    for filter in [
        "#",
        "espalier/v1/+/+/up/report",
        &victim_reports.to_string(),
    ] {
        thief.subscribe(filter).await?;
    }
    let mut victim = Party::connect(victim.state(), port)?;
    ensure!(
        victim.publish(&victim_reports).await?,
        "device A may not write its own reports"
    );
    // The broker passed the message on before it acknowledged it, and answers the thief in order.
    thief.subscribe(&thief_state.to_string()).await?;
    ensure!(
        thief.heard.is_empty(),
        "device B reads what is not its own: {:?}",
        thief.heard
    );
    ensure!(
        !thief.publish(&victim_reports).await?,
        "device B may write device A's reports"
    );

    let own = reports_of(&operator, "device-b").await?;
    ensure!(
        thief.publish(&own).await?,
        "device B may not write its own reports"
    );
    let _shown: serde_json::Value = operator.run(&["device", "revoke", "device-b"]).await?;
    write_config(&operator, &folder).await?;
    mosquitto.reload()?;
    while thief.publish(&own).await? {
        // Mosquitto looks for signals between two rounds.
    }
    ensure!(
        victim.publish(&victim_reports).await?,
        "device A lost its rights with device B"
    );
    Ok(())
}

async fn reports_of(operator: &Operator, name: &str) -> Result<Topic> {
    let device = operator.device(name).await?;
    Ok(Topic::new(
        DeviceIdentity::new(device.tenant, device.name),
        Channel::Report,
    ))
}

/// A device's own certificate in hands that do with it what they like.
struct Party {
    client: AsyncClient,
    events: EventLoop,
    heard: Vec<String>,
}

impl Party {
    fn connect(state: &Path, port: u16) -> Result<Self> {
        let identity = Identity::load(Arc::new(Disk), &StateFolder::new(state))?
            .context("the device is not enrolled")?;
        let mut options = MqttOptions::new(identity.device().to_string(), "127.0.0.1", port);
        let tls = TlsConfiguration::Rustls(Arc::new(tls::client(&identity)?));
        options.set_transport(Transport::tls_with_config(tls));
        options.set_outgoing_inflight_upper_limit(16);
        let (client, events) = AsyncClient::new(options, 16);
        Ok(Self {
            client,
            events,
            heard: Vec::new(),
        })
    }

    /// Asks for a filter and waits for the answer, whatever it is.
    async fn subscribe(&mut self, filter: &str) -> Result<()> {
        self.client.subscribe(filter, QoS::AtLeastOnce).await?;
        self.answer(|packet| matches!(packet, Packet::SubAck(_)).then_some(()))
            .await
    }

    /// Whether the broker took a message for a topic.
    async fn publish(&mut self, topic: &Topic) -> Result<bool> {
        self.client
            .publish(topic.to_string(), QoS::AtLeastOnce, false, "not a report")
            .await?;
        self.answer(|packet| match packet {
            Packet::PubAck(ack) => Some(ack.reason != PubAckReason::NotAuthorized),
            _ => None,
        })
        .await
    }

    async fn answer<T>(&mut self, wanted: impl Fn(&Packet) -> Option<T>) -> Result<T> {
        let answered = async {
            loop {
                match self.events.poll().await? {
                    Event::Incoming(Packet::Publish(message)) => {
                        self.heard
                            .push(String::from_utf8_lossy(&message.topic).into_owned());
                    }
                    Event::Incoming(packet) => {
                        if let Some(answer) = wanted(&packet) {
                            return Ok(answer);
                        }
                    }
                    Event::Outgoing(_) => {}
                }
            }
        };
        tokio::time::timeout(ANSWERED_WITHIN, answered)
            .await
            .context("the broker did not answer")?
    }
}
