//! One door for all protocols: admits a request, computes it away from the network's threads, counts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use espalier_protocol::Digest;
use espalier_protocol::manifest::Prompt;
use espalier_runtime::segmentation::SegmentError;
use tokio::sync::oneshot;

use crate::admission::{Admission, Refused, Ticket};
use crate::answer::Answer;
use crate::host::ModelHost;
use crate::metrics::Metrics;
use crate::place::Place;

/// Limits of a service; each stops a way of exhausting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that compute at once.
    pub workers: usize,
    /// Requests that wait for a worker.
    pub queue: usize,
    /// How long a request may take once its body is here, waiting included.
    pub time: Duration,
    /// How large a request's body may be, in bytes. At most `workers + queue` bodies lie in memory.
    pub body: usize,
    /// How long a request's body may take to come in; it holds a place in the queue meanwhile.
    pub body_time: Duration,
}

impl Default for Limits {
    /// One worker, as the default host has one session; a queue of 16; 30 seconds for the body and 30 for the answer;
    /// a picture and its prompt.
    fn default() -> Self {
        Self {
            workers: 1,
            queue: 16,
            time: Duration::from_secs(30),
            body: 48 << 20,
            body_time: Duration::from_secs(30),
        }
    }
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no such model here.
    #[error("no model `{0}` is served here: GET /v2/models lists those that are")]
    UnknownModel(String),
    /// The request insists on another bundle than the one that serves.
    #[error("bundle {wanted} is not the one that serves: {serving} is")]
    OtherBundle {
        /// The one that was asked for.
        wanted: Digest,
        /// The one that serves.
        serving: Digest,
    },
    /// Too many requests, or too slow.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It was not computed in time.
    #[error("the request took longer than {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// The picture, the prompt or the model is at fault.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The worker panicked.
    #[error("the worker stopped while it computed")]
    WorkerLost,
}

impl ServeError {
    /// A short, stable word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownModel(_) => "unknown_model",
            Self::OtherBundle { .. } => "other_bundle",
            Self::Refused(_) => "busy",
            Self::TimedOut(_) => "timeout",
            Self::Segment(error) => error.kind(),
            Self::WorkerLost => "worker_lost",
        }
    }
}

/// The models of one process behind one admission queue.
#[derive(Debug)]
pub struct Service {
    host: Arc<ModelHost>,
    place: Place,
    limits: Limits,
    admission: Admission,
    metrics: Metrics,
    draining: AtomicBool,
}

impl Service {
    /// A service of the host's models.
    #[must_use]
    pub fn new(host: Arc<ModelHost>, place: Place, limits: Limits) -> Self {
        let admission = Admission::new(limits.workers, limits.queue);
        let draining = AtomicBool::new(false);
        Self {
            host,
            place,
            limits,
            admission,
            metrics: Metrics::default(),
            draining,
        }
    }

    /// What serves.
    #[must_use]
    pub fn host(&self) -> &Arc<ModelHost> {
        &self.host
    }

    /// Where this is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The limits that hold.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What was counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// From now on not ready: whoever balances load should look elsewhere, requests are still answered.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether requests should come here: something serves, and no end is in sight.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Acquire) && !self.host.instances().is_empty()
    }

    /// Takes a place for a request about a model, before anything else of it is read.
    ///
    /// # Errors
    /// When there is no such model, or the queue is full.
    pub fn admit(&self, model: &str) -> Result<Ticket, ServeError> {
        let ticket = match self.host.instance(model) {
            Some(_) => self.admission.ticket().map_err(ServeError::from),
            None => Err(ServeError::UnknownModel(model.to_owned())),
        };
        ticket.inspect_err(|error| self.count_failure(model, error))
    }

    /// Answers a prompt about a picture's file; with `pin`, only by that very bundle.
    ///
    /// # Errors
    /// By name; see [`ServeError`].
    pub async fn segment(
        &self,
        ticket: Ticket,
        model: &str,
        pin: Option<Digest>,
        picture: Bytes,
        prompt: Prompt,
    ) -> Result<Answer, ServeError> {
        let started = Instant::now();
        let outcome = self.compute(ticket, model, pin, picture, prompt).await;
        match &outcome {
            Ok(_) => self.metrics.answered(model, started.elapsed()),
            Err(error) => self.count_failure(model, error),
        }
        outcome
    }

    fn count_failure(&self, model: &str, error: &ServeError) {
        // A name from outside must not become a label: anybody could make up millions.
        let label = match error {
            ServeError::UnknownModel(_) => "",
            _ => model,
        };
        self.metrics.failed(label, error.kind());
    }

    async fn compute(
        &self,
        ticket: Ticket,
        model: &str,
        pin: Option<Digest>,
        picture: Bytes,
        prompt: Prompt,
    ) -> Result<Answer, ServeError> {
        let deadline = tokio::time::Instant::now() + self.limits.time;
        let turn = self.admission.turn(ticket, self.limits.time).await?;
        // Chosen when the computation begins: a switch while the request waited is already seen.
        let instance = self
            .host
            .instance(model)
            .ok_or_else(|| ServeError::UnknownModel(model.to_owned()))?;
        if let Some(wanted) = pin.filter(|wanted| *wanted != instance.bundle()) {
            return Err(ServeError::OtherBundle {
                wanted,
                serving: instance.bundle(),
            });
        }
        let (host, place) = (Arc::clone(&self.host), self.place.clone());
        let (answer, computed) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let segmentation = host.segment(&instance, &picture, &prompt);
            let outcome = segmentation
                .map(|segmentation| Answer::new(&segmentation, &instance, &place))
                .map_err(ServeError::from);
            drop(turn);
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(outcome);
            // The last request of a bundle that was replaced unloads it, once its answer is on its way.
            drop(instance);
        });
        match tokio::time::timeout_at(deadline, computed).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panicked)) => Err(ServeError::WorkerLost),
            Err(_passed) => Err(ServeError::TimedOut(self.limits.time)),
        }
    }
}
