//! Selectors: which devices a rollout is for.
//!
//! ```text
//! selector    = "all" | conditions
//! conditions  = condition *( "," condition )           every one must hold
//! condition   = key "=" value                          has the label with this value
//!             | key "!=" value                         has not; a device without the label passes
//!             | key                                    has the label
//!             | "!" key                                has it not
//!             | key "in" "(" value *( "," value ) ")"  has one of these values
//! ```
//!
//! Two keys are facts rather than labels: `device` (the name) and `class`.

mod parse;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use espalier_protocol::{DeviceClassName, DeviceName};

use crate::labels::{LabelWord, Labels};

pub use parse::SelectorError;

/// Longest selector in bytes. Stops a query that costs more than the fleet.
pub const MAX_SELECTOR_BYTES: usize = 2048;

/// Which devices are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Selector {
    /// Every device of the tenant.
    All,
    /// Devices for which every condition holds; never empty.
    Where(Vec<Condition>),
}

/// One condition on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The key has this value.
    Is(LabelWord, LabelWord),
    /// The key is missing or has another value.
    IsNot(LabelWord, LabelWord),
    /// The key is there.
    Has(LabelWord),
    /// The key is not there.
    HasNot(LabelWord),
    /// The key has one of these values; never empty.
    OneOf(LabelWord, Vec<LabelWord>),
}

/// What a selector looks at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The device's name.
    pub device: &'a DeviceName,
    /// Its class.
    pub class: &'a DeviceClassName,
    /// Its labels.
    pub labels: &'a Labels,
}

impl Subject<'_> {
    fn value(&self, key: &LabelWord) -> Option<&str> {
        match key.as_str() {
            "device" => Some(self.device.as_str()),
            "class" => Some(self.class.as_str()),
            _ => self.labels.get(key).map(LabelWord::as_str),
        }
    }
}

impl Selector {
    /// Whether the device is meant.
    #[must_use]
    pub fn matches(&self, subject: Subject<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Where(conditions) => conditions.iter().all(|condition| condition.holds(subject)),
        }
    }
}

impl Condition {
    fn holds(&self, subject: Subject<'_>) -> bool {
        match self {
            Self::Is(key, value) => subject.value(key) == Some(value.as_str()),
            Self::IsNot(key, value) => subject.value(key) != Some(value.as_str()),
            Self::Has(key) => subject.value(key).is_some(),
            Self::HasNot(key) => subject.value(key).is_none(),
            Self::OneOf(key, values) => subject
                .value(key)
                .is_some_and(|found| values.iter().any(|value| value.as_str() == found)),
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        parse::selector(text)
    }
}

impl TryFrom<String> for Selector {
    type Error = SelectorError;

    fn try_from(text: String) -> Result<Self, SelectorError> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> String {
        selector.to_string()
    }
}

impl fmt::Display for Selector {
    /// The canonical text: it parses to the same selector.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Where(conditions) = self else {
            return f.write_str("all");
        };
        for (index, condition) in conditions.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            condition.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(key, value) => write!(f, "{key}={value}"),
            Self::IsNot(key, value) => write!(f, "{key}!={value}"),
            Self::Has(key) => write!(f, "{key}"),
            Self::HasNot(key) => write!(f, "!{key}"),
            Self::OneOf(key, values) => {
                let values: Vec<_> = values.iter().map(LabelWord::as_str).collect();
                write!(f, "{key} in ({})", values.join(","))
            }
        }
    }
}
