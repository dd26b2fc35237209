//! `espalier-forge inspect`: what a full model is, or why it is refused.

use std::{ffi::OsStr, path::Path};

use espalier_api::error::ErrorCode;
use espalier_protocol::{job::JobEvent, manifest::ModelDescription};
use serde::Deserialize;

use super::{ForgeFailure, ForgeProcess};
use crate::{
    config::ForgeChoice,
    refusal::{Outcome, Refusal},
};

/// What the forge found.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// How the model is served.
    pub description: ModelDescription,
    /// The model came with its own description.
    pub named: bool,
    /// All of it, for people: inputs, outputs, opset, parameters, operators.
    pub facts: serde_json::Value,
}

/// What is read of the forge's answer; the rest is passed on.
#[derive(Deserialize)]
struct Answer {
    description: ModelDescription,
    origin: String,
}

/// The origin of a model with a `model.json`.
const GIVEN: &str = "given";
/// The forge's word for a machine without isolation.
const NO_SANDBOX: &str = "no-sandbox";

/// Lets the forge inspect the model in `folder`, in its sandbox.
///
/// # Errors
/// `invalid_model` with the forge's reason; an internal failure when it cannot be run.
pub async fn inspect(choice: &ForgeChoice, folder: &Path) -> Outcome<Inspection> {
    let arguments = [
        OsStr::new("inspect"),
        OsStr::new("--json"),
        folder.as_os_str(),
    ];
    let mut forge = ForgeProcess::start(choice, &arguments).map_err(broken)?;
    let mut text = String::new();
    while let Some(line) = forge.next().await.map_err(broken)? {
        text.push_str(&line);
        text.push('\n');
    }
    let (status, last_words) = forge.end().await.map_err(broken)?;
    if !status.success() {
        return Err(refused(&text, &last_words));
    }
    let facts: serde_json::Value = serde_json::from_str(&text).map_err(Refusal::internal)?;
    let answer = Answer::deserialize(&facts).map_err(Refusal::internal)?;
    Ok(Inspection {
        description: answer.description,
        named: answer.origin == GIVEN,
        facts,
    })
}

/// The forge's verdict; where its worker died without one, its own last sentence.
fn refused(answer: &str, last_words: &str) -> Refusal {
    let reason = match serde_json::from_str(answer.trim()) {
        Ok(JobEvent::Refused { code, detail }) if code == NO_SANDBOX => return no_sandbox(detail),
        Ok(JobEvent::Refused { detail, .. }) => detail,
        _ => sentence(last_words).to_owned(),
    };
    Refusal::new(
        ErrorCode::InvalidModel,
        format!("The forge refuses the model: {reason}"),
    )
    .because(last_words.to_owned())
}

/// What a program says last, without what it puts before its errors.
fn sentence(last_words: &str) -> &str {
    let mut lines = last_words.lines().rev();
    let last = lines.find(|line| !line.trim().is_empty());
    last.unwrap_or("it gave no reason")
        .trim_start_matches("Error: ")
        .trim_start_matches("refused: ")
}

/// This machine cannot hold a hostile model in; that is no fault of the model.
fn no_sandbox(detail: String) -> Refusal {
    Refusal::new(
        ErrorCode::Internal,
        "The forge finds no isolation on this machine.",
    )
    .with_hint("start the server with --unsandboxed-forge where every model is trusted")
    .because(detail)
}

fn broken(failure: ForgeFailure) -> Refusal {
    Refusal::new(
        ErrorCode::Internal,
        "The forge could not be run; the server's log has the details.",
    )
    .because(failure)
}
