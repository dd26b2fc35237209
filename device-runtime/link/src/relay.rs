//! What a child and its gateway say to one another on the LAN: HTTPS, with signed messages inside as they came.
//!
//! | call | by | carries |
//! |---|---|---|
//! | `POST /relay/v1/enrol` | a device without certificate | [`EnrolRequest`](espalier_protocol::enrol::EnrolRequest), forwarded |
//! | `POST /relay/v1/{tenant}/{device}/renew` | the child | one signed [`RenewRequest`](espalier_protocol::renew::RenewRequest), forwarded |
//! | `GET /relay/v1/{tenant}/{device}/down?after=N&wait=S` | the child | answers with [`Down`] (JSON) |
//! | `POST /relay/v1/{tenant}/{device}/up` | the child | one signed report (its bytes) |
//! | `GET /relay/v1/tuf/{file}`, `GET /relay/v1/blobs/{sha256}` | the child | what the cloud's door serves |

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use espalier_protocol::envelope::MAX_ENVELOPE_BYTES;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What all paths of the LAN door begin with.
pub const RELAY_PREFIX: &str = "/relay/v1/";
/// The longest that a child may ask to wait for news, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 60;
/// The largest answer to a `down` call in bytes: an order and its acknowledgements in base64.
pub const MAX_DOWN_BYTES: u64 = 256 * 1024;

/// The newest messages for a child. Nothing in it is believed because a gateway says it: both are signed by the cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// Where the gateway is in its messages to this child; the child sends it back as `after`. Any other number means
    /// that there is news: a gateway that started again counts from elsewhere.
    pub at: u64,
    /// The newest desired state, as signed.
    #[serde(default, with = "envelope", skip_serializing_if = "Option::is_none")]
    pub desired: Option<Bytes>,
    /// The newest acknowledgements, as signed, oldest first: each speaks of another report.
    #[serde(
        default,
        with = "envelopes",
        skip_serializing_if = "VecDeque::is_empty"
    )]
    pub acks: VecDeque<Bytes>,
}

impl Down {
    /// Adds an acknowledgement. The oldest give way when all together are larger than one signed message may be, which
    /// stops a hostile broker from filling a gateway's memory; a child asks again for those that it missed.
    pub fn add_ack(&mut self, ack: Bytes) {
        self.acks.push_back(ack);
        while self.acks.iter().map(Bytes::len).sum::<usize>() > MAX_ENVELOPE_BYTES {
            self.acks.pop_front();
        }
    }
}

mod envelope {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Bytes>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes
            .as_ref()
            .map(|bytes| STANDARD.encode(bytes))
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Bytes>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(decode).transpose()
    }

    pub(super) fn decode<E: de::Error>(text: String) -> Result<Bytes, E> {
        STANDARD.decode(text).map(Bytes::from).map_err(E::custom)
    }
}

mod envelopes {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        all: &VecDeque<Bytes>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(all.iter().map(|bytes| STANDARD.encode(bytes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<VecDeque<Bytes>, D::Error> {
        let all = Vec::<String>::deserialize(deserializer)?;
        all.into_iter().map(envelope::decode).collect()
    }
}
