//! From the operator's call until the embedded broker has ended the device's connection.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use espalier_api::claim::ClaimView;
use espalier_sim::Fleet;
use espalier_support::{
    Operator,
    cloud::{Cloud, CloudOptions},
    workshop::DEVICE_CLASS,
};
use serde_json::{Value, json};

use crate::figures::{Row, quantile};

const DEVICES: u64 = 40;
const PATIENCE: Duration = Duration::from_secs(30);
const BAR: f64 = 5.0;

/// Revokes connected devices one by one.
///
/// # Errors
/// When one stays.
pub async fn measure() -> Result<Vec<Row>> {
    let scratch = tempfile::tempdir().context("no scratch folder")?;
    let cloud = Cloud::start(&scratch.path().join("cloud"), CloudOptions::default()).await?;
    let operator = cloud.operator();
    let mut fleet = connected(&operator, scratch.path()).await?;
    let (mut answered, mut gone) = (Vec::new(), Vec::new());
    for device in fleet.devices() {
        let path = format!("/devices/{}/revoke", device.name());
        let body = json!({});
        let call = operator.post::<Value>(&path, &body);
        let kick = device.until("the kick", PATIENCE, |status| !status.connected);
        let (call, kick) = tokio::try_join!(timed(call), timed(kick))?;
        answered.push(call);
        gone.push(kick);
    }
    fleet.go_offline().await?;
    let p95 = quantile(&gone, 0.95);
    Ok(vec![
        Row::printed("revoke_to_kick_p50", quantile(&gone, 0.5), "s"),
        Row::printed("revoke_to_kick_p95", p95, "s").must("≤ 5 s", p95 <= BAR),
        Row::printed("revoke_answered_p95", quantile(&answered, 0.95), "s"),
    ])
}

async fn connected(operator: &Operator, scratch: &std::path::Path) -> Result<Fleet> {
    let claim: ClaimView = operator
        .post(
            "/claims",
            &json!({ "class": DEVICE_CLASS, "uses": DEVICES }),
        )
        .await?;
    let class = DEVICE_CLASS.parse()?;
    let mut fleet = Fleet::enrol(&claim.claim, DEVICES, &class, &scratch.join("fleet")).await?;
    fleet.go_online()?;
    for device in fleet.devices() {
        device
            .until("a connection", PATIENCE, |status| status.connected)
            .await?;
    }
    Ok(fleet)
}

/// Seconds until it is done.
async fn timed<T>(act: impl Future<Output = Result<T>>) -> Result<f64> {
    let begun = Instant::now();
    act.await?;
    Ok(begun.elapsed().as_secs_f64())
}
