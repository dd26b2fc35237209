//! Forbids the arrow from storage to inference or network: slots, verification and their state machine alone.
//!
//! A [`Store`] keeps, in one folder, what a device may never lose or mistake: which bundle of each model serves, which is
//! kept for a revert and which is on its way ([`slots`]); the bundles' verified bytes ([`content`]); the TUF metadata and
//! the floors under which nothing is accepted any more ([`trust`]). It never fetches and never loads a model: the caller
//! brings the bytes, and a trial is a [`Probe`] that is passed in.

pub mod content;
pub mod files;
pub mod probe;
pub mod record;
pub mod slots;
pub mod store;
pub mod trust;

pub use content::{Content, Staging, VerifiedBundle};
pub use files::{Disk, Files, ReadOnly};
pub use probe::{Probe, TrialOutcome};
pub use slots::{Candidate, ModelSlots, Resume, Serving, Standing, TrialSlot};
pub use store::{Anchor, Store, StoreError};
