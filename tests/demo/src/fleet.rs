//! The demo's fleet: one gateway, two devices of the cloud's, two behind the gateway.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, Result};
use espalier_support::{Agent, Operator, agent::AgentSpec, wire::Wire};

use crate::stages::Stage;

/// The class of the gateway's build.
pub const GATEWAY_CLASS: &str = "gateway-x86";
/// The class of the devices' build.
pub const DEVICE_CLASS: &str = "device-x86";
/// The gateway's name.
pub const GATEWAY: &str = "gateway-1";

/// A member of the fleet.
pub struct Member {
    /// The agent.
    pub agent: Agent,
    /// `cloud` or `gateway`.
    pub via: &'static str,
}

/// The whole fleet.
pub struct Fleet {
    /// The gateway first.
    pub members: Vec<Member>,
    /// The network between the gateway and its broker, which the demo's attacker will take over.
    pub wire: Wire,
}

impl Fleet {
    /// Enrols and starts all five.
    ///
    /// # Errors
    /// When one is refused or does not start.
    pub async fn enrol(operator: &Operator, folder: &Path, stage: &Stage) -> Result<Self> {
        std::fs::create_dir_all(folder).context("cannot make the fleet's folder")?;
        let wire = Wire::to(broker(operator)?).await?;
        stage.say(format_args!("{GATEWAY} enrols with the cloud"));
        let gateway = enrol_over_wire(operator, folder, &wire).await?;
        let mut members = vec![Member {
            agent: gateway,
            via: "cloud",
        }];
        for (name, behind) in [
            ("device-1", false),
            ("device-2", false),
            ("device-3", true),
            ("device-4", true),
        ] {
            let via = behind.then_some(&members[0].agent);
            stage.say(format_args!(
                "{name} enrols {}",
                if behind {
                    "through the gateway"
                } else {
                    "with the cloud"
                }
            ));
            let spec = AgentSpec {
                name: name.to_owned(),
                class: DEVICE_CLASS.to_owned(),
                gateway: false,
            };
            let agent = operator.enrol(spec, folder, via).await?;
            members.push(Member {
                agent,
                via: if behind { "gateway" } else { "cloud" },
            });
        }
        Ok(Self { members, wire })
    }

    /// The gateway.
    #[must_use]
    pub fn gateway(&self) -> &Agent {
        &self.members[0].agent
    }

    /// Ends all, devices first.
    ///
    /// # Errors
    /// When one does not end in good order.
    pub async fn stop(mut self) -> Result<()> {
        for member in self.members.iter_mut().rev() {
            member.agent.stop().await?;
        }
        Ok(())
    }
}

/// The gateway's claim names the wire as its broker: whoever owns the network can do that.
async fn enrol_over_wire(operator: &Operator, folder: &Path, wire: &Wire) -> Result<Agent> {
    let claim = folder.join("gateway.claim");
    operator.claim(&claim, None).await?;
    let mut content: serde_json::Value = serde_json::from_slice(&std::fs::read(&claim)?)?;
    content["uplink"]["broker"] = format!("mqtts://{}", wire.address()).into();
    std::fs::write(&claim, content.to_string())?;
    let spec = AgentSpec {
        name: GATEWAY.to_owned(),
        class: GATEWAY_CLASS.to_owned(),
        gateway: true,
    };
    let mut agent = Agent::enrol(spec, &folder.join(GATEWAY), &claim).await?;
    agent.start().await?;
    Ok(agent)
}

/// The real broker's address.
///
/// # Errors
/// When the control plane names none.
pub fn broker(operator: &Operator) -> Result<SocketAddr> {
    let url: url::Url = operator
        .endpoints()
        .broker
        .parse()
        .context("the broker's address is none")?;
    let port = url.port().context("the broker's address has no port")?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}
