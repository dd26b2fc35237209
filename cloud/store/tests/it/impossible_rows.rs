//! Rows that cannot be: the schema refuses them, and where it was got round, reading says which row it is.

use espalier_domain::build::BuildState;
use espalier_store::StoreError;
use sqlx::AssertSqlSafe;

use crate::database::{Database, fresh};
use crate::fixture::{
    acme, device, enrol, model, newest_assignment, now, queued_build, signed_release,
    started_rollout,
};
use crate::rollouts::settle;

async fn run(database: &Database, statement: &str) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(&mut database.raw().await)
        .await?;
    Ok(done.rows_affected())
}

async fn refused_by(database: &Database, statement: &str) -> String {
    match run(database, statement).await {
        Err(sqlx::Error::Database(error)) => {
            error.constraint().unwrap_or("no constraint").to_owned()
        }
        other => panic!("`{statement}` gave {other:?}"),
    }
}

#[tokio::test]
async fn the_schema_refuses_them() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a"]).await;
    let version = model(store).await;
    queued_build(store, &version, "x86").await;
    let _taken = store
        .jobs()
        .take("forge", now(), crate::fixture::later(1))
        .await
        .unwrap();
    let release = signed_release(store).await;
    let rollout = started_rollout(store, &release, 1).await;
    settle(store, rollout, now()).await;

    let refusals = [
        (
            "UPDATE devices SET revoked_at = now()",
            "a_revocation_has_a_reason",
        ),
        (
            "UPDATE devices SET role = 'gateway', gateway = 'a'",
            "a_gateway_stands_alone",
        ),
        (
            "UPDATE builds SET stage = NULL WHERE state = 'running'",
            "running_has_progress",
        ),
        (
            "UPDATE builds SET bundle = NULL WHERE state = 'passed'",
            "an_end_has_its_product",
        ),
        (
            "UPDATE releases SET signed_at = NULL",
            "signed_in_an_edition",
        ),
        (
            "UPDATE releases SET document = 'other'::bytea",
            "the_digest_is_the_documents",
        ),
        (
            "UPDATE rollouts SET stage = NULL",
            "an_open_stage_has_a_number",
        ),
        (
            "UPDATE rollouts SET state = 'aborted', stage = NULL, excused = NULL",
            "a_stop_has_a_reason",
        ),
        ("UPDATE assignments SET attempt = 0", "told_means_tried"),
        (
            "UPDATE assignments SET phase = 'active', step = NULL, sent_at = NULL",
            "an_end_has_an_outcome",
        ),
        (
            "UPDATE assignments SET phase = 'trial'",
            "underway_has_a_step",
        ),
        (
            "UPDATE assignments SET sent_at = NULL",
            "a_clock_runs_for_who_was_told",
        ),
        ("UPDATE assignments SET boot = 1", "a_position_is_whole"),
        (
            "UPDATE assignments SET goal = 'return', phase = 'returning'",
            "a_return_leads_somewhere",
        ),
        (
            "UPDATE desired_states SET published = 7",
            "published_after_signed",
        ),
        (
            "UPDATE desired_states SET composed = 7",
            "composed_after_wanted",
        ),
        (
            "UPDATE desired_states SET sequence = 7",
            "a_sequence_has_an_envelope",
        ),
        ("UPDATE claims SET uses = max_uses + 1", "claims_check"),
        (
            "UPDATE jobs SET worker = NULL WHERE worker IS NOT NULL",
            "a_lease_has_a_holder",
        ),
    ];
    for (statement, constraint) in refusals {
        assert_eq!(
            refused_by(&database, statement).await,
            constraint,
            "{statement}"
        );
    }
}

fn names(error: StoreError, table: &str, column: &str) {
    match error {
        StoreError::Inconsistency {
            table: t,
            column: c,
            row,
            ..
        } => {
            assert_eq!((t, c), (table, column));
            assert!(!row.is_empty());
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn reading_one_all_the_same_says_which_it_is() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a"]).await;
    let version = model(store).await;
    let build = queued_build(store, &version, "x86").await;
    assert_eq!(build.state, BuildState::Queued);

    run(&database, "UPDATE devices SET labels = '{\"Site\": \"x\"}'")
        .await
        .unwrap();
    names(
        store.devices().find(&device("a")).await.unwrap_err(),
        "devices",
        "labels",
    );

    run(
        &database,
        "ALTER TABLE builds DROP CONSTRAINT running_has_progress",
    )
    .await
    .unwrap();
    run(&database, "UPDATE builds SET state = 'running'")
        .await
        .unwrap();
    names(
        store.builds().find(&acme(), build.id).await.unwrap_err(),
        "builds",
        "stage",
    );

    run(
        &database,
        "UPDATE model_versions SET model = 'parts' , task = 't'",
    )
    .await
    .unwrap();
    run(&database, "UPDATE model_files SET path = '../x'")
        .await
        .unwrap_err();
    run(
        &database,
        "UPDATE model_files SET path = '../x' WHERE path = 'decoder.onnx'",
    )
    .await
    .unwrap();
    names(
        store.models().find(&acme(), version.id).await.unwrap_err(),
        "model_files",
        "path",
    );
}

#[tokio::test]
async fn an_assignment_whose_columns_disagree_is_found_out() {
    let database = fresh().await;
    let store = &database.store;
    enrol(store, &["a"]).await;
    let rollout = started_rollout(store, &signed_release(store).await, 1).await;
    settle(store, rollout, now()).await;
    run(
        &database,
        "ALTER TABLE assignments DROP CONSTRAINT underway_has_a_step",
    )
    .await
    .unwrap();
    run(&database, "UPDATE assignments SET phase = 'trial'")
        .await
        .unwrap();
    names(
        newest_assignment(store, "a").await.unwrap_err(),
        "assignments",
        "phase",
    );
}
