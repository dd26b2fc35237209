//! What outlives the process, and what does not.

use std::time::{Duration, Instant};

use espalier_api::{
    claim::CreateClaim, device::DeviceView, error::ErrorCode, page::Page, tuf::TufTargetsView,
};
use espalier_embedded::postgres::{EmbeddedPostgres, PostgresConfig, Programs, Survives};
use espalier_protocol::enrol::Role;
use espalier_server::serve::DRAIN_SECONDS;
use espalier_support::skip::skipped;
use reqwest::{Method, StatusCode};
use tempfile::tempdir;

use crate::{
    device::{Device, claim},
    stack::{Stack, eventually, problem},
};

#[tokio::test(flavor = "multi_thread")]
async fn restart_keeps_token_trust_and_devices() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let (token, before): (_, TufTargetsView) =
        (stack.token.clone(), stack.get("/tuf/targets").await);
    Device::enrol(
        claim(&stack, &CreateClaim::default()).await,
        "press-1",
        Role::Device,
        None,
    )
    .await;
    let folder = stack.stop().await;
    assert!(
        !folder.path().join("endpoints.json").exists(),
        "addresses of a server that is gone lead astray"
    );

    let stack = Stack::in_folder(folder).await;
    assert_eq!(stack.token, token);
    let after: TufTargetsView = stack.get("/tuf/targets").await;
    assert_eq!(
        (before.root_json, before.targets_json),
        (after.root_json, after.targets_json)
    );
    let devices: Page<DeviceView> = stack.get("/devices").await;
    assert_eq!(devices.items.len(), 1);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn second_server_in_a_state_folder_is_refused_and_hides_nothing() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let refused = stack.second().await.unwrap_err();
    assert!(
        refused.to_string().contains("another server works in"),
        "{refused:#}"
    );
    assert!(
        stack.folder.path().join("endpoints.json").exists(),
        "the first one still serves there"
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_ends_idle_connections_and_the_conversations_of_the_embedded_broker() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let claim = claim(&stack, &CreateClaim::default()).await;
    let device = Device::enrol(claim, "press-1", Role::Device, None).await;
    let mut session = device.connect().await;
    session.say(device.report(1, 1)).await;
    session.hear().await;
    let metadata = device.fetch("tuf/timestamp.json").await;
    assert_eq!(metadata.status(), StatusCode::OK);
    metadata.bytes().await.unwrap();
    let began = Instant::now();
    stack.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(DRAIN_SECONDS),
        "the device's idle connection was waited for"
    );
    session.ends().await;
}

/// Copies of models are large; what a dead process left of them is removed.
#[tokio::test(flavor = "multi_thread")]
async fn folders_of_jobs_and_imports_do_not_outlive_them() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let folder = stack.stop().await;
    let jobs = folder.path().join("jobs");
    for left in ["import-1a2b3c", "01900000-0000-7000-8000-000000000000"] {
        std::fs::create_dir_all(jobs.join(left).join("input")).unwrap();
    }
    let stack = Stack::in_folder(folder).await;
    eventually("the folders to be removed", async || {
        let left = std::fs::read_dir(&jobs).unwrap().count();
        (left == 0).then_some(())
    })
    .await;
    stack.stop().await;
}

/// A restored database, and a state folder that was lost: nothing that these keys sign would be believed.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_another_installation_are_refused() {
    if Programs::find().is_err() {
        return skipped(
            "keys_of_another_installation",
            "there is no PostgreSQL here",
        );
    }
    let folder = tempdir().unwrap();
    let config = PostgresConfig {
        survives: Survives::Crash,
        ..PostgresConfig::new(folder.path())
    };
    let postgres = EmbeddedPostgres::start(config).await.unwrap();
    let url = postgres.url("postgres");
    let over = async |state| {
        let url = url.clone();
        Stack::launch(state, |flags| flags.database_url = Some(url)).await
    };
    let stack = over(tempdir().unwrap()).await;
    stack.ready().await;
    let own = stack.stop().await;

    let foreign = over(tempdir().unwrap()).await;
    let said = eventually("the keys to be refused", async || {
        let said = foreign.misses("trust").await;
        said.contains("another installation's").then_some(said)
    });
    assert!(said.await.starts_with("The keys in the state folder"));
    let claim = foreign
        .call(Method::POST, "/claims", Some(&CreateClaim::default()))
        .await;
    assert_eq!(problem(claim).await.code, ErrorCode::Unauthenticated);
    foreign.stop().await;

    let stack = over(own).await;
    stack.ready().await;
    stack.stop().await;
    postgres.stop().await;
}
