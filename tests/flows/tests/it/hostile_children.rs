//! A device that means harm, behind a gateway that other devices need.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use espalier_link::{Identity, StateFolder, tls};
use espalier_protocol::{
    DeviceIdentity,
    claim::{Uplink, gateway_dns_name},
    envelope::MAX_ENVELOPE_BYTES,
};
use espalier_slots::Disk;
use espalier_support::{
    Cloud,
    agent::AgentSpec,
    cloud::CloudOptions,
    wait,
    workshop::{DEVICE_CLASS, GATEWAY_CLASS},
};
use reqwest::{Client, StatusCode, Url};

const HEARD_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hostile_child_says_stops_at_its_gateway_or_its_cloud() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let cloud = Cloud::start(&scratch.path().join("cloud"), CloudOptions::default()).await?;
    let operator = cloud.operator();
    let spec = |name: &str, class: &str, gateway| AgentSpec {
        name: name.to_owned(),
        class: class.to_owned(),
        gateway,
    };
    let gate = spec("gateway-1", GATEWAY_CLASS, true);
    let gateway = operator.enrol(gate, scratch.path(), None).await?;
    let behind = spec("behind-1", DEVICE_CLASS, false);
    let mut child = operator
        .enrol(behind, scratch.path(), Some(&gateway))
        .await?;
    child.stop().await?;

    let thief = Thief::with_the_certificate_in(child.state())?;
    let own = thief.identity.clone();
    let gates = DeviceIdentity::new(own.tenant.clone(), "gateway-1".parse()?);
    let large = vec![0; MAX_ENVELOPE_BYTES + 1];
    let cases = [
        (&own, large, StatusCode::PAYLOAD_TOO_LARGE),
        (&gates, b"not mine".to_vec(), StatusCode::FORBIDDEN),
        // The gateway reads nothing of what it carries: this is the cloud's to refuse.
        (&own, vec![0x9f; 60_000], StatusCode::ACCEPTED),
        (&own, Vec::new(), StatusCode::ACCEPTED),
    ];
    for (whose, report, expected) in cases {
        let size = report.len();
        let status = thief.says(whose, report).await?;
        ensure!(status == expected, "{size} bytes as {whose}: {status}");
    }
    ensure!(
        operator.is_ready().await?.is_some(),
        "the cloud is not ready"
    );

    // Both still carry and take what an honest child says.
    let before = operator.device("behind-1").await?.last_seen;
    child.start().await?;
    wait::until("the honest child to be heard", HEARD_WITHIN, || async {
        let seen = operator.device("behind-1").await?.last_seen;
        Ok((seen > before).then_some(()))
    })
    .await
}

/// Somebody with a child's certificate and key, and no agent.
struct Thief {
    identity: DeviceIdentity,
    relay: Url,
    http: Client,
}

impl Thief {
    fn with_the_certificate_in(state: &Path) -> Result<Self> {
        let identity = Identity::load(Arc::new(Disk), &StateFolder::new(state))?
            .context("the device is not enrolled")?;
        let Uplink::Gateway { door, gateway } = &identity.facts().uplink else {
            anyhow::bail!("the device is not behind a gateway");
        };
        let name = gateway_dns_name(gateway);
        let address = *door
            .socket_addrs(|| None)?
            .first()
            .context("the gateway has no address")?;
        let http = Client::builder()
            .tls_backend_preconfigured(tls::client(&identity)?)
            .no_proxy()
            .resolve(&name, address)
            .build()?;
        let mut relay = door.join("relay/v1/")?;
        relay.set_host(Some(&name))?;
        Ok(Self {
            identity: identity.device().clone(),
            relay,
            http,
        })
    }

    /// Says something in a device's name at the gateway's door; gives the door's answer.
    async fn says(&self, device: &DeviceIdentity, report: Vec<u8>) -> Result<StatusCode> {
        let url = self.relay.join(&format!("{device}/up"))?;
        Ok(self.http.post(url).body(report).send().await?.status())
    }
}
