//! Nothing of one tenant exists for another.

use espalier_domain::audit::{Actor, AuditEntry};
use espalier_domain::principal::{Principal, PrincipalId, PrincipalRole};
use espalier_domain::rollout::Verb;
use espalier_protocol::{Digest, Tenant};
use espalier_store::{Role, VerbOutcome, Written};

use crate::database::fresh;
use crate::fixture::{
    acme, device, enrol, later, new_id, newest_assignment, now, observation, signed_release,
    started_rollout,
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
    let assignment = newest_assignment(store, "press-1").await.unwrap();
    let mut stranger = device("press-1");
    stranger.tenant = other();

    assert_eq!(store.devices().find(&stranger).await.unwrap(), None);
    assert_eq!(store.devices().list(&other(), None, 10).await.unwrap(), []);
    let names = std::slice::from_ref(&stranger.device);
    let refused = store.devices().refused(&other(), names).await.unwrap();
    assert!(refused.is_empty());
    let devices = store.devices();
    let certificates = devices.newest_certificates(&other(), names).await;
    assert!(certificates.unwrap().is_empty());
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
    assert_eq!(store.models().newest(&other(), None, 10).await.unwrap(), []);
    let builds = store.builds().list(&other(), None, None, 10).await.unwrap();
    assert_eq!(builds, []);
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
    let told = store.assignments().of_devices(&other(), names, 10).await;
    assert!(told.unwrap().is_empty());
    assert_eq!(store.desired().current(&stranger).await.unwrap(), None);
    assert_eq!(
        store.tuf().newest(&other(), Role::Targets).await.unwrap(),
        None
    );
    assert_eq!(store.events().after(&other(), 0, 10).await.unwrap(), []);
    let log = store.events().of_rollout(&other(), rollout, 0, 10).await;
    assert_eq!(log.unwrap(), []);
    assert_eq!(
        store.principals().tenants().await.unwrap(),
        [acme(), other()]
    );
}

/// Who knows no more than a digest has nothing; who sent the bytes, or has a model of them, has them.
#[tokio::test]
async fn a_blob_is_there_for_whom_it_belongs_to() {
    let database = fresh().await;
    let store = &database.store;
    store
        .principals()
        .ensure_tenant(&other(), now())
        .await
        .unwrap();
    let release = signed_release(store).await;
    let built = &release.document.builds[0];
    let sent = Digest::of(b"sent");
    for _ in 0..2 {
        let uploaded = store.blobs().uploaded(&acme(), sent, now()).await;
        uploaded.unwrap();
    }
    let owned = [
        sent,
        Digest::of(b"decoder.onnx"),
        Digest::of(b"model.json"),
        built.bundle,
        release.digest,
    ];
    for digest in owned {
        assert!(store.blobs().belongs(&acme(), digest).await.unwrap());
        assert!(!store.blobs().belongs(&other(), digest).await.unwrap());
    }
    let guess = Digest::of(b"guess");
    assert!(!store.blobs().belongs(&acme(), guess).await.unwrap());
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
