//! Labels: what operators write on devices, `site=berlin`.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most labels of a device: more is a sign that labels are used as a data base.
pub const MAX_LABELS: usize = 32;

const MAX_LEN: usize = 63;

/// Why a text is no label, or a set no labels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLabel {
    /// A character outside the grammar, or a wrong length.
    #[error(
        "`{0}` is no label word: 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
    )]
    Word(String),
    /// No `=`.
    #[error("`{0}` is no label: write KEY=VALUE")]
    NoValue(String),
    /// More than [`MAX_LABELS`].
    #[error("{0} labels, at most {MAX_LABELS} are allowed")]
    TooMany(usize),
}

/// A label's key or value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelWord(String);

impl LabelWord {
    /// The word as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a word may hold this character.
    #[must_use]
    pub const fn allows(c: char) -> bool {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')
    }
}

impl FromStr for LabelWord {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if starts && text.len() <= MAX_LEN && text.chars().all(Self::allows) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidLabel::Word(text.chars().take(MAX_LEN).collect()))
        }
    }
}

impl TryFrom<String> for LabelWord {
    type Error = InvalidLabel;

    fn try_from(text: String) -> Result<Self, InvalidLabel> {
        text.parse()
    }
}

impl From<LabelWord> for String {
    fn from(word: LabelWord) -> String {
        word.0
    }
}

impl fmt::Display for LabelWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device's labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<LabelWord, LabelWord>")]
#[serde(into = "BTreeMap<LabelWord, LabelWord>")]
pub struct Labels(BTreeMap<LabelWord, LabelWord>);

impl Labels {
    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &LabelWord) -> Option<&LabelWord> {
        self.0.get(key)
    }

    /// All labels by key.
    pub fn iter(&self) -> btree_map::Iter<'_, LabelWord, LabelWord> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Labels from `KEY=VALUE` texts; a later one replaces an earlier one of the same key.
    ///
    /// # Errors
    /// The first text that is no label, or too many of them.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidLabel> {
        let parse = |text: &str| {
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| InvalidLabel::NoValue(text.chars().take(MAX_LEN).collect()))?;
            Ok((key.trim().parse()?, value.trim().parse()?))
        };
        let labels: BTreeMap<LabelWord, LabelWord> = pairs
            .into_iter()
            .map(parse)
            .collect::<Result<_, InvalidLabel>>()?;
        labels.try_into()
    }
}

impl TryFrom<BTreeMap<LabelWord, LabelWord>> for Labels {
    type Error = InvalidLabel;

    fn try_from(labels: BTreeMap<LabelWord, LabelWord>) -> Result<Self, InvalidLabel> {
        if labels.len() <= MAX_LABELS {
            Ok(Self(labels))
        } else {
            Err(InvalidLabel::TooMany(labels.len()))
        }
    }
}

impl From<Labels> for BTreeMap<LabelWord, LabelWord> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a LabelWord, &'a LabelWord);
    type IntoIter = btree_map::Iter<'a, LabelWord, LabelWord>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
