//! An assignment's row, both ways.

use espalier_domain::Assignment;
use espalier_domain::assignment::{Goal, State, Underway};
use espalier_domain::observation::Position;
use espalier_protocol::desired::ReleaseRef;
use espalier_protocol::id::{AssignmentId, ReleaseId, RolloutId};
use uuid::Uuid;

use crate::StoreError;
use crate::moment::Moment;
use crate::row::{Row, signed, to_json};

pub(crate) struct AssignmentRow {
    pub(crate) assignment_id: Uuid,
    pub(crate) rollout_id: Uuid,
    pub(crate) release_id: Uuid,
    pub(crate) device: String,
    pub(crate) stage: i32,
    pub(crate) class: String,
    pub(crate) model: String,
    pub(crate) bundle: Vec<u8>,
    pub(crate) before: Option<serde_json::Value>,
    pub(crate) goal: String,
    pub(crate) attempt: i32,
    pub(crate) phase: String,
    pub(crate) step: Option<String>,
    pub(crate) sent_at: Option<Moment>,
    pub(crate) done: Option<i64>,
    pub(crate) total: Option<i64>,
    pub(crate) outcome: Option<serde_json::Value>,
    pub(crate) boot: Option<i64>,
    pub(crate) seq: Option<i64>,
    pub(crate) release_digest: Vec<u8>,
    pub(crate) release_counter: i64,
}

impl TryFrom<AssignmentRow> for Assignment {
    type Error = StoreError;

    fn try_from(mut columns: AssignmentRow) -> Result<Self, StoreError> {
        let row = Row::of("assignments", columns.assignment_id);
        let state = columns.take_state(&row)?;
        let assignment = Self {
            id: AssignmentId(columns.assignment_id),
            rollout: RolloutId(columns.rollout_id),
            stage: row.unsigned("stage", columns.stage)?,
            device: row.parse("device", &columns.device)?,
            class: row.parse("class", &columns.class)?,
            model: row.parse("model", &columns.model)?,
            release: ReleaseRef {
                id: ReleaseId(columns.release_id),
                digest: row.digest("release_id", &columns.release_digest)?,
                counter: row.unsigned("release_id", columns.release_counter)?,
            },
            bundle: row.digest("bundle", &columns.bundle)?,
            before: row.json_some("before", columns.before)?,
            goal: goal_from(&row, &columns.goal)?,
            attempt: row.unsigned("attempt", columns.attempt)?,
            state,
            last: position(&row, columns.boot, columns.seq)?,
        };
        match assignment.phase().name() == columns.phase {
            true => Ok(assignment),
            false => Err(row.wrong(
                "phase",
                format!("`{}` does not fit the other columns", columns.phase),
            )),
        }
    }
}

impl AssignmentRow {
    fn take_state(&mut self, row: &Row) -> Result<State, StoreError> {
        Ok(match self.phase.as_str() {
            "pending" => State::Pending,
            "cancelled" => State::Cancelled,
            "withdrawn" => State::Withdrawn,
            "active" | "returned" => State::Active(row.json("outcome", self.take_outcome(row)?)?),
            "failed" | "return-failed" => {
                State::Failed(row.json("outcome", self.take_outcome(row)?)?)
            }
            "rolled-back" => State::RolledBack(row.json("outcome", self.take_outcome(row)?)?),
            "silent" | "return-silent" => State::Silent {
                sent_at: row.need("sent_at", self.sent_at)?.0,
            },
            _ => State::Underway {
                sent_at: row.need("sent_at", self.sent_at)?.0,
                step: self.step(row)?,
            },
        })
    }

    fn take_outcome(&mut self, row: &Row) -> Result<serde_json::Value, StoreError> {
        row.need("outcome", self.outcome.take())
    }

    fn step(&self, row: &Row) -> Result<Underway, StoreError> {
        Ok(match row.need("step", self.step.as_deref())? {
            "sent" => Underway::Sent,
            "accepted" => Underway::Accepted,
            "verified" => Underway::Verified,
            "trial" => Underway::Trial,
            "downloading" => Underway::Downloading {
                done: row.unsigned("done", row.need("done", self.done)?)?,
                total: row.unsigned("total", row.need("total", self.total)?)?,
            },
            other => return Err(row.wrong("step", format!("`{other}` is no step"))),
        })
    }
}

fn position(
    row: &Row,
    boot: Option<i64>,
    seq: Option<i64>,
) -> Result<Option<Position>, StoreError> {
    let Some(boot) = boot else { return Ok(None) };
    let seq = row.need("seq", seq)?;
    Ok(Some(Position {
        boot: row.unsigned("boot", boot)?,
        seq: row.unsigned("seq", seq)?,
    }))
}

fn goal_from(row: &Row, text: &str) -> Result<Goal, StoreError> {
    match text {
        "install" => Ok(Goal::Install),
        "return" => Ok(Goal::Return),
        other => Err(row.wrong("goal", format!("`{other}` is no goal"))),
    }
}

/// The columns that change.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) before: Option<serde_json::Value>,
    pub(super) goal: &'static str,
    pub(super) attempt: i32,
    pub(super) phase: &'static str,
    pub(super) step: Option<&'static str>,
    pub(super) sent_at: Option<Moment>,
    pub(super) done: Option<i64>,
    pub(super) total: Option<i64>,
    pub(super) outcome: Option<serde_json::Value>,
    pub(super) boot: Option<i64>,
    pub(super) seq: Option<i64>,
}

impl Changed {
    pub(super) fn of(assignment: &Assignment) -> Result<Self, StoreError> {
        let mut columns = Self {
            before: assignment.before.as_ref().map(to_json).transpose()?,
            goal: match assignment.goal {
                Goal::Install => "install",
                Goal::Return => "return",
            },
            attempt: i32::try_from(assignment.attempt).unwrap_or(i32::MAX),
            phase: assignment.phase().name(),
            boot: assignment.last.map(|last| signed(last.boot)),
            seq: assignment.last.map(|last| signed(last.seq)),
            ..Self::default()
        };
        columns.set_state(&assignment.state)?;
        Ok(columns)
    }

    fn set_state(&mut self, state: &State) -> Result<(), StoreError> {
        match state {
            State::Pending | State::Cancelled | State::Withdrawn => {}
            State::Active(activation) => self.outcome = Some(to_json(activation)?),
            State::Failed(failure) | State::RolledBack(failure) => {
                self.outcome = Some(to_json(failure)?)
            }
            State::Silent { sent_at } => self.sent_at = Some(Moment(*sent_at)),
            State::Underway { sent_at, step } => {
                self.sent_at = Some(Moment(*sent_at));
                self.set_step(*step);
            }
        }
        Ok(())
    }

    fn set_step(&mut self, step: Underway) {
        self.step = Some(match step {
            Underway::Sent => "sent",
            Underway::Accepted => "accepted",
            Underway::Downloading { .. } => "downloading",
            Underway::Verified => "verified",
            Underway::Trial => "trial",
        });
        if let Underway::Downloading { done, total } = step {
            self.done = Some(signed(done));
            self.total = Some(signed(total));
        }
    }
}
