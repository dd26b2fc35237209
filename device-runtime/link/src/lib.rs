//! Forbids the arrow from the fleet conversation to inference: trials are a `Probe` that is passed in.
//!
//! A device's conversation with its cloud, or with the gateway that stands between. [`identity`] and [`enrol`](mod@enrol) make it
//! known, and [`renew`] keeps it so; an [`uplink`] carries signed desired states down and signed reports up; the [`door`] fetches metadata and bytes
//! over HTTPS; the [`outbox`] keeps reports until the cloud's signed word frees them; and the [`engine`] turns a desired
//! state into a serving bundle, or into a named failure. A gateway also serves its [`children`].
//!
//! Everything here is given its clock, its randomness, its disk and its probe; rustls configurations name `ring`
//! explicitly and never rely on a process-wide provider.

pub mod backoff;
pub mod certificate;
pub mod children;
pub mod deps;
pub mod door;
pub mod download;
pub mod engine;
pub mod enrol;
pub mod identity;
pub mod outbox;
pub mod relay;
pub mod renew;
pub mod tls;
pub mod uplink;

pub use backoff::Backoff;
pub use certificate::Certificate;
pub use children::Children;
pub use deps::{Clock, Config, Deps, RenewalPace};
pub use door::{Door, DoorError};
pub use engine::{Engine, EngineError, Handle, Status};
pub use enrol::{EnrolError, Wish, enrol};
pub use identity::{Identity, IdentityError, StateFolder};
