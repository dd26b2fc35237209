//! Reverts of rollouts whose devices a newer rollout has told since: a device hears of the newest only.

use espalier_domain::Phase;
use espalier_domain::rollout::{RolloutState, Verb};
use espalier_protocol::report::Installed;
use espalier_store::VerbOutcome;

use crate::database::fresh;
use crate::fixture::{acme, active, enrol, later, now, serving, signed_release, started_rollout};
use crate::rollouts::{answer, assignments, serves, settle, state};

#[tokio::test]
async fn an_overtaken_rollout_is_not_reverted_and_says_which_one_is_newer() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a", "b"]).await;
    let first = started_rollout(store, &signed_release(store).await, 2).await;
    settle(store, first, now()).await;
    answer(store, first, 1, serves).await;
    settle(store, first, now()).await;
    let revertible = store.rollouts().overtaken_by(&acme(), first).await.unwrap();
    assert_eq!(revertible, None);

    let second = started_rollout(store, &signed_release(store).await, 2).await;
    settle(store, second, now()).await;
    answer(store, second, 2, serves).await;
    settle(store, second, now()).await;

    let rollouts = store.rollouts();
    assert_eq!(
        rollouts.overtaken_by(&acme(), first).await.unwrap(),
        Some(second)
    );
    assert_eq!(
        rollouts
            .act(&acme(), first, Verb::Revert, now())
            .await
            .unwrap(),
        VerbOutcome::Overtaken(second)
    );
    assert_eq!(
        state(store, first).await,
        RolloutState::Completed { at: now() },
        "a refused revert changes nothing"
    );
    assert!(matches!(
        rollouts
            .act(&acme(), second, Verb::Revert, now())
            .await
            .unwrap(),
        VerbOutcome::Done(RolloutState::Reverting { .. })
    ));
}

/// The newer rollout got no further than its canary: only the others go back, and nobody is waited for in vain.
#[tokio::test]
async fn a_revert_leaves_alone_whom_a_newer_rollout_has_told() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a", "b", "c"]).await;
    let old = signed_release(store).await;
    let before = Installed {
        release: old.reference(),
        bundle: old.digest,
    };
    let said = ["a", "b", "c"].map(|name| serving(name, 1, before));
    let _taken = store.reports().take_in(&said).await.unwrap();
    let first = started_rollout(store, &signed_release(store).await, 3).await;
    settle(store, first, now()).await;
    answer(store, first, 2, serves).await;
    settle(store, first, now()).await;

    let second = started_rollout(store, &signed_release(store).await, 1).await;
    settle(store, second, now()).await;
    let act = async |rollout, verb| {
        let done = store.rollouts().act(&acme(), rollout, verb, now()).await;
        assert!(matches!(done.unwrap(), VerbOutcome::Done(_)));
    };
    act(second, Verb::Abort).await;
    settle(store, second, now()).await;
    let told = assignments(store, second).await;
    let told = told.iter().find(|found| found.attempt > 0).unwrap();

    act(first, Verb::Revert).await;
    settle(store, first, now()).await;
    for assignment in assignments(store, first).await {
        let expected = match assignment.device == told.device {
            true => Phase::Withdrawn,
            false => Phase::Returning,
        };
        assert_eq!(assignment.phase(), expected, "{}", assignment.device);
    }
    answer(store, first, 3, |assignment| {
        active(assignment.before.unwrap())
    })
    .await;
    settle(store, first, later(1)).await;
    assert!(matches!(
        state(store, first).await,
        RolloutState::Reverted { .. }
    ));
}
