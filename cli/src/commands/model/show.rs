//! `espalier model show`.

use std::collections::BTreeMap;

use clap::Args;
use espalier_api::model::{ModelVersionView, ModelView};
use espalier_protocol::id::ModelVersionId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::commands::Context;
use crate::failure::Failure;
use crate::format::{ago, bytes, moment};
use crate::output::{Shown, facts, rows};

/// Show a model with its versions, or one version.
#[derive(Debug, Args)]
pub struct Show {
    /// A model's name, or the id of a version
    #[arg(value_name = "NAME|VERSION")]
    which: String,
}

impl Show {
    /// Reads and shows.
    ///
    /// # Errors
    /// When the server cannot be asked or knows neither.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let client = context.client()?;
        if let Ok(version) = self.which.parse::<ModelVersionId>() {
            let version: ModelVersionView =
                client.get(&format!("/model-versions/{version}")).await?;
            return context.output.show(&version);
        }
        let model = named(&client, &self.which).await?;
        let versions = client
            .all(&format!("/models/{}/versions", model.name))
            .await?;
        context.output.show(&WithVersions { model, versions })
    }
}

/// The model of that name.
///
/// # Errors
/// When the server cannot be asked or has no such model.
pub async fn named(client: &Client, name: &str) -> Result<ModelView, Failure> {
    let models: Vec<ModelView> = client.all("/models").await?;
    models
        .into_iter()
        .find(|model| model.name.as_str() == name)
        .ok_or_else(|| Failure::Absent {
            what: format!("there is no model `{name}`"),
            advice: "`espalier model list` shows those that there are".into(),
        })
}

#[derive(Debug, Serialize)]
struct WithVersions {
    #[serde(flatten)]
    model: ModelView,
    versions: Vec<ModelVersionView>,
}

impl Shown for WithVersions {
    fn text(&self, now: Timestamp) -> String {
        let about = facts([
            ("name", self.model.name.to_string()),
            ("task", self.model.task.clone()),
            ("newest", moment(self.model.latest_at, now)),
        ]);
        let versions = self.versions.iter().map(|version| {
            [
                version.id.to_string(),
                bytes(version.total_bytes),
                ago(version.created_at, now),
                version.summary.clone(),
            ]
        });
        format!(
            "{about}\n\n{}",
            rows(
                ["version", "size", "imported", "summary"],
                versions,
                "It has no versions."
            )
        )
    }
}

impl Shown for ModelVersionView {
    fn text(&self, now: Timestamp) -> String {
        let about = facts([
            ("version", self.id.to_string()),
            ("model", self.model.to_string()),
            ("summary", self.summary.clone()),
            ("task", self.task.clone()),
            ("size", bytes(self.total_bytes)),
            ("imported", moment(self.created_at, now)),
        ]);
        let files = self
            .files
            .iter()
            .map(|file| [file.path.to_string(), bytes(file.size), file.digest.short()]);
        let files = rows(["file", "size", "digest"], files, "It has no files.");
        // The whole of it is in the JSON output; a server that found other things is no error here.
        let graphs: Vec<Graph> =
            serde_json::from_value(self.facts["graphs"].clone()).unwrap_or_default();
        let graphs: Vec<String> = graphs.iter().map(Graph::text).collect();
        format!("{about}\n\n{files}\n\n{}", graphs.join("\n"))
    }
}

/// What the inspection found in a graph.
#[derive(Debug, Deserialize)]
struct Graph {
    file: String,
    opset: u64,
    params: u64,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    operators: BTreeMap<String, u64>,
}

/// An input or an output; an axis is a number or a name.
#[derive(Debug, Deserialize)]
struct Port {
    name: String,
    element: String,
    shape: Vec<String>,
}

impl Graph {
    fn text(&self) -> String {
        let operators = self.operators.iter();
        let operators = operators.map(|(name, count)| format!("{count} {name}"));
        format!(
            "{}: opset {}, {} parameters\n  in:  {}\n  out: {}\n  operators: {}",
            self.file,
            self.opset,
            self.params,
            ports(&self.inputs),
            ports(&self.outputs),
            operators.collect::<Vec<_>>().join(", ")
        )
    }
}

fn ports(ports: &[Port]) -> String {
    let port = |port: &Port| format!("{} {}[{}]", port.name, port.element, port.shape.join(", "));
    ports.iter().map(port).collect::<Vec<_>>().join(", ")
}
