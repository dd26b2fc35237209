//! Events are seen in order and none is missed; signals come with the commit, or everything is looked at.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use espalier_domain::rollout::Verb;
use espalier_protocol::Tenant;
use espalier_protocol::id::RolloutId;
use espalier_store::{ConnectOptions, NewEvent, Signal, Signals, Store, StoreError, VerbOutcome};
use futures::future::join_all;
use sqlx::Connection;

use crate::database::fresh;
use crate::fixture::{acme, device, enrol, later, now, signed_release, started_rollout};
use crate::rollouts::settle;

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

/// A rollout's page and a device's page read their own events, however many others lie between them.
#[tokio::test]
async fn the_log_of_one_rollout_and_of_one_device() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1", "press-2"]).await;
    let release = signed_release(store).await;
    let rollout = started_rollout(store, &release, 1).await;
    settle(store, rollout, now()).await;
    let noise: Vec<_> = (0..50).map(event).collect();
    store.events().append(&acme(), &noise).await.unwrap();
    let revoked = NewEvent {
        kind: "device.revoked".to_owned(),
        subject: "press-1".to_owned(),
        ..event(0)
    };
    store.events().append(&acme(), &[revoked]).await.unwrap();
    let rollouts = store.rollouts();
    let aborted = rollouts.act(&acme(), rollout, Verb::Abort, now()).await;
    assert!(matches!(aborted.unwrap(), VerbOutcome::Done(_)));

    let (told, mut log, mut after) = (told_device(store, rollout).await, Vec::new(), 0);
    loop {
        let page = store.events().of_rollout(&acme(), rollout, after, 1).await;
        let Some(event) = page.unwrap().pop() else {
            break;
        };
        after = event.id;
        log.push(event.event.kind);
    }
    assert_eq!(
        log,
        ["rollout.running", "assignment.sent", "rollout.aborted"]
    );
    let of_device = async |name| {
        let log = store.events().of_device(&device(name), 0, 10).await;
        let log = log.unwrap().into_iter();
        log.map(|event| event.event.kind).collect::<Vec<_>>()
    };
    for name in ["press-1", "press-2"] {
        let mut expected = Vec::new();
        if told == name {
            expected.push("assignment.sent");
        }
        if name == "press-1" {
            expected.push("device.revoked");
        }
        assert_eq!(of_device(name).await, expected, "{name}");
    }
}

async fn told_device(store: &Store, rollout: RolloutId) -> String {
    let assignments = store.assignments();
    let all = assignments.of_rollout(&acme(), rollout, None, 10).await;
    let mut told = all.unwrap().into_iter();
    let told = told.find(|assignment| assignment.attempt > 0);
    told.unwrap().device.to_string()
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

#[tokio::test]
async fn old_events_and_too_many_are_forgotten_and_nobody_elses() {
    let database = fresh().await;
    let store = &database.store;
    let (own, other) = (acme(), Tenant::from_str("other").unwrap());
    for tenant in [&own, &other] {
        let principals = store.principals();
        principals.ensure_tenant(tenant, now()).await.unwrap();
        let aged = |number| NewEvent {
            at: later(number as i64),
            ..event(number)
        };
        let ten: Vec<_> = (0..10).map(aged).collect();
        store.events().append(tenant, &ten).await.unwrap();
    }
    let left = async |tenant: Tenant| {
        let left = store.events().after(&tenant, 0, 100).await.unwrap();
        left.into_iter()
            .map(|event| event.event.subject)
            .collect::<Vec<_>>()
    };
    let forget = async |since, most| {
        let forgotten = store.events().forget(&own, later(since), most).await;
        forgotten.unwrap()
    };
    assert_eq!(forget(0, 10).await, 0);
    assert_eq!(forget(3, 10).await, 3, "too old");
    assert_eq!(forget(0, 2).await, 5, "too many");
    assert_eq!(left(acme()).await, ["8", "9"]);
    assert_eq!(left(other).await.len(), 10);
}
