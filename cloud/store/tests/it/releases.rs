//! Releases and the metadata that names them.

use std::collections::BTreeSet;

use espalier_domain::release::{ReleaseRefusal, ReleaseState, draft};
use espalier_protocol::id::ReleaseId;
use espalier_store::{DeployerKeys, DraftError, Metadata, NewRelease, Role, SignOutcome, Written};
use futures::future::join_all;

use crate::database::fresh;
use crate::fixture::{acme, draft_release, later, model, new_id, now, passed_build};

fn edition(role: Role, version: u64, text: &str) -> Metadata {
    Metadata {
        role,
        version,
        expires_at: later(60),
        bytes: text.as_bytes().to_vec(),
    }
}

#[tokio::test]
async fn counters_grow_and_are_never_shared() {
    let database = fresh().await;
    let store = &database.store;
    let version = model(store).await;
    let build = passed_build(store, &version, "x86").await;
    let drafted = (0..6)
        .map(|_| async { draft_release(store, &version, std::slice::from_ref(&build)).await });
    let counters: BTreeSet<_> = join_all(drafted)
        .await
        .iter()
        .map(|release| release.document.counter)
        .collect();
    assert_eq!(counters, (1..=6).collect());
}

#[tokio::test]
async fn a_refused_draft_leaves_nothing() {
    let database = fresh().await;
    let store = &database.store;
    let version = model(store).await;
    let refused = store
        .releases()
        .draft(
            &acme(),
            &version.model,
            now(),
            |counter| -> Result<NewRelease, ReleaseRefusal> {
                draft(ReleaseId(new_id()), counter, &version, &[])
                    .map(|_| unreachable!("there are no builds"))
            },
        )
        .await;
    assert!(matches!(
        refused,
        Err(DraftError::Refused(ReleaseRefusal::NoBuilds))
    ));
    assert_eq!(store.releases().list(&acme(), None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_signature_that_was_overtaken_leaves_the_release_a_draft() {
    let database = fresh().await;
    let store = &database.store;
    let version = model(store).await;
    let build = passed_build(store, &version, "x86").await;
    let one = draft_release(store, &version, std::slice::from_ref(&build)).await;
    let two = draft_release(store, &version, std::slice::from_ref(&build)).await;
    let first = [
        edition(Role::Targets, 2, "one"),
        edition(Role::Snapshot, 2, "s"),
        edition(Role::Timestamp, 2, "t"),
    ];
    let sign = async |id, files: &[Metadata]| {
        store
            .releases()
            .sign(&acme(), id, 2, files, DeployerKeys::Same, now())
            .await
            .unwrap()
    };
    assert_eq!(sign(one.id(), &first).await, SignOutcome::Signed);
    assert_eq!(sign(one.id(), &first).await, SignOutcome::AlreadySigned);
    assert_eq!(
        sign(two.id(), &[edition(Role::Targets, 2, "two")]).await,
        SignOutcome::Overtaken
    );
    assert_eq!(sign(ReleaseId(new_id()), &[]).await, SignOutcome::Absent);

    let state = store
        .releases()
        .find(&acme(), two.id())
        .await
        .unwrap()
        .unwrap()
        .state;
    assert_eq!(state, ReleaseState::Draft);
    let targets = store
        .tuf()
        .newest(&acme(), Role::Targets)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(targets.bytes, b"one");
}

#[tokio::test]
async fn an_edition_is_never_replaced_and_all_or_none_are_kept() {
    let database = fresh().await;
    let store = &database.store;
    store
        .principals()
        .ensure_tenant(&acme(), now())
        .await
        .unwrap();
    let publish =
        async |files: &[Metadata]| store.tuf().publish(&acme(), files, now()).await.unwrap();
    assert_eq!(
        publish(&[edition(Role::Timestamp, 1, "one")]).await,
        Written::Updated
    );
    let half_new = [
        edition(Role::Snapshot, 1, "s"),
        edition(Role::Timestamp, 1, "other"),
    ];
    assert_eq!(publish(&half_new).await, Written::NotUpdated);
    assert_eq!(
        store.tuf().newest(&acme(), Role::Snapshot).await.unwrap(),
        None
    );
    assert_eq!(
        publish(&[edition(Role::Timestamp, 2, "two")]).await,
        Written::Updated
    );
    assert_eq!(
        store
            .tuf()
            .newest(&acme(), Role::Timestamp)
            .await
            .unwrap()
            .unwrap()
            .version,
        2
    );
    assert_eq!(
        store
            .tuf()
            .edition(&acme(), Role::Timestamp, 1)
            .await
            .unwrap()
            .unwrap()
            .bytes,
        b"one"
    );
    assert_eq!(
        store
            .tuf()
            .edition(&acme(), Role::Timestamp, u64::MAX)
            .await
            .unwrap(),
        None
    );
}
