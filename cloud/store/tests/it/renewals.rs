//! Certificates that follow one another.

use espalier_protocol::Digest;
use espalier_store::{CertificateRecord, RenewOutcome, Renewal, Store, Written};
use futures::future::join_all;

use crate::database::fresh;
use crate::fixture::{device, enrol, later, new_id, now};

const DAY: i64 = 86_400;

/// What `press-1` holds: the newest certificate first.
async fn held(store: &Store) -> Vec<CertificateRecord> {
    store
        .devices()
        .certificates(&device("press-1"))
        .await
        .unwrap()
}

/// A renewal so many seconds after the device enrolled for a day.
fn renewal(follows: &str, seconds: i64) -> Renewal {
    Renewal {
        identity: device("press-1"),
        follows: follows.to_owned(),
        next: CertificateRecord {
            serial: new_id().simple().to_string(),
            issued_at: later(seconds),
            expires_at: later(seconds + DAY),
        },
        now: later(seconds),
    }
}

#[tokio::test]
async fn certificate_has_one_successor_however_often_and_at_once_it_is_asked_for() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let first = held(store).await.remove(0);
    let too_early = renewal(&first.serial, DAY / 2 - 1);
    let outcome = store.devices().renew(&too_early).await.unwrap();
    assert_eq!(outcome, RenewOutcome::Newest(first.clone()));

    let asked: Vec<_> = (0..8).map(|_| renewal(&first.serial, DAY / 2)).collect();
    let outcomes = join_all(
        asked
            .iter()
            .map(async |asked| store.devices().renew(asked).await.unwrap()),
    );
    let outcomes = outcomes.await;
    let certificates = held(store).await;
    assert_eq!(certificates.len(), 2);
    let second = &certificates[0];
    for (asked, outcome) in asked.iter().zip(&outcomes) {
        let expected = if asked.next == *second {
            RenewOutcome::Renewed
        } else {
            RenewOutcome::Newest(second.clone())
        };
        assert_eq!(*outcome, expected);
    }
    // A request of long ago that is played again when the second one is due as well.
    let replay = store
        .devices()
        .renew(&renewal(&first.serial, 2 * DAY))
        .await;
    assert_eq!(replay.unwrap(), RenewOutcome::Newest(second.clone()));
    assert_eq!(held(store).await.len(), 2);
}

#[tokio::test]
async fn certificates_of_others_and_of_barred_devices_are_not_followed() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1", "press-2"]).await;
    let mine = held(store).await.remove(0).serial;
    let ask = async |renewal: Renewal| store.devices().renew(&renewal).await.unwrap();

    let others = store
        .devices()
        .certificates(&device("press-2"))
        .await
        .unwrap();
    let made_up = Digest::of(b"guess").to_string();
    for serial in [&others[0].serial, &made_up] {
        let outcome = ask(renewal(serial, DAY)).await;
        assert_eq!(outcome, RenewOutcome::UnknownCertificate);
    }
    let mut unknown = renewal(&mine, DAY);
    unknown.identity = device("press-9");
    assert_eq!(ask(unknown).await, RenewOutcome::Barred);
    let (devices, lost) = (store.devices(), device("press-1"));
    let revoked = devices.revoke(&lost, "lost", now()).await.unwrap();
    assert_eq!(revoked, Written::Updated);
    assert_eq!(ask(renewal(&mine, DAY)).await, RenewOutcome::Barred);
    assert_eq!(held(store).await.len(), 1);
}
