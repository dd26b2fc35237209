//! Numbers with bounds, refused while they are read, so that the message shows their line.

use serde::{Deserialize, Serialize};

/// A number that lies outside its bounds.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{found} lies outside {least} … {most}")]
pub struct OutOfBounds {
    found: f64,
    least: f64,
    most: f64,
}

fn within(found: f64, least: f64, most: f64) -> Result<f64, OutOfBounds> {
    if (least..=most).contains(&found) {
        Ok(found)
    } else {
        Err(OutOfBounds { found, least, most })
    }
}

/// A share: 0 … 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Ratio(f64);

impl Ratio {
    /// The share as a number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Ratio {
    type Error = OutOfBounds;
    fn try_from(value: f64) -> Result<Self, OutOfBounds> {
        within(value, 0.0, 1.0).map(Self)
    }
}

impl From<Ratio> for f64 {
    fn from(ratio: Ratio) -> f64 {
        ratio.0
    }
}

/// Per cent of values that must lie inside a range: 90 … 100.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Percentile(f64);

impl Percentile {
    /// As a share, 0.9 … 1.
    #[must_use]
    pub fn share(self) -> f64 {
        self.0 / 100.0
    }
}

impl Default for Percentile {
    fn default() -> Self {
        Self(99.99)
    }
}

impl TryFrom<f64> for Percentile {
    type Error = OutOfBounds;
    fn try_from(value: f64) -> Result<Self, OutOfBounds> {
        within(value, 90.0, 100.0).map(Self)
    }
}

impl From<Percentile> for f64 {
    fn from(percentile: Percentile) -> f64 {
        percentile.0
    }
}
