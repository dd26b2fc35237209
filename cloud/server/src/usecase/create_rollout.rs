use espalier_api::{
    error::ErrorCode,
    rollout::{CreateRollout, OnFailure, RolloutView, StageSize, StageSpec},
};
use espalier_domain::{
    Percent,
    principal::Principal,
    rollout::{
        Gate, OnFailure as KnownOnFailure, Policy, Rollout, RolloutState, Stage,
        StageSize as KnownSize,
    },
};
use espalier_protocol::id::RolloutId;

use super::{list_releases, record, sentence, show_rollout, steer_rollout};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    telemetry,
};

/// Creates a rollout, and starts it when that is asked for in the same call. One that cannot start then
/// is not created.
///
/// # Errors
/// `not_found`, `invalid_selector`, `invalid_value`, `action_not_allowed` for a release that is not
/// signed, or that no device can take.
pub async fn create_rollout(
    cloud: &Cloud,
    who: &Principal,
    request: CreateRollout,
) -> Outcome<RolloutView> {
    let policy = policy(&request)?;
    let release = list_releases::find(cloud, who, request.release).await?;
    release
        .require_signed()
        .map_err(|refusal| Refusal::new(ErrorCode::ActionNotAllowed, sentence(&refusal)))?;
    let rollout = Rollout {
        id: RolloutId(cloud.world.id()?),
        tenant: who.tenant.clone(),
        release: release.id(),
        model: release.model().clone(),
        policy,
        created_at: cloud.world.now(),
        traceparent: telemetry::current_traceparent(),
        state: RolloutState::Draft,
    };
    if request.start {
        steer_rollout::launch(cloud, &rollout).await?;
    } else {
        cloud.store()?.rollouts().create(&rollout).await?;
    }
    record(
        cloud,
        who,
        "rollout.create",
        rollout.id,
        serde_json::json!({ "release": rollout.release, "start": request.start }),
    )
    .await?;
    show_rollout(cloud, who, rollout.id).await
}

fn policy(request: &CreateRollout) -> Outcome<Policy> {
    let selector = request
        .selector
        .parse()
        .map_err(|error| Refusal::new(ErrorCode::InvalidSelector, sentence(&error)))?;
    let stages = request
        .stages
        .iter()
        .map(stage)
        .collect::<Outcome<Vec<_>>>()?;
    Policy::new(selector, stages)
        .map_err(|error| Refusal::new(ErrorCode::InvalidValue, sentence(&error)))
}

fn stage(spec: &StageSpec) -> Outcome<Stage> {
    Ok(Stage {
        name: spec.name.clone(),
        size: match spec.size {
            StageSize::Count(count) => KnownSize::Count(count),
            StageSize::Percent(share) => KnownSize::Percent(percent(share)?),
            StageSize::Rest => KnownSize::Rest,
        },
        gate: Gate {
            success: percent(spec.success_percent)?,
            failure: percent(spec.failure_percent)?,
            min_sample: spec.min_sample,
            timeout_s: spec.timeout_seconds,
            on_failure: match spec.on_failure {
                OnFailure::Pause => KnownOnFailure::Pause,
                OnFailure::Abort => KnownOnFailure::Abort,
                OnFailure::Revert => KnownOnFailure::Revert,
            },
        },
    })
}

fn percent(number: f64) -> Outcome<Percent> {
    Percent::try_from(number)
        .map_err(|error| Refusal::new(ErrorCode::InvalidValue, sentence(&error)))
}
