//! The topic grammar: `espalier/v1/{tenant}/{device}/{down|up}/{channel}`.
//!
//! The middle is the device's identity, so a broker can grant rights by the certificate's common
//! name alone (`pattern read espalier/v1/%u/down/+` in Mosquitto's words).

use std::{fmt, str::FromStr};

use crate::DeviceIdentity;

/// What all topics begin with.
pub const PREFIX: &str = "espalier/v1";

/// What a topic carries; the direction follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Cloud → device, retained: [`crate::desired::DesiredState`].
    Desired,
    /// Cloud → device: [`crate::report::Ack`].
    Ack,
    /// Device → cloud: [`crate::report::Report`].
    Report,
}

impl Channel {
    /// All channels.
    pub const ALL: [Self; 3] = [Self::Desired, Self::Ack, Self::Report];

    fn path(self) -> &'static str {
        match self {
            Self::Desired => "down/desired",
            Self::Ack => "down/ack",
            Self::Report => "up/report",
        }
    }

    /// Whether the device listens to it.
    #[must_use]
    pub fn is_down(self) -> bool {
        matches!(self, Self::Desired | Self::Ack)
    }
}

/// One concrete topic; wildcards have no place in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Topic {
    /// Whose it is.
    pub identity: DeviceIdentity,
    /// What it carries.
    pub channel: Channel,
}

/// Why a text is not one of our topics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a topic of ours: espalier/v1/TENANT/DEVICE/(down/desired|down/ack|up/report)"
)]
pub struct InvalidTopic(String);

impl Topic {
    /// Joins identity and channel.
    #[must_use]
    pub fn new(identity: DeviceIdentity, channel: Channel) -> Self {
        Self { identity, channel }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}/{}/{}", self.identity, self.channel.path())
    }
}

impl FromStr for Topic {
    type Err = InvalidTopic;
    fn from_str(text: &str) -> Result<Self, InvalidTopic> {
        let invalid = || InvalidTopic(text.chars().take(200).collect());
        let rest = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix('/'))
            .ok_or_else(invalid)?;
        let mut parts = rest.splitn(3, '/');
        let (Some(tenant), Some(device), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        let channel = Channel::ALL
            .into_iter()
            .find(|c| c.path() == path)
            .ok_or_else(invalid)?;
        let tenant = tenant.parse().map_err(|_| invalid())?;
        let device = device.parse().map_err(|_| invalid())?;
        Ok(Self {
            identity: DeviceIdentity { tenant, device },
            channel,
        })
    }
}
