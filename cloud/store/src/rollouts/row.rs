//! A rollout's row, both ways.

use espalier_domain::rollout::{Excused, PauseReason, Rollout, RolloutState, StopReason};
use espalier_protocol::id::{ReleaseId, RolloutId};
use uuid::Uuid;

use crate::StoreError;
use crate::moment::Moment;
use crate::row::{Row, signed, to_json};

pub(super) struct RolloutRow {
    pub(super) tenant_id: String,
    pub(super) rollout_id: Uuid,
    pub(super) release_id: Uuid,
    pub(super) model: String,
    pub(super) policy: serde_json::Value,
    pub(super) created_at: Moment,
    pub(super) traceparent: Option<String>,
    pub(super) revision: i64,
    pub(super) state: String,
    pub(super) since: Option<Moment>,
    pub(super) stage: Option<i32>,
    pub(super) excused: Option<Vec<i64>>,
    pub(super) reason: Option<serde_json::Value>,
}

impl RolloutRow {
    pub(super) fn revision(&self) -> Result<u64, StoreError> {
        Row::of("rollouts", self.rollout_id).unsigned("revision", self.revision)
    }

    fn take_state(&mut self, row: &Row) -> Result<RolloutState, StoreError> {
        if self.state == "draft" {
            return Ok(RolloutState::Draft);
        }
        let since = row.need("since", self.since)?.0;
        Ok(match self.state.as_str() {
            "running" => RolloutState::Running {
                stage: self.stage(row)?,
                since,
                excused: self.excused(row)?,
            },
            "paused" => RolloutState::Paused {
                stage: self.stage(row)?,
                since,
                reason: match self.take_reason(row)? {
                    StopReason::Operator => PauseReason::Operator,
                    gate => PauseReason::Gate(gate),
                },
                excused: self.excused(row)?,
            },
            "completed" => RolloutState::Completed { at: since },
            "aborted" => RolloutState::Aborted {
                at: since,
                reason: self.take_reason(row)?,
            },
            "reverting" => RolloutState::Reverting {
                since,
                reason: self.take_reason(row)?,
            },
            "reverted" => RolloutState::Reverted {
                at: since,
                reason: self.take_reason(row)?,
            },
            other => return Err(row.wrong("state", format!("`{other}` is no state of a rollout"))),
        })
    }

    fn stage(&self, row: &Row) -> Result<u32, StoreError> {
        row.unsigned("stage", row.need("stage", self.stage)?)
    }

    fn excused(&self, row: &Row) -> Result<Excused, StoreError> {
        let counts = self.excused.iter().flatten();
        counts
            .map(|count| row.unsigned("excused", *count))
            .collect::<Result<_, _>>()
            .map(Excused)
    }

    fn take_reason(&mut self, row: &Row) -> Result<StopReason, StoreError> {
        row.json("reason", row.need("reason", self.reason.take())?)
    }
}

impl TryFrom<RolloutRow> for Rollout {
    type Error = StoreError;

    fn try_from(mut columns: RolloutRow) -> Result<Self, StoreError> {
        let row = Row::of("rollouts", columns.rollout_id);
        let state = columns.take_state(&row)?;
        Ok(Self {
            id: RolloutId(columns.rollout_id),
            tenant: row.parse("tenant_id", &columns.tenant_id)?,
            release: ReleaseId(columns.release_id),
            model: row.parse("model", &columns.model)?,
            policy: row.json("policy", columns.policy)?,
            created_at: columns.created_at.0,
            traceparent: columns.traceparent,
            state,
        })
    }
}

/// A state as columns.
#[derive(Default)]
pub(super) struct StateColumns {
    pub(super) state: &'static str,
    pub(super) since: Option<Moment>,
    pub(super) stage: Option<i32>,
    pub(super) excused: Option<Vec<i64>>,
    pub(super) reason: Option<serde_json::Value>,
}

impl StateColumns {
    pub(super) fn of(state: &RolloutState) -> Result<Self, StoreError> {
        let mut columns = Self {
            state: state.name(),
            ..Self::default()
        };
        match state {
            RolloutState::Draft => {}
            RolloutState::Running {
                stage,
                since,
                excused,
            } => columns.open(*stage, *since, excused),
            RolloutState::Paused {
                stage,
                since,
                reason,
                excused,
            } => {
                columns.open(*stage, *since, excused);
                columns.reason = Some(match reason {
                    PauseReason::Operator => to_json(&StopReason::Operator)?,
                    PauseReason::Gate(reason) => to_json(reason)?,
                });
            }
            RolloutState::Completed { at } => columns.since = Some(Moment(*at)),
            RolloutState::Aborted { at: since, reason }
            | RolloutState::Reverting { since, reason }
            | RolloutState::Reverted { at: since, reason } => {
                columns.since = Some(Moment(*since));
                columns.reason = Some(to_json(reason)?);
            }
        }
        Ok(columns)
    }

    fn open(&mut self, stage: u32, since: jiff::Timestamp, excused: &Excused) {
        self.stage = Some(i32::try_from(stage).unwrap_or(i32::MAX));
        self.since = Some(Moment(since));
        self.excused = Some(excused.0.iter().map(|count| signed(*count)).collect());
    }
}
