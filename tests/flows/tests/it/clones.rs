//! A device's state folder is copied, key and all: both agents are noticed, and shut out until an operator has looked.

use std::{ffi::OsStr, fs, io, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use espalier_api::device::{DeviceView, StandingView};
use espalier_support::{
    Agent, Operator,
    agent::AgentSpec,
    cloud::CloudOptions,
    wait,
    workshop::{DEVICE_CLASS, GATEWAY_CLASS, Workshop},
};

const NOTICED_WITHIN: Duration = Duration::from_secs(60);
const NAME: &str = "device-1";
/// What an agent writes for others on its machine, and what only one process can have.
const NOT_COPIED: [&str; 2] = ["doors.json", "lock"];

struct Fleet {
    workshop: Workshop,
}

impl Fleet {
    async fn open() -> Result<Self> {
        let workshop = Workshop::open(CloudOptions::default()).await?;
        Ok(Self { workshop })
    }

    fn operator(&self) -> Operator {
        self.workshop.operator()
    }

    async fn enrol(&self, name: &str, class: &str, via: Option<&Agent>) -> Result<Agent> {
        let spec = AgentSpec {
            name: name.to_owned(),
            class: class.to_owned(),
            gateway: class == GATEWAY_CLASS,
        };
        self.operator()
            .enrol(spec, self.workshop.folder(), via)
            .await
    }

    /// From its first order on a device knows whose word the cloud's answers are.
    async fn order(&self) -> Result<()> {
        let operator = self.operator();
        let build = self.workshop.order(DEVICE_CLASS, 1).await?;
        operator.built(build, |_| ()).await?;
        let release = operator.release(&[build]).await?;
        let rollout = operator.roll_out(release.id, "all", 1).await?;
        operator.ended(rollout, NOTICED_WITHIN, |_| ()).await?;
        Ok(())
    }

    /// A second agent that runs from a copy of the first one's state folder.
    async fn clone_of(&self, agent: &Agent) -> Result<Agent> {
        let state = self.workshop.folder().join("copy");
        copy(agent.state(), &state)?;
        let claim = self.workshop.folder().join(format!("{NAME}.claim"));
        let mut copied = Agent::enrol(agent.spec().clone(), &state, &claim).await?;
        copied.start().await?;
        Ok(copied)
    }

    async fn device(&self) -> Result<DeviceView> {
        self.operator()
            .run(&["device", "show", NAME, "--events", "0"])
            .await
    }

    async fn quarantined(&self) -> Result<String> {
        wait::until("the quarantine", NOTICED_WITHIN, || async {
            Ok(match self.device().await?.standing {
                StandingView::Quarantined { reason, .. } => Some(reason),
                StandingView::Enrolled | StandingView::Revoked { .. } => None,
            })
        })
        .await
    }

    async fn is_heard(&self) -> Result<()> {
        wait::until("a report of the device", NOTICED_WITHIN, || async {
            Ok(self.device().await?.last_seen.map(drop))
        })
        .await
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from)?.flatten() {
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        let left_out = NOT_COPIED
            .map(OsStr::new)
            .contains(&entry.file_name().as_os_str());
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() && !left_out {
            match fs::copy(entry.path(), target) {
                // The agent runs: what it needed no more it has removed meanwhile.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_cloned_device_is_named_shut_out_and_readmitted_when_one_is_left() -> Result<()> {
    let fleet = Fleet::open().await?;
    let mut agent = fleet.enrol(NAME, DEVICE_CLASS, None).await?;
    fleet.is_heard().await?;

    let mut copied = fleet.clone_of(&agent).await?;
    fleet.quarantined().await?;
    agent.process()?.must_run()?;
    let told: serde_json::Value = fleet.operator().run(&["device", "show", NAME]).await?;
    ensure!(
        told.to_string().contains("device.quarantined"),
        "nobody was told: {told}"
    );

    copied.stop().await?;
    let readmitted: DeviceView = fleet.operator().run(&["device", "readmit", NAME]).await?;
    ensure!(readmitted.standing == StandingView::Enrolled && readmitted.last_seen.is_none());
    fleet.is_heard().await?;
    ensure!(fleet.device().await?.standing == StandingView::Enrolled);
    Ok(())
}

#[tokio::test]
async fn a_cloned_child_of_a_gateway_says_so_itself() -> Result<()> {
    let fleet = Fleet::open().await?;
    let gateway = fleet.enrol("gateway-1", GATEWAY_CLASS, None).await?;
    let child = fleet.enrol(NAME, DEVICE_CLASS, Some(&gateway)).await?;
    fleet.order().await?;

    let _copied = fleet.clone_of(&child).await?;
    fleet.quarantined().await?;
    let refused = fleet.device().await?.refused;
    ensure!(
        refused
            .iter()
            .any(|refused| refused.attack == "cloned-identity"),
        "the device did not name it: {refused:?}"
    );
    Ok(())
}
