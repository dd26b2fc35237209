//! What is written is read, in every state.

use espalier_domain::build::{BuildState, Progress};
use espalier_domain::rollout::Verb;
use espalier_domain::{Labels, Phase};
use espalier_protocol::job::GateVerdict;
use espalier_protocol::report::{Failure, FailureKind, Installed, Step};
use espalier_store::Written;

use crate::database::fresh;
use crate::fixture::{
    acme, active, device, enrol, later, model, newest_assignment, now, product, progress,
    queued_build, serving, signed_release, started_rollout,
};
use crate::rollouts::settle;

#[tokio::test]
async fn model_versions() {
    let database = fresh().await;
    let version = model(&database.store).await;
    assert_eq!(
        database
            .store
            .models()
            .find(&acme(), version.id)
            .await
            .unwrap(),
        Some(version.clone())
    );
    assert_eq!(
        database
            .store
            .models()
            .versions(&acme(), &version.model, None, 10)
            .await
            .unwrap(),
        [version]
    );
    let other = "other".parse().unwrap();
    assert_eq!(
        database
            .store
            .models()
            .versions(&acme(), &other, None, 10)
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn builds_in_every_state() {
    let database = fresh().await;
    let store = &database.store;
    let version = model(store).await;
    let failed = GateVerdict::Failed {
        reasons: vec!["too slow".to_owned()],
    };
    let running = || {
        BuildState::Running(Progress {
            stage: "quantise".to_owned(),
            done: 3,
            total: 9,
        })
    };
    let ends = [
        running().finish(product(GateVerdict::Passed)).unwrap(),
        running().finish(product(failed)).unwrap(),
        running()
            .refuse("invalid-model".to_owned(), "it has no outputs".to_owned())
            .unwrap(),
        running().cancel().unwrap(),
    ];
    for end in ends {
        let build = queued_build(store, &version, "x86").await;
        assert_eq!(
            store
                .builds()
                .find(&acme(), build.id)
                .await
                .unwrap()
                .unwrap(),
            build
        );
        let job = store
            .jobs()
            .take("forge", now(), later(60))
            .await
            .unwrap()
            .unwrap();
        let BuildState::Running(progress) = running() else {
            unreachable!()
        };
        let _held = store
            .jobs()
            .heartbeat(&job.lease, Some(progress), later(120))
            .await
            .unwrap();
        assert_eq!(
            store
                .builds()
                .find(&acme(), build.id)
                .await
                .unwrap()
                .unwrap()
                .state,
            running()
        );
        assert_eq!(
            store
                .jobs()
                .finish(&job.lease, end.clone(), now())
                .await
                .unwrap(),
            Written::Updated
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
    assert_eq!(
        store
            .builds()
            .list(&acme(), Some(version.id), None, 3)
            .await
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn releases_with_their_builds() {
    let database = fresh().await;
    let release = signed_release(&database.store).await;
    assert!(release.require_signed().is_ok());
    assert_eq!(release.builds.len(), 1);
    assert_eq!(
        database
            .store
            .releases()
            .list(&acme(), None, 10)
            .await
            .unwrap(),
        std::slice::from_ref(&release)
    );
    let bytes = database
        .store
        .releases()
        .document(&acme(), release.id())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(espalier_protocol::Digest::of(&bytes), release.digest);
}

#[tokio::test]
async fn devices_with_what_they_said() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let fresh = store
        .devices()
        .find(&device("press-1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(fresh.last, None);
    assert_eq!(fresh.inventory.as_ref().unwrap().agent, "0.1.0");

    let release = signed_release(store).await;
    let installed = Installed {
        release: release.reference(),
        bundle: release.digest,
    };
    let said = serving("press-1", 7, installed);
    let _stored = store
        .reports()
        .take_in(std::slice::from_ref(&said))
        .await
        .unwrap();
    let labels = Labels::from_pairs(["site=berlin", "tier=line"]).unwrap();
    assert_eq!(
        store
            .devices()
            .set_labels(&device("press-1"), &labels)
            .await
            .unwrap(),
        Written::Updated
    );

    let known = store
        .devices()
        .find(&device("press-1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(known.labels, labels);
    let last = known.last.clone().unwrap();
    assert_eq!(
        (last.position, last.received_at),
        (said.position, said.received_at)
    );
    assert_eq!(known.active(release.model()), Some(installed));
    assert_eq!(
        store.devices().list(&acme(), None, 10).await.unwrap(),
        [known]
    );
}

#[tokio::test]
async fn assignments_in_every_phase() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let old = signed_release(store).await;
    let before = Installed {
        release: old.reference(),
        bundle: old.digest,
    };
    let _stored = store
        .reports()
        .take_in(&[serving("press-1", 1, before)])
        .await
        .unwrap();
    let release = signed_release(store).await;
    let rollout = started_rollout(store, &release, 1).await;
    let read = async || newest_assignment(store, "press-1").await.unwrap();
    assert_eq!(read().await.phase(), Phase::Pending);
    settle(store, rollout, now()).await;
    let sent = read().await;
    assert_eq!(
        (sent.phase(), sent.attempt, sent.before),
        (Phase::Sent, 1, Some(before))
    );

    let failure = Failure {
        kind: FailureKind::GoldenMismatch,
        detail: "0.2 < 0.9".to_owned(),
    };
    let installed = Installed {
        release: release.reference(),
        bundle: sent.bundle,
    };
    let steps = [
        (Step::Accepted, Phase::Accepted),
        (Step::Downloading { done: 5, total: 10 }, Phase::Downloading),
        (Step::Verified, Phase::Verified),
        (Step::Trial, Phase::Trial),
        (Step::Failed(failure.clone()), Phase::Failed),
        (active(installed), Phase::Active),
        (Step::RolledBack(failure.clone()), Phase::RolledBack),
    ];
    for (seq, (step, phase)) in (2..).zip(steps) {
        let _stored = store
            .reports()
            .take_in(&[progress("press-1", seq, sent.id, 1, step.clone())])
            .await
            .unwrap();
        let known = read().await;
        assert_eq!(known.phase(), phase);
        let mut expected = sent.clone();
        expected.state = known.state.clone();
        expected.last = known.last;
        assert_eq!(known, expected, "nothing else has changed");
        assert_eq!(
            store
                .assignments()
                .find(&acme(), sent.id)
                .await
                .unwrap()
                .unwrap(),
            known
        );
    }
    let _done = store
        .rollouts()
        .act(&acme(), rollout, Verb::Revert, now())
        .await
        .unwrap();
    settle(store, rollout, now()).await;
    assert_eq!(read().await.phase(), Phase::Returning);
    let _stored = store
        .reports()
        .take_in(&[progress("press-1", 20, sent.id, 2, active(before))])
        .await
        .unwrap();
    assert_eq!(read().await.phase(), Phase::Returned);
}
