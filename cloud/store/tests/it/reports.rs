//! Reports: at least once, in any order, from devices that may lie.

use espalier_domain::Phase;
use espalier_domain::assignment::{Applied, Ignored};
use espalier_domain::device::{Refused, Standing};
use espalier_domain::observation::{Freshness, Observation};
use espalier_protocol::Incarnation;
use espalier_protocol::inventory::Inventory;
use espalier_protocol::report::{Attack, Failure, FailureKind, Refusal, Step};
use espalier_store::{Store, TakenIn, Written};

use crate::database::fresh;
use crate::fixture::{
    acme, device, enrol, newest_assignment, now, observation, progress, signed_release,
    started_rollout,
};
use crate::rollouts::settle;

fn stored(freshness: Freshness, applied: Option<Applied>) -> TakenIn {
    TakenIn::Stored { freshness, applied }
}

#[tokio::test]
async fn duplicates_and_late_reports_count_as_stored_and_change_nothing() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let take = async |seq| {
        store
            .reports()
            .take_in(&[observation("press-1", seq)])
            .await
            .unwrap()
            .remove(0)
    };
    assert_eq!(take(5).await, stored(Freshness::New, None));
    assert_eq!(take(5).await, stored(Freshness::Duplicate, None));
    assert_eq!(take(4).await, stored(Freshness::Late, None));
    assert_eq!(take(6).await, stored(Freshness::New, None));
    let last = store
        .devices()
        .find(&device("press-1"))
        .await
        .unwrap()
        .unwrap()
        .last
        .unwrap();
    assert_eq!(last.position.seq, 6);
}

#[tokio::test]
async fn a_batch_may_hold_a_devices_reports_in_any_order() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1", "press-2"]).await;
    let batch = [
        observation("press-1", 2),
        observation("press-2", 9),
        observation("press-1", 1),
        observation("press-1", 3),
        observation("press-1", 3),
    ];
    let taken = store.reports().take_in(&batch).await.unwrap();
    let expected = [
        stored(Freshness::New, None),
        stored(Freshness::New, None),
        stored(Freshness::Late, None),
        stored(Freshness::New, None),
        stored(Freshness::Duplicate, None),
    ];
    assert_eq!(taken, expected);
}

#[tokio::test]
async fn strangers_and_the_revoked_are_not_acknowledged_and_do_not_spoil_the_batch() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1", "press-2"]).await;
    let _revoked = store
        .devices()
        .revoke(&device("press-2"), "stolen", now())
        .await
        .unwrap();
    let batch = [
        observation("nobody", 1),
        observation("press-1", 1),
        observation("press-2", 1),
    ];
    let taken = store.reports().take_in(&batch).await.unwrap();
    assert_eq!(taken[0], TakenIn::NotADevice(device("nobody")));
    assert_eq!(taken[1], stored(Freshness::New, None));
    assert_eq!(taken[2], TakenIn::NotADevice(device("press-2")));
}

#[tokio::test]
async fn of_two_agents_that_count_the_same_start_the_second_is_not_believed() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let copied = |seq| Observation {
        incarnation: Some(Incarnation::from_bytes([2; 16])),
        ..observation("press-1", seq)
    };
    let batch = [
        observation("press-1", 1),
        copied(2),
        observation("press-1", 3),
    ];
    let taken = store.reports().take_in(&batch).await.unwrap();
    let heard = stored(Freshness::New, None);
    assert_eq!(taken, [heard.clone(), TakenIn::Cloned, heard]);
    // Also one by one, and with a later number.
    let taken = store.reports().take_in(&[copied(9)]).await.unwrap();
    assert_eq!(taken, [TakenIn::Cloned]);
    // A restart is another start with another number.
    let mut restarted = copied(1);
    restarted.position.boot += 1;
    let taken = store.reports().take_in(&[restarted]).await.unwrap();
    assert_eq!(taken, [stored(Freshness::New, None)]);
}

#[tokio::test]
async fn a_device_in_quarantine_is_not_heard_until_it_is_readmitted_whichever_is_left() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let press = device("press-1");
    let devices = store.devices();
    let mut ahead = observation("press-1", 7);
    ahead.position.boot = 5;
    let _heard = store.reports().take_in(&[ahead]).await.unwrap();
    for expected in [Written::Updated, Written::NotUpdated] {
        assert_eq!(
            devices.quarantine(&press, "two", now()).await.unwrap(),
            expected
        );
    }
    let taken = store.reports().take_in(&[observation("press-1", 8)]).await;
    assert_eq!(taken.unwrap(), [TakenIn::NotADevice(press.clone())]);
    let known = devices.find(&press).await.unwrap().unwrap();
    assert!(matches!(known.standing, Standing::Quarantined { .. }));

    for expected in [Written::Updated, Written::NotUpdated] {
        assert_eq!(devices.readmit(&press).await.unwrap(), expected);
    }
    // The one that is left counted fewer starts than the one that is gone.
    let taken = store.reports().take_in(&[observation("press-1", 8)]).await;
    assert_eq!(taken.unwrap(), [stored(Freshness::New, None)]);
}

/// Postgres has no text with a NUL in it, and a batch is one transaction.
#[tokio::test]
async fn a_nul_in_ones_report_does_not_hold_up_the_others() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1", "press-2"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 2).await;
    settle(store, rollout, now()).await;
    let told = newest_assignment(store, "press-1").await.unwrap();
    let failure = Failure {
        kind: FailureKind::LoadFailed,
        detail: "operator `\0`".to_owned(),
    };
    let mut odd = progress("press-1", 1, told.id, 1, Step::Failed(failure));
    odd.inventory = Some(Inventory {
        agent: "1.0\0".to_owned(),
        providers: vec!["\0cpu".to_owned()],
        ..Inventory::default()
    });
    let batch = [odd, observation("press-2", 1)];
    let taken = store.reports().take_in(&batch).await.unwrap();
    assert_eq!(taken[0], stored(Freshness::New, Some(Applied::Moved)));
    assert_eq!(taken[1], stored(Freshness::New, None));
    let known = store.devices().find(&device("press-1")).await.unwrap();
    let inventory = known.unwrap().inventory.unwrap();
    assert_eq!(inventory.agent, "1.0\u{fffd}");
    assert_eq!(inventory.providers, ["\u{fffd}cpu"]);
}

/// A newer report about one model must not hide an older one about an assignment.
#[tokio::test]
async fn progress_that_was_overtaken_by_other_news_still_counts() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 1).await;
    settle(store, rollout, now()).await;
    let told = newest_assignment(store, "press-1").await.unwrap();
    let _newer = store
        .reports()
        .take_in(&[observation("press-1", 8)])
        .await
        .unwrap();
    let older = progress("press-1", 7, told.id, 1, Step::Verified);
    let taken = store
        .reports()
        .take_in(std::slice::from_ref(&older))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(taken, stored(Freshness::Late, Some(Applied::Moved)));
    let again = store.reports().take_in(&[older]).await.unwrap().remove(0);
    assert_eq!(
        again,
        stored(Freshness::Late, Some(Applied::Ignored(Ignored::Duplicate)))
    );
}

#[tokio::test]
async fn nobody_reports_on_anothers_assignment() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1", "press-2"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 2).await;
    settle(store, rollout, now()).await;
    let told = newest_assignment(store, "press-1").await.unwrap();
    let lie = progress("press-2", 1, told.id, 1, Step::Verified);
    assert_eq!(
        store.reports().take_in(&[lie]).await.unwrap(),
        [stored(Freshness::New, None)]
    );
    let known = store
        .assignments()
        .find(&acme(), told.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(known.phase(), Phase::Sent);
}

#[tokio::test]
async fn refusals_are_kept_and_reach_the_console_once() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let attacked = attacked(1, &["key 12ab"]);
    for _ in 0..2 {
        let _taken = store
            .reports()
            .take_in(std::slice::from_ref(&attacked))
            .await
            .unwrap();
    }
    let events = refused(store).await;
    assert_eq!(
        events,
        [serde_json::json!({ "attack": "wrong-key", "detail": "key 12ab", "refusals": 1 })]
    );
    let kept = kept_of(store, "press-1").await;
    let known = Refused {
        at: now(),
        refusal: attacked.refused[0].clone(),
    };
    assert_eq!(kept, [known]);
}

/// A report without refusals overtook one with two: an attack is not forgotten for that.
#[tokio::test]
async fn refusals_of_a_late_report_count() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    for report in [
        observation("press-1", 9),
        attacked(8, &["third", "fourth"]),
        attacked(7, &["first", "second"]),
    ] {
        let _taken = store.reports().take_in(&[report]).await.unwrap();
    }
    assert_eq!(
        details(store).await,
        ["fourth", "third", "second", "first"],
        "newest first, in the device's own order"
    );
    let told = refused(store).await;
    let told: Vec<_> = told
        .iter()
        .map(|event| (event["detail"].as_str().unwrap(), &event["refusals"]))
        .collect();
    assert_eq!(
        told,
        [("third", &2.into()), ("first", &2.into())],
        "the console hears once of each report"
    );
}

#[tokio::test]
async fn a_device_under_attack_does_not_fill_the_database() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1", "press-2"]).await;
    let mut other = attacked(1, &["the other's"]);
    other.device = device("press-2");
    let words: Vec<_> = (0..25).map(|number| number.to_string()).collect();
    let storm: Vec<_> = (0..25)
        .map(|number| attacked(number, &[&words[number as usize]]))
        .chain([other])
        .collect();
    let _taken = store.reports().take_in(&storm).await.unwrap();
    let newest: Vec<_> = words.iter().rev().take(20).collect();
    assert_eq!(details(store).await.iter().collect::<Vec<_>>(), newest);
    let others = kept_of(store, "press-2").await;
    assert_eq!(others.len(), 1, "one device's storm is not another's");

    let told = refused(store).await.len();
    let _taken = store.reports().take_in(&storm[..5]).await.unwrap();
    assert_eq!(details(store).await.iter().collect::<Vec<_>>(), newest);
    assert_eq!(
        refused(store).await.len(),
        told,
        "dropped and delivered again is no news"
    );
}

fn attacked(seq: u64, details: &[&str]) -> Observation {
    let refusal = |detail: &&str| Refusal {
        attack: Attack::WrongKey,
        detail: (*detail).to_owned(),
    };
    Observation {
        refused: details.iter().map(refusal).collect(),
        ..observation("press-1", seq)
    }
}

async fn kept_of(store: &Store, name: &str) -> Vec<Refused> {
    let name = name.parse().unwrap();
    let names = std::slice::from_ref(&name);
    let kept = store.devices().refused(&acme(), names).await;
    kept.unwrap().remove(&name).unwrap_or_default()
}

async fn details(store: &Store) -> Vec<String> {
    let kept = kept_of(store, "press-1").await;
    kept.into_iter().map(|known| known.refusal.detail).collect()
}

async fn refused(store: &Store) -> Vec<serde_json::Value> {
    let events = store.events().after(&acme(), 0, 100).await.unwrap();
    events
        .into_iter()
        .filter(|event| event.event.kind == "device.refused")
        .map(|event| event.event.payload)
        .collect()
}

/// Every writer takes its rows first and the lock on events last; one that did both for each tenant in turn would wait in
/// a circle with a writer of the next tenant's.
#[tokio::test]
async fn a_batch_of_two_tenants_waits_in_no_circle() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let mut planner = database.raw().await;
    sqlx::raw_sql(
        "INSERT INTO tenants VALUES ('zeta', now());
         INSERT INTO devices (tenant_id, device, role, class, public_key, enrolled_at)
         VALUES ('zeta', 'press-1', 'device', 'x86', sha256('zeta'), now())",
    )
    .execute(&mut planner)
    .await
    .unwrap();
    sqlx::raw_sql("BEGIN; SELECT FROM devices WHERE tenant_id = 'zeta' FOR UPDATE")
        .execute(&mut planner)
        .await
        .unwrap();
    let mut theirs = observation("press-1", 1);
    theirs.device.tenant = "zeta".parse().unwrap();
    let batch = [attacked(1, &["news of acme"]), theirs];
    let taken = async {
        let taken = store.reports().take_in(&batch).await.unwrap();
        assert_eq!(
            taken,
            [stored(Freshness::New, None), stored(Freshness::New, None)]
        );
    };
    let planned = async {
        let waits = "SELECT EXISTS (
                 SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
             )";
        while !sqlx::query_scalar::<_, bool>(waits)
            .fetch_one(&mut planner)
            .await
            .unwrap()
        {
            tokio::task::yield_now().await;
        }
        sqlx::raw_sql("SELECT pg_advisory_xact_lock(hashtext('espalier events')); COMMIT")
            .execute(&mut planner)
            .await
            .unwrap();
    };
    tokio::join!(taken, planned);
}
