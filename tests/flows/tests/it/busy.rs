//! A device without a moment to spare is updated all the same.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use espalier_api::rollout::RolloutState;
use espalier_support::agent::AgentSpec;
use espalier_support::cloud::CloudOptions;
use espalier_support::workshop::{DEVICE_CLASS, Workshop};

/// Less than the idle class would need for a trial beside [`Load`].
const TRIED_WITHIN: Duration = Duration::from_secs(60);

/// Threads at the priority of requests that leave no processor a moment.
struct Load(Arc<AtomicBool>);

impl Load {
    fn begin() -> Result<Self> {
        let load = Self(Arc::default());
        for _ in 0..2 * thread::available_parallelism()?.get() {
            let ended = Arc::clone(&load.0);
            thread::spawn(move || while !ended.load(Ordering::Relaxed) {});
        }
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_device_without_a_moment_to_spare_still_tries_a_bundle() -> Result<()> {
    let workshop = Workshop::open(CloudOptions::default()).await?;
    let operator = workshop.operator();
    let build = workshop.order(DEVICE_CLASS, 1).await?;
    operator.built(build, |_| ()).await?;
    let release = operator.release(&[build]).await?;
    let spec = AgentSpec {
        name: "device-1".to_owned(),
        class: DEVICE_CLASS.to_owned(),
        gateway: false,
    };
    let _agent = operator.enrol(spec, workshop.folder(), None).await?;

    let load = Load::begin()?;
    let rollout = operator.roll_out(release.id, "all", 1).await?;
    let ended = operator.ended(rollout, TRIED_WITHIN, |_| ()).await?;
    drop(load);
    ensure!(
        matches!(ended.state, RolloutState::Completed { .. }),
        "the rollout ended as {:?}",
        ended.state
    );
    Ok(())
}
