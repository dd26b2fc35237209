//! `kill -9` of anything in the middle of a rollout: after a restart every device is on one good,
//! verified bundle, and the rollout has ended.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use espalier_api::release::ReleaseView;
use espalier_protocol::id::RolloutId;
use espalier_support::{
    Operator, cloud::CloudOptions, household::Household, process, wait, walk, workshop::Workshop,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Everything is killed at one of these moments of an update on a device, as its log tells them.
const MOMENTS: [&str; 5] = ["Accepted", "Downloading", "Verified", "Trial", "Active"];
const MOMENT_WITHIN: Duration = Duration::from_secs(60);
const ENDED_WITHIN: Duration = Duration::from_secs(180);

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Cloud,
    Gateway,
    Near,
    Behind,
    Postgres,
}

const VICTIMS: [Victim; 5] = [
    Victim::Cloud,
    Victim::Gateway,
    Victim::Near,
    Victim::Behind,
    Victim::Postgres,
];

#[tokio::test]
async fn a_kill_at_any_moment_of_a_rollout_ends_with_every_device_on_one_good_bundle() -> Result<()>
{
    let long = std::env::var_os("ESPALIER_TEST_LONG").is_some();
    let seeds = if long { 50 } else { 8 };
    let mut workshop = Workshop::open(CloudOptions::default()).await?;
    let mut household = Household::enrol(&workshop.operator(), workshop.folder()).await?;
    let mut reached = BTreeSet::new();
    for seed in 0..seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let victim = VICTIMS[random.random_range(0..VICTIMS.len())];
        let moment = MOMENTS[random.random_range(0..MOMENTS.len())];
        let release = workshop.release(u32::try_from(seed)? + 1).await?;
        workshop = one_kill(workshop, &mut household, &release, victim, moment)
            .await
            .with_context(|| format!("seed {seed}: {victim:?} killed at {moment}"))?;
        println!(
            "seed {seed}: {victim:?} was killed at {moment}; all three serve {}",
            release.digest.short()
        );
        reached.insert(moment);
    }
    ensure!(
        !long || reached.len() == MOMENTS.len(),
        "only these moments were reached: {reached:?}"
    );
    Ok(())
}

async fn one_kill(
    mut workshop: Workshop,
    household: &mut Household,
    release: &ReleaseView,
    victim: Victim,
    moment: &str,
) -> Result<Workshop> {
    let operator = workshop.operator();
    let watched = watched(household, victim).log_length()?;
    let rollout = operator.roll_out(release.id, "all", 3).await?;
    wait_for_moment(household, victim, watched, moment).await?;
    match victim {
        Victim::Cloud => workshop.cloud = workshop.cloud.restart().await?,
        Victim::Postgres => process::send(postgres_of(&workshop)?, libc::SIGKILL)?,
        Victim::Gateway => restart(&mut household.gateway).await?,
        Victim::Near => restart(&mut household.near).await?,
        Victim::Behind => restart(&mut household.behind).await?,
    }
    let operator = workshop.operator();
    ended(&operator, rollout).await?;
    household
        .serves(&operator, release, workshop.folder())
        .await?;
    Ok(workshop)
}

/// The device whose log tells the moment: the victim itself, or one of the cloud's.
fn watched(household: &Household, victim: Victim) -> &espalier_support::Agent {
    match victim {
        Victim::Gateway => &household.gateway,
        Victim::Behind => &household.behind,
        Victim::Cloud | Victim::Postgres | Victim::Near => &household.near,
    }
}

async fn wait_for_moment(
    household: &Household,
    victim: Victim,
    from: u64,
    moment: &str,
) -> Result<()> {
    let agent = watched(household, victim);
    wait::until(
        &format!("{moment} in the log of {}", agent.spec().name),
        MOMENT_WITHIN,
        || async {
            Ok(agent
                .log_since(from)?
                .lines()
                .any(|line| says(line, moment))
                .then_some(()))
        },
    )
    .await
}

/// A line of the agent's JSON log that tells a step of an update.
fn says(line: &str, moment: &str) -> bool {
    let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else {
        return false;
    };
    let step = line["fields"]["step"].as_str();
    step.is_some_and(|step| step.starts_with(moment))
}

async fn restart(agent: &mut espalier_support::Agent) -> Result<()> {
    agent.kill_hard().await?;
    agent.start().await
}

async fn ended(operator: &Operator, rollout: RolloutId) -> Result<()> {
    // The database or the server may be away for a moment: asking again is part of the hazard.
    let view = wait::until("the rollout to end", ENDED_WITHIN, || async {
        let view = operator.rollout(rollout).await.ok();
        Ok(view.filter(|view| walk::has_ended(&view.state)))
    })
    .await?;
    let completed = matches!(
        view.state,
        espalier_api::rollout::RolloutState::Completed { .. }
    );
    ensure!(completed, "the rollout ended as {:?}", view.state);
    Ok(())
}

/// The embedded server's process, from its own file.
fn postgres_of(workshop: &Workshop) -> Result<u32> {
    let file = workshop.cloud.state().join("postgres/data/postmaster.pid");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let first = text.lines().next().context("an empty postmaster.pid")?;
    first
        .trim()
        .parse()
        .context("postmaster.pid names no process")
}
