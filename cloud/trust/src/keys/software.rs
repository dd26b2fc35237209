//! An Ed25519 key held in this process's memory.

use espalier_protocol::trust::{PublicKey, SigningKey, TrustLevel};

use super::{KeyError, KeySource};

/// A key pair in memory, opened from a [`super::KeyFile`]. Its debug form shows the public half only.
#[derive(Debug)]
pub struct SoftwareKey {
    pair: SigningKey,
    trust: TrustLevel,
}

impl SoftwareKey {
    pub(super) fn new(pair: SigningKey, trust: TrustLevel) -> Self {
        Self { pair, trust }
    }
}

impl KeySource for SoftwareKey {
    fn public_key(&self) -> PublicKey {
        self.pair.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(self.pair.sign(message))
    }

    fn trust(&self) -> TrustLevel {
        self.trust
    }
}
