//! One sentence for a person: what happened, to what, and the command that mends it.

use std::fmt::{self, Display};

/// Why a command stopped. Its text is the whole message.
#[derive(Debug)]
pub struct Failure(String);

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names what was being done when an operation failed.
pub trait While<T> {
    fn while_trying<D: Display>(self, to: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Display> While<T> for std::result::Result<T, E> {
    fn while_trying<D: Display>(self, to: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Failure::new(format!("could not {}: {error}", to())))
    }
}
