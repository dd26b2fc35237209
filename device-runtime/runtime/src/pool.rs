//! A fixed set of things that one caller at a time may use: sessions, which run behind `&mut`.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(crate) struct Pool<T> {
    members: Vec<Mutex<T>>,
    idle: Mutex<Vec<usize>>,
    returned: Condvar,
}

impl<T> Pool<T> {
    pub(crate) fn new(members: Vec<T>) -> Self {
        let idle = Mutex::new((0..members.len()).collect());
        Self {
            members: members.into_iter().map(Mutex::new).collect(),
            idle,
            returned: Condvar::new(),
        }
    }

    /// Waits for a free member; it comes back when the lease is dropped, also by a panic.
    pub(crate) fn lease(&self) -> Lease<'_, T> {
        let mut idle = lock(&self.idle);
        loop {
            if let Some(index) = idle.pop() {
                return Lease {
                    pool: self,
                    index,
                    member: lock(&self.members[index]),
                };
            }
            idle = self
                .returned
                .wait(idle)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A panic under these locks leaves nothing half-done behind, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Lease<'a, T> {
    pool: &'a Pool<T>,
    index: usize,
    member: MutexGuard<'a, T>,
}

impl<T> Deref for Lease<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.member
    }
}

impl<T> DerefMut for Lease<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.member
    }
}

impl<T> Drop for Lease<'_, T> {
    fn drop(&mut self) {
        lock(&self.pool.idle).push(self.index);
        self.pool.returned.notify_one();
    }
}
