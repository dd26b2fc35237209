//! From columns to domain values: each step says where it was when it failed.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use espalier_protocol::{DeviceName, Digest};
use serde::de::DeserializeOwned;

use crate::StoreError;

/// Reads one row, by its table and key.
pub(crate) struct Row {
    table: &'static str,
    key: String,
}

impl Row {
    pub(crate) fn of(table: &'static str, key: impl Display) -> Self {
        Self {
            table,
            key: key.to_string(),
        }
    }

    /// The error for a column that cannot be.
    pub(crate) fn wrong(&self, column: &'static str, reason: impl Display) -> StoreError {
        StoreError::Inconsistency {
            table: self.table,
            column,
            row: self.key.clone(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn parse<T>(&self, column: &'static str, text: &str) -> Result<T, StoreError>
    where
        T: FromStr,
        T::Err: Display,
    {
        text.parse().map_err(|reason| self.wrong(column, reason))
    }

    pub(crate) fn parse_some<T>(
        &self,
        column: &'static str,
        text: Option<&str>,
    ) -> Result<Option<T>, StoreError>
    where
        T: FromStr,
        T::Err: Display,
    {
        text.map(|text| self.parse(column, text)).transpose()
    }

    pub(crate) fn bytes32(
        &self,
        column: &'static str,
        bytes: &[u8],
    ) -> Result<[u8; 32], StoreError> {
        bytes
            .try_into()
            .map_err(|_| self.wrong(column, format!("{} bytes instead of 32", bytes.len())))
    }

    pub(crate) fn bytes16(
        &self,
        column: &'static str,
        bytes: &[u8],
    ) -> Result<[u8; 16], StoreError> {
        bytes
            .try_into()
            .map_err(|_| self.wrong(column, format!("{} bytes instead of 16", bytes.len())))
    }

    pub(crate) fn digest(&self, column: &'static str, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.bytes32(column, bytes).map(Digest::from_bytes)
    }

    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        column: &'static str,
        value: serde_json::Value,
    ) -> Result<T, StoreError> {
        serde_json::from_value(value).map_err(|reason| self.wrong(column, reason))
    }

    pub(crate) fn json_some<T: DeserializeOwned>(
        &self,
        column: &'static str,
        value: Option<serde_json::Value>,
    ) -> Result<Option<T>, StoreError> {
        value.map(|value| self.json(column, value)).transpose()
    }

    /// Postgres has no unsigned integers.
    pub(crate) fn unsigned<T, N>(&self, column: &'static str, number: N) -> Result<T, StoreError>
    where
        N: Copy + Display,
        T: TryFrom<N>,
    {
        T::try_from(number).map_err(|_| self.wrong(column, format!("{number} is out of range")))
    }

    pub(crate) fn need<T>(&self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.wrong(column, "it is missing"))
    }
}

/// Names of devices on their way into a `text[]`.
pub(crate) fn names(devices: &[DeviceName]) -> Vec<String> {
    devices.iter().map(ToString::to_string).collect()
}

/// A number on its way into a `bigint`. Outside numbers were bounded at their door; what is too large all the same
/// is kept as the largest number that can be, which orders after every honest one.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A value on its way into a `jsonb` column.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<serde_json::Value, StoreError> {
    let value = serde_json::to_value(value);
    let value = value.map_err(|reason| StoreError::Refused(Box::new(reason)))?;
    Ok(storable_json(value))
}

/// Text on its way into the database. Postgres knows no text with a NUL in it; devices, model files and people can
/// send one all the same, and one of theirs must not hold up the batch that it came in.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

fn storable_json(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value::{Array, Object, String};
    match value {
        String(text) => String(storable(&text).into_owned()),
        Array(items) => Array(items.into_iter().map(storable_json).collect()),
        Object(fields) => {
            let fields = fields.into_iter();
            let fields =
                fields.map(|(key, value)| (storable(&key).into_owned(), storable_json(value)));
            Object(fields.collect())
        }
        plain => plain,
    }
}
