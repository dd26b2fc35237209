use espalier_api::build::{BuildState, BuildView};
use espalier_domain::build::{Build, BuildFailure, BuildState as Known};
use espalier_protocol::ModelName;

use super::action;

/// A build as clients see it.
#[must_use]
pub fn build(build: Build, model: ModelName) -> BuildView {
    let cancel = build
        .state
        .clone()
        .cancel()
        .err()
        .map(|refusal| format!("{refusal}."));
    let drafts = match &build.state {
        Known::Passed(_) => None,
        other => Some(format!(
            "A build that is {} cannot be released; only one that passed its gate can.",
            other.name()
        )),
    };
    BuildView {
        id: build.id,
        model,
        model_version: build.model_version,
        device_class: build.device_class,
        recipe: build.recipe,
        created_at: build.created_at,
        state: state(build.state),
        actions: vec![action("cancel", cancel), action("release", drafts)],
    }
}

fn state(state: Known) -> BuildState {
    match state {
        Known::Queued => BuildState::Queued,
        Known::Running(progress) => BuildState::Running {
            stage: progress.stage,
            done: progress.done,
            total: progress.total,
        },
        Known::Passed(product) => BuildState::Passed {
            bundle: product.bundle.digest,
            evaluation: product.evaluation.into(),
        },
        Known::Failed(BuildFailure::Refused { code, detail }) => {
            BuildState::Failed { kind: code, detail }
        }
        Known::Failed(BuildFailure::Gate { product, .. }) => BuildState::GateFailed {
            bundle: product.bundle.digest,
            evaluation: product.evaluation.into(),
        },
        Known::Cancelled => BuildState::Cancelled,
    }
}
