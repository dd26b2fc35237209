//! The forge's queue under several workers, some of which die.

use std::collections::BTreeSet;

use espalier_domain::build::{BuildFailure, BuildState, Progress};
use espalier_protocol::job::GateVerdict;
use espalier_store::{LeaseState, Written};
use futures::future::join_all;

use crate::database::fresh;
use crate::fixture::{acme, later, model, now, product, queued_build};

#[tokio::test]
async fn no_job_is_taken_twice() {
    let database = fresh().await;
    let store = &database.store;
    let version = model(store).await;
    for _ in 0..8 {
        queued_build(store, &version, "x86").await;
    }
    let workers = (0..12).map(|number| async move {
        store
            .jobs()
            .take(&format!("forge-{number}"), now(), later(60))
            .await
            .unwrap()
    });
    let taken: Vec<_> = join_all(workers)
        .await
        .into_iter()
        .flatten()
        .map(|job| job.lease.job)
        .collect();
    assert_eq!(taken.len(), 8);
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), 8);
}

#[tokio::test]
async fn a_worker_that_died_is_followed_and_its_late_words_do_not_count() {
    let database = fresh().await;
    let store = &database.store;
    let version = model(store).await;
    let build = queued_build(store, &version, "x86").await;
    let dead = store
        .jobs()
        .take("dead", now(), later(60))
        .await
        .unwrap()
        .unwrap();
    assert!(
        store
            .jobs()
            .take("eager", later(59), later(120))
            .await
            .unwrap()
            .is_none(),
        "its lease holds"
    );

    let next = store
        .jobs()
        .take("next", later(60), later(120))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((next.lease.job, next.attempt), (dead.lease.job, 2));
    assert_eq!(
        store
            .jobs()
            .heartbeat(&dead.lease, None, later(200))
            .await
            .unwrap(),
        LeaseState::Lost
    );
    let end = BuildState::Running(Progress::started())
        .finish(product(GateVerdict::Passed))
        .unwrap();
    assert_eq!(
        store
            .jobs()
            .finish(&dead.lease, BuildState::Cancelled, later(61))
            .await
            .unwrap(),
        Written::NotUpdated
    );
    assert_eq!(
        store
            .jobs()
            .finish(&next.lease, end.clone(), later(62))
            .await
            .unwrap(),
        Written::Updated
    );
    assert_eq!(
        store
            .jobs()
            .finish(&next.lease, end.clone(), later(63))
            .await
            .unwrap(),
        Written::NotUpdated
    );
    assert_eq!(
        store
            .builds()
            .find(&acme(), build.id)
            .await
            .unwrap()
            .unwrap()
            .state,
        end
    );
}

#[tokio::test]
async fn a_job_that_is_given_back_waits_again_and_the_try_does_not_count() {
    let database = fresh().await;
    let store = &database.store;
    let version = model(store).await;
    queued_build(store, &version, "x86").await;
    let mut leases = Vec::new();
    for worker in ["first", "second", "third", "fourth"] {
        let job = store.jobs().take(worker, now(), later(60)).await.unwrap();
        let job = job.expect("a job that nobody holds");
        assert_eq!(job.attempt, 1, "{worker}");
        let given = store.jobs().give_back(&job.lease).await.unwrap();
        assert_eq!(given, Written::Updated);
        leases.push(job.lease);
    }
    // Whoever gave it back has nothing more to give.
    let holder = store.jobs().take("fifth", now(), later(60)).await.unwrap();
    assert!(holder.is_some());
    let late = store.jobs().give_back(&leases[0]).await.unwrap();
    assert_eq!(late, Written::NotUpdated);
    assert_eq!(store.jobs().give_up(1, later(30)).await.unwrap(), []);
}

#[tokio::test]
async fn a_build_that_kills_forges_is_given_up() {
    let database = fresh().await;
    let store = &database.store;
    let version = model(store).await;
    let build = queued_build(store, &version, "x86").await;
    for attempt in 0..3 {
        assert_eq!(
            store.jobs().give_up(3, later(attempt * 60)).await.unwrap(),
            []
        );
        let worker = format!("forge-{attempt}");
        store
            .jobs()
            .take(&worker, later(attempt * 60), later(attempt * 60 + 60))
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(
        store.jobs().give_up(3, later(180)).await.unwrap(),
        [build.id]
    );
    assert!(
        store
            .jobs()
            .take("forge", later(500), later(600))
            .await
            .unwrap()
            .is_none()
    );
    let state = store
        .builds()
        .find(&acme(), build.id)
        .await
        .unwrap()
        .unwrap()
        .state;
    assert!(
        matches!(state, BuildState::Failed(BuildFailure::Refused { code, .. }) if code == "forge-died")
    );
}

#[tokio::test]
async fn a_queued_build_is_cancelled_at_once_and_a_running_one_by_its_forge() {
    let database = fresh().await;
    let store = &database.store;
    let version = model(store).await;
    let queued = queued_build(store, &version, "x86").await;
    assert_eq!(
        store
            .builds()
            .cancel(&acme(), queued.id, now())
            .await
            .unwrap(),
        Written::Updated
    );
    assert_eq!(
        store
            .builds()
            .cancel(&acme(), queued.id, now())
            .await
            .unwrap(),
        Written::NotUpdated
    );
    assert!(
        store
            .jobs()
            .take("forge", now(), later(60))
            .await
            .unwrap()
            .is_none()
    );

    let running = queued_build(store, &version, "x86").await;
    let job = store
        .jobs()
        .take("forge", now(), later(60))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        store
            .jobs()
            .heartbeat(&job.lease, None, later(90))
            .await
            .unwrap(),
        LeaseState::Held
    );
    assert_eq!(
        store
            .builds()
            .cancel(&acme(), running.id, now())
            .await
            .unwrap(),
        Written::Updated
    );
    assert_eq!(
        store
            .jobs()
            .heartbeat(&job.lease, None, later(90))
            .await
            .unwrap(),
        LeaseState::CancelRequested
    );
    assert_eq!(
        store
            .jobs()
            .finish(&job.lease, BuildState::Cancelled, now())
            .await
            .unwrap(),
        Written::Updated
    );
    let state = store
        .builds()
        .find(&acme(), running.id)
        .await
        .unwrap()
        .unwrap()
        .state;
    assert_eq!(state, BuildState::Cancelled);
}
