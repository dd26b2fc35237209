//! A model to a slot, and back: the main job from end to end, on every database and broker.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use espalier_api::rollout::{AssignmentDetail, RolloutState};
use espalier_embedded::postgres::{EmbeddedPostgres, PostgresConfig, Programs};
use espalier_support::{
    Operator, cloud::CloudOptions, household::Household, mosquitto::Mosquitto, skip::skipped, wait,
    workshop::Workshop,
};

const REVERTED_WITHIN: Duration = Duration::from_secs(60);

/// Import, two builds, a signed release, a gateway, a device, a device behind the gateway; then a
/// second release, and back to the first without a download.
async fn walk(options: CloudOptions) -> Result<()> {
    let workshop = Workshop::open(options).await?;
    let operator = workshop.operator();
    let household = Household::enrol(&operator, workshop.folder()).await?;
    there_and_back(&workshop, &operator, &household).await
}

async fn there_and_back(
    workshop: &Workshop,
    operator: &Operator,
    household: &Household,
) -> Result<()> {
    let (first, second) = (workshop.release(1).await?, workshop.release(2).await?);
    ensure!(
        first.digest != second.digest,
        "two flavours gave the same release"
    );
    household.take(operator, &first).await?;
    household
        .serves(operator, &first, workshop.folder())
        .await?;
    let rollout = household.take(operator, &second).await?;
    household
        .serves(operator, &second, workshop.folder())
        .await?;
    operator
        .run::<serde_json::Value>(&["rollout", "revert", &rollout.id.to_string()])
        .await?;
    let reverted = wait::until("the revert", REVERTED_WITHIN, || async {
        let view = operator.rollout(rollout.id).await?;
        Ok(matches!(view.state, RolloutState::Reverted { .. }).then_some(view))
    });
    reverted.await?;
    household
        .serves(operator, &first, workshop.folder())
        .await?;
    for assignment in operator.assignments(rollout.id).await? {
        let AssignmentDetail::Active(back) = &assignment.detail else {
            continue;
        };
        ensure!(
            back.bytes_downloaded == 0,
            "{} downloaded for a revert",
            assignment.device
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_model_reaches_every_slot_and_a_revert_needs_no_download() -> Result<()> {
    walk(CloudOptions::default()).await
}

#[tokio::test]
async fn the_same_walk_on_postgres_15() -> Result<()> {
    on_postgres(15, Programs::installed(), "the_same_walk_on_postgres_15").await
}

#[tokio::test]
async fn the_same_walk_on_postgres_18() -> Result<()> {
    on_postgres(18, Programs::fetched(), "the_same_walk_on_postgres_18").await
}

/// A server of somebody else's, given by `DATABASE_URL`.
async fn on_postgres(major: u32, programs: Option<Programs>, test: &str) -> Result<()> {
    let Some(programs) = programs.filter(|programs| programs.major() == major) else {
        skipped(test, &format!("PostgreSQL {major} is not on this machine"));
        return Ok(());
    };
    let folder = tempfile::tempdir().context("no scratch folder")?;
    let server = EmbeddedPostgres::start(PostgresConfig {
        programs: Some(programs),
        ..PostgresConfig::new(folder.path())
    })
    .await?;
    walk(CloudOptions {
        database_url: Some(server.url("postgres")),
        broker: None,
    })
    .await
}

#[tokio::test]
async fn the_same_walk_with_mosquitto_as_the_broker() -> Result<()> {
    let Some(program) = Mosquitto::program() else {
        skipped(
            "the_same_walk_with_mosquitto_as_the_broker",
            "Mosquitto is not on this machine",
        );
        return Ok(());
    };
    let port = Mosquitto::free_port()?;
    let broker = Some(format!("mqtts://127.0.0.1:{port}"));
    let workshop = Workshop::open(CloudOptions {
        database_url: None,
        broker,
    })
    .await?;
    let operator = workshop.operator();
    let folder = workshop.folder().join("mosquitto");
    let mut mosquitto = crate::rights::start_mosquitto(&operator, &program, &folder, port).await?;
    let household = Household::enrol(&operator, workshop.folder()).await?;
    // A child was enrolled behind the gateway: the gateway's rights are written anew.
    mosquitto.kill().await?;
    let _mosquitto = crate::rights::start_mosquitto(&operator, &program, &folder, port).await?;
    there_and_back(&workshop, &operator, &household).await
}
