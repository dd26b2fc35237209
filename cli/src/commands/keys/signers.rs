//! Who must sign a draft, who has, and what is missing: the same words for roots and targets.

use std::path::PathBuf;

use espalier_protocol::Digest;
use espalier_protocol::trust::KeyId;
use espalier_trust::draft::{Requirement, short};
use jiff::Timestamp;
use serde::Serialize;

use crate::output::{Output, Shown};

/// A draft as it is shown.
#[derive(Debug, Serialize)]
pub struct DraftView {
    says: Vec<String>,
    fingerprint: Digest,
    must_sign: Vec<RequirementView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    draft: Option<PathBuf>,
    /// The finished file, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<PathBuf>,
    /// People were told what it says before they signed.
    #[serde(skip)]
    said: bool,
}

#[derive(Debug, Serialize)]
struct RequirementView {
    of: String,
    needed: u64,
    missing: u64,
    signed: Vec<KeyId>,
    unsigned: Vec<KeyId>,
}

impl DraftView {
    /// What a draft says, and how far it is.
    pub fn new(says: Vec<String>, fingerprint: Digest, must_sign: Vec<Requirement>) -> Self {
        Self {
            says,
            fingerprint,
            must_sign: must_sign.into_iter().map(RequirementView::from).collect(),
            draft: None,
            finished: None,
            said: false,
        }
    }

    /// A new draft, and where it was written.
    pub fn written(self, draft: PathBuf) -> Self {
        Self {
            draft: Some(draft),
            ..self
        }
    }

    /// One more has signed, knowing what it says; the last one finishes it.
    pub fn signed(self, draft: PathBuf, finished: Option<PathBuf>) -> Self {
        Self {
            finished,
            said: true,
            ..self.written(draft)
        }
    }

    /// Tells a person what they are about to sign.
    pub fn say(&self, output: Output) {
        for line in &self.says {
            output.remark(line);
        }
        output.remark(format_args!("fingerprint: {}\n", self.fingerprint));
    }

    fn next_step(&self) -> String {
        let missing: Vec<_> = self
            .must_sign
            .iter()
            .filter(|side| side.missing > 0)
            .map(|side| format!("{} of {}", side.missing, side.of))
            .collect();
        match (&self.finished, missing.is_empty()) {
            (Some(file), _) => format!("finished: {}", file.display()),
            (None, true) => "all have signed".to_owned(),
            (None, false) => format!("still to sign: {}", missing.join(", ")),
        }
    }
}

impl From<Requirement> for RequirementView {
    fn from(side: Requirement) -> Self {
        Self {
            missing: side.missing(),
            of: side.of,
            needed: side.needed,
            signed: side.signed,
            unsigned: side.unsigned,
        }
    }
}

impl Shown for DraftView {
    fn text(&self, _now: Timestamp) -> String {
        let mut lines = match self.said {
            true => Vec::new(),
            false => self.says.clone(),
        };
        for side in &self.must_sign {
            let signed = side.signed.iter().map(|key| short(*key));
            let signed: Vec<_> = signed.collect();
            let who = match signed.is_empty() {
                true => "nobody".to_owned(),
                false => signed.join(", "),
            };
            lines.push(format!("has signed ({}): {who}", side.of));
        }
        if !self.said {
            lines.push(format!("fingerprint: {}", self.fingerprint));
        }
        if let Some(draft) = &self.draft {
            lines.push(format!("draft: {}", draft.display()));
        }
        lines.push(self.next_step());
        lines.join("\n")
    }
}
