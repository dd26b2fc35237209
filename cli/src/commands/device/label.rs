//! `espalier device label`.

use std::collections::BTreeMap;

use clap::Args;
use espalier_api::device::{DeviceView, SetLabels};
use espalier_protocol::DeviceName;

use crate::commands::Context;
use crate::failure::Failure;

/// Set and remove labels, by which rollouts select devices.
#[derive(Debug, Args)]
#[command(after_help = "Example: espalier device label camera-07 site=north canary- ")]
pub struct Label {
    /// The device's name
    name: DeviceName,
    /// NAME=VALUE sets a label, NAME- removes it
    #[arg(required = true, value_name = "LABEL", value_parser = change)]
    changes: Vec<Change>,
}

/// One change to a device's labels.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Set(String, String),
    Remove(String),
}

impl Label {
    /// Reads the labels, changes them and writes them back.
    ///
    /// # Errors
    /// When the server cannot be asked or refuses.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let client = context.client()?;
        let device: DeviceView = client.get(&format!("/devices/{}", self.name)).await?;
        let labels = changed(device.labels, self.changes);
        let device: DeviceView = client
            .put(
                &format!("/devices/{}/labels", self.name),
                &SetLabels { labels },
            )
            .await?;
        context.output.show(&device)
    }
}

fn changed(mut labels: BTreeMap<String, String>, changes: Vec<Change>) -> BTreeMap<String, String> {
    for change in changes {
        match change {
            Change::Set(name, value) => drop(labels.insert(name, value)),
            Change::Remove(name) => drop(labels.remove(&name)),
        }
    }
    labels
}

/// `NAME=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

fn change(text: &str) -> Result<Change, String> {
    match text.strip_suffix('-') {
        Some(name) if !name.is_empty() && !text.contains('=') => {
            Ok(Change::Remove(name.to_owned()))
        }
        _ => pair(text)
            .map(|(name, value)| Change::Set(name, value))
            .map_err(|_| "write NAME=VALUE to set a label, NAME- to remove it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_end_with_a_hyphen() {
        assert_eq!(change("a=b-"), Ok(Change::Set("a".into(), "b-".into())));
        assert_eq!(change("a-"), Ok(Change::Remove("a".into())));
        assert!(change("-").is_err() && change("a").is_err() && change("=b").is_err());
    }

    #[test]
    fn labels_that_are_not_named_stay() {
        let before = BTreeMap::from([("site".into(), "north".into()), ("old".into(), "1".into())]);
        let after = changed(
            before,
            vec![
                Change::Remove("old".into()),
                Change::Set("canary".into(), "yes".into()),
            ],
        );
        assert_eq!(
            after,
            BTreeMap::from([
                ("canary".into(), "yes".into()),
                ("site".into(), "north".into())
            ])
        );
    }
}
