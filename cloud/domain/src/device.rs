//! Devices and gateways as the cloud knows them: who they are, and what they last said.

use espalier_protocol::desired::ReleaseRef;
use espalier_protocol::enrol::Role;
use espalier_protocol::inventory::Inventory;
use espalier_protocol::report::{Installed, ModelState, Refusal};
use espalier_protocol::trust::PublicKey;
use espalier_protocol::{DeviceClassName, DeviceIdentity, DeviceName, ModelName};
use jiff::{SignedDuration, Timestamp};

use crate::labels::Labels;
use crate::observation::Position;
use crate::selector::Subject;

/// A device or gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Who it is.
    pub identity: DeviceIdentity,
    /// What it is in its site.
    pub role: Role,
    /// Which build it gets.
    pub class: DeviceClassName,
    /// The gateway that it lives behind, if it does.
    pub gateway: Option<DeviceName>,
    /// What operators wrote on it.
    pub labels: Labels,
    /// Whether it may still speak.
    pub standing: Standing,
    /// The key that signs its reports.
    pub public_key: PublicKey,
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// Its own facts, once it reported them.
    pub inventory: Option<Inventory>,
    /// What it last said.
    pub last: Option<LastReport>,
}

/// Whether a device may still speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Enrolled,
    /// Two hold its key: its certificates and reports are refused until an operator has looked.
    Quarantined {
        /// Since when.
        at: Timestamp,
        /// What was noticed.
        reason: String,
    },
    /// Its certificates and reports are refused for good.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// Why, in an operator's words.
        reason: String,
    },
}

impl Standing {
    /// Whether it may not.
    #[must_use]
    pub const fn is_barred(&self) -> bool {
        !matches!(self, Self::Enrolled)
    }

    /// Whether it may never again.
    #[must_use]
    pub const fn is_revoked(&self) -> bool {
        matches!(self, Self::Revoked { .. })
    }
}

/// What a device last said.
#[derive(Debug, Clone, PartialEq)]
pub struct LastReport {
    /// Its place in the order of the device's reports.
    pub position: Position,
    /// When it came in, by the cloud's clock.
    pub received_at: Timestamp,
    /// The highest desired state that the device accepted.
    pub desired_sequence: u64,
    /// What each model runs.
    pub models: Vec<ModelState>,
}

impl LastReport {
    /// What serves for a model.
    #[must_use]
    pub fn active(&self, model: &ModelName) -> Option<Installed> {
        self.models
            .iter()
            .find(|state| &state.model == model)
            .and_then(|state| state.active)
    }
}

/// Something that a device refused before it could touch anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When the report of it came in, by the cloud's clock.
    pub at: Timestamp,
    /// What was refused, as the device signed it.
    pub refusal: Refusal,
}

/// Whether a device is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// Enrolled, and never heard of since.
    Never,
    /// Heard of lately.
    Recent,
    /// Not heard of for longer than it should be.
    Silent,
}

impl Device {
    /// What a selector looks at.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            device: &self.identity.device,
            class: &self.class,
            labels: &self.labels,
        }
    }

    /// What serves for a model, by the device's own last word.
    #[must_use]
    pub fn active(&self, model: &ModelName) -> Option<Installed> {
        self.last.as_ref().and_then(|last| last.active(model))
    }

    /// The release that serves for a model.
    #[must_use]
    pub fn active_release(&self, model: &ModelName) -> Option<ReleaseRef> {
        self.active(model).map(|installed| installed.release)
    }

    /// Whether it was heard of within `patience`.
    #[must_use]
    pub fn contact(&self, now: Timestamp, patience: SignedDuration) -> Contact {
        match &self.last {
            None => Contact::Never,
            Some(last) if now.duration_since(last.received_at) <= patience => Contact::Recent,
            Some(_) => Contact::Silent,
        }
    }
}
