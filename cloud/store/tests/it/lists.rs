//! Lists are read page by page, however long they are, and what comes in meanwhile shifts nothing.

use std::fmt::Debug;

use espalier_domain::model::ModelVersion;
use espalier_protocol::id::ModelVersionId;
use espalier_store::StoreError;

use crate::database::fresh;
use crate::fixture::{
    acme, draft_release, draft_rollout, enrol, later, model, new_id, passed_build, policy,
    queued_build, signed_release,
};

/// All pages of two rows, by the cursor of each last row.
async fn pages<T, C: Copy>(
    read: impl AsyncFn(Option<C>) -> Result<Vec<T>, StoreError>,
    cursor: impl Fn(&T) -> C,
) -> Vec<C> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = read(after).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else {
            return all;
        };
        after = Some(cursor(last));
        all.extend(page.iter().map(&cursor));
    }
}

fn assert_newest_first<T: Ord + Debug>(found: &[T], made: &[T]) {
    let mut newest: Vec<_> = made.iter().collect();
    newest.sort_unstable();
    newest.reverse();
    assert_eq!(found.iter().collect::<Vec<_>>(), newest);
}

#[tokio::test]
async fn every_row_is_on_exactly_one_page() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["press-1"]).await;
    let release = signed_release(store).await;
    let (mut versions, mut builds, mut releases, mut rollouts) = (
        vec![release.document.model_version],
        vec![*release.builds.values().next().unwrap()],
        vec![release.id()],
        Vec::new(),
    );
    for _ in 0..4 {
        let version = model(store).await;
        let build = passed_build(store, &version, "x86").await;
        let draft = draft_release(store, &version, std::slice::from_ref(&build)).await;
        rollouts.push(draft_rollout(store, &release, policy(1)).await);
        versions.push(version.id);
        builds.push(build.id);
        releases.push(draft.id());
    }

    let name = release.model().clone();
    let found = pages(
        async |after| store.models().versions(&acme(), &name, after, 2).await,
        |version| version.id,
    );
    assert_newest_first(&found.await, &versions);
    let found = pages(
        async |after| store.builds().list(&acme(), None, after, 2).await,
        |build| build.id,
    );
    assert_newest_first(&found.await, &builds);
    let found = pages(
        async |after| store.releases().list(&acme(), after, 2).await,
        |release| release.id(),
    );
    assert_newest_first(&found.await, &releases);
    let found = pages(
        async |after| store.rollouts().list(&acme(), after, 2).await,
        |rollout| rollout.id,
    );
    assert_newest_first(&found.await, &rollouts);
}

#[tokio::test]
async fn what_comes_in_meanwhile_shifts_no_page() {
    let database = fresh().await;
    let store = &database.store;
    let version = model(store).await;
    let older = queued_build(store, &version, "x86").await;
    let newer = queued_build(store, &version, "x86").await;
    let list = async |after| {
        let builds = store.builds();
        let page = builds.list(&acme(), Some(version.id), after, 1).await;
        page.unwrap()
    };
    assert_eq!(list(None).await, std::slice::from_ref(&newer));
    queued_build(store, &version, "x86").await;
    assert_eq!(list(Some(newer.id)).await, [older]);
}

#[tokio::test]
async fn models_by_name_each_by_its_newest_version() {
    let database = fresh().await;
    let store = &database.store;
    let parts = model(store).await;
    for name in ["bolts", "parts", "tiles"] {
        let version = ModelVersion {
            id: ModelVersionId(new_id()),
            model: name.parse().unwrap(),
            created_at: later(1),
            ..parts.clone()
        };
        store.models().import(&version).await.unwrap();
    }
    let read = async |after: Option<&str>| {
        let after = after.map(|name| name.parse().unwrap());
        let page = store.models().newest(&acme(), after.as_ref(), 2).await;
        let page = page.unwrap().into_iter();
        page.map(|version| (version.model.to_string(), version.created_at))
            .collect::<Vec<_>>()
    };
    let named = |name: &str| (name.to_owned(), later(1));
    assert_eq!(read(None).await, [named("bolts"), named("parts")]);
    assert_eq!(read(Some("parts")).await, [named("tiles")]);
}
