//! Signed messages: what was sealed opens, and everything else is refused by name.

use espalier_protocol::{
    DeviceIdentity, Digest, Incarnation,
    cbor::{self, CborError, MAX_PAYLOAD_BYTES},
    desired::{DesiredState, ReleaseRef, TufVersions},
    envelope::{Envelope, EnvelopeError, MAX_ENVELOPE_BYTES, seal},
    id::{AssignmentId, ReleaseId},
    report::{
        Ack, Activation, AssignmentProgress, Attack, Failure, FailureKind, Installed, Refusal,
        Report, Step,
    },
    trust::{KeyId, PublicKey, SigningKey},
};
use proptest::prelude::*;

fn key(seed: u8) -> SigningKey {
    // PKCS#8 v1 of an Ed25519 seed (RFC 8410 §7): tests need no randomness.
    let mut der = hex_literal("302e020100300506032b657004220420");
    der.extend([seed; 32]);
    SigningKey::from_pkcs8(&der).unwrap()
}

fn hex_literal(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn device() -> DeviceIdentity {
    "acme/gateway-1".parse().unwrap()
}

fn desired(sequence: u64) -> DesiredState {
    DesiredState {
        device: device(),
        sequence,
        issued_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        expires_at: "2026-01-08T00:00:00Z".parse().unwrap(),
        class: "gateway-x86".parse().unwrap(),
        models: Vec::new(),
        tuf: TufVersions {
            root: 1,
            timestamp: 2,
            snapshot: 2,
            targets: 2,
        },
        traceparent: None,
    }
}

fn report() -> Report {
    Report {
        device: device(),
        boot: 3,
        seq: 9,
        incarnation: Some(Incarnation::from_bytes([5; 16])),
        nonce: vec![7; 16],
        at: "2026-01-01T00:00:01Z".parse().unwrap(),
        class: "gateway-x86".parse().unwrap(),
        desired_sequence: 4,
        models: Vec::new(),
        progress: None,
        refused: vec![Refusal {
            attack: Attack::Replay,
            detail: "sequence 3 after 4".to_owned(),
        }],
        inventory: None,
        traceparent: None,
    }
}

fn trusting<'k>(public: &'k PublicKey) -> impl Fn(KeyId) -> Option<&'k PublicKey> + 'k {
    move |id| (id == public.id()).then_some(public)
}

#[test]
fn a_sealed_message_opens() {
    let key = key(1);
    let bytes = seal(&report(), &key).unwrap();
    let opened: Report = Envelope::parse(&bytes)
        .unwrap()
        .open(trusting(&key.public()))
        .unwrap();
    assert_eq!(opened, report());
}

#[test]
fn every_step_of_an_update_survives_the_wire() {
    let installed = Installed {
        release: ReleaseRef {
            id: ReleaseId(uuid::Uuid::from_u128(5)),
            digest: Digest::of(b"release"),
            counter: 7,
        },
        bundle: Digest::of(b"bundle"),
    };
    let failure = Failure {
        kind: FailureKind::GoldenMismatch,
        detail: "another mask".to_owned(),
    };
    let steps = [
        Step::Accepted,
        Step::Downloading { done: 1, total: 2 },
        Step::Verified,
        Step::Trial,
        Step::Active(Activation {
            installed,
            bytes_downloaded: 9,
            duration_ms: 8,
            golden_agreement: Some(0.95),
            golden_latency_ms: None,
        }),
        Step::Failed(failure.clone()),
        Step::RolledBack(failure),
    ];
    let key = key(1);
    for step in steps {
        let said = Report {
            progress: Some(AssignmentProgress {
                assignment: AssignmentId(uuid::Uuid::from_u128(6)),
                attempt: 1,
                step,
            }),
            ..report()
        };
        let bytes = seal(&said, &key).unwrap();
        let opened: Report = Envelope::parse(&bytes)
            .unwrap()
            .open(trusting(&key.public()))
            .unwrap();
        assert_eq!(opened, said);
    }
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let bytes = seal(&desired(1), &key(1)).unwrap();
    let trusted = key(2).public();
    let error = Envelope::parse(&bytes)
        .unwrap()
        .open::<DesiredState>(trusting(&trusted))
        .unwrap_err();
    assert!(matches!(error, EnvelopeError::UnknownKey(_)), "{error}");
}

#[test]
fn a_key_id_that_lies_does_not_help() {
    let mut envelope = Envelope::parse(&seal(&desired(1), &key(1)).unwrap()).unwrap();
    let trusted = key(2).public();
    envelope.keyid = trusted.id();
    let error = envelope
        .open::<DesiredState>(trusting(&trusted))
        .unwrap_err();
    assert!(matches!(error, EnvelopeError::BadSignature(_)), "{error}");
}

#[test]
fn a_message_of_one_kind_is_never_another() {
    let key = key(1);
    let ack = Ack {
        device: device(),
        boot: 1,
        seq: 1,
    };
    let mut envelope = Envelope::parse(&seal(&ack, &key).unwrap()).unwrap();
    let error = envelope
        .open::<Report>(trusting(&key.public()))
        .unwrap_err();
    assert!(matches!(error, EnvelopeError::WrongType { .. }), "{error}");
    // The type is under the signature, so relabelling does not help either.
    envelope.payload_type = <Report as espalier_protocol::envelope::Message>::TYPE.to_owned();
    let error = envelope
        .open::<Report>(trusting(&key.public()))
        .unwrap_err();
    assert!(matches!(error, EnvelopeError::BadSignature(_)), "{error}");
}

#[test]
fn oversized_messages_are_refused_before_they_are_read() {
    let huge = vec![0; MAX_ENVELOPE_BYTES + 1];
    assert!(matches!(
        Envelope::parse(&huge),
        Err(EnvelopeError::TooLarge(_))
    ));
    let huge = vec![0; MAX_PAYLOAD_BYTES + 1];
    assert!(matches!(
        cbor::decode::<Report>(&huge),
        Err(CborError::TooLarge(_))
    ));
}

#[test]
fn a_cbor_bomb_of_depth_is_refused() {
    let nested = vec![0x81; 10_000];
    assert!(matches!(
        cbor::decode::<Vec<u8>>(&nested),
        Err(CborError::Malformed(_))
    ));
}

#[test]
fn a_length_that_promises_the_moon_is_refused() {
    // A byte string that says it has 2^63 bytes.
    let bytes = [0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert!(cbor::decode::<promised::Bytes>(&bytes).is_err());
}

mod promised {
    #[derive(serde::Deserialize)]
    pub struct Bytes(
        #[expect(dead_code, reason = "only its decoding matters")] pub espalier_protocol::Digest,
    );
}

#[test]
fn stray_bytes_after_a_message_are_refused() {
    let mut bytes = cbor::encode(&desired(1)).unwrap();
    bytes.push(0);
    assert!(matches!(
        cbor::decode::<DesiredState>(&bytes),
        Err(CborError::Trailing(1))
    ));
}

#[test]
fn a_field_from_the_future_is_ignored_and_stays_under_the_signature() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct FutureAck {
        device: DeviceIdentity,
        boot: u64,
        seq: u64,
        added_later: Digest,
    }
    impl espalier_protocol::envelope::Message for FutureAck {
        const TYPE: &'static str = <Ack as espalier_protocol::envelope::Message>::TYPE;
    }
    let key = key(1);
    let future = FutureAck {
        device: device(),
        boot: 1,
        seq: 2,
        added_later: Digest::of(b"x"),
    };
    let bytes = seal(&future, &key).unwrap();
    let ack: Ack = Envelope::parse(&bytes)
        .unwrap()
        .open(trusting(&key.public()))
        .unwrap();
    assert_eq!(ack.seq, 2);
}

proptest! {
    #[test]
    fn a_flipped_bit_never_opens(sequence in 1..u64::MAX, position in any::<prop::sample::Index>(), bit in 0..8u8) {
        let key = key(1);
        let mut bytes = seal(&desired(sequence), &key).unwrap();
        let at = position.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let opened = Envelope::parse(&bytes)
            .ok()
            .and_then(|envelope| envelope.open::<DesiredState>(trusting(&key.public())).ok());
        // The envelope's own framing may be spelled in two ways; what opens must be what was signed.
        if let Some(opened) = opened {
            prop_assert_eq!(opened, desired(sequence));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Envelope::parse(&bytes);
        let _ = cbor::decode::<Report>(&bytes);
        let _ = cbor::decode::<DesiredState>(&bytes);
    }
}
