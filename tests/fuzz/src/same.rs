//! Bytes have one meaning: what was read, written and read again is the same.

use espalier_protocol::cbor::{self, CborError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes a value as CBOR and reads it again. The bytes are compared, because a number that is none equals nothing.
pub fn in_cbor<T: Serialize + DeserializeOwned>(value: &T) {
    let written = match cbor::encode(value) {
        Ok(written) => written,
        // Our own spelling may be longer than the sender's.
        Err(CborError::TooLarge(_)) => return,
        Err(error) => panic!("a message that was read cannot be written: {error}"),
    };
    let again: T = cbor::decode(&written).expect("a message that we wrote is read");
    let rewritten = cbor::encode(&again).expect("a message that was written is written again");
    assert_eq!(written, rewritten, "a message changed on its way");
}

/// Writes a value as JSON and reads it again with the same parser, where our own spelling fits into `limit`.
pub fn in_json<T: Serialize, E: std::fmt::Debug>(
    value: &T,
    limit: usize,
    parse: impl Fn(&[u8]) -> Result<T, E>,
) {
    let written = serde_json::to_vec(value).expect("a document that was read is written");
    if written.len() > limit {
        return;
    }
    let again = parse(&written).expect("a document that we wrote is read");
    let rewritten = serde_json::to_vec(&again).expect("a document that was read is written");
    assert_eq!(written, rewritten, "a document changed on its way");
}
