//! Waiting between tries: exponential, with full jitter, so that a fleet does not come back all at once.

use std::time::Duration;

use rand::Rng;

/// The limits of the waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The most that is waited after the first failure; it doubles with each.
    pub first: Duration,
    /// The most that is ever waited.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// How long to wait after `failures` failures in a row: between half of the present limit and all of it.
    pub fn delay(&self, failures: u32, random: &mut impl Rng) -> Duration {
        let doubled = self
            .first
            .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        let limit = doubled.min(self.longest);
        limit.mul_f64(random.random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn waiting_grows_and_stays_below_its_limit() {
        let backoff = Backoff::default();
        let mut random = StdRng::seed_from_u64(7);
        for failures in 1..200 {
            let delay = backoff.delay(failures, &mut random);
            assert!(delay <= backoff.longest);
            assert!(delay >= backoff.first / 2);
        }
        assert!(backoff.delay(20, &mut random) >= backoff.longest / 2);
    }
}
