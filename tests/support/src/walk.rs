//! The steps of "a model to a slot" as an operator takes them, with the command line.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use espalier_api::page::Page;
use espalier_api::{
    build::{BuildState, BuildView},
    device::DeviceView,
    model::ModelVersionView,
    release::ReleaseView,
    rollout::{AssignmentView, RolloutState, RolloutView},
};
use espalier_protocol::{
    DeviceName,
    id::{BuildId, ModelVersionId, ReleaseId, RolloutId},
};

use crate::{
    agent::{Agent, AgentSpec},
    operator::Operator,
    wait,
};

/// How long a build may take.
const BUILT_WITHIN: Duration = Duration::from_secs(300);

impl Operator {
    /// Imports a full model from a folder and waits until it was inspected.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn import(&self, folder: &Path) -> Result<ModelVersionView> {
        let folder = folder.to_str().context("a model folder that is no text")?;
        self.run(&["model", "import", folder]).await
    }

    /// Asks for a build.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn order_build(
        &self,
        version: ModelVersionId,
        class: &str,
        recipe: &Path,
    ) -> Result<BuildId> {
        let recipe = recipe.to_str().context("a recipe path that is no text")?;
        let version = version.to_string();
        let args = [
            "build", "create", "--model", &version, "--class", class, "--recipe", recipe,
        ];
        Ok(self.run::<BuildView>(&args).await?.id)
    }

    /// Waits until a build has passed its gate; `hear` is told of each step.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub async fn built(&self, build: BuildId, hear: impl Fn(&BuildState)) -> Result<BuildView> {
        let path = format!("/builds/{build}");
        wait::until("the build", BUILT_WITHIN, || async {
            let view: BuildView = self.get(&path).await?;
            hear(&view.state);
            match &view.state {
                BuildState::Queued | BuildState::Running { .. } => Ok(None),
                BuildState::Passed { .. } => Ok(Some(view)),
                ended => bail!(
                    "the build {build} for {} did not pass: {ended:?}",
                    view.device_class
                ),
            }
        })
        .await
    }

    /// Drafts a release of builds and signs it with the development keys.
    ///
    /// # Errors
    /// When the server or the signer refuses.
    pub async fn release(&self, builds: &[BuildId]) -> Result<ReleaseView> {
        let ids: Vec<String> = builds.iter().map(ToString::to_string).collect();
        let mut args = vec!["release", "create"];
        args.extend(ids.iter().map(String::as_str));
        let draft: ReleaseView = self.run(&args).await?;
        self.run(&["release", "sign", &draft.id.to_string()]).await
    }

    /// Makes a claim, enrols an agent with it, and starts it.
    ///
    /// # Errors
    /// When it is refused, or the agent does not open its doors.
    pub async fn enrol(
        &self,
        spec: AgentSpec,
        folder: &Path,
        via: Option<&Agent>,
    ) -> Result<Agent> {
        let claim = folder.join(format!("{}.claim", spec.name));
        self.claim(&claim, via).await?;
        let mut agent = Agent::enrol(spec.clone(), &folder.join(&spec.name), &claim).await?;
        agent.start().await?;
        Ok(agent)
    }

    /// Makes a claim file, for a device that sits behind `via` if there is one.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn claim(&self, file: &Path, via: Option<&Agent>) -> Result<()> {
        let file = file.to_str().context("a claim path that is no text")?;
        let mut args = vec!["claim".to_owned(), "create".to_owned(), file.to_owned()];
        if let Some(gateway) = via {
            let door = gateway
                .doors()?
                .relay
                .context("the gateway has no LAN door")?;
            args.extend(["--gateway".to_owned(), gateway.spec().name.clone()]);
            args.extend(["--gateway-door".to_owned(), format!("https://{door}/")]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.run::<serde_json::Value>(&args).await.map(drop)
    }

    /// Starts a rollout to the selected devices; with a canary of that many, then the rest.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn roll_out(
        &self,
        release: ReleaseId,
        selector: &str,
        canary: u32,
    ) -> Result<RolloutId> {
        let (release, canary) = (release.to_string(), canary.to_string());
        let args = [
            "rollout",
            "start",
            &release,
            "--devices",
            selector,
            "--canary",
            &canary,
        ];
        Ok(self.run::<RolloutView>(&args).await?.id)
    }

    /// A rollout as it stands.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn rollout(&self, rollout: RolloutId) -> Result<RolloutView> {
        self.get(&format!("/rollouts/{rollout}")).await
    }

    /// Waits until a rollout has ended, well or badly; `hear` is told of each look.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn ended(
        &self,
        rollout: RolloutId,
        limit: Duration,
        hear: impl Fn(&RolloutView),
    ) -> Result<RolloutView> {
        wait::until("the rollout to end", limit, || async {
            let view = self.rollout(rollout).await?;
            hear(&view);
            Ok(has_ended(&view.state).then_some(view))
        })
        .await
    }

    /// The assignments of a rollout, one for each device.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn assignments(&self, rollout: RolloutId) -> Result<Vec<AssignmentView>> {
        let page: Page<AssignmentView> = self
            .get(&format!("/rollouts/{rollout}/assignments?limit=1000"))
            .await?;
        Ok(page.items)
    }

    /// A device as the cloud has it on record.
    ///
    /// # Errors
    /// When there is no such device.
    pub async fn device(&self, name: &str) -> Result<DeviceView> {
        self.get(&format!("/devices/{name}")).await
    }
}

/// Whether nothing more happens by itself.
#[must_use]
pub fn has_ended(state: &RolloutState) -> bool {
    matches!(
        state,
        RolloutState::Completed { .. }
            | RolloutState::Paused { .. }
            | RolloutState::Aborted { .. }
            | RolloutState::Reverted { .. }
    )
}

/// The assignment of one device.
#[must_use]
pub fn of_device<'a>(
    assignments: &'a [AssignmentView],
    device: &DeviceName,
) -> Option<&'a AssignmentView> {
    assignments
        .iter()
        .find(|assignment| assignment.device == *device)
}
