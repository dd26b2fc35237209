//! Enrolment, certificates and revocation.

use espalier_domain::claim::ClaimRefusal;
use espalier_domain::device::Standing;
use espalier_protocol::Digest;
use espalier_protocol::enrol::Role;
use espalier_store::{EnrolOutcome, Written};
use futures::future::join_all;

use crate::database::fresh;
use crate::fixture::{acme, claim, device, enrol, enrolment, key, later, now};

#[tokio::test]
async fn a_claim_is_never_used_more_often_than_it_counts() {
    let database = fresh().await;
    let store = &database.store;
    let token = claim(store, 3).await;
    let names: Vec<_> = (0..12).map(|number| format!("d-{number}")).collect();
    let asked = names.iter().map(|name| async move {
        store
            .devices()
            .enrol(&enrolment(token, name))
            .await
            .unwrap()
    });
    let outcomes = join_all(asked).await;
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == EnrolOutcome::Enrolled)
            .count(),
        3
    );
    let refused = EnrolOutcome::Refused(ClaimRefusal::UsedUp(3));
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == refused)
            .count(),
        9
    );
    let known = store.devices().list(&acme(), None, 10).await.unwrap();
    assert_eq!(known.len(), 3);
    assert_eq!(
        store.claims().by_token(&token).await.unwrap().unwrap().uses,
        3
    );
}

#[tokio::test]
async fn a_device_whose_answer_was_lost_asks_again() {
    let database = fresh().await;
    let store = &database.store;
    let token = claim(store, 1).await;
    assert_eq!(
        store
            .devices()
            .enrol(&enrolment(token, "press-1"))
            .await
            .unwrap(),
        EnrolOutcome::Enrolled
    );
    let enrol = async |enrolment| store.devices().enrol(&enrolment).await.unwrap();
    let held = async || {
        store
            .devices()
            .certificates(&device("press-1"))
            .await
            .unwrap()
    };
    let given = held().await.remove(0);
    let again = enrol(enrolment(token, "press-1")).await;
    assert_eq!(again, EnrolOutcome::Again(given.clone()));
    assert_eq!(held().await, [given], "nothing new is on record");
    assert_eq!(
        store.claims().by_token(&token).await.unwrap().unwrap().uses,
        1
    );
    let mut of_another_class = enrolment(token, "press-1");
    of_another_class.class = "arm".parse().unwrap();
    let class = "x86".parse().unwrap();
    assert_eq!(
        enrol(of_another_class).await,
        EnrolOutcome::OtherClass(class)
    );
}

#[tokio::test]
async fn a_device_whose_certificate_ended_needs_a_claim_that_admits_it() {
    let database = fresh().await;
    let store = &database.store;
    let used_up = claim(store, 1).await;
    let enrol = async |enrolment| store.devices().enrol(&enrolment).await.unwrap();
    // It holds for a second, so that the claims still do when it has ended.
    let mut first = enrolment(used_up, "press-1");
    first.certificate.expires_at = later(1);
    assert_eq!(enrol(first).await, EnrolOutcome::Enrolled);
    let back = |token| {
        let mut back = enrolment(token, "press-1");
        (back.now, back.certificate.issued_at) = (later(2), later(2));
        back
    };
    let refused = EnrolOutcome::Refused(ClaimRefusal::UsedUp(1));
    assert_eq!(enrol(back(used_up)).await, refused);
    let another = claim(store, 1).await;
    assert_eq!(enrol(back(another)).await, EnrolOutcome::Anew);
    let used = store.claims().by_token(&another).await.unwrap();
    assert_eq!(used.unwrap().uses, 1);
    let held = store.devices().certificates(&device("press-1")).await;
    assert_eq!(held.unwrap().len(), 2);
}

#[tokio::test]
async fn names_and_keys_belong_together() {
    let database = fresh().await;
    let store = &database.store;
    let token = claim(store, 9).await;
    let enrol = async |enrolment| store.devices().enrol(&enrolment).await.unwrap();
    assert_eq!(
        enrol(enrolment(token, "press-1")).await,
        EnrolOutcome::Enrolled
    );
    let mut stolen_name = enrolment(token, "press-1");
    stolen_name.public_key = key("somebody else");
    assert_eq!(enrol(stolen_name).await, EnrolOutcome::NameTaken);
    let mut stolen_key = enrolment(token, "press-2");
    stolen_key.public_key = key("press-1");
    assert_eq!(enrol(stolen_key).await, EnrolOutcome::NameTaken);
}

#[tokio::test]
async fn claims_that_do_not_admit() {
    let database = fresh().await;
    let store = &database.store;
    let token = claim(store, 1).await;
    let unknown = store
        .devices()
        .enrol(&enrolment(Digest::of(b"guess"), "press-1"))
        .await
        .unwrap();
    assert_eq!(unknown, EnrolOutcome::UnknownClaim);

    let mut late = enrolment(token, "press-1");
    late.now = later(7200);
    assert!(matches!(
        store.devices().enrol(&late).await.unwrap(),
        EnrolOutcome::Refused(ClaimRefusal::Expired(_))
    ));

    let mut foreign = enrolment(token, "press-1");
    foreign.identity.tenant = "other".parse().unwrap();
    assert_eq!(
        store.devices().enrol(&foreign).await.unwrap(),
        EnrolOutcome::UnknownClaim
    );

    let known = store.claims().by_token(&token).await.unwrap().unwrap();
    assert_eq!(
        store
            .claims()
            .revoke(&acme(), known.id, now())
            .await
            .unwrap(),
        Written::Updated
    );
    assert_eq!(
        store
            .claims()
            .revoke(&acme(), known.id, now())
            .await
            .unwrap(),
        Written::NotUpdated
    );
    let revoked = store
        .devices()
        .enrol(&enrolment(token, "press-1"))
        .await
        .unwrap();
    assert_eq!(revoked, EnrolOutcome::Refused(ClaimRefusal::Revoked));
    let known = store.devices().list(&acme(), None, 10).await.unwrap();
    assert_eq!(known, []);
}

#[tokio::test]
async fn children_come_through_their_own_tenants_gateway() {
    let database = fresh().await;
    let store = &database.store;
    let token = claim(store, 9).await;
    let mut child = enrolment(token, "press-1");
    child.gateway = Some("gate".parse().unwrap());
    assert_eq!(
        store.devices().enrol(&child).await.unwrap(),
        EnrolOutcome::UnknownGateway
    );

    let mut gateway = enrolment(token, "gate");
    gateway.role = Role::Gateway;
    assert_eq!(
        store.devices().enrol(&gateway).await.unwrap(),
        EnrolOutcome::Enrolled
    );
    assert_eq!(
        store.devices().enrol(&child).await.unwrap(),
        EnrolOutcome::Enrolled
    );
    assert_eq!(
        store.devices().children(&device("gate")).await.unwrap(),
        ["press-1".parse().unwrap()]
    );
}

#[tokio::test]
async fn a_revoked_device_is_out_with_all_its_certificates() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let press = device("press-1");
    assert_eq!(
        store
            .devices()
            .revoke(&press, "stolen", now())
            .await
            .unwrap(),
        Written::Updated
    );
    assert_eq!(
        store
            .devices()
            .revoke(&press, "again", now())
            .await
            .unwrap(),
        Written::NotUpdated
    );
    assert_eq!(
        store
            .devices()
            .revoke(&device("nobody"), "", now())
            .await
            .unwrap(),
        Written::Absent
    );
    let known = store.devices().find(&press).await.unwrap().unwrap();
    assert_eq!(
        known.standing,
        Standing::Revoked {
            at: now(),
            reason: "stolen".to_owned()
        }
    );
    let token = claim(store, 1).await;
    assert_eq!(
        store
            .devices()
            .enrol(&enrolment(token, "press-1"))
            .await
            .unwrap(),
        EnrolOutcome::Barred
    );
}
