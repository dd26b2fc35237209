//! How many requests are being computed, for those who begin something only in a pause.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The number, and a bell that rings when it is none.
#[derive(Debug, Default)]
pub struct Computing {
    number: Mutex<usize>,
    none: Condvar,
}

/// One request; it counts until it is dropped.
#[derive(Debug)]
pub struct Counted<'a>(&'a Computing);

impl Computing {
    /// Counts one more.
    pub fn one_more(&self) -> Counted<'_> {
        *self.number() += 1;
        Counted(self)
    }

    /// Blocks until there is none, for `longest` at most.
    pub fn wait_for_none(&self, longest: Duration) {
        let waited = self
            .none
            .wait_timeout_while(self.number(), longest, |number| *number > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    // A number is whole whoever panicked while he held it.
    fn number(&self) -> MutexGuard<'_, usize> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut number = self.0.number();
        *number -= 1;
        if *number == 0 {
            self.0.none.notify_all();
        }
    }
}
