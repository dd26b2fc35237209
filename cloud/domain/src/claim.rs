//! Claims: the right to enrol, counted and limited in time.

use espalier_protocol::id::ClaimId;
use espalier_protocol::{DeviceClassName, Tenant};
use jiff::Timestamp;

/// A claim as the cloud keeps it; its secret is kept as a digest only, and not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its id.
    pub id: ClaimId,
    /// Where devices will belong.
    pub tenant: Tenant,
    /// The only class that may enrol with it, if it is bound to one.
    pub class: Option<DeviceClassName>,
    /// How many devices may enrol with it in all.
    pub max_uses: u32,
    /// How many have.
    pub uses: u32,
    /// Enrolment ends then.
    pub expires_at: Timestamp,
    /// Withdrawn by an operator.
    pub revoked: bool,
}

/// Why a claim does not admit a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimRefusal {
    /// Its time is over.
    #[error("the claim ended at {0}; make a new one")]
    Expired(Timestamp),
    /// As many devices as it counts have enrolled.
    #[error("the claim was for {0} devices, and as many have enrolled; make a new one")]
    UsedUp(u32),
    /// Withdrawn.
    #[error("the claim was withdrawn")]
    Revoked,
    /// Bound to another class.
    #[error("the claim is for devices of class {bound}, not {asked}")]
    WrongClass {
        /// The class that it is bound to.
        bound: DeviceClassName,
        /// The class that asked.
        asked: DeviceClassName,
    },
}

impl Claim {
    /// Whether a device of this class may enrol now.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn admits(&self, class: &DeviceClassName, now: Timestamp) -> Result<(), ClaimRefusal> {
        if self.revoked {
            return Err(ClaimRefusal::Revoked);
        }
        if now >= self.expires_at {
            return Err(ClaimRefusal::Expired(self.expires_at));
        }
        if self.uses >= self.max_uses {
            return Err(ClaimRefusal::UsedUp(self.max_uses));
        }
        match &self.class {
            Some(bound) if bound != class => Err(ClaimRefusal::WrongClass {
                bound: bound.clone(),
                asked: class.clone(),
            }),
            _ => Ok(()),
        }
    }
}
