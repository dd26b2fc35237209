//! CBOR for payloads of signed messages: bounded in size and depth before anything is built.

use serde::{Serialize, de::DeserializeOwned};

/// The largest payload in bytes; stops endless data on the broker.
pub const MAX_PAYLOAD_BYTES: usize = 64 * 1024;
/// The deepest nesting; stops stack exhaustion.
pub const MAX_DEPTH: usize = 16;

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum CborError {
    /// More than [`MAX_PAYLOAD_BYTES`].
    #[error("the message has {0} bytes: at most {MAX_PAYLOAD_BYTES} are allowed")]
    TooLarge(usize),
    /// Not the CBOR that the schema asks for, or nested deeper than [`MAX_DEPTH`].
    #[error("the message cannot be read: {0}")]
    Malformed(String),
    /// Bytes after the end of the message.
    #[error("the message has {0} stray bytes after its end")]
    Trailing(usize),
}

/// Reads one value.
///
/// # Errors
/// When the bytes are too many, malformed, nested too deep or followed by others.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CborError> {
    if bytes.len() > MAX_PAYLOAD_BYTES {
        return Err(CborError::TooLarge(bytes.len()));
    }
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH)
        .map_err(|error| CborError::Malformed(error.to_string()))?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(CborError::Trailing(rest.len()))
    }
}

/// Writes one value.
///
/// # Errors
/// When the value does not fit into [`MAX_PAYLOAD_BYTES`].
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CborError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes)
        .map_err(|error| CborError::Malformed(error.to_string()))?;
    if bytes.len() > MAX_PAYLOAD_BYTES {
        Err(CborError::TooLarge(bytes.len()))
    } else {
        Ok(bytes)
    }
}
