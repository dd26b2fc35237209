//! How many requests may compute and wait at once; the rest is told to come back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Why a request was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many wait already as may.
    #[error("all workers are busy and the queue is full")]
    Full,
    /// Its time was over before its turn came.
    #[error("no worker became free in time")]
    TooLate,
}

/// A bounded queue before a bounded number of workers.
#[derive(Clone, Debug)]
pub struct Admission {
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
}

/// The right to wait for a worker. It is taken before a request's body is read, so that the queue bounds the bodies that
/// lie in memory.
#[derive(Debug)]
pub struct Ticket {
    _place: OwnedSemaphorePermit,
}

/// The right to compute; dropped by whoever computes, so that an abandoned request keeps its worker
/// until it really ends.
#[derive(Debug)]
pub struct Turn {
    _ticket: Ticket,
    _worker: OwnedSemaphorePermit,
}

impl Admission {
    /// So many requests at once, and so many that wait.
    #[must_use]
    pub fn new(workers: usize, queue: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(workers + queue)),
            workers: Arc::new(Semaphore::new(workers)),
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// When the queue is full.
    pub fn ticket(&self) -> Result<Ticket, Refused> {
        Arc::clone(&self.places)
            .try_acquire_owned()
            .map(|place| Ticket { _place: place })
            .map_err(|_| Refused::Full)
    }

    /// Waits for a worker.
    ///
    /// # Errors
    /// When the limit passes.
    pub async fn turn(&self, ticket: Ticket, limit: Duration) -> Result<Turn, Refused> {
        let worker = tokio::time::timeout(limit, Arc::clone(&self.workers).acquire_owned()).await;
        match worker {
            Ok(Ok(worker)) => Ok(Turn {
                _ticket: ticket,
                _worker: worker,
            }),
            // The semaphore is never closed, so the other case is a passed limit too.
            Ok(Err(_)) | Err(_) => Err(Refused::TooLate),
        }
    }
}
