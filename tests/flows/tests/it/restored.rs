//! The database is restored from an older copy, as on the worst day of an operator's year.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use espalier_api::{release::ReleaseView, rollout::RolloutState};
use espalier_support::{
    agent::AgentSpec,
    cloud::CloudOptions,
    workshop::{DEVICE_CLASS, MODEL, Workshop},
};

const ENDED_WITHIN: Duration = Duration::from_secs(60);

struct Yard {
    workshop: Workshop,
}

impl Yard {
    async fn release(&self, flavour: u32) -> Result<ReleaseView> {
        let operator = self.workshop.operator();
        let build = self.workshop.order(DEVICE_CLASS, flavour).await?;
        operator.built(build, |_| ()).await?;
        operator.release(&[build]).await
    }

    async fn roll_out(&self, release: &ReleaseView) -> Result<()> {
        let operator = self.workshop.operator();
        let rollout = operator.roll_out(release.id, "all", 1).await?;
        let ended = operator.ended(rollout, ENDED_WITHIN, |_| ()).await?;
        ensure!(
            matches!(ended.state, RolloutState::Completed { .. }),
            "the rollout of release {} ended as {:?}",
            release.counter,
            ended.state
        );
        Ok(())
    }

    /// Stops the control plane, does something to its database, and starts it again.
    async fn while_down(&mut self, act: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let cloud = &mut self.workshop.cloud;
        let ended = cloud.process().stop().await?;
        ensure!(ended.success(), "the control plane ended with {ended}");
        act(&cloud.state().join("postgres"))?;
        cloud.start_again().await
    }
}

/// With owners and rights: the database insists on them.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    ensure!(
        copied.context("no cp")?.success(),
        "{} could not be copied",
        from.display()
    );
    Ok(())
}

#[tokio::test]
async fn a_restored_older_database_lowers_no_counter_no_version_and_no_sequence() -> Result<()> {
    let workshop = Workshop::open(CloudOptions::default()).await?;
    let backup: PathBuf = workshop.folder().join("backup");
    let mut yard = Yard { workshop };
    let first = yard.release(1).await?;
    let spec = AgentSpec {
        name: "device-1".to_owned(),
        class: DEVICE_CLASS.to_owned(),
        gateway: false,
    };
    let operator = yard.workshop.operator();
    let agent = operator.enrol(spec, yard.workshop.folder(), None).await?;
    yard.roll_out(&first).await?;
    yard.while_down(|database| copy(database, &backup)).await?;

    let second = yard.release(2).await?;
    yard.roll_out(&second).await?;
    yard.while_down(|database| {
        std::fs::remove_dir_all(database)?;
        copy(&backup, database)
    })
    .await?;

    let third = yard.release(3).await?;
    ensure!(
        third.counter > second.counter,
        "release counters went from {} back to {}",
        second.counter,
        third.counter
    );
    yard.roll_out(&third).await?;
    let serves = &agent.slots(MODEL)?["serving"]["active"]["release"]["digest"];
    ensure!(
        *serves == third.digest.to_string(),
        "the device runs {serves}"
    );
    Ok(())
}
