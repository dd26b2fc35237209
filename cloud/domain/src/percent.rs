//! Shares of a whole, to a hundredth of a percent.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const WHOLE: u16 = 10_000;

/// A share between 0 % and 100 %, exact to two decimals; a number (`2.5`) in JSON.
///
/// Integers inside, because a threshold must not depend on how a float was rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Percent {
    hundredths: u16,
}

/// Why a number or a text is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no percentage: a number from 0 to 100 with at most two decimals")]
pub struct InvalidPercent(String);

impl Percent {
    /// 0 %.
    pub const ZERO: Self = Self { hundredths: 0 };
    /// 100 %.
    pub const ALL: Self = Self { hundredths: WHOLE };

    /// A share from hundredths of a percent; more than 10,000 is none.
    #[must_use]
    pub const fn from_hundredths(hundredths: u16) -> Option<Self> {
        if hundredths <= WHOLE {
            Some(Self { hundredths })
        } else {
            None
        }
    }

    /// A share in whole percents; more than 100 is all of it.
    #[must_use]
    pub const fn capped(percent: u8) -> Self {
        let hundredths = percent as u16 * 100;
        Self {
            hundredths: if hundredths <= WHOLE {
                hundredths
            } else {
                WHOLE
            },
        }
    }

    /// The share in hundredths of a percent.
    #[must_use]
    pub const fn hundredths(self) -> u16 {
        self.hundredths
    }

    /// This share of `whole`, rounded up: a share above nothing of something is never nothing.
    #[must_use]
    pub const fn of_rounded_up(self, whole: u64) -> u64 {
        (whole as u128 * self.hundredths as u128).div_ceil(WHOLE as u128) as u64
    }

    /// Whether `part` of `whole` is at least this share. Nothing of nothing is all of it.
    #[must_use]
    pub const fn reached_by(self, part: u64, whole: u64) -> bool {
        part as u128 * WHOLE as u128 >= whole as u128 * self.hundredths as u128
    }

    /// Whether `part` of `whole` is more than this share.
    #[must_use]
    pub const fn exceeded_by(self, part: u64, whole: u64) -> bool {
        part as u128 * WHOLE as u128 > whole as u128 * self.hundredths as u128
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.hundredths / 100, self.hundredths % 100);
        match rest {
            0 => write!(f, "{whole}"),
            rest if rest % 10 == 0 => write!(f, "{whole}.{}", rest / 10),
            rest => write!(f, "{whole}.{rest:02}"),
        }
    }
}

impl FromStr for Percent {
    type Err = InvalidPercent;

    fn from_str(text: &str) -> Result<Self, InvalidPercent> {
        let invalid = || InvalidPercent(text.chars().take(20).collect());
        let number: f64 = text
            .strip_suffix('%')
            .unwrap_or(text)
            .trim()
            .parse()
            .map_err(|_| invalid())?;
        Self::try_from(number)
    }
}

impl TryFrom<f64> for Percent {
    type Error = InvalidPercent;

    fn try_from(number: f64) -> Result<Self, InvalidPercent> {
        let hundredths = (number * 100.0).round();
        let exact = (hundredths - number * 100.0).abs() < 1e-6;
        if !exact || !(0.0..=f64::from(WHOLE)).contains(&hundredths) {
            return Err(InvalidPercent(number.to_string()));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be within 0 and 10,000"
        )]
        let hundredths = hundredths as u16;
        Ok(Self { hundredths })
    }
}

impl From<Percent> for f64 {
    fn from(share: Percent) -> f64 {
        f64::from(share.hundredths) / 100.0
    }
}
