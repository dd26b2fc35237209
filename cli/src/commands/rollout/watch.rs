//! `espalier rollout watch`.

use clap::Args;
use espalier_api::event::FleetEvent;
use espalier_api::rollout::{RolloutState, RolloutView, StageView};
use espalier_protocol::id::RolloutId;

use super::list::{reason, state};
use super::show::progress;
use crate::client::Client;
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::{Output, Shown};
use crate::watch::{Bar, Bars, Watch};

/// Follow a rollout until it ends.
///
/// Ends with 0 when every stage passed, or when a revert that was under way is done; with 1 when the
/// rollout pauses, is aborted or is reverted meanwhile. In a terminal it draws bars; in a pipe it
/// prints each event as a line; with --json each new view of the rollout as a line.
#[derive(Debug, Args)]
pub struct WatchRollout {
    /// The rollout's id
    id: RolloutId,
}

impl WatchRollout {
    /// Follows it.
    ///
    /// # Errors
    /// When the server cannot be asked, or the rollout ends badly.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let client = context.client()?;
        let rollout: RolloutView = client.get(&format!("/rollouts/{}", self.id)).await?;
        follow(&client, rollout, context.output).await
    }
}

/// Shows a rollout's progress until it ends or needs a person.
///
/// # Errors
/// When the server is lost, or the rollout ends badly.
pub async fn follow(
    client: &Client,
    mut rollout: RolloutView,
    output: Output,
) -> Result<(), Failure> {
    let wants_revert = matches!(rollout.state, RolloutState::Reverting { .. });
    let mut screen = Screen::new(output, &rollout);
    let mut watch = Watch::new(client).await;
    loop {
        let events = news(client, &rollout, screen.seen).await?;
        screen.show(&rollout, &events)?;
        if !under_way(&rollout.state) {
            break;
        }
        watch.changed().await?;
        rollout = client.get(&format!("/rollouts/{}", rollout.id)).await?;
    }
    screen.end(&rollout)?;
    verdict(&rollout, wants_revert)
}

/// The entries of the log after `seen`.
async fn news(
    client: &Client,
    rollout: &RolloutView,
    seen: u64,
) -> Result<Vec<FleetEvent>, Failure> {
    client
        .all_after(
            &format!("/rollouts/{}/events", rollout.id),
            Some(seen.to_string()),
        )
        .await
}

fn under_way(state: &RolloutState) -> bool {
    matches!(
        state,
        RolloutState::Running { .. } | RolloutState::Reverting { .. }
    )
}

/// What the person (or the program) watching sees.
struct Screen {
    output: Output,
    bars: Bars,
    stages: Vec<Bar>,
    /// The last entry of the log that was shown.
    seen: u64,
    /// The last view that was printed as JSON.
    printed: Option<RolloutView>,
}

impl Screen {
    fn new(output: Output, rollout: &RolloutView) -> Self {
        let bars = Bars::new(output);
        let stages = rollout
            .stages
            .iter()
            .map(|stage| bars.add(&stage.spec.name, stage.counts.total))
            .collect();
        Self {
            output,
            bars,
            stages,
            seen: 0,
            printed: None,
        }
    }

    fn show(&mut self, rollout: &RolloutView, events: &[FleetEvent]) -> Result<(), Failure> {
        for (bar, stage) in self.stages.iter().zip(&rollout.stages) {
            bar.resize(stage.counts.total);
            bar.reach(stage.counts.active);
            bar.say(&stage_words(stage));
        }
        for event in events {
            self.seen = self.seen.max(event.id);
            self.show_event(event)?;
        }
        if self.output.is_json() && self.printed.as_ref() != Some(rollout) {
            self.output.show_next(rollout)?;
            self.printed = Some(rollout.clone());
        }
        Ok(())
    }

    fn show_event(&self, event: &FleetEvent) -> Result<(), Failure> {
        if self.output.is_live() {
            self.bars.line(&event.text(self.output.now()));
            return Ok(());
        }
        if self.output.is_json() {
            Ok(())
        } else {
            self.output.show_next(event)
        }
    }

    fn end(&self, rollout: &RolloutView) -> Result<(), Failure> {
        self.stages.iter().for_each(Bar::finish);
        if self.output.is_json() {
            Ok(())
        } else {
            self.output.show(rollout)
        }
    }
}

fn stage_words(stage: &StageView) -> String {
    let counts = &stage.counts;
    let parts = [
        (counts.underway, "on the way"),
        (counts.failed, "failed"),
        (counts.returning, "on the way back"),
    ];
    let parts = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"));
    std::iter::once(progress(stage.progress).to_owned())
        .chain(parts)
        .collect::<Vec<_>>()
        .join(", ")
}

fn verdict(rollout: &RolloutView, wants_revert: bool) -> Result<(), Failure> {
    let id = rollout.id;
    let because = reason(&rollout.state)
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    let ended = format!("rollout {id} is {}{because}", state(rollout));
    let advice = match &rollout.state {
        RolloutState::Completed { .. }
        | RolloutState::Running { .. }
        | RolloutState::Reverting { .. } => return Ok(()),
        RolloutState::Reverted { .. } if wants_revert => return Ok(()),
        RolloutState::Draft => {
            "it was never started; start a new one with `espalier rollout start`".into()
        }
        RolloutState::Paused { .. } => format!(
            "see what failed with `espalier rollout show {id}`; then `espalier rollout resume {id}`, or `espalier rollout revert {id}`"
        ),
        RolloutState::Aborted { .. } | RolloutState::Reverted { .. } => {
            format!("`espalier rollout show {id}` says how each device stands")
        }
    };
    Err(Failure::unsuccessful(ended, advice))
}
