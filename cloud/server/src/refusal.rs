//! The one error of every use case: a public code and words for the caller, the cause for the log.

use std::fmt;

use espalier_api::{error::ErrorCode, problem::Problem};
use espalier_store::StoreError;

/// Why a use case did not do what it was asked.
///
/// `detail` and `hint` go to the caller; `cause` never does (rule: internal text never leaves by
/// Display). It is logged once, where the refusal becomes an answer.
#[derive(Debug)]
pub struct Refusal {
    /// The public code.
    pub code: ErrorCode,
    /// What happened, to what.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What use cases give.
pub type Outcome<T> = Result<T, Refusal>;

impl Refusal {
    /// A refusal with its words.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            hint: None,
            cause: None,
        }
    }

    /// There is no such thing, or none that the caller may see.
    #[must_use]
    pub fn absent(what: impl fmt::Display) -> Self {
        Self::new(ErrorCode::NotFound, format!("There is no {what}."))
    }

    /// The server's own fault; the caller hears only that much.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(
            ErrorCode::Internal,
            "The server failed; its log has the details.",
        )
        .because(cause)
    }

    /// The database has not answered since the server started.
    #[must_use]
    pub fn no_database_yet() -> Self {
        Self::new(
            ErrorCode::DatabaseUnavailable,
            "The database has not answered yet.",
        )
        .with_hint("it is tried again and again; /readyz says what is missing")
    }

    /// The broker took no message.
    #[must_use]
    pub fn broker(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(
            ErrorCode::BrokerUnavailable,
            "The broker does not answer now.",
        )
        .with_hint("repeat the call in a moment; /readyz says what is missing")
        .because(cause)
    }

    /// The same refusal with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same refusal with what the log should say.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The public half.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(self.code, &*self.detail);
        match &self.hint {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        }
    }

    /// The causes, outermost first, for the log.
    #[must_use]
    pub fn causes(&self) -> String {
        let first = self
            .cause
            .as_deref()
            .map(|c| c as &(dyn std::error::Error + 'static));
        let chain = std::iter::successors(first, |error| error.source());
        chain
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    }
}

/// A library's message as a sentence.
#[must_use]
pub fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), letters.as_str())
    })
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            Self::new(
                ErrorCode::DatabaseUnavailable,
                "The database does not answer now.",
            )
            .with_hint("repeat the call in a moment; /readyz says what is missing")
            .because(error)
        } else {
            Self::internal(error)
        }
    }
}
