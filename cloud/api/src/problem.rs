//! The body of every error answer: problem details (RFC 9457) with a stable code.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::ErrorCode;

/// The media type of [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, to what, and what to do. Internal text (SQL, paths, addresses) never stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where the documentation explains the code, relative to the server.
    #[serde(rename = "type")]
    #[schema(example = "/docs/errors#action_not_allowed")]
    pub kind: String,
    /// The same short sentence for every occurrence of the code.
    pub title: String,
    /// The HTTP status, repeated for readers who only have the body.
    #[schema(example = 409)]
    pub status: u16,
    /// The stable code.
    pub code: ErrorCode,
    /// What happened here.
    #[schema(example = "Rollout 0190… is completed; it cannot be paused.")]
    pub detail: String,
    /// What the reader can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// The problem document of `code` with what happened here.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: code.doc_anchor(),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: detail.into(),
            hint: None,
        }
    }

    /// The same problem with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}
