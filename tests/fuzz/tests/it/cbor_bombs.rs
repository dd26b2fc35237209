//! CBOR that costs more than it weighs, or says two things at once, at every door that takes CBOR.

use espalier_protocol::cbor;
use espalier_protocol::desired::DesiredState;
use espalier_protocol::envelope::{Envelope, Message};
use espalier_protocol::report::{Ack, Report};

type Door = (&'static str, fn(&[u8]) -> Result<(), String>);

fn payload<M: Message>(bytes: &[u8]) -> Result<(), String> {
    cbor::decode::<M>(bytes)
        .map(drop)
        .map_err(|error| error.to_string())
}

const DOORS: &[Door] = &[
    ("envelope", |bytes| {
        Envelope::parse(bytes)
            .map(drop)
            .map_err(|error| error.to_string())
    }),
    ("desired state", payload::<DesiredState>),
    ("report", payload::<Report>),
    ("acknowledgement", payload::<Ack>),
];

/// What every door refuses by itself, and also where an honest message has it under a name that nobody knows.
fn refused_everywhere(bomb: &[u8]) {
    for (door, read) in DOORS {
        assert!(read(bomb).is_err(), "{door} took it");
        let stranger = [&[0xa1, 0x61, b'x'], bomb].concat();
        assert!(read(&stranger).is_err(), "{door} took it under a name");
    }
    let honest = ack();
    let inside = [&[honest[0] + 1, 0x61, b'x'], bomb, &honest[1..]].concat();
    assert!(
        payload::<Ack>(&inside).is_err(),
        "an honest message covers it"
    );
}

/// An acknowledgement, which is a map of three members.
fn ack() -> Vec<u8> {
    let ack = Ack {
        device: "acme/press-7".parse().unwrap(),
        boot: 3,
        seq: 9,
    };
    cbor::encode(&ack).unwrap()
}

#[test]
fn a_cbor_bomb_of_depth_is_refused() {
    refused_everywhere(&[0x81].repeat(20_000));
    refused_everywhere(&[0x9f].repeat(20_000));
    refused_everywhere(&[0xa1, 0x61, b'a'].repeat(20_000));
    refused_everywhere(&[0xc1].repeat(20_000));
}

#[test]
fn lengths_that_promise_the_moon_are_refused() {
    // Byte strings, texts, arrays and maps of 2⁶⁴ - 1 and of 2³² - 1 members.
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        refused_everywhere(&[&[head], &[0xff; 8][..]].concat());
        refused_everywhere(&[&[head - 1], &[0xff; 4][..]].concat());
    }
}

#[test]
fn what_never_ends_is_refused() {
    for head in [0x5f, 0x7f, 0x9f, 0xbf] {
        refused_everywhere(&[head]);
    }
    refused_everywhere(&[&[0x5f], &[0x41, 0][..].repeat(10_000)[..]].concat());
}

#[test]
fn a_number_past_all_bounds_is_refused() {
    // 2⁶⁴, as a tagged byte string, in place of a sequence number.
    let honest = ack();
    let (message, last) = honest.split_at(honest.len() - 1);
    assert_eq!(last, [9]);
    let past = [message, &[0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert!(payload::<Ack>(&past).is_err());
    let negative = [message, &[0x20]].concat();
    assert!(payload::<Ack>(&negative).is_err());
}

#[test]
fn a_message_that_says_a_thing_twice_is_refused() {
    let honest = ack();
    let twice = [&[0xbf], &honest[1..], &honest[1..], &[0xff]].concat();
    let error = payload::<Ack>(&twice).unwrap_err();
    assert!(error.contains("duplicate field"), "{error}");
}
