//! What a child and its gateway say to one another on the LAN: HTTPS, with signed messages inside as they came.
//!
//! | call | by | carries |
//! |---|---|---|
//! | `POST /relay/v1/enrol` | a device without certificate | [`EnrolRequest`](espalier_protocol::enrol::EnrolRequest), forwarded |
//! | `GET /relay/v1/{tenant}/{device}/down?after=N&wait=S` | the child | answers with [`Down`] (JSON) |
//! | `POST /relay/v1/{tenant}/{device}/up` | the child | one signed report (its bytes) |
//! | `GET /relay/v1/tuf/{file}`, `GET /relay/v1/blobs/{sha256}` | the child | what the cloud's door serves |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What all paths of the LAN door begin with.
pub const RELAY_PREFIX: &str = "/relay/v1/";
/// The longest that a child may ask to wait for news, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 60;
/// The largest answer to a `down` call in bytes: two envelopes in base64.
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
    /// The newest acknowledgement, as signed.
    #[serde(default, with = "envelope", skip_serializing_if = "Option::is_none")]
    pub ack: Option<Bytes>,
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
        text.map(|text| {
            STANDARD
                .decode(text)
                .map(Bytes::from)
                .map_err(de::Error::custom)
        })
        .transpose()
    }
}
