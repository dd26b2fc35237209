//! Events are seen in order and none is missed; signals come with the commit, or everything is looked at.

use std::collections::BTreeSet;
use std::time::Duration;

use espalier_store::{ConnectOptions, NewEvent, Signal, Signals, Store, StoreError};
use futures::future::join_all;
use sqlx::Connection;

use crate::database::fresh;
use crate::fixture::{acme, enrol, now, signed_release, started_rollout};

const PATIENCE: Duration = Duration::from_secs(10);

fn event(number: usize) -> NewEvent {
    let payload = serde_json::json!({ "number": number });
    NewEvent {
        at: now(),
        kind: "test".to_owned(),
        subject: number.to_string(),
        payload,
    }
}

#[tokio::test]
async fn a_follower_misses_no_event_of_concurrent_writers() {
    let database = fresh().await;
    let store = &database.store;
    store
        .principals()
        .ensure_tenant(&acme(), now())
        .await
        .unwrap();
    let writers = join_all((0..40).map(|number| async move {
        store
            .events()
            .append(&acme(), &[event(number), event(number + 100)])
            .await
            .unwrap();
    }));
    let follower = async {
        let mut seen = Vec::new();
        let mut last = 0;
        while seen.len() < 80 {
            for event in store.events().after(&acme(), last, 7).await.unwrap() {
                assert!(event.id > last);
                last = event.id;
                seen.push(event.event.subject);
            }
        }
        seen
    };
    let (_, seen) = tokio::join!(writers, tokio::time::timeout(PATIENCE, follower));
    assert_eq!(seen.unwrap().into_iter().collect::<BTreeSet<_>>().len(), 80);
    assert!(store.events().newest_id(&acme()).await.unwrap() >= 80);
}

async fn next(signals: &mut Signals) -> Signal {
    tokio::time::timeout(PATIENCE, signals.next())
        .await
        .expect("a signal in time")
        .unwrap()
}

#[tokio::test]
async fn signals_come_with_the_commit() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let release = signed_release(store).await;
    let mut signals = Signals::listen(&database.url).await.unwrap();
    started_rollout(store, &release, 1).await;
    let seen: BTreeSet<_> = [next(&mut signals).await, next(&mut signals).await]
        .map(|signal| format!("{signal:?}"))
        .into();
    assert_eq!(
        seen,
        ["Events(acme)".to_owned(), "Rollouts(acme)".to_owned()].into()
    );
}

#[tokio::test]
async fn a_cut_connection_means_look_at_everything() {
    let database = fresh().await;
    let mut signals = Signals::listen(&database.url).await.unwrap();
    let mut raw = database.raw().await;
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'espalier-cloud signals' AND datname = current_database()")
        .execute(&mut raw)
        .await
        .unwrap();
    assert_eq!(next(&mut signals).await, Signal::Everything);
    raw.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_away_is_said_to_be_away() {
    let mut nowhere = ConnectOptions::new("postgres://nobody@localhost/nothing?host=/nonexistent");
    nowhere.patience = Duration::from_millis(200);
    let error = Store::connect(&nowhere).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let bad = Store::connect(&ConnectOptions::new("not an address"))
        .await
        .unwrap_err();
    assert!(matches!(bad, StoreError::Address(_)));
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let database = fresh().await;
    database.store.migrate().await.unwrap();
    database.store.ping().await.unwrap();
}
