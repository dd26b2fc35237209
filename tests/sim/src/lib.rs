//! Forbids a simulated device that is easier to please than a real one: conversation, store and verification are the
//! agent's own, in one process for a whole fleet. Only inference is left out.

mod device;
mod fleet;
mod inference;

pub use device::Device;
pub use fleet::Fleet;
