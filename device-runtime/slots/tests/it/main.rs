//! The store through its public doors: records, slots, content and trust, each by the hazards that it must survive.

mod content;
mod mint;
mod record;
mod slots;
mod store;
mod trust;
