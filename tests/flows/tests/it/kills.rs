//! `kill -9` of anything in the middle of a rollout: after a restart every device is on one good,
//! verified bundle, and the rollout has ended.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use espalier_api::release::ReleaseView;
use espalier_protocol::id::{BuildId, RolloutId};
use espalier_support::{
    Agent, Operator,
    cloud::CloudOptions,
    household::Household,
    process, wait, walk,
    workshop::{DEVICE_CLASS, MODEL, Workshop},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The kill follows one of these steps of an update, as the watched device's log tells them.
const STEPS: [&str; 5] = ["Accepted", "Downloading", "Verified", "Trial", "Active"];
const STEP_WITHIN: Duration = Duration::from_secs(60);
/// How soon after the step the kill comes: some states last for milliseconds.
const WATCH_EVERY: Duration = Duration::from_millis(1);
const ENDED_WITHIN: Duration = Duration::from_secs(180);
const FORGE_WITHIN: Duration = Duration::from_secs(30);
/// The flavour of builds that only exist for their forge to be killed: no release has it.
const FORGED_MEANWHILE: u32 = 1000;
/// The long form goes on beyond its seeds until every state was reached, but not beyond this one.
const LAST_SEED: u64 = 100;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Cloud,
    Gateway,
    Near,
    Behind,
    Forge,
    Postgres,
}

const VICTIMS: [Victim; 6] = [
    Victim::Cloud,
    Victim::Gateway,
    Victim::Near,
    Victim::Behind,
    Victim::Forge,
    Victim::Postgres,
];

/// Where the update stood on the watched device's disk when the victim died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Ordered,
    Staging,
    Verified,
    OnTrial,
    Active,
}

const STATES: usize = 5;

#[tokio::test]
async fn a_kill_at_any_moment_of_a_rollout_ends_with_every_device_on_one_good_bundle() -> Result<()>
{
    let long = std::env::var_os("ESPALIER_TEST_LONG").is_some();
    let seeds = if long { 50 } else { 8 };
    let mut workshop = Workshop::open(CloudOptions::default()).await?;
    let mut household = Household::enrol(&workshop.operator(), workshop.folder()).await?;
    let mut reached = BTreeSet::new();
    for seed in 0..LAST_SEED {
        if seed >= seeds && (!long || reached.len() == STATES) {
            return Ok(());
        }
        let mut random = StdRng::seed_from_u64(seed);
        let victim = VICTIMS[random.random_range(0..VICTIMS.len())];
        let step = STEPS[random.random_range(0..STEPS.len())];
        let release = workshop.release(u32::try_from(seed)? + 1).await?;
        let state = one_kill(&mut workshop, &mut household, &release, victim, step)
            .await
            .with_context(|| format!("seed {seed}: {victim:?} killed after {step}"))?;
        println!(
            "seed {seed}: {victim:?} was killed in the state {state:?}; all three serve {}",
            release.digest.short()
        );
        reached.insert(state);
    }
    bail!("only these states were reached: {reached:?}")
}

async fn one_kill(
    workshop: &mut Workshop,
    household: &mut Household,
    release: &ReleaseView,
    victim: Victim,
    step: &str,
) -> Result<State> {
    let operator = workshop.operator();
    let from = watched(household, victim).log_length()?;
    let rollout = operator.roll_out(release.id, "all", 3).await?;
    wait_for_step(watched(household, victim), from, step).await?;
    let forged = kill(workshop, household, victim).await?;
    let state = stands(watched(household, victim), release)?;
    restart(workshop, household, victim).await?;
    ended(&operator, rollout).await?;
    household
        .serves(&operator, release, workshop.folder())
        .await?;
    if let Some(build) = forged {
        operator.built(build, |_| ()).await?;
    }
    Ok(state)
}

/// `kill -9`; gives the build that a killed forge was at.
async fn kill(
    workshop: &mut Workshop,
    household: &mut Household,
    victim: Victim,
) -> Result<Option<BuildId>> {
    match victim {
        Victim::Cloud => workshop.cloud.kill_hard().await?,
        Victim::Gateway => household.gateway.kill_hard().await?,
        Victim::Near => household.near.kill_hard().await?,
        Victim::Behind => household.behind.kill_hard().await?,
        Victim::Postgres => process::send(postgres_of(workshop)?, libc::SIGKILL)?,
        Victim::Forge => return kill_forge(workshop).await.map(Some),
    }
    Ok(None)
}

/// Postgres and the forge are started again by the control plane, as in the field.
async fn restart(workshop: &mut Workshop, household: &mut Household, victim: Victim) -> Result<()> {
    match victim {
        Victim::Cloud => workshop.cloud.start_again().await,
        Victim::Gateway => household.gateway.start().await,
        Victim::Near => household.near.start().await,
        Victim::Behind => household.behind.start().await,
        Victim::Postgres | Victim::Forge => Ok(()),
    }
}

/// Orders a build that no release needs, and kills the forge over it.
async fn kill_forge(workshop: &mut Workshop) -> Result<BuildId> {
    let build = workshop.order(DEVICE_CLASS, FORGED_MEANWHILE).await?;
    let cloud = workshop.cloud.process().id().context("no control plane")?;
    let forge = soon("a forge", FORGE_WITHIN, || {
        Ok(process::children(cloud, "espalier-forge")?.pop())
    })
    .await?;
    process::send(forge, libc::SIGKILL)?;
    Ok(build)
}

/// Where an update to a release stands on an agent's disk.
fn stands(agent: &Agent, release: &ReleaseView) -> Result<State> {
    let slots = agent.slots(MODEL)?;
    let served = &slots["serving"]["active"]["release"]["digest"];
    Ok(match slots["trial"]["state"].as_str() {
        Some("staging") => State::Staging,
        Some("verified") => State::Verified,
        Some("on-trial") => State::OnTrial,
        Some("empty") if *served == release.digest.to_string() => State::Active,
        Some("empty") => State::Ordered,
        other => bail!("{} holds a trial slot {other:?}", agent.spec().name),
    })
}

/// The device whose log tells the moment: the victim itself, or one of the cloud's.
fn watched(household: &Household, victim: Victim) -> &Agent {
    match victim {
        Victim::Gateway => &household.gateway,
        Victim::Behind => &household.behind,
        Victim::Cloud | Victim::Postgres | Victim::Forge | Victim::Near => &household.near,
    }
}

async fn wait_for_step(agent: &Agent, from: u64, step: &str) -> Result<()> {
    let what = format!("{step} in the log of {}", agent.spec().name);
    soon(&what, STEP_WITHIN, || {
        let log = agent.log_since(from)?;
        Ok(log.lines().any(|line| says(line, step)).then_some(()))
    })
    .await
}

/// Asks every millisecond: what comes next is to come as soon after as can be.
async fn soon<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut ticks = interval(WATCH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < deadline {
        ticks.tick().await;
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
    }
    bail!("waited {} s in vain for {what}", limit.as_secs())
}

/// A line of the agent's JSON log that tells a step of an update.
fn says(line: &str, wanted: &str) -> bool {
    let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else {
        return false;
    };
    let step = line["fields"]["step"].as_str();
    step.is_some_and(|step| step.starts_with(wanted))
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
