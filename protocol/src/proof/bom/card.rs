//! A model's card: what it does, on what data that was measured, and how well it does it.

use serde::{Deserialize, Serialize};

/// What a model does, and how well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelCard {
    /// What it is, takes and gives.
    pub model_parameters: ModelParameters,
    /// What was measured.
    pub quantitative_analysis: QuantitativeAnalysis,
    /// What to think of before using it.
    pub considerations: Considerations,
}

/// What a model is, takes and gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelParameters {
    /// Its task.
    pub task: String,
    /// The family of architectures.
    pub architecture_family: String,
    /// The architecture.
    pub model_architecture: String,
    /// The data that this build was tuned and judged on.
    pub datasets: Vec<Dataset>,
    /// What it takes.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
}

/// Data that a build was tuned or judged on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dataset {
    /// What sort of data.
    #[serde(rename = "type")]
    pub kind: DatasetKind,
    /// What it was used for.
    pub name: String,
    /// How confidential it is.
    pub classification: String,
    /// Where it came from, and how to have it again.
    pub description: String,
}

/// What sort of data a [`Dataset`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetKind {
    /// Examples.
    Dataset,
}

/// An input or output in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// What it is, and in which form.
    pub format: String,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuantitativeAnalysis {
    /// The figures.
    pub performance_metrics: Vec<Metric>,
}

/// A figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// What was measured, with its unit in the name.
    #[serde(rename = "type")]
    pub kind: String,
    /// The figure.
    pub value: String,
    /// On what, or under which conditions.
    pub slice: String,
}

/// What to think of before using a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Considerations {
    /// What it is for.
    pub use_cases: Vec<String>,
    /// What it cannot do, or what is not known of it.
    pub technical_limitations: Vec<String>,
    /// What was given for what.
    pub performance_tradeoffs: Vec<String>,
}
