//! Forbids the arrow from decisions to I/O: entities, state machines and the rollout planner as pure functions.
//!
//! Everything here is a function of its arguments: facts come in, decisions go out. Clock, randomness and
//! storage are the caller's. A state is an enum that carries its data; a transition consumes the old state and
//! says why when it refuses.

pub mod assignment;
pub mod audit;
pub mod build;
pub mod certificate;
pub mod claim;
pub mod desired;
pub mod device;
pub mod labels;
pub mod model;
pub mod observation;
pub mod percent;
pub mod principal;
pub mod release;
pub mod rollout;
pub mod selector;

pub use assignment::{Assignment, Phase};
pub use labels::Labels;
pub use percent::Percent;
pub use selector::Selector;
