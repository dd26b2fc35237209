//! Nothing of one tenant exists for another.

use espalier_domain::audit::{Actor, AuditEntry};
use espalier_domain::principal::{Principal, PrincipalId, PrincipalRole};
use espalier_domain::rollout::Verb;
use espalier_protocol::{Digest, Tenant};
use espalier_store::{Role, VerbOutcome, Written};

use crate::database::fresh;
use crate::fixture::{
    acme, device, enrol, later, new_id, now, observation, signed_release, started_rollout,
};

fn other() -> Tenant {
    "other".parse().unwrap()
}

#[tokio::test]
async fn another_tenants_things_do_not_exist() {
    let database = fresh().await;
    let store = &database.store;
    store
        .principals()
        .ensure_tenant(&other(), now())
        .await
        .unwrap();
    enrol(store, &["press-1"]).await;
    let release = signed_release(store).await;
    let rollout = started_rollout(store, &release, 1).await;
    let assignment = store
        .assignments()
        .of_device(&device("press-1"), 1)
        .await
        .unwrap()
        .remove(0);
    let mut stranger = device("press-1");
    stranger.tenant = other();

    assert_eq!(store.devices().find(&stranger).await.unwrap(), None);
    assert_eq!(store.devices().list(&other(), None, 10).await.unwrap(), []);
    assert_eq!(store.devices().count(&other()).await.unwrap(), 0);
    assert_eq!(store.devices().refused(&stranger).await.unwrap(), []);
    assert_eq!(
        store.devices().revoke(&stranger, "", now()).await.unwrap(),
        Written::Absent
    );
    assert_eq!(
        store
            .models()
            .find(&other(), release.document.model_version)
            .await
            .unwrap(),
        None
    );
    assert_eq!(store.models().list(&other(), None, 10).await.unwrap(), []);
    assert_eq!(store.builds().list(&other(), None, 10).await.unwrap(), []);
    let build = *release.builds.values().next().unwrap();
    assert_eq!(store.builds().find(&other(), build).await.unwrap(), None);
    assert_eq!(
        store.builds().cancel(&other(), build, now()).await.unwrap(),
        Written::Absent
    );
    assert_eq!(
        store.releases().find(&other(), release.id()).await.unwrap(),
        None
    );
    assert_eq!(
        store
            .releases()
            .document(&other(), release.id())
            .await
            .unwrap(),
        None
    );
    assert_eq!(store.releases().list(&other(), None, 10).await.unwrap(), []);
    assert_eq!(
        store.rollouts().find(&other(), rollout).await.unwrap(),
        None
    );
    assert_eq!(store.rollouts().list(&other(), None, 10).await.unwrap(), []);
    assert_eq!(
        store.rollouts().facts(&other(), rollout).await.unwrap(),
        None
    );
    assert_eq!(
        store
            .rollouts()
            .act(&other(), rollout, Verb::Abort, now())
            .await
            .unwrap(),
        VerbOutcome::Absent
    );
    assert_eq!(
        store
            .assignments()
            .find(&other(), assignment.id)
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        store
            .assignments()
            .of_rollout(&other(), rollout, None, 10)
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        store.assignments().of_device(&stranger, 10).await.unwrap(),
        []
    );
    assert_eq!(store.desired().current(&stranger).await.unwrap(), None);
    assert_eq!(
        store.tuf().newest(&other(), Role::Targets).await.unwrap(),
        None
    );
    assert_eq!(store.events().after(&other(), 0, 10).await.unwrap(), []);
    assert_eq!(store.claims().list(&other(), 10).await.unwrap(), []);
    assert_eq!(
        store.principals().tenants().await.unwrap(),
        [acme(), other()]
    );
}

/// Both have a device of this name; each speaks for its own only.
#[tokio::test]
async fn one_batch_keeps_tenants_apart() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let mut stranger = observation("press-1", 5);
    stranger.device.tenant = other();
    let taken = store
        .reports()
        .take_in(&[stranger, observation("press-1", 1)])
        .await
        .unwrap();
    assert_eq!(taken.len(), 2);
    let known = store
        .devices()
        .find(&device("press-1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(known.last.unwrap().position.seq, 1);
}

#[tokio::test]
async fn tokens_are_good_until_they_end() {
    let database = fresh().await;
    let store = &database.store;
    store
        .principals()
        .ensure_tenant(&acme(), now())
        .await
        .unwrap();
    let admin = Principal {
        id: PrincipalId(new_id()),
        tenant: acme(),
        name: "admin".to_owned(),
        role: PrincipalRole::Admin,
    };
    assert_eq!(
        store.principals().ensure(&admin, now()).await.unwrap(),
        admin.id
    );
    let again = Principal {
        id: PrincipalId(new_id()),
        ..admin.clone()
    };
    assert_eq!(
        store.principals().ensure(&again, now()).await.unwrap(),
        admin.id,
        "the first id stays"
    );

    let token = Digest::of(b"secret");
    store
        .principals()
        .add_token(&acme(), admin.id, &token, now(), Some(later(60)))
        .await
        .unwrap();
    assert_eq!(
        store
            .principals()
            .by_token(&token, later(59))
            .await
            .unwrap(),
        Some(admin.clone())
    );
    assert_eq!(
        store
            .principals()
            .by_token(&token, later(60))
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        store
            .principals()
            .by_token(&Digest::of(b"guess"), now())
            .await
            .unwrap(),
        None
    );

    for (action, actor) in [
        ("rollout.start", Actor::Principal(admin.id)),
        ("rollout.pause", Actor::Cloud),
    ] {
        let detail = serde_json::json!({});
        let (action, subject) = (action.to_owned(), "parts".to_owned());
        store
            .audit()
            .append(&AuditEntry {
                at: now(),
                tenant: acme(),
                actor,
                action,
                subject,
                detail,
            })
            .await
            .unwrap();
    }
    let newest = store.audit().newest(&acme(), None, 10).await.unwrap();
    assert_eq!(newest[0].entry.actor, Actor::Cloud);
    let older = store
        .audit()
        .newest(&acme(), Some(newest[0].id), 10)
        .await
        .unwrap();
    assert_eq!(older, newest[1..]);
}
