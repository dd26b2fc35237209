//! Desired states on their way, cut at every step.

use espalier_domain::release::Release;
use espalier_domain::rollout::Verb;
use espalier_protocol::desired::Action;
use espalier_protocol::report::Installed;
use espalier_store::{DeployerKeys, Edition, SignOutcome, Signed, Store, ToCompose, Written};
use futures::future::join_all;

use crate::database::fresh;
use crate::fixture::{
    acme, device, draft_release, enrol, later, model, now, observation, passed_build, serving,
    signed_release, started_rollout,
};
use crate::rollouts::settle;

fn signed(waiting: &ToCompose) -> Signed {
    Signed {
        identity: waiting.identity.clone(),
        wanted: waiting.wanted,
        sequence: waiting.sequence,
        envelope: format!("state {}", waiting.sequence).into_bytes(),
        issued_at: now(),
        expires_at: later(3600),
    }
}

async fn one(store: &Store) -> ToCompose {
    let mut waiting = store.desired().to_compose(10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    waiting.remove(0)
}

#[tokio::test]
async fn a_cut_between_any_two_steps_is_made_good_by_the_next_look() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 1).await;
    assert_eq!(store.desired().to_compose(10).await.unwrap(), []);
    settle(store, rollout, now()).await;

    let waiting = one(store).await;
    assert_eq!((waiting.sequence, waiting.models.len()), (1, 1));
    assert!(waiting.traceparent.is_some());
    assert_eq!(
        one(store).await,
        waiting,
        "composed, and cut before it was kept"
    );

    assert_eq!(
        store.desired().put(&signed(&waiting)).await.unwrap(),
        Written::Updated
    );
    assert_eq!(
        store.desired().put(&signed(&waiting)).await.unwrap(),
        Written::NotUpdated,
        "kept once"
    );
    assert_eq!(store.desired().to_compose(10).await.unwrap(), []);

    let unpublished = store.desired().to_publish(10).await.unwrap();
    assert_eq!(unpublished.len(), 1);
    assert_eq!(
        store.desired().to_publish(10).await.unwrap(),
        unpublished,
        "cut before it was published"
    );
    store
        .desired()
        .mark_published(&device("press-1"), 1)
        .await
        .unwrap();
    assert_eq!(store.desired().to_publish(10).await.unwrap(), []);
    let current = store
        .desired()
        .current(&device("press-1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((current.sequence, current.bytes), (1, b"state 1".to_vec()));

    assert_eq!(store.desired().republish_all().await.unwrap(), 1);
    assert_eq!(
        store.desired().to_publish(10).await.unwrap(),
        unpublished,
        "the broker lost it"
    );
}

#[tokio::test]
async fn what_was_composed_before_a_change_is_not_the_last_word() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let old = signed_release(store).await;
    let before = Installed {
        release: old.reference(),
        bundle: old.digest,
    };
    let _taken = store
        .reports()
        .take_in(&[serving("press-1", 1, before)])
        .await
        .unwrap();
    let rollout = started_rollout(store, &signed_release(store).await, 1).await;
    settle(store, rollout, now()).await;
    let install = one(store).await;

    let _done = store
        .rollouts()
        .act(&acme(), rollout, Verb::Revert, now())
        .await
        .unwrap();
    settle(store, rollout, now()).await;
    assert_eq!(
        store.desired().put(&signed(&install)).await.unwrap(),
        Written::Updated
    );
    let back = one(store).await;
    assert_eq!(
        (back.sequence, back.models[0].action, back.models[0].attempt),
        (2, Action::Revert, 2)
    );
    assert_eq!(
        (back.models[0].bundle, back.models[0].release),
        (before.bundle, before.release)
    );
}

#[tokio::test]
async fn a_device_that_knows_a_higher_sequence_is_told_above_it() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 1).await;
    settle(store, rollout, now()).await;
    let _kept = store
        .desired()
        .put(&signed(&one(store).await))
        .await
        .unwrap();

    // The database was restored from an older copy: the device has seen 50.
    let mut wise = observation("press-1", 1);
    wise.desired_sequence = 50;
    let _taken = store.reports().take_in(&[wise]).await.unwrap();
    assert_eq!(one(store).await.sequence, 51);
}

#[tokio::test]
async fn states_are_signed_anew_before_they_end() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 1).await;
    settle(store, rollout, now()).await;
    let _kept = store
        .desired()
        .put(&signed(&one(store).await))
        .await
        .unwrap();
    assert_eq!(
        store
            .desired()
            .renew_ending_before(later(3600))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        store
            .desired()
            .renew_ending_before(later(3601))
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        store
            .desired()
            .renew_ending_before(later(3601))
            .await
            .unwrap(),
        0,
        "once"
    );
    assert_eq!(one(store).await.sequence, 2);
}

#[tokio::test]
async fn what_was_signed_for_a_device_before_it_was_revoked_is_not_published() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 1).await;
    settle(store, rollout, now()).await;
    let _revoked = store
        .devices()
        .revoke(&device("press-1"), "stolen", now())
        .await
        .unwrap();
    assert_eq!(store.desired().to_compose(10).await.unwrap(), []);
}

#[tokio::test]
async fn what_was_signed_before_a_revocation_is_not_published() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 1).await;
    settle(store, rollout, now()).await;
    let waiting = one(store).await;
    let _kept = store.desired().put(&signed(&waiting)).await.unwrap();
    assert_eq!(store.desired().to_publish(10).await.unwrap().len(), 1);
    let _revoked = store
        .devices()
        .revoke(&device("press-1"), "stolen", now())
        .await
        .unwrap();
    assert_eq!(store.desired().to_publish(10).await.unwrap(), []);
}

/// Devices that know the new keys believe nothing that the old ones signed.
#[tokio::test]
async fn other_deployer_keys_have_every_state_signed_anew() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let version = model(store).await;
    let build = passed_build(store, &version, "x86").await;
    let builds = [build];
    let drafts = [0; 3].map(|_| draft_release(store, &version, &builds));
    let [first, same, changed] = join_all(drafts).await.try_into().unwrap();
    let sign = async |release: &Release, version, deployer| {
        let (releases, nothing) = (store.releases(), Edition::default());
        let outcome = releases
            .sign(&acme(), release.id(), version, &nothing, deployer, now())
            .await;
        assert_eq!(outcome.unwrap(), SignOutcome::Signed);
    };
    sign(&first, 2, DeployerKeys::Same).await;
    let rollout = started_rollout(store, &first, 1).await;
    settle(store, rollout, now()).await;
    let before = one(store).await;
    let _kept = store.desired().put(&signed(&before)).await.unwrap();

    sign(&same, 3, DeployerKeys::Same).await;
    assert_eq!(store.desired().to_compose(10).await.unwrap(), []);
    sign(&changed, 4, DeployerKeys::Changed).await;
    let after = one(store).await;
    assert_eq!(after.sequence, before.sequence + 1);
    assert_eq!(after.models, before.models);

    let later = store.releases().signed_after(&acme(), 2).await.unwrap();
    let later: Vec<_> = later.iter().map(Release::id).collect();
    assert_eq!(later, [same.id(), changed.id()], "in the order of editions");
}
