//! What a device believes, and why: two signers must agree before a byte is fetched.
//!
//! The *release keys* say which releases exist: TUF metadata, kept in [`Metadata`], renewed by a [`Refresh`], and followed
//! by [`Metadata::seek`] to whomever they delegate. The *deployer key*, itself a TUF target, says which of them this device
//! runs now: [`verify_desired`]. [`agree`] brings both together in a [`VerifiedPlan`], the only thing that an update starts
//! from. [`Floors`] remember what was seen, so that nothing older is accepted again.

mod crypto;
mod delegations;
mod desired;
mod error;
mod floors;
mod metadata;
mod plan;
mod refresh;
mod stored;
mod target;

pub use delegations::{Delegated, Sought};
pub use desired::{Accepted, News, Recipient, TIME_SLACK, open_ack, verify_desired};
pub use error::TrustError;
pub use floors::Floors;
pub use metadata::{Metadata, root_trust};
pub use plan::{PlanRefusal, VerifiedPlan, agree};
pub use refresh::{MAX_METADATA_BYTES, Refresh, Wanted};
pub use target::Target;
