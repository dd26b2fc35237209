//! `espalier rollout start`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use espalier_api::rollout::{
    CreateRollout, OnFailure, RolloutView, StageSize, StageSpec, canary_then_rest,
};
use espalier_protocol::id::ReleaseId;

use super::watch::follow;
use crate::commands::Context;
use crate::commands::claim::duration;
use crate::failure::Failure;

/// Start a rollout of a signed release.
///
/// It goes in two stages: a canary, then the rest. A stage passes when enough of its devices serve
/// the release, and the rollout stops by itself when too many fail.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: espalier rollout start 0190… --devices 'site=north,!spare' --canary 2 --watch"
)]
pub struct Start {
    /// The release's id
    release: ReleaseId,
    /// Which devices: `all`, or conditions on labels like `site=north,line in (1,2),!spare`, with
    /// `device` and `class` as further keys
    #[arg(short, long, value_name = "SELECTOR", default_value = "all")]
    devices: String,
    /// The size of the canary: a number of devices, or a share like 10%
    #[arg(long, value_name = "SIZE", value_parser = size)]
    canary: Option<StageSize>,
    /// The share of a stage's devices, in percent, that must serve the release for the stage to pass
    #[arg(long, value_name = "PERCENT", value_parser = percentage)]
    min_success: Option<f64>,
    /// The share of a stage's devices, in percent, above which failures stop the rollout
    #[arg(long, value_name = "PERCENT", value_parser = percentage)]
    max_failure: Option<f64>,
    /// What stopping means
    #[arg(long, value_enum, value_name = "ACTION")]
    on_failure: Option<Stop>,
    /// How long a device has from being told to serving
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Follow the rollout until it ends
    #[arg(long)]
    watch: bool,
}

/// What a gate does when too many devices failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stop {
    /// Wait for a person
    Pause,
    /// Tell nobody else
    Abort,
    /// Send everybody back to the slot that they kept
    Revert,
}

impl Start {
    /// Creates and starts it, and follows if that was wanted.
    ///
    /// # Errors
    /// When the server refuses, or the watched rollout ends badly.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let client = context.client()?;
        let rollout: RolloutView = client.post("/rollouts", &self.request()).await?;
        if self.watch {
            follow(&client, rollout, context.output).await
        } else {
            context.output.show(&rollout)
        }
    }

    fn request(&self) -> CreateRollout {
        let mut stages: Vec<_> = canary_then_rest()
            .into_iter()
            .map(|stage| self.bounded(stage))
            .collect();
        if let (Some(canary), Some(size)) = (stages.first_mut(), self.canary) {
            canary.size = size;
        }
        CreateRollout {
            release: self.release,
            selector: self.devices.clone(),
            stages,
            start: true,
        }
    }

    /// The stage with the bounds that were given in place of its own.
    fn bounded(&self, stage: StageSpec) -> StageSpec {
        let seconds = |timeout: Duration| u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX);
        StageSpec {
            success_percent: self.min_success.unwrap_or(stage.success_percent),
            failure_percent: self.max_failure.unwrap_or(stage.failure_percent),
            timeout_seconds: self.timeout.map_or(stage.timeout_seconds, seconds),
            on_failure: self.on_failure.map_or(stage.on_failure, Into::into),
            ..stage
        }
    }
}

impl From<Stop> for OnFailure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Pause => Self::Pause,
            Stop::Abort => Self::Abort,
            Stop::Revert => Self::Revert,
        }
    }
}

/// `2` or `10%`.
fn size(text: &str) -> Result<StageSize, String> {
    let wrong = || "write a number of devices, like 2, or a share, like 10%".to_owned();
    match text.strip_suffix('%') {
        Some(share) => match share.parse::<f64>() {
            Ok(share) if share > 0.0 && share <= 100.0 => Ok(StageSize::Percent(share)),
            _ => Err(wrong()),
        },
        None => match text.parse() {
            Ok(count) if count > 0 => Ok(StageSize::Count(count)),
            _ => Err(wrong()),
        },
    }
}

/// `95` or `95%`.
fn percentage(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').unwrap_or(text).parse::<f64>() {
        Ok(share) if (0.0..=100.0).contains(&share) => Ok(share),
        _ => Err("write a percentage from 0 to 100, like 95".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_counts_or_percentages() {
        assert_eq!(size("2"), Ok(StageSize::Count(2)));
        assert_eq!(size("12.5%"), Ok(StageSize::Percent(12.5)));
        for wrong in ["0", "-1", "0%", "101%", "NaN%", "two", ""] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_that_no_fleet_can_have_are_refused() {
        assert_eq!((percentage("95"), percentage("2.5%")), (Ok(95.0), Ok(2.5)));
        for wrong in ["101", "-1", "NaN", "most"] {
            assert!(percentage(wrong).is_err(), "{wrong}");
        }
    }
}
