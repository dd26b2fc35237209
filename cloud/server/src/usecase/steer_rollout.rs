//! Start, pause, resume, abort, revert: what a state allows is the domain's to say.

use espalier_api::{error::ErrorCode, rollout::RolloutView};
use espalier_domain::{
    principal::Principal,
    rollout::{Rollout, RolloutRefusal, Verb},
};
use espalier_protocol::id::{AssignmentId, RolloutId};
use espalier_store::{StartOutcome, VerbOutcome};

use super::{record, sentence, show_rollout};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    view,
};

/// Does what an operator wants of a rollout.
///
/// # Errors
/// `not_found`, `action_not_allowed`.
pub async fn steer_rollout(
    cloud: &Cloud,
    who: &Principal,
    id: RolloutId,
    verb: Verb,
) -> Outcome<RolloutView> {
    match verb {
        Verb::Start => start(cloud, who, id).await?,
        other => act(cloud, who, id, other).await?,
    }
    record(
        cloud,
        who,
        &format!("rollout.{}", verb.name()),
        id,
        serde_json::json!({}),
    )
    .await?;
    show_rollout(cloud, who, id).await
}

async fn start(cloud: &Cloud, who: &Principal, id: RolloutId) -> Outcome<()> {
    let new_id = assignment_ids(cloud)?;
    let outcome = cloud
        .store()?
        .rollouts()
        .start(&who.tenant, id, cloud.world.now(), new_id)
        .await?;
    started(id, outcome)
}

/// Keeps a new rollout and starts it, or does neither.
///
/// # Errors
/// `action_not_allowed` when no device can take the release.
pub(super) async fn launch(cloud: &Cloud, rollout: &Rollout) -> Outcome<()> {
    let new_id = assignment_ids(cloud)?;
    let outcome = cloud
        .store()?
        .rollouts()
        .launch(rollout, cloud.world.now(), new_id)
        .await?;
    started(rollout.id, outcome)
}

/// Ids are drawn inside the transaction; a machine without randomness is found out here.
fn assignment_ids(cloud: &Cloud) -> Outcome<impl FnMut() -> AssignmentId> {
    cloud.world.id()?;
    Ok(|| AssignmentId(cloud.world.id().unwrap_or_default()))
}

fn started(id: RolloutId, outcome: StartOutcome) -> Outcome<()> {
    match outcome {
        StartOutcome::Started { members, .. } => {
            tracing::info!(rollout = %id, members, "a rollout started");
            Ok(())
        }
        StartOutcome::Nobody { left_out } => Err(nobody(&left_out)),
        StartOutcome::NotSigned(refusal) => Err(Refusal::new(
            ErrorCode::ActionNotAllowed,
            sentence(&refusal),
        )),
        StartOutcome::Refused(refusal) => Err(not_allowed(id, refusal)),
        StartOutcome::Absent => Err(Refusal::absent(format!("rollout {id}"))),
    }
}

async fn act(cloud: &Cloud, who: &Principal, id: RolloutId, verb: Verb) -> Outcome<()> {
    match cloud
        .store()?
        .rollouts()
        .act(&who.tenant, id, verb, cloud.world.now())
        .await?
    {
        VerbOutcome::Done(_) => Ok(()),
        VerbOutcome::Refused(refusal) => Err(not_allowed(id, refusal)),
        VerbOutcome::Overtaken(newer) => Err(Refusal::new(
            ErrorCode::ActionNotAllowed,
            format!("Rollout {id}: {}", view::overtaken_words(newer)),
        )),
        VerbOutcome::Absent => Err(Refusal::absent(format!("rollout {id}"))),
    }
}

fn not_allowed(id: RolloutId, refusal: RolloutRefusal) -> Refusal {
    Refusal::new(
        ErrorCode::ActionNotAllowed,
        format!("Rollout {id}: {refusal}."),
    )
}

/// The most devices that a refusal names.
const NAMED: usize = 5;

fn nobody<D: std::fmt::Display, R: std::fmt::Display>(left_out: &[(D, R)]) -> Refusal {
    let detail = match left_out {
        [] => "No device is selected.".to_owned(),
        some => {
            let named: Vec<_> = some
                .iter()
                .take(NAMED)
                .map(|(device, reason)| format!("{device}: {reason}"))
                .collect();
            format!(
                "No selected device can take the release ({}).",
                named.join("; ")
            )
        }
    };
    Refusal::new(ErrorCode::ActionNotAllowed, detail)
        .with_hint("enrol devices, change the selector, or release a build for their class")
}
