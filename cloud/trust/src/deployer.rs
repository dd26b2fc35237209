//! The deployer: signs what each device should run, and what the cloud has stored of its reports.

use std::sync::Arc;

use espalier_protocol::cbor::{self, CborError};
use espalier_protocol::desired::DesiredState;
use espalier_protocol::envelope::{Envelope, Message, pre_authentication_encoding};
use espalier_protocol::report::Ack;
use espalier_protocol::trust::{DEPLOYER_TARGET, DeployerKeys, PublicKey};

use crate::keys::{KeyError, KeySource};
use crate::tuf::{TargetFile, TufError};

/// Signs desired states and acknowledgements with the deployer key.
#[derive(Debug, Clone)]
pub struct Deployer {
    key: Arc<dyn KeySource>,
}

/// Why a message could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It does not fit into a payload.
    #[error(transparent)]
    Payload(#[from] CborError),
    /// The key would not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Deployer {
    /// Signs with `key`, which devices know from the TUF target [`DEPLOYER_TARGET`].
    #[must_use]
    pub fn new(key: Arc<dyn KeySource>) -> Self {
        Self { key }
    }

    /// The key's public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// A desired state as signed bytes, ready to be kept and published.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn sign_desired(&self, desired: &DesiredState) -> Result<Vec<u8>, SealError> {
        self.seal(desired)
    }

    /// An acknowledgement as signed bytes.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn sign_ack(&self, ack: &Ack) -> Result<Vec<u8>, SealError> {
        self.seal(ack)
    }

    fn seal<M: Message>(&self, message: &M) -> Result<Vec<u8>, SealError> {
        let payload = cbor::encode(message)?;
        let sig = self
            .key
            .sign(&pre_authentication_encoding(M::TYPE, &payload))?;
        let keyid = self.key.public_key().id();
        let envelope = Envelope {
            payload_type: M::TYPE.to_owned(),
            payload,
            keyid,
            sig,
        };
        let mut bytes = Vec::new();
        ciborium::into_writer(&envelope, &mut bytes)
            .map_err(|reason| CborError::Malformed(reason.to_string()))?;
        Ok(bytes)
    }
}

/// The TUF target that lists the deployer's keys, with its bytes: what makes the second signer rotate by the
/// first one's chain.
///
/// # Errors
/// [`TufError::Malformed`] when the list cannot be written.
pub fn deployer_target(keys: &[PublicKey]) -> Result<(TargetFile, Vec<u8>), TufError> {
    let list = DeployerKeys {
        format: 1,
        keys: keys.to_vec(),
    };
    let bytes = serde_json::to_vec_pretty(&list).map_err(|reason| TufError::Malformed {
        role: "deployer",
        reason: reason.to_string(),
    })?;
    Ok((TargetFile::new(DEPLOYER_TARGET, &bytes)?, bytes))
}
