//! Rollouts from draft to end, with several planners and a fleet that answers.

use espalier_domain::rollout::{
    LeftOut, PauseReason, Plan, RolloutState, Step as PlanStep, Tally, Verb, plan,
};
use espalier_domain::{Assignment, Phase};
use espalier_protocol::id::{AssignmentId, RolloutId};
use espalier_protocol::report::{Failure, FailureKind, Installed, Step};
use espalier_store::{StartOutcome, Store, VerbOutcome, Written};
use futures::future::join_all;
use jiff::Timestamp;

use crate::database::fresh;
use crate::fixture::{
    acme, active, device, draft_release, draft_rollout, enrol, later, model, new_id, now,
    passed_build, policy, progress, rollout, serving, signed_release, start, started_rollout,
};

/// Plans and executes until there is only waiting to do, as the reconciler does.
pub async fn settle(store: &Store, rollout: RolloutId, at: Timestamp) {
    loop {
        let loaded = store
            .rollouts()
            .facts(&acme(), rollout)
            .await
            .unwrap()
            .unwrap();
        let next = plan(&loaded.policy, &loaded.facts, at);
        if next.steps.is_empty() {
            return;
        }
        let _written = store
            .rollouts()
            .execute(&acme(), rollout, loaded.revision, &next, at)
            .await
            .unwrap();
    }
}

pub async fn state(store: &Store, rollout: RolloutId) -> RolloutState {
    store
        .rollouts()
        .find(&acme(), rollout)
        .await
        .unwrap()
        .unwrap()
        .state
}

pub async fn assignments(store: &Store, rollout: RolloutId) -> Vec<Assignment> {
    store
        .assignments()
        .of_rollout(&acme(), rollout, None, 1000)
        .await
        .unwrap()
}

/// Every device that was told and has not ended answers with `step`.
pub async fn answer(
    store: &Store,
    rollout: RolloutId,
    seq: u64,
    step: impl Fn(&Assignment) -> Step,
) {
    let told = assignments(store, rollout)
        .await
        .into_iter()
        .filter(|assignment| matches!(assignment.phase(), Phase::Sent | Phase::Returning));
    let reports: Vec<_> = told
        .map(|told| {
            progress(
                told.device.as_str(),
                seq,
                told.id,
                told.attempt,
                step(&told),
            )
        })
        .collect();
    let _taken = store.reports().take_in(&reports).await.unwrap();
}

pub fn serves(assignment: &Assignment) -> Step {
    active(Installed {
        release: assignment.release,
        bundle: assignment.bundle,
    })
}

fn fails(_: &Assignment) -> Step {
    Step::Failed(Failure {
        kind: FailureKind::LoadFailed,
        detail: "opset 99".to_owned(),
    })
}

async fn counted(store: &Store, rollout: RolloutId) -> Vec<Tally> {
    let all = assignments(store, rollout).await;
    let stages = all
        .iter()
        .map(|assignment| assignment.stage)
        .max()
        .map_or(0, |last| last + 1);
    let of_stage = |stage| {
        all.iter()
            .filter(move |assignment| assignment.stage == stage)
    };
    (0..stages)
        .map(|stage| of_stage(stage).map(Assignment::phase).collect())
        .collect()
}

fn nonzero(tallies: &[Tally]) -> Vec<Vec<(Phase, u64)>> {
    tallies.iter().map(|tally| tally.iter().collect()).collect()
}

async fn assert_tallies_hold(store: &Store, rollout: RolloutId) {
    let kept = store.rollouts().tallies(&acme(), rollout).await.unwrap();
    assert_eq!(nonzero(&kept), nonzero(&counted(store, rollout).await));
}

#[tokio::test]
async fn a_good_release_reaches_everybody() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a", "b", "c", "d", "e"]).await;
    let release = signed_release(store).await;
    let rollout = started_rollout(store, &release, 2).await;
    assert_tallies_hold(store, rollout).await;
    settle(store, rollout, now()).await;
    assert_eq!(
        store.rollouts().tallies(&acme(), rollout).await.unwrap()[0].underway(),
        2
    );
    assert_tallies_hold(store, rollout).await;

    answer(store, rollout, 1, serves).await;
    settle(store, rollout, later(60)).await;
    assert!(matches!(
        state(store, rollout).await,
        RolloutState::Running { stage: 1, .. }
    ));
    assert_tallies_hold(store, rollout).await;

    answer(store, rollout, 2, serves).await;
    settle(store, rollout, later(120)).await;
    assert_eq!(
        state(store, rollout).await,
        RolloutState::Completed { at: later(120) }
    );
    assert_tallies_hold(store, rollout).await;
    assert_eq!(store.rollouts().live().await.unwrap(), []);
}

#[tokio::test]
async fn a_bad_canary_pauses_and_a_revert_takes_it_back() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a", "b", "c"]).await;
    let old = signed_release(store).await;
    let before = Installed {
        release: old.reference(),
        bundle: old.digest,
    };
    let said: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|name| serving(name, 1, before))
        .collect();
    let _taken = store.reports().take_in(&said).await.unwrap();

    let rollout = started_rollout(store, &signed_release(store).await, 2).await;
    settle(store, rollout, now()).await;
    answer(store, rollout, 2, fails).await;
    settle(store, rollout, now()).await;
    let paused = state(store, rollout).await;
    assert!(
        matches!(
            paused,
            RolloutState::Paused {
                reason: PauseReason::Gate(_),
                ..
            }
        ),
        "{paused:?}"
    );

    let reverting = store
        .rollouts()
        .act(&acme(), rollout, Verb::Revert, now())
        .await
        .unwrap();
    assert!(matches!(
        reverting,
        VerbOutcome::Done(RolloutState::Reverting { .. })
    ));
    settle(store, rollout, now()).await;
    assert_tallies_hold(store, rollout).await;
    answer(store, rollout, 3, |assignment| {
        active(assignment.before.unwrap())
    })
    .await;
    settle(store, rollout, now()).await;
    assert!(matches!(
        state(store, rollout).await,
        RolloutState::Reverted { .. }
    ));
    let mut phases: Vec<_> = assignments(store, rollout)
        .await
        .iter()
        .map(Assignment::phase)
        .collect();
    phases.sort_unstable();
    assert_eq!(phases, [Phase::Cancelled, Phase::Returned, Phase::Returned]);
}

#[tokio::test]
async fn silence_is_counted_after_the_time_limit_and_forgiven_when_it_ends() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a", "b"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 1).await;
    settle(store, rollout, now()).await;
    settle(store, rollout, later(599)).await;
    assert!(matches!(
        state(store, rollout).await,
        RolloutState::Running { .. }
    ));
    settle(store, rollout, later(600)).await;
    assert!(matches!(
        state(store, rollout).await,
        RolloutState::Paused { .. }
    ));

    let silent = assignments(store, rollout)
        .await
        .into_iter()
        .find(|found| found.phase() == Phase::Silent)
        .unwrap();
    let late = progress(silent.device.as_str(), 9, silent.id, 1, serves(&silent));
    let _taken = store.reports().take_in(&[late]).await.unwrap();
    let resumed = store
        .rollouts()
        .act(&acme(), rollout, Verb::Resume, later(700))
        .await
        .unwrap();
    assert!(matches!(resumed, VerbOutcome::Done(_)));
    settle(store, rollout, later(700)).await;
    assert!(matches!(
        state(store, rollout).await,
        RolloutState::Running { stage: 1, .. }
    ));
}

#[tokio::test]
async fn an_aborted_rollout_is_tidied_up_and_then_left_alone() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a", "b"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 1).await;
    let _done = store
        .rollouts()
        .act(&acme(), rollout, Verb::Abort, now())
        .await
        .unwrap();
    assert_eq!(store.rollouts().live().await.unwrap(), [(acme(), rollout)]);
    settle(store, rollout, now()).await;
    assert!(
        assignments(store, rollout)
            .await
            .iter()
            .all(|assignment| assignment.phase() == Phase::Cancelled)
    );
    assert_eq!(store.rollouts().live().await.unwrap(), []);
}

#[tokio::test]
async fn a_plan_on_old_facts_is_not_executed() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 1).await;
    let loaded = store
        .rollouts()
        .facts(&acme(), rollout)
        .await
        .unwrap()
        .unwrap();
    let next = plan(&loaded.policy, &loaded.facts, now());
    assert!(matches!(next.steps[..], [PlanStep::Send(_)]));
    let _done = store
        .rollouts()
        .act(&acme(), rollout, Verb::Pause, now())
        .await
        .unwrap();
    let execute = async |next: &Plan| {
        store
            .rollouts()
            .execute(&acme(), rollout, loaded.revision, next, now())
            .await
            .unwrap()
    };
    assert_eq!(execute(&next).await, Written::NotUpdated);
    assert_eq!(assignments(store, rollout).await[0].phase(), Phase::Pending);
}

/// Any number of planners may run at once; nothing is done twice and nothing is left out.
#[tokio::test]
async fn many_planners_do_it_once() {
    let database = fresh().await;
    let store = &database.store;
    let names: Vec<_> = (0..30).map(|number| format!("d-{number:02}")).collect();
    enrol(store, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let rollout = started_rollout(store, &signed_release(store).await, 10).await;
    for (seq, at) in [(1, now()), (2, later(60)), (3, later(120))] {
        join_all((0..4).map(|_| settle(store, rollout, at))).await;
        assert_tallies_hold(store, rollout).await;
        assert!(
            assignments(store, rollout)
                .await
                .iter()
                .all(|assignment| assignment.attempt <= 1)
        );
        answer(store, rollout, seq, serves).await;
    }
    settle(store, rollout, later(180)).await;
    assert!(matches!(
        state(store, rollout).await,
        RolloutState::Completed { .. }
    ));
}

/// The planner counts silence while the devices' reports come in: both want the same rows.
#[tokio::test]
async fn reports_and_planners_never_wait_for_each_other_in_a_circle() {
    let database = fresh().await;
    let store = &database.store;
    let names: Vec<_> = (0..40).map(|number| format!("d-{number:02}")).collect();
    enrol(store, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let rollout = started_rollout(store, &signed_release(store).await, 40).await;
    settle(store, rollout, now()).await;
    let told = assignments(store, rollout).await;
    let report = async |seq: u64, reversed: bool| {
        let mut reports: Vec<_> = told
            .iter()
            .map(|told| progress(told.device.as_str(), seq, told.id, 1, Step::Verified))
            .collect();
        if reversed {
            reports.reverse();
        }
        store.reports().take_in(&reports).await.map(drop)
    };
    let (planned, one, two, three) = tokio::join!(
        settle(store, rollout, later(601)),
        report(1, false),
        report(2, true),
        report(3, false),
    );
    let () = planned;
    for outcome in [one, two, three] {
        outcome.unwrap();
    }
    assert_tallies_hold(store, rollout).await;
}

#[tokio::test]
async fn what_cannot_be_started_is_not() {
    let database = fresh().await;
    let store = &database.store;
    let version = model(store).await;
    let build = passed_build(store, &version, "x86").await;
    let draft = draft_release(store, &version, &[build]).await;
    let unsigned = draft_rollout(store, &draft, policy(1)).await;
    assert!(matches!(
        start(store, unsigned).await,
        StartOutcome::NotSigned(_)
    ));

    let release = signed_release(store).await;
    let nobody = draft_rollout(store, &release, policy(1)).await;
    assert_eq!(
        start(store, nobody).await,
        StartOutcome::Nobody { left_out: vec![] }
    );
    assert_eq!(state(store, nobody).await, RolloutState::Draft);

    enrol(store, &["a"]).await;
    assert!(matches!(
        start(store, nobody).await,
        StartOutcome::Started { members: 1, .. }
    ));
    assert!(matches!(
        start(store, nobody).await,
        StartOutcome::Refused(_)
    ));
    assert_eq!(
        start(store, RolloutId(new_id())).await,
        StartOutcome::Absent
    );

    let second = draft_rollout(store, &release, policy(1)).await;
    let busy = vec![(device("a").device, LeftOut::Busy(nobody))];
    assert_eq!(
        start(store, second).await,
        StartOutcome::Nobody { left_out: busy }
    );
}

#[tokio::test]
async fn a_launch_that_fails_leaves_no_draft() {
    let database = fresh().await;
    let store = &database.store;
    let release = signed_release(store).await;
    let rollout = rollout(&release, policy(1));
    let launch = async || {
        let new_id = || AssignmentId(new_id());
        let launched = store.rollouts().launch(&rollout, now(), new_id).await;
        launched.unwrap()
    };
    let nobody = StartOutcome::Nobody { left_out: vec![] };
    assert_eq!(launch().await, nobody);
    assert_eq!(store.rollouts().list(&acme(), None, 10).await.unwrap(), []);

    enrol(store, &["a"]).await;
    assert!(matches!(
        launch().await,
        StartOutcome::Started { members: 1, .. }
    ));
    assert!(matches!(
        state(store, rollout.id).await,
        RolloutState::Running { stage: 0, .. }
    ));
}

#[tokio::test]
async fn two_rollouts_that_start_together_do_not_share_a_device() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a", "b", "c"]).await;
    let release = signed_release(store).await;
    let (one, two) = (
        draft_rollout(store, &release, policy(1)).await,
        draft_rollout(store, &release, policy(1)).await,
    );
    let outcomes = join_all([start(store, one), start(store, two)]).await;
    let started = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, StartOutcome::Started { .. }))
        .count();
    assert_eq!(started, 1, "{outcomes:?}");
}

#[tokio::test]
async fn refused_verbs_change_nothing() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 1).await;
    let act = async |verb| {
        store
            .rollouts()
            .act(&acme(), rollout, verb, now())
            .await
            .unwrap()
    };
    assert!(matches!(act(Verb::Resume).await, VerbOutcome::Refused(_)));
    assert!(matches!(act(Verb::Pause).await, VerbOutcome::Done(_)));
    assert!(matches!(act(Verb::Pause).await, VerbOutcome::Refused(_)));
}

#[tokio::test]
async fn revoked_devices_hold_up_no_rollout_and_stop_none() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a", "b", "c", "d"]).await;
    let release = signed_release(store).await;
    let rollout = started_rollout(store, &release, 2).await;
    settle(store, rollout, now()).await;
    let told = assignments(store, rollout).await;
    let of = |phase| told.iter().find(|told| told.phase() == phase).unwrap();
    let (underway, waiting) = (of(Phase::Sent).clone(), of(Phase::Pending).clone());
    for gone in [&underway, &waiting] {
        let identity = device(gone.device.as_str());
        let revoked = store.devices().revoke(&identity, "stolen", now()).await;
        assert_eq!(revoked.unwrap(), Written::Updated);
    }
    let end = async |id| {
        let found = store.assignments().find(&acme(), id).await.unwrap();
        found.unwrap().phase()
    };
    assert_eq!(end(underway.id).await, Phase::Withdrawn);
    assert_eq!(end(waiting.id).await, Phase::Cancelled);
    assert_tallies_hold(store, rollout).await;

    for seq in 1..=2 {
        answer(store, rollout, seq, serves).await;
        settle(store, rollout, later(86_400)).await;
    }
    let state = state(store, rollout).await;
    assert!(matches!(state, RolloutState::Completed { .. }), "{state:?}");
}
