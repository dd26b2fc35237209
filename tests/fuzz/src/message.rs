//! Signed messages and their payloads (CBOR).

use espalier_protocol::cbor::{self, CborError, MAX_PAYLOAD_BYTES};
use espalier_protocol::desired::DesiredState;
use espalier_protocol::envelope::{
    Envelope, EnvelopeError, MAX_ENVELOPE_BYTES, Message, pre_authentication_encoding,
};
use espalier_protocol::renew::RenewRequest;
use espalier_protocol::report::{Ack, Report};

use crate::fixture;
use crate::same;

/// An envelope as it comes from a broker: what opens is what was signed, and is one kind of message only.
pub fn envelope(bytes: &[u8]) {
    let Ok(envelope) = Envelope::parse(bytes) else {
        return;
    };
    assert!(
        bytes.len() <= MAX_ENVELOPE_BYTES,
        "an envelope past its limit was read"
    );
    let mut written = Vec::new();
    ciborium::into_writer(&envelope, &mut written).expect("an envelope that was read is written");
    if written.len() <= MAX_ENVELOPE_BYTES {
        let again = Envelope::parse(&written).expect("an envelope that we wrote is read");
        assert_eq!(envelope, again, "an envelope changed on its way");
    }
    let kinds = [
        opens::<DesiredState>(&envelope),
        opens::<Report>(&envelope),
        opens::<Ack>(&envelope),
        opens::<RenewRequest>(&envelope),
    ];
    let opened = kinds.iter().filter(|opened| **opened).count();
    assert!(opened <= 1, "one signature opens two kinds of message");
}

fn opens<M: Message>(envelope: &Envelope) -> bool {
    let key = fixture::signing_key(fixture::DEPLOYER).public();
    let stranger = fixture::signing_key(fixture::STRANGER).public();
    let forged = envelope.open::<M>(|_| Some(&stranger));
    assert!(
        forged.is_err(),
        "a message opened by a key that never signed"
    );
    match envelope.open::<M>(|id| (id == key.id()).then_some(&key)) {
        Ok(message) => {
            let signed = pre_authentication_encoding(M::TYPE, &envelope.payload);
            assert!(
                key.verifies(&signed, &envelope.sig),
                "a message opened that nobody signed"
            );
            same::in_cbor(&message);
            true
        }
        Err(EnvelopeError::Cbor(_)) => panic!("our key signed what is no message"),
        Err(_) => false,
    }
}

/// The payload of a desired state.
pub fn desired(bytes: &[u8]) {
    payload::<DesiredState>(bytes);
}

/// The payload of a report.
pub fn report(bytes: &[u8]) {
    payload::<Report>(bytes);
}

/// The payload of an acknowledgement.
pub fn ack(bytes: &[u8]) {
    payload::<Ack>(bytes);
}

/// The payload of a device's wish for its next certificate.
pub fn renewal(bytes: &[u8]) {
    payload::<RenewRequest>(bytes);
}

fn payload<M: Message>(bytes: &[u8]) {
    match cbor::decode::<M>(bytes) {
        Ok(message) => {
            assert!(
                bytes.len() <= MAX_PAYLOAD_BYTES,
                "a payload past its limit was read"
            );
            same::in_cbor(&message);
        }
        Err(CborError::TooLarge(length)) => assert!(length > MAX_PAYLOAD_BYTES),
        Err(CborError::Malformed(_) | CborError::Trailing(_)) => {}
    }
}
