//! Signed messages: DSSE (Dead Simple Signing Envelope, secure-systems-lab/dsse v1.0) with one
//! Ed25519 signature, written in CBOR so that payloads travel as bytes.
//!
//! The signature covers the pre-authentication encoding of the payload *exactly as received*;
//! nothing is ever serialised again to be verified, so unknown fields keep their meaning.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    cbor::{self, CborError},
    trust::{KeyId, PublicKey, SigningKey},
};

/// The largest envelope in bytes: the largest payload and room for the signature.
pub const MAX_ENVELOPE_BYTES: usize = cbor::MAX_PAYLOAD_BYTES + 1024;

/// A message kind: its DSSE payload type. A signature over one kind is never valid for another.
pub trait Message: Serialize + DeserializeOwned {
    /// The payload type, with the version of the message's schema.
    const TYPE: &'static str;
}

/// Bytes, what they are, and who signed them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The payload's type.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The payload's bytes.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// Who signed.
    pub keyid: KeyId,
    /// Ed25519 over [`pre_authentication_encoding`].
    #[serde(with = "serde_bytes")]
    pub sig: Vec<u8>,
}

/// Why an envelope is refused.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The bytes are not an envelope, or the payload is not its message.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// Larger than [`MAX_ENVELOPE_BYTES`].
    #[error("the signed message has {0} bytes: at most {MAX_ENVELOPE_BYTES} are allowed")]
    TooLarge(usize),
    /// Another kind of message, or another version of it.
    #[error("the signed message is a `{found}`, not a `{expected}`")]
    WrongType {
        /// What was asked for.
        expected: &'static str,
        /// What the envelope says.
        found: String,
    },
    /// Signed by a key that is not trusted for this.
    #[error("the message is signed by key {0}, which is not trusted for it")]
    UnknownKey(KeyId),
    /// The signature does not fit the bytes.
    #[error("the signature by key {0} does not fit the message: it was altered or forged")]
    BadSignature(KeyId),
}

/// DSSE's pre-authentication encoding: `DSSEv1 LEN(type) type LEN(payload) payload`.
#[must_use]
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Signs a message and gives the envelope's bytes.
///
/// # Errors
/// When the message does not fit into a payload.
pub fn seal<M: Message>(message: &M, key: &SigningKey) -> Result<Vec<u8>, CborError> {
    let payload = cbor::encode(message)?;
    let sig = key.sign(&pre_authentication_encoding(M::TYPE, &payload));
    let envelope = Envelope {
        payload_type: M::TYPE.to_owned(),
        payload,
        keyid: key.public().id(),
        sig,
    };
    let mut bytes = Vec::new();
    ciborium::into_writer(&envelope, &mut bytes)
        .map_err(|error| CborError::Malformed(error.to_string()))?;
    Ok(bytes)
}

impl Envelope {
    /// Reads the bytes of an envelope; nothing in it is verified yet.
    ///
    /// # Errors
    /// When they are too many or not an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(EnvelopeError::TooLarge(bytes.len()));
        }
        let mut rest = bytes;
        let envelope = ciborium::de::from_reader_with_recursion_limit(&mut rest, cbor::MAX_DEPTH)
            .map_err(|error| CborError::Malformed(error.to_string()))?;
        if rest.is_empty() {
            Ok(envelope)
        } else {
            Err(CborError::Trailing(rest.len()).into())
        }
    }

    /// The message, once `trusted` knows the signer and the signature fits.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order type, signer, signature, payload.
    pub fn open<'k, M: Message>(
        &self,
        trusted: impl Fn(KeyId) -> Option<&'k PublicKey>,
    ) -> Result<M, EnvelopeError> {
        if self.payload_type != M::TYPE {
            let found = self.payload_type.chars().take(100).collect();
            return Err(EnvelopeError::WrongType {
                expected: M::TYPE,
                found,
            });
        }
        let key = trusted(self.keyid).ok_or(EnvelopeError::UnknownKey(self.keyid))?;
        let signed = pre_authentication_encoding(&self.payload_type, &self.payload);
        if !key.verifies(&signed, &self.sig) {
            return Err(EnvelopeError::BadSignature(self.keyid));
        }
        Ok(cbor::decode(&self.payload)?)
    }
}
