//! What a use case may ask of the world outside: the time, and randomness. Tests pass their own.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::rand::SecureRandom;
use uuid::Uuid;

use crate::refusal::{Outcome, Refusal};

/// The time and the source of randomness.
#[derive(Clone)]
pub struct World {
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    random: Arc<dyn SecureRandom + Send + Sync>,
}

impl World {
    /// A world with this clock and this randomness.
    pub fn new(
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        random: impl SecureRandom + Send + Sync + 'static,
    ) -> Self {
        Self {
            clock: Arc::new(clock),
            random: Arc::new(random),
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The randomness, for those who make keys.
    #[must_use]
    pub fn random(&self) -> &dyn SecureRandom {
        &*self.random
    }

    /// A new time-ordered id (UUIDv7).
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn id(&self) -> Outcome<Uuid> {
        let millis = u64::try_from(self.now().as_millisecond()).unwrap_or(0);
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()?).into_uuid())
    }

    /// A new secret of 256 bits, as text that needs no quoting anywhere.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn secret(&self) -> Outcome<String> {
        self.bytes::<32>()
            .map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
    }

    fn bytes<const N: usize>(&self) -> Outcome<[u8; N]> {
        let mut bytes = [0; N];
        self.random
            .fill(&mut bytes)
            .map_err(|_| Refusal::internal("the machine gives no secure randomness"))?;
        Ok(bytes)
    }
}
