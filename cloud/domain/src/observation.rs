//! From a device's signed report to what the cloud may conclude from it.
//!
//! Delivery is at least once, may be late and may be out of order. None of this is an error: each case is a
//! named outcome that changes nothing.

use espalier_protocol::inventory::Inventory;
use espalier_protocol::report::{AssignmentProgress, Attack, ModelState, Refusal, Report, Step};
use espalier_protocol::{DeviceClassName, DeviceIdentity, Incarnation};
use jiff::Timestamp;

/// Most models of a device that are listened to. Stops a report that fills the database.
pub const MAX_MODELS: usize = 64;
/// Most refusals in one report that are kept.
pub const MAX_REFUSALS: usize = 32;

/// A report's place among the reports of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Grows with each start of the agent.
    pub boot: u64,
    /// Grows with each report of a boot.
    pub seq: u64,
}

impl Position {
    /// How a report at this place relates to the last one that was taken in.
    #[must_use]
    pub fn after(self, last: Option<Self>) -> Freshness {
        match last {
            Some(last) if self == last => Freshness::Duplicate,
            Some(last) if self < last => Freshness::Late,
            _ => Freshness::New,
        }
    }
}

/// How a report relates to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Newer than everything.
    New,
    /// The last one again.
    Duplicate,
    /// Overtaken by a newer one.
    Late,
}

/// Highest counter that is believed: a forged last number must not shut out every later one.
pub const MAX_COUNTER: u64 = 1 << 62;

/// What the cloud takes from a report. The signature has been verified before.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Who speaks.
    pub device: DeviceIdentity,
    /// The report's place.
    pub position: Position,
    /// Which start of the device speaks, if its agent says so.
    pub incarnation: Option<Incarnation>,
    /// When it came in, by the cloud's clock; the device's own may be wrong.
    pub received_at: Timestamp,
    /// The class that the device believes it has.
    pub class: DeviceClassName,
    /// The highest desired state that the device accepted.
    pub desired_sequence: u64,
    /// What each model runs.
    pub models: Vec<ModelState>,
    /// What happened to an assignment.
    pub progress: Option<AssignmentProgress>,
    /// What the device refused.
    pub refused: Vec<Refusal>,
    /// Facts, where they came along.
    pub inventory: Option<Inventory>,
    /// The trace that the report belongs to.
    pub traceparent: Option<String>,
}

/// Why a report is not believed although its signature holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportRefusal {
    /// Signed by one device, about another.
    #[error("{signer} signed a report about {about}")]
    AboutAnother {
        /// Whose key signed.
        signer: DeviceIdentity,
        /// Whom it speaks of.
        about: DeviceIdentity,
    },
    /// More models than a device may have.
    #[error("the report lists {0} models, at most {MAX_MODELS} are listened to")]
    TooManyModels(usize),
    /// A model listed twice.
    #[error("the report lists a model twice")]
    RepeatedModel,
    /// A counter that no honest device reaches, and after which none could follow.
    #[error("the report's {0} is larger than any counter can be")]
    Counter(&'static str),
}

impl Observation {
    /// What a verified report says, bounded.
    ///
    /// # Errors
    /// [`ReportRefusal`], when the report contradicts its signer or itself.
    pub fn from_report(
        report: Report,
        signer: &DeviceIdentity,
        received_at: Timestamp,
    ) -> Result<Self, ReportRefusal> {
        if &report.device != signer {
            return Err(ReportRefusal::AboutAnother {
                signer: signer.clone(),
                about: report.device,
            });
        }
        check_models(&report.models)?;
        check_counters(&report)?;
        Ok(Self {
            device: report.device,
            position: Position {
                boot: report.boot,
                seq: report.seq,
            },
            incarnation: report.incarnation,
            received_at,
            class: report.class,
            desired_sequence: report.desired_sequence,
            models: report.models,
            progress: report.progress.map(bounded_progress),
            refused: report
                .refused
                .into_iter()
                .take(MAX_REFUSALS)
                .map(bounded_refusal)
                .collect(),
            inventory: report.inventory,
            traceparent: report
                .traceparent
                .filter(|text| text.len() <= MAX_TRACEPARENT),
        })
    }
}

impl Observation {
    /// The device's own word that another holds its key.
    #[must_use]
    pub fn names_a_clone(&self) -> bool {
        self.refused
            .iter()
            .any(|refusal| refusal.attack == Attack::ClonedIdentity)
    }

    /// Whether another start with the same number was heard before: a device counts its starts, so that two which hold
    /// the same key and the same count were copied from one another.
    #[must_use]
    pub fn contradicts(&self, boot: u64, incarnation: Option<Incarnation>) -> bool {
        let other = |known| self.incarnation.is_some_and(|own| own != known);
        self.position.boot == boot && incarnation.is_some_and(other)
    }
}

/// W3C trace context, version 00: 55 characters.
const MAX_TRACEPARENT: usize = 55;

fn check_models(models: &[ModelState]) -> Result<(), ReportRefusal> {
    if models.len() > MAX_MODELS {
        return Err(ReportRefusal::TooManyModels(models.len()));
    }
    let names: std::collections::BTreeSet<_> = models.iter().map(|state| &state.model).collect();
    if names.len() == models.len() {
        Ok(())
    } else {
        Err(ReportRefusal::RepeatedModel)
    }
}

fn check_counters(report: &Report) -> Result<(), ReportRefusal> {
    let counters = [
        ("boot", report.boot),
        ("seq", report.seq),
        ("desired sequence", report.desired_sequence),
    ];
    match counters.into_iter().find(|(_, value)| *value > MAX_COUNTER) {
        Some((name, _)) => Err(ReportRefusal::Counter(name)),
        None => Ok(()),
    }
}

fn bounded_progress(mut progress: AssignmentProgress) -> AssignmentProgress {
    if let Step::Failed(failure) | Step::RolledBack(failure) = &mut progress.step {
        shorten(&mut failure.detail);
    }
    progress
}

fn bounded_refusal(mut refusal: Refusal) -> Refusal {
    shorten(&mut refusal.detail);
    refusal
}

fn shorten(detail: &mut String) {
    let mut end = espalier_protocol::report::MAX_DETAIL_BYTES.min(detail.len());
    while !detail.is_char_boundary(end) {
        end -= 1;
    }
    detail.truncate(end);
}
