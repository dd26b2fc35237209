//! The forge as a child process: started, listened to, stopped. It isolates itself; nothing that it
//! says is believed beyond its form, because a model file is hostile input.

mod inspect;
mod process;

pub use inspect::{Inspection, inspect};
pub use process::{ForgeFailure, ForgeProcess};
