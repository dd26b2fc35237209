//! Keeps the device's certificate from ending: asks for the next one in good time, and again until it is there.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::core::Core;
use super::update::blocking;
use crate::Identity;
use crate::renew::{self, RenewError};

/// What is left of a certificate's life when the next one is asked for; by chance, so that devices that were enrolled on one
/// day do not come back on one day.
const LEFT: Range<f64> = 0.30..0.36;

/// The task that renews.
pub(super) struct Renewal {
    core: Arc<Core>,
    identity: Identity,
    random: StdRng,
    failures: u32,
}

impl Renewal {
    pub(super) fn new(core: Arc<Core>, identity: Identity) -> Self {
        Self {
            random: core.random(),
            core,
            identity,
            failures: 0,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.until_due().await;
            let wait = match self.renew().await {
                Ok(true) => Duration::ZERO,
                Ok(false) => self.rest(),
                Err(error) => self.failed(&error),
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// The clock is looked at again and again, because it may be set at any time.
    async fn until_due(&mut self) {
        let left = self.random.random_range(LEFT);
        let mut look = tokio::time::interval(self.core.config.renewal.look);
        loop {
            look.tick().await;
            if self.identity.certificate().has_left(left, self.core.now()) {
                return;
            }
        }
    }

    /// Whether there is a new certificate. It is shown once it is on the disk.
    async fn renew(&mut self) -> Result<bool, RenewError> {
        let next = renew::ask(&self.identity, &self.core.door).await?;
        self.failures = 0;
        let is_new = next.is_some();
        if let Some(next) = next {
            let identity = self.identity.clone();
            blocking(move || identity.renew(next)).await?;
        }
        let until = self.identity.certificate().until();
        tracing::info!(is_new, %until, "the certificate's renewal was asked for");
        self.core.show(|status| {
            status.certificate_until = until;
            status.renewal_failed = None;
        });
        Ok(is_new)
    }

    /// The cloud finds the certificate young, and this device does not: one of the clocks is wrong, and asking again at
    /// once would bring nothing.
    fn rest(&mut self) -> Duration {
        let rest = self.core.config.renewal.rest;
        rest.mul_f64(self.random.random_range(0.5..=1.0))
    }

    fn failed(&mut self, error: &RenewError) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let until = self.identity.certificate().until();
        let words = if self.core.now() > until {
            format!(
                "the certificate ended at {until}, and no door lets the device in: enrol it once more in this state folder, \
                 under the same name, with a new claim ({error})"
            )
        } else {
            error.to_string()
        };
        tracing::warn!(%words, failures = self.failures, "the certificate is due and was not renewed");
        self.core.show(|status| status.renewal_failed = Some(words));
        let backoff = self.core.config.renewal.backoff;
        backoff.delay(self.failures, &mut self.random)
    }
}
