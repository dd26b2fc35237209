//! `espalier build create`.

use std::path::PathBuf;

use clap::Args;
use espalier_api::build::{BuildState, BuildView, CreateBuild};
use espalier_protocol::{DeviceClassName, id::ModelVersionId};

use crate::client::Client;
use crate::commands::{Context, model::named};
use crate::failure::Failure;
use crate::output::Output;
use crate::watch::{Bars, Watch};

/// Ask the forge for a build.
#[derive(Debug, Args)]
pub struct Create {
    /// A model's name (its newest version is taken), or the id of a version
    #[arg(long, value_name = "NAME|VERSION")]
    model: String,
    /// The device class that the build is for
    #[arg(long)]
    class: DeviceClassName,
    /// The recipe: how the forge makes the build (TOML)
    #[arg(long, value_name = "FILE")]
    recipe: PathBuf,
    /// Follow the build until it ends
    #[arg(long)]
    watch: bool,
}

impl Create {
    /// Asks, and follows if that was wanted.
    ///
    /// # Errors
    /// When the server refuses, or the build that is watched ends without passing its gate.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let recipe =
            std::fs::read_to_string(&self.recipe).map_err(Failure::reading(&self.recipe))?;
        let client = context.client()?;
        let model_version = newest_version(&client, &self.model).await?;
        let request = CreateBuild {
            model_version,
            device_class: self.class,
            recipe,
        };
        let build: BuildView = client.post("/builds", &request).await?;
        if !self.watch {
            return context.output.show(&build);
        }
        let build = follow(&client, build, context.output).await?;
        context.output.show(&build)?;
        verdict(&build)
    }
}

/// The version that a name or an id stands for.
async fn newest_version(client: &Client, which: &str) -> Result<ModelVersionId, Failure> {
    if let Ok(version) = which.parse() {
        return Ok(version);
    }
    Ok(named(client, which).await?.latest_version)
}

/// Shows progress until the build ends.
async fn follow(
    client: &Client,
    mut build: BuildView,
    output: Output,
) -> Result<BuildView, Failure> {
    let bar = Bars::new(output).add("build", 0);
    let mut watch = Watch::new(client).await;
    let mut last_stage = String::new();
    while !ended(&build.state) {
        let (stage, done, total) = work(&build.state);
        bar.say(&stage);
        bar.resize(total);
        bar.reach(done);
        if stage != last_stage && !output.is_live() {
            output.remark(format_args!("build {}: {stage}", build.id));
        }
        last_stage = stage;
        watch.changed().await?;
        build = client.get(&format!("/builds/{}", build.id)).await?;
    }
    bar.finish();
    Ok(build)
}

fn ended(state: &BuildState) -> bool {
    !matches!(state, BuildState::Queued | BuildState::Running { .. })
}

/// What is being done, how many units of it are done, and how many there are in all.
fn work(state: &BuildState) -> (String, u64, u64) {
    match state {
        BuildState::Queued => ("waits for the forge".into(), 0, 0),
        BuildState::Running { stage, done, total } => (stage.clone(), *done, *total),
        _ => (String::new(), 0, 0),
    }
}

/// Success only for a build that can be released.
fn verdict(build: &BuildView) -> Result<(), Failure> {
    let id = build.id;
    match &build.state {
        BuildState::Queued | BuildState::Running { .. } | BuildState::Passed { .. } => Ok(()),
        BuildState::GateFailed { .. } => Err(Failure::unsuccessful(
            format!("build {id} did not pass its gate, so it cannot be released"),
            "the report above says what was missed; change the recipe rather than the gate",
        )),
        BuildState::Failed { kind, detail } => Err(Failure::unsuccessful(
            format!("the forge could not make build {id} ({kind}): {detail}"),
            "change the recipe or the model and build again",
        )),
        BuildState::Cancelled => Err(Failure::unsuccessful(
            format!("build {id} was cancelled"),
            "create it anew",
        )),
    }
}
