//! The slot state machine: which bundle of a model serves, which is kept, which is on its way.
//!
//! Every transition consumes the state and returns the next one, and the caller makes it durable *before* it acts on
//! it. After a power cut the state on disk says what to do; see [`TrialSlot::resume`].
//!
//! ```text
//!             stage            verified          begin_trial          activate
//!  Empty ───────────▶ Staging ─────────▶ Verified ─────────▶ OnTrial ─────────▶ Empty, and Active/Previous move up
//!                        │                  │                   │
//!                        │                  │ ◀─────────────────┤
//!                        │                  │   break_off_trial │
//!                        └── fail ──────────┴──▶ Failed         └── roll_back ──▶ RolledBack
//! ```

mod machine;
mod serving;
mod trial;

pub use machine::{Ending, ModelSlots, Standing};
pub use serving::{Arrival, Candidate, Serving};
pub use trial::{MAX_TRIAL_STARTS, Resume, TrialSlot, WrongState};
