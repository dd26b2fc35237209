//! What the agent's `status` command shows.

use std::collections::BTreeMap;

use espalier_protocol::report::{Failure, Installed, Refusal};
use espalier_protocol::{DeviceIdentity, ModelName};
use espalier_slots::{ModelSlots, TrialSlot};
use jiff::Timestamp;
use serde::Serialize;

/// Refusals that are shown; the oldest goes first.
const SHOWN_REFUSALS: usize = 16;

/// The state of a device's conversation and of its slots.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Who it is.
    pub device: DeviceIdentity,
    /// Whether messages can be sent now.
    pub connected: bool,
    /// Why not, or why not the last time.
    pub disconnected_because: Option<String>,
    /// When its certificate ends. The next one is asked for when a third of its life is left.
    pub certificate_until: Timestamp,
    /// Why there is no next one, while it is due and the last try brought none.
    pub renewal_failed: Option<String>,
    /// The sequence of the last accepted desired state; 0 before the first.
    pub desired_sequence: u64,
    /// Why the newest desired state is not acted on yet, while it is not.
    pub held_up: Option<String>,
    /// Reports that are not acknowledged yet.
    pub reports_waiting: usize,
    /// The slots of each model.
    pub models: Vec<ModelStatus>,
    /// What was refused lately.
    pub refused: Vec<Refusal>,
}

/// The slots of one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelStatus {
    /// The line of work.
    pub model: ModelName,
    /// What serves.
    pub active: Option<Installed>,
    /// Why that does not answer, when it could not be loaded.
    pub idle: Option<String>,
    /// What is kept for a revert.
    pub previous: Option<Installed>,
    /// The trial slot's state.
    pub trial: &'static str,
    /// Why the last try ended without success.
    pub failure: Option<String>,
    /// Bytes that are here, and bytes in all, while something is fetched.
    pub download: Option<(u64, u64)>,
}

impl Status {
    pub(super) fn new(device: DeviceIdentity, certificate_until: Timestamp) -> Self {
        Self {
            device,
            certificate_until,
            renewal_failed: None,
            connected: false,
            disconnected_because: None,
            desired_sequence: 0,
            held_up: None,
            reports_waiting: 0,
            models: Vec::new(),
            refused: Vec::new(),
        }
    }

    pub(super) fn show_refusal(&mut self, refusal: Refusal) {
        if self.refused.len() == SHOWN_REFUSALS {
            self.refused.remove(0);
        }
        self.refused.push(refusal);
    }

    pub(super) fn show_slots<'a>(
        &mut self,
        slots: impl Iterator<Item = (&'a ModelName, &'a ModelSlots)>,
        idle: &BTreeMap<ModelName, Failure>,
    ) {
        let downloads: Vec<_> = self
            .models
            .drain(..)
            .map(|model| (model.model, model.download))
            .collect();
        self.models = slots
            .map(|(model, slots)| ModelStatus {
                model: model.clone(),
                active: slots.serving.active(),
                idle: idle.get(model).map(|failure| failure.detail.clone()),
                previous: slots.serving.previous(),
                trial: slots.trial.name(),
                failure: failure(&slots.trial),
                download: downloads
                    .iter()
                    .find(|(name, _)| name == model)
                    .and_then(|(_, download)| *download)
                    .filter(|_| matches!(slots.trial, TrialSlot::Staging { .. })),
            })
            .collect();
    }

    pub(super) fn show_download(&mut self, model: &ModelName, done: u64, total: u64) {
        if let Some(shown) = self.models.iter_mut().find(|shown| shown.model == *model) {
            shown.download = Some((done, total));
        }
    }
}

fn failure(trial: &TrialSlot) -> Option<String> {
    match trial {
        TrialSlot::Failed { failure, .. } | TrialSlot::RolledBack { failure, .. } => {
            Some(failure.detail.clone())
        }
        TrialSlot::Empty
        | TrialSlot::Staging { .. }
        | TrialSlot::Verified { .. }
        | TrialSlot::OnTrial { .. } => None,
    }
}
