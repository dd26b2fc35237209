//! The protocol's behaviour on good and hostile bytes, through its public door.

mod messages;
mod names;
mod releases;
