//! Wake-up calls: from the database's notices (whichever process caused them) to the parts of this
//! one. A lost call costs a timer's period, nothing else.

use std::sync::Arc;

use espalier_store::Signal;
use tokio::sync::{Notify, watch};

/// One bell for each part that waits.
#[derive(Debug, Clone, Default)]
pub struct Bells {
    /// A rollout may have something to do.
    pub plan: Arc<Notify>,
    /// A device may have to be told something.
    pub publish: Arc<Notify>,
    /// A job may be waiting, or is to be cancelled.
    pub forge: Arc<Notify>,
    /// Open consoles may have something new to show.
    pub events: watch::Sender<()>,
}

impl Bells {
    /// Rings what a notice is about.
    pub fn ring(&self, signal: &Signal) {
        match signal {
            Signal::Rollouts(_) => self.plan.notify_one(),
            Signal::Desired(_) => self.publish.notify_one(),
            // Several wait: one for work, others for a cancellation of theirs.
            Signal::Jobs(_) => {
                self.forge.notify_one();
                self.forge.notify_waiters();
            }
            Signal::Events(_) => self.events.send_replace(()),
            Signal::Everything => self.ring_all(),
        }
    }

    fn ring_all(&self) {
        self.plan.notify_one();
        self.publish.notify_one();
        self.forge.notify_one();
        self.forge.notify_waiters();
        self.events.send_replace(());
    }
}
