//! A small fleet: a gateway, a device of the cloud's, and a device behind the gateway.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use espalier_api::{
    release::ReleaseView,
    rollout::{RolloutState, RolloutView},
};
use serde_json::json;

use crate::{
    agent::{Agent, AgentSpec},
    operator::Operator,
    scenes, wait,
    workshop::{DEVICE_CLASS, GATEWAY_CLASS, MODEL},
};

const ROLLED_OUT_WITHIN: Duration = Duration::from_secs(120);
const SERVED_WITHIN: Duration = Duration::from_secs(60);

/// The gateway's name.
pub const GATEWAY: &str = "gateway-1";
/// The device that speaks with the cloud.
pub const NEAR: &str = "device-1";
/// The device that knows only the gateway.
pub const BEHIND: &str = "device-2";

/// The fleet.
pub struct Household {
    /// The gateway.
    pub gateway: Agent,
    /// The device that speaks with the cloud.
    pub near: Agent,
    /// The device that knows only the gateway.
    pub behind: Agent,
}

impl Household {
    /// Enrols and starts all three.
    ///
    /// # Errors
    /// When one is refused or does not start.
    pub async fn enrol(operator: &Operator, folder: &Path) -> Result<Self> {
        let spec = |name: &str, class: &str, gateway| AgentSpec {
            name: name.to_owned(),
            class: class.to_owned(),
            gateway,
        };
        let gateway = operator
            .enrol(spec(GATEWAY, GATEWAY_CLASS, true), folder, None)
            .await?;
        let near = operator
            .enrol(spec(NEAR, DEVICE_CLASS, false), folder, None)
            .await?;
        let behind = operator
            .enrol(spec(BEHIND, DEVICE_CLASS, false), folder, Some(&gateway))
            .await?;
        Ok(Self {
            gateway,
            near,
            behind,
        })
    }

    /// All three.
    #[must_use]
    pub fn agents(&self) -> [&Agent; 3] {
        [&self.gateway, &self.near, &self.behind]
    }

    /// All three, to be stopped or killed.
    pub fn agents_mut(&mut self) -> [&mut Agent; 3] {
        [&mut self.gateway, &mut self.near, &mut self.behind]
    }

    /// Brings a release to all, one device first, and waits until it has ended well.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub async fn take(&self, operator: &Operator, release: &ReleaseView) -> Result<RolloutView> {
        let rollout = operator.roll_out(release.id, "all", 1).await?;
        let ended = operator.ended(rollout, ROLLED_OUT_WITHIN, |_| ()).await?;
        let assignments = operator.assignments(rollout).await?;
        let well = matches!(ended.state, RolloutState::Completed { .. });
        ensure!(
            well,
            "the rollout ended as {:?}: {assignments:#?}",
            ended.state
        );
        Ok(ended)
    }

    /// Waits until every member answers a click from the release's bytes, as it says itself and as
    /// its signed reports say.
    ///
    /// # Errors
    /// When one does not in time.
    pub async fn serves(
        &self,
        operator: &Operator,
        release: &ReleaseView,
        scratch: &Path,
    ) -> Result<()> {
        let scene = scenes::render(&scratch.join("scene"), 1, 7)
            .await?
            .into_iter()
            .next()
            .context("no scene")?;
        let (x, y) =
            scenes::inner_point(&scene.largest_object()?).context("an object without an inside")?;
        let (picture, prompt) = (
            std::fs::read(&scene.image)?,
            json!({"points": [{"x": x, "y": y}]}),
        );
        let http = reqwest::Client::new();
        for agent in self.agents() {
            let digest = release.digest.to_string();
            let name = agent.spec().name.clone();
            wait::until(
                &format!("{name} to serve {}", release.digest.short()),
                SERVED_WITHIN,
                || async {
                    let answer = agent.segment(&http, MODEL, &picture, &prompt).await;
                    let serves =
                        answer.is_ok_and(|answer| answer["release_digest"] == digest.as_str());
                    let reported = operator
                        .device(&name)
                        .await?
                        .models
                        .into_iter()
                        .find(|model| model.model.as_str() == MODEL);
                    let active = reported.and_then(|model| model.active);
                    let reports =
                        active.is_some_and(|active| active.release_digest == release.digest);
                    Ok((serves && reports).then_some(()))
                },
            )
            .await?;
        }
        Ok(())
    }
}
