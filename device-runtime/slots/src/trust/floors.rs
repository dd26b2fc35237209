//! What was seen already: nothing below it is accepted again.

use std::collections::BTreeMap;

use espalier_protocol::trust::{DeployerKeys, KeyId};
use espalier_protocol::{Digest, ModelName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Accepted;

/// Accepted desired states that are remembered by digest.
const REMEMBERED: usize = 32;

/// Lower bounds that only ever rise, but for what a thief raised whose key is no longer trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floors {
    desired_sequence: u64,
    /// The digest of the last accepted desired state's envelope, so that the same one delivered again is told from a replay.
    desired_envelope: Option<Digest>,
    /// Who signed it.
    #[serde(default)]
    desired_signer: Option<KeyId>,
    /// The digests of those before it, the oldest first.
    #[serde(default)]
    earlier: Vec<Digest>,
    time: Timestamp,
    counters: BTreeMap<ModelName, u64>,
}

impl Floors {
    /// The time to judge expiry by: the clock, unless it is behind what was signed. A clock that runs ahead raises no
    /// floor, so setting it right heals everything.
    #[must_use]
    pub fn now(&self, clock: Timestamp) -> Timestamp {
        clock.max(self.time)
    }

    /// The sequence of the last accepted desired state; 0 before the first.
    #[must_use]
    pub fn desired_sequence(&self) -> u64 {
        self.desired_sequence
    }

    /// The sequence above which a desired state is news. It binds for as long as its signer may deploy: a thief who used
    /// up all sequences (a fast-forward) is answered by another deployer key, and what he signed before is no danger any
    /// more.
    #[must_use]
    pub fn binding_sequence(&self, keys: &DeployerKeys) -> u64 {
        let trusted = |signer| keys.find(signer).is_some();
        match self.desired_signer.is_none_or(trusted) {
            true => self.desired_sequence,
            false => 0,
        }
    }

    /// Whether this envelope is the last accepted one.
    #[must_use]
    pub fn is_last(&self, envelope: &Digest) -> bool {
        self.desired_envelope.as_ref() == Some(envelope)
    }

    /// Whether this envelope was accepted before the last one, as far as that is remembered.
    #[must_use]
    pub fn is_earlier(&self, envelope: &Digest) -> bool {
        self.earlier.contains(envelope)
    }

    /// The highest release counter of a model that the device was told to install.
    #[must_use]
    pub fn counter(&self, model: &ModelName) -> u64 {
        self.counters.get(model).copied().unwrap_or(0)
    }

    /// These floors once a fresh desired state was accepted. Its time counts up to `fresh_until`, when the release
    /// metadata end that name its signer: an honest deployer signs before that, and a thief who signs in a far future
    /// would otherwise make every later edition look expired.
    #[must_use]
    pub fn accept(mut self, accepted: &Accepted, fresh_until: Timestamp) -> Self {
        self.earlier
            .extend(self.desired_envelope.replace(accepted.envelope));
        let forgotten = self.earlier.len().saturating_sub(REMEMBERED);
        self.earlier.drain(..forgotten);
        self.desired_sequence = accepted.state.sequence;
        self.desired_signer = Some(accepted.signer);
        self.time = self.time.max(accepted.state.issued_at.min(fresh_until));
        self
    }

    /// These floors once a release of this counter was ordered that both signers agree on.
    #[must_use]
    pub fn with_counter(mut self, model: ModelName, counter: u64) -> Self {
        let floor = self.counters.entry(model).or_default();
        *floor = (*floor).max(counter);
        self
    }
}
