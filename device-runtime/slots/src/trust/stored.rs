//! The record of a device's trust: every file as it was signed.

use serde::{Deserialize, Serialize};

use super::delegations::{TOP, escape};

/// The version of the record that this code writes.
pub(super) const FORMAT: u32 = 1;

/// Delegated roles are kept up to so many bytes in all; stops a record without end.
const DELEGATED_LIMIT: usize = 4 * 1024 * 1024;

/// All files of a device's trust in one record, each exactly as it was signed.
///
/// One record, because then a power cut cannot leave a new timestamp beside a forgotten root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) format: u32,
    /// The claim's root, then every later one: they are walked again whenever the store is opened.
    pub(super) roots: Vec<String>,
    pub(super) timestamp: Option<String>,
    pub(super) snapshot: Option<String>,
    pub(super) targets: Option<String>,
    /// Delegated roles, each after its delegator.
    #[serde(default)]
    pub(super) delegated: Vec<StoredRole>,
}

/// A delegated role as it was signed, with the way by which it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredRole {
    pub(super) role: String,
    pub(super) delegator: String,
    pub(super) text: String,
}

impl Stored {
    /// What enrolment knows: the claim's root.
    pub(super) fn begin(first_root: &str) -> Self {
        Self {
            format: FORMAT,
            roots: vec![first_root.to_owned()],
            timestamp: None,
            snapshot: None,
            targets: None,
            delegated: Vec::new(),
        }
    }

    /// Keeps a delegated role, so that it need not be fetched again. The snapshot says which edition counts, so one that is
    /// not kept costs a fetch and no safety: those that it names no more are let go, and so are the last ones past the cap.
    pub(super) fn keep_role(&mut self, fresh: StoredRole, named: impl Fn(&str) -> bool) {
        let kept = &mut self.delegated;
        kept.retain(|old| named(&old.role));
        // In its old place, because those that it delegates to stand behind it.
        match kept.iter_mut().find(|old| old.role == fresh.role) {
            Some(old) => *old = fresh,
            None => kept.push(fresh),
        }
        let mut bytes: usize = kept.iter().map(|role| role.text.len()).sum();
        while bytes > DELEGATED_LIMIT {
            bytes -= kept.pop().map_or(bytes, |last| last.text.len());
        }
    }

    /// The newest files, by their names without versions.
    pub(super) fn files(&self) -> impl Iterator<Item = (String, &str)> {
        let top = [
            ("root", self.roots.last()),
            ("timestamp", self.timestamp.as_ref()),
            ("snapshot", self.snapshot.as_ref()),
            (TOP, self.targets.as_ref()),
        ];
        let top = top
            .into_iter()
            .filter_map(|(role, text)| Some((role, text?.as_str())));
        let delegated = self
            .delegated
            .iter()
            .map(|stored| (stored.role.as_str(), stored.text.as_str()));
        top.chain(delegated)
            .map(|(role, text)| (format!("{}.json", escape(role)), text))
    }
}
