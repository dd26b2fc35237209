//! Releases and the metadata that names them.

use std::collections::BTreeSet;

use espalier_domain::release::{ReleaseRefusal, ReleaseState, draft};
use espalier_protocol::id::ReleaseId;
use espalier_store::{
    DeployerKeys, DraftError, Edition, Metadata, NewRelease, Role, SignOutcome, Store, Versions,
    Written,
};
use futures::future::join_all;

use crate::database::fresh;
use crate::fixture::{acme, draft_release, later, model, new_id, now, passed_build};

fn file(role: Role, version: u64, text: &str) -> Metadata {
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
    let first = Edition {
        on: Versions::default(),
        files: vec![
            file(Role::Targets, 2, "one"),
            file(Role::Snapshot, 2, "s"),
            file(Role::Timestamp, 2, "t"),
        ],
    };
    let sign = async |id, edition: &Edition| {
        store
            .releases()
            .sign(&acme(), id, 2, edition, DeployerKeys::Same, now())
            .await
            .unwrap()
    };
    assert_eq!(sign(one.id(), &first).await, SignOutcome::Signed);
    assert_eq!(sign(one.id(), &first).await, SignOutcome::AlreadySigned);
    let second = Edition {
        on: Versions::default(),
        files: vec![file(Role::Targets, 3, "two")],
    };
    assert_eq!(sign(two.id(), &second).await, SignOutcome::Overtaken);
    let unknown = sign(ReleaseId(new_id()), &Edition::default()).await;
    assert_eq!(unknown, SignOutcome::Absent);

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
    let publish = async |on, files| published(store, on, files).await;
    let nothing = Versions::default();
    assert_eq!(
        publish(nothing, vec![file(Role::Timestamp, 1, "one")]).await,
        Written::Updated
    );
    let half_new = vec![
        file(Role::Snapshot, 1, "s"),
        file(Role::Timestamp, 1, "other"),
    ];
    let first = Versions {
        timestamp: 1,
        ..nothing
    };
    assert_eq!(publish(first, half_new).await, Written::NotUpdated);
    assert_eq!(
        store.tuf().newest(&acme(), Role::Snapshot).await.unwrap(),
        None
    );
    assert_eq!(
        publish(first, vec![file(Role::Timestamp, 2, "two")]).await,
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

async fn published(store: &Store, on: Versions, files: Vec<Metadata>) -> Written {
    let edition = Edition { on, files };
    let written = store.tuf().publish(&acme(), &edition, now()).await;
    written.unwrap()
}

/// Version 1 of every role is there.
async fn founded(store: &Store) -> Versions {
    let tenant = store.principals().ensure_tenant(&acme(), now()).await;
    tenant.unwrap();
    let roles = [Role::Root, Role::Targets, Role::Snapshot, Role::Timestamp];
    let files = roles.map(|role| file(role, 1, "one")).to_vec();
    let written = published(store, Versions::default(), files).await;
    assert_eq!(written, Written::Updated);
    current(store).await
}

async fn current(store: &Store) -> Versions {
    let newest = store.tuf().newest_of_all(&acme()).await.unwrap();
    newest.unwrap().versions()
}

/// Its own versions are the very next ones, so nothing but what it was signed on gives it away.
#[tokio::test]
async fn an_edition_that_was_signed_on_what_was_replaced_is_not_published() {
    let database = fresh().await;
    let store = &database.store;
    let none = store.tuf().newest_of_all(&acme()).await.unwrap();
    assert_eq!(none, None);
    let on = founded(store).await;
    let next = |text: &str| vec![file(Role::Timestamp, 2, text)];
    for stale in [
        Versions { root: 0, ..on },
        Versions { targets: 0, ..on },
        Versions { snapshot: 0, ..on },
        Versions { timestamp: 0, ..on },
        Versions::default(),
    ] {
        let written = published(store, stale, next("stale")).await;
        assert_eq!(written, Written::NotUpdated, "{stale:?}");
    }
    let edition = Edition {
        on: Versions { root: 0, ..on },
        files: next("stale"),
    };
    let anew = store.tuf().publish_anew(&acme(), &edition, now()).await;
    assert_eq!(anew.unwrap(), Written::NotUpdated);
    assert_eq!(current(store).await, on, "nothing was published");
    assert_eq!(published(store, on, next("good")).await, Written::Updated);
}

/// Devices that saw the newer targets would take the refresh for a rollback.
#[tokio::test]
async fn a_refresh_never_names_targets_that_a_release_has_replaced() {
    let database = fresh().await;
    let store = &database.store;
    let read = founded(store).await;
    let version = model(store).await;
    let build = passed_build(store, &version, "x86").await;
    let release = draft_release(store, &version, std::slice::from_ref(&build)).await;
    let next = |version, text: &str| {
        vec![
            file(Role::Snapshot, version, text),
            file(Role::Timestamp, version, text),
        ]
    };
    let mut files = next(2, "names targets 2");
    files.push(file(Role::Targets, 2, "two"));
    let (releases, edition) = (store.releases(), Edition { on: read, files });
    let (id, same) = (release.id(), DeployerKeys::Same);
    let signed = releases.sign(&acme(), id, 2, &edition, same, now()).await;
    assert_eq!(signed.unwrap(), SignOutcome::Signed);

    let late = next(3, "names targets 1");
    assert_eq!(published(store, read, late).await, Written::NotUpdated);
    let now_read = current(store).await;
    assert_eq!((now_read.targets, now_read.timestamp), (2, 2));
    let again = next(3, "names targets 2");
    assert_eq!(published(store, now_read, again).await, Written::Updated);
}
