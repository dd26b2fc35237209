//! The files that make a Mosquitto keep each device to its own topics.

use std::fmt::Write as _;

use espalier_api::broker::{BrokerConfigView, BrokerFile};
use espalier_domain::principal::Principal;
use espalier_protocol::{
    DeviceIdentity,
    enrol::Role,
    envelope::MAX_ENVELOPE_BYTES,
    topic::{Channel, PREFIX, Topic},
};

use crate::{
    bridge::CLOUD_USER,
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// Devices that are read at once.
const BATCH: u32 = 1000;

/// Listener, authority, server certificate and rights.
///
/// # Errors
/// `database_unavailable`.
pub async fn broker_config(cloud: &Cloud, who: &Principal) -> Outcome<BrokerConfigView> {
    let host = cloud
        .addresses
        .broker
        .host_str()
        .unwrap_or("localhost")
        .to_owned();
    let port = cloud.addresses.broker.port().unwrap_or(8883);
    let names = [host, "localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = cloud.authority.door_certificate(&names, &cloud.world)?;
    let ca_pem = cloud.authority.ca.certificate_pem().to_owned();
    let open = |name: &str, content: String| BrokerFile {
        name: name.to_owned(),
        content,
        private: false,
    };
    Ok(BrokerConfigView {
        files: vec![
            open("mosquitto.conf", listener(port)),
            open("acl", rights(cloud, who).await?),
            open("ca.pem", ca_pem),
            open("server.pem", certificate.pem),
            BrokerFile {
                name: "server.key.pem".to_owned(),
                content: certificate.key_pem,
                private: true,
            },
        ],
    })
}

fn listener(port: u16) -> String {
    format!(
        "# Written by espalier: mutual TLS, rights by certificate. Start Mosquitto in this folder.\n\
         listener {port}\n\
         cafile ca.pem\n\
         certfile server.pem\n\
         keyfile server.key.pem\n\
         require_certificate true\n\
         use_identity_as_username true\n\
         allow_anonymous false\n\
         acl_file acl\n\
         max_packet_size {}\n\
         max_queued_messages 1000\n\
         max_inflight_messages 100\n\
         persistence false\n",
        MAX_ENVELOPE_BYTES + 1024
    )
}

/// A device's own rights follow from its certificate's name; a gateway's rights on its children's
/// topics are written out, and those of devices that may not speak are taken back.
async fn rights(cloud: &Cloud, who: &Principal) -> Outcome<String> {
    let mut acl = format!(
        "# Written by espalier; write it anew when devices were enrolled behind a gateway, or shut out.\n\
        user {CLOUD_USER}\ntopic readwrite {PREFIX}/#\n\n\
        pattern read {PREFIX}/%u/down/+\npattern write {PREFIX}/%u/up/report\n"
    );
    let mut after = None;
    loop {
        let devices = cloud
            .store()?
            .devices()
            .list(&who.tenant, after.as_ref(), BATCH)
            .await?;
        let full = devices.len() == BATCH as usize;
        for device in &devices {
            if device.standing.is_barred() {
                shut_out(&device.identity, &mut acl)?;
            } else if device.role == Role::Gateway {
                gateway(cloud, &device.identity, &mut acl).await?;
            }
        }
        after = devices.last().map(|device| device.identity.device.clone());
        if !full {
            return Ok(acl);
        }
    }
}

/// Its certificate still opens a connection; denials are looked at before the patterns that grant.
fn shut_out(device: &DeviceIdentity, acl: &mut String) -> Outcome<()> {
    write!(acl, "\nuser {device}\ntopic deny {PREFIX}/#\n").map_err(Refusal::internal)
}

async fn gateway(cloud: &Cloud, gateway: &DeviceIdentity, acl: &mut String) -> Outcome<()> {
    let children = cloud.store()?.devices().children(gateway).await?;
    if children.is_empty() {
        return Ok(());
    }
    let mut lines = format!("\nuser {gateway}\n");
    for child in children {
        let child = DeviceIdentity::new(gateway.tenant.clone(), child);
        for channel in Channel::ALL {
            let right = if channel.is_down() { "read" } else { "write" };
            let topic = Topic::new(child.clone(), channel);
            writeln!(lines, "topic {right} {topic}").map_err(Refusal::internal)?;
        }
    }
    acl.push_str(&lines);
    Ok(())
}
