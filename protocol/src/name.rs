//! Names that people choose. One grammar for all: it is safe in a topic, a URL, a file name, a
//! certificate subject and a metrics label, so that nothing ever needs escaping.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest name in bytes.
pub const MAX_NAME_LEN: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Empty text.
    #[error("the {0} is empty: give it 1 to 63 letters a-z, digits and inner hyphens")]
    Empty(&'static str),
    /// Longer than [`MAX_NAME_LEN`].
    #[error("the {kind} has {len} characters: at most 63 are allowed")]
    TooLong {
        /// What the text was meant to name.
        kind: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// A character outside the grammar, or a hyphen at an end.
    #[error("the {kind} `{text}` is not a name: use a-z, 0-9 and inner hyphens")]
    Grammar {
        /// What the text was meant to name.
        kind: &'static str,
        /// The offending text, shortened.
        text: String,
    },
}

fn check(kind: &'static str, text: &str) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty(kind));
    }
    if text.len() > MAX_NAME_LEN {
        return Err(InvalidName::TooLong {
            kind,
            len: text.len(),
        });
    }
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-') {
        Ok(())
    } else {
        Err(InvalidName::Grammar {
            kind,
            text: text.chars().take(MAX_NAME_LEN).collect(),
        })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $ty:ident, $kind:literal) => {
        $(#[$doc])*
        ///
        /// Grammar: 1 to 63 of `a-z`, `0-9` and inner hyphens.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $ty(String);

        impl $ty {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $ty {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check($kind, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $ty {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                check($kind, &text)?;
                Ok(Self(text))
            }
        }

        impl From<$ty> for String {
            fn from(name: $ty) -> String {
                name.0
            }
        }

        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The organisation that owns devices, models and rollouts; nothing is visible across tenants.
    Tenant, "tenant name"
);
name!(
    /// A device or gateway within its tenant.
    DeviceName, "device name"
);
name!(
    /// A named line of work (`sam`, `tile-defect`).
    ModelName, "model name"
);
name!(
    /// What a build is made for: architecture, execution providers, number formats, budgets.
    DeviceClassName, "device class name"
);

/// `tenant/device`: the common name of the device's certificate, its MQTT client id, and the middle
/// of each of its topics.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceIdentity {
    /// The owner.
    pub tenant: Tenant,
    /// The device within its tenant.
    pub device: DeviceName,
}

impl DeviceIdentity {
    /// Joins both halves.
    #[must_use]
    pub fn new(tenant: Tenant, device: DeviceName) -> Self {
        Self { tenant, device }
    }
}

impl FromStr for DeviceIdentity {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let Some((tenant, device)) = text.split_once('/') else {
            let text = text.chars().take(2 * MAX_NAME_LEN).collect();
            return Err(InvalidName::Grammar {
                kind: "device identity (tenant/device)",
                text,
            });
        };
        Ok(Self {
            tenant: tenant.parse()?,
            device: device.parse()?,
        })
    }
}

impl TryFrom<String> for DeviceIdentity {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<DeviceIdentity> for String {
    fn from(identity: DeviceIdentity) -> String {
        identity.to_string()
    }
}

impl fmt::Display for DeviceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.device)
    }
}

impl fmt::Debug for DeviceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
