//! One start of an agent, so that two agents with one identity can be told apart.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The user property of an MQTT 5 CONNECT in which a device names its incarnation, in hexadecimal.
pub const USER_PROPERTY: &str = "incarnation";

/// One start of an agent: drawn at random, held in memory and never written down. Whoever copied a device's disk, keys
/// and all, cannot know the incarnation that runs from it. Lower-case hex as text, 16 bytes in CBOR.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(#[serde(with = "serde_bytes")] [u8; 16]);

impl Incarnation {
    /// The incarnation with these random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Why a text is not an incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an incarnation: 32 hexadecimal digits are needed")]
pub struct InvalidIncarnation;

impl FromStr for Incarnation {
    type Err = InvalidIncarnation;

    fn from_str(text: &str) -> Result<Self, InvalidIncarnation> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidIncarnation)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
