//! Signed words of the deployer: desired states and acknowledgements.

use std::collections::BTreeSet;

use espalier_protocol::Digest;
use espalier_protocol::desired::DesiredState;
use espalier_protocol::envelope::{Envelope, EnvelopeError, Message};
use espalier_protocol::report::{Ack, Attack, Refusal};
use espalier_protocol::trust::{DeployerKeys, KeyId};
use jiff::{SignedDuration, Timestamp};

use super::Floors;
use crate::Anchor;

/// How far a device's clock may be off before a fresh message counts as expired.
pub const TIME_SLACK: SignedDuration = SignedDuration::from_mins(5);

/// Who receives a message, and what it knows.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// Who the device is.
    pub anchor: &'a Anchor,
    /// Whom the release keys let deploy.
    pub keys: &'a DeployerKeys,
    /// What it saw already.
    pub floors: &'a Floors,
    /// Its clock.
    pub clock: Timestamp,
}

/// Whether a desired state was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It replaces the last one.
    Fresh,
    /// It is the last one, delivered again.
    Known,
}

/// A desired state that this device may act on.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// What is wanted.
    pub state: DesiredState,
    /// The digest of its envelope.
    pub envelope: Digest,
    /// Who signed it.
    pub signer: KeyId,
    /// Whether it was seen before.
    pub news: News,
}

impl Accepted {
    /// Whether nothing new may be started for it any more.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        is_past(self.state.expires_at, now)
    }
}

/// Verifies a desired state as it came from the broker.
///
/// The order of the checks is the order of trust: signer and signature, then for whom it is, then whether it is new.
///
/// # Errors
/// What it looks like, by name. [`Attack::WrongKey`] may also mean that the deployer's key was rotated: renew the
/// metadata and ask once more.
pub fn verify_desired(envelope: &[u8], recipient: &Recipient<'_>) -> Result<Accepted, Refusal> {
    let (state, signer): (DesiredState, KeyId) = open(envelope, recipient.keys)?;
    let Recipient {
        anchor,
        floors,
        clock,
        keys,
    } = recipient;
    if state.device != anchor.identity {
        let detail = format!(
            "the desired state is for {}, and this is {}",
            state.device, anchor.identity
        );
        return Err(refusal(Attack::WrongDevice, detail));
    }
    if state.class != anchor.class {
        let detail = format!(
            "the desired state is for class {}, and this device is {}",
            state.class, anchor.class
        );
        return Err(refusal(Attack::WrongClass, detail));
    }
    refuse_two_orders_for_one_model(&state)?;
    let digest = Digest::of(envelope);
    let news = news(state.sequence, &digest, floors, keys)?;
    let accepted = Accepted {
        state,
        envelope: digest,
        signer,
        news,
    };
    if news == News::Fresh && accepted.is_expired(floors.now(*clock)) {
        let detail = format!("the desired state expired at {}", accepted.state.expires_at);
        return Err(refusal(Attack::Stale, detail));
    }
    Ok(accepted)
}

/// Verifies an acknowledgement as it came from the broker.
///
/// # Errors
/// What it looks like, by name.
pub fn open_ack(envelope: &[u8], recipient: &Recipient<'_>) -> Result<Ack, Refusal> {
    let (ack, _): (Ack, _) = open(envelope, recipient.keys)?;
    if ack.device == recipient.anchor.identity {
        return Ok(ack);
    }
    let detail = format!(
        "the acknowledgement is for {}, and this is {}",
        ack.device, recipient.anchor.identity
    );
    Err(refusal(Attack::WrongDevice, detail))
}

/// One that was accepted before was kept and played again; one that never arrived was held back.
fn news(
    sequence: u64,
    envelope: &Digest,
    floors: &Floors,
    keys: &DeployerKeys,
) -> Result<News, Refusal> {
    let floor = floors.binding_sequence(keys);
    if sequence > floor {
        return Ok(News::Fresh);
    }
    if sequence == floor && floors.is_last(envelope) {
        return Ok(News::Known);
    }
    let (attack, story) = match floors.is_earlier(envelope) {
        true => (Attack::Replay, "it was accepted before that"),
        false => (Attack::Reordered, "it comes too late"),
    };
    let detail = format!(
        "the desired state has sequence {sequence}, {floor} was accepted already, and {story}"
    );
    Err(refusal(attack, detail))
}

/// Which of them is meant would be anybody's guess.
fn refuse_two_orders_for_one_model(state: &DesiredState) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    match state.models.iter().find(|order| !seen.insert(&order.model)) {
        None => Ok(()),
        Some(twice) => {
            let detail = format!("the desired state orders {} twice", twice.model);
            Err(refusal(Attack::Malformed, detail))
        }
    }
}

/// The message and who signed it.
fn open<M: Message>(envelope: &[u8], keys: &DeployerKeys) -> Result<(M, KeyId), Refusal> {
    Envelope::parse(envelope)
        .and_then(|envelope| Ok((envelope.open(|id| keys.find(id))?, envelope.keyid)))
        .map_err(|error| refusal(attack_of(&error), error.to_string()))
}

fn attack_of(error: &EnvelopeError) -> Attack {
    match error {
        EnvelopeError::TooLarge(_) => Attack::EndlessData,
        EnvelopeError::UnknownKey(_) => Attack::WrongKey,
        EnvelopeError::BadSignature(_) => Attack::BadSignature,
        EnvelopeError::Cbor(_) | EnvelopeError::WrongType { .. } => Attack::Malformed,
    }
}

fn is_past(expiry: Timestamp, now: Timestamp) -> bool {
    expiry
        .saturating_add(TIME_SLACK)
        .is_ok_and(|expiry| expiry < now)
}

fn refusal(attack: Attack, detail: impl Into<String>) -> Refusal {
    Refusal {
        attack,
        detail: detail.into(),
    }
}
