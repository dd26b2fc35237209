//! Signed messages: DSSE envelopes with a CBOR payload.

use std::path::Path;

use ciborium::Value;
use espalier_protocol::cbor;
use espalier_protocol::desired::DesiredState;
use espalier_protocol::envelope::{Envelope, EnvelopeError, Message, pre_authentication_encoding};
use espalier_protocol::renew::RenewRequest;
use espalier_protocol::report::{Ack, Report};
use espalier_protocol::trust::{DeployerKeys, KeyId, PublicKey};
use espalier_trust::ca::read_peer;
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{Check, Found, TrustedArgs, TrustedKey, Verdict, still_valid};
use crate::failure::Failure;

/// Looks at bytes as a signed message; none when they are none.
///
/// # Errors
/// When a file that was named as trusted cannot be read.
pub fn look(bytes: &[u8], trusted: &TrustedArgs, now: Timestamp) -> Result<Option<Found>, Failure> {
    let Ok(envelope) = Envelope::parse(bytes) else {
        return Ok(None);
    };
    let keys = trusted.keys()?;
    let mut checks = vec![signature(&envelope, &keys)];
    checks.extend(schema(&envelope, now));
    let content = match cbor::decode::<Value>(&envelope.payload) {
        Ok(payload) => as_json(payload),
        Err(err) => {
            checks.push(Check::new("payload", Verdict::Failed(err.to_string())));
            serde_json::Value::Null
        }
    };
    let kind = format!("signed message `{}`", envelope.payload_type);
    Ok(Some(Found {
        kind,
        checks,
        content,
    }))
}

fn signature(envelope: &Envelope, keys: &[PublicKey]) -> Check {
    let verdict = match find(keys, envelope.keyid) {
        None if keys.is_empty() => Verdict::NotVerified(format!(
            "signed by key {}; name whom you trust with --deployer, --certificate or --key",
            envelope.keyid
        )),
        None => Verdict::Failed(EnvelopeError::UnknownKey(envelope.keyid).to_string()),
        Some(key) => {
            let signed = pre_authentication_encoding(&envelope.payload_type, &envelope.payload);
            if key.verifies(&signed, &envelope.sig) {
                Verdict::Verified(format!("signed by key {}", envelope.keyid))
            } else {
                Verdict::Failed(EnvelopeError::BadSignature(envelope.keyid).to_string())
            }
        }
    };
    Check::new("signature", verdict)
}

fn find(keys: &[PublicKey], id: KeyId) -> Option<&PublicKey> {
    keys.iter().find(|key| key.id() == id)
}

/// Whether the payload is what its type says, with what else that type lets us check.
fn schema(envelope: &Envelope, now: Timestamp) -> Vec<Check> {
    match envelope.payload_type.as_str() {
        DesiredState::TYPE => {
            let desired = cbor::decode::<DesiredState>(&envelope.payload);
            let mut checks = vec![Check::of("schema", &desired, "a desired state")];
            checks.extend(
                desired
                    .ok()
                    .map(|desired| still_valid("expiry", desired.expires_at, now)),
            );
            checks
        }
        Report::TYPE => vec![Check::of(
            "schema",
            &cbor::decode::<Report>(&envelope.payload),
            "a report",
        )],
        Ack::TYPE => vec![Check::of(
            "schema",
            &cbor::decode::<Ack>(&envelope.payload),
            "an acknowledgement",
        )],
        RenewRequest::TYPE => vec![Check::of(
            "schema",
            &cbor::decode::<RenewRequest>(&envelope.payload),
            "a request for a certificate",
        )],
        _ => vec![Check::new(
            "schema",
            Verdict::NotVerified("this version does not know the message's type".into()),
        )],
    }
}

/// CBOR as JSON for reading: byte strings in hexadecimal, unknown fields and all.
fn as_json(value: Value) -> serde_json::Value {
    match value {
        Value::Integer(number) => {
            let number = i128::from(number);
            i64::try_from(number).map_or_else(
                |_| u64::try_from(number).map_or_else(|_| number.to_string().into(), Into::into),
                Into::into,
            )
        }
        Value::Bytes(bytes) => hex::encode(bytes).into(),
        Value::Float(number) => number.into(),
        Value::Text(text) => text.into(),
        Value::Bool(truth) => truth.into(),
        Value::Tag(_, inner) => as_json(*inner),
        Value::Array(items) => items.into_iter().map(as_json).collect(),
        Value::Map(entries) => entries
            .into_iter()
            .map(|(name, value)| (name_of(name), as_json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        _ => serde_json::Value::Null,
    }
}

fn name_of(key: Value) -> String {
    match as_json(key) {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

impl TrustedArgs {
    /// All keys that the operator named.
    fn keys(&self) -> Result<Vec<PublicKey>, Failure> {
        let named = self.keys.iter().filter_map(|key| match key {
            TrustedKey::Envelope(key) => Some(*key),
            TrustedKey::Bundle(_) => None,
        });
        let mut keys: Vec<PublicKey> = named.collect();
        if let Some(path) = &self.deployer {
            let bytes = std::fs::read(path).map_err(Failure::reading(path))?;
            let list: DeployerKeys =
                serde_json::from_slice(&bytes).map_err(|err| unusable("--deployer", err))?;
            keys.extend(list.keys);
        }
        if let Some(path) = &self.certificate {
            keys.push(certified_key(path)?);
        }
        Ok(keys)
    }
}

fn certified_key(path: &Path) -> Result<PublicKey, Failure> {
    let pem = std::fs::read(path).map_err(Failure::reading(path))?;
    let der = CertificateDer::from_pem_slice(&pem).map_err(|err| unusable("--certificate", err))?;
    read_peer(&der)
        .map(|peer| peer.public_key)
        .map_err(|err| unusable("--certificate", err))
}

fn unusable(option: &str, err: impl std::fmt::Display) -> Failure {
    Failure::usage(
        format!("{option} cannot be used: {err}"),
        "see `espalier inspect --help` for what it takes",
    )
}
