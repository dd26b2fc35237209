//! A server's "no", as it said it.

use espalier_api::{
    error::{ErrorClass, ErrorCode},
    problem::{PROBLEM_JSON, Problem},
};
use reqwest::{Response, header::CONTENT_TYPE};

use crate::failure::Exit;

/// As much of a foreign answer as helps to recognise what answered.
const FOREIGN_BODY_CHARS: usize = 160;

/// Why the server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The API's own answer.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// Something answered that is not this API, or not a version of it that this command knows.
    #[error("{what} answered something that is not Espalier's API: {said}")]
    Foreign {
        /// The address's path, with the status where there is one.
        what: String,
        /// The start of what it said.
        said: String,
    },
}

impl Refusal {
    /// Reads the body of an answer that was not a success.
    pub async fn read(answer: Response) -> Self {
        let what = format!("{} ({})", answer.url().path(), answer.status());
        let is_problem = answer
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(PROBLEM_JSON.as_bytes()));
        let body = answer.bytes().await.unwrap_or_default();
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if is_problem => Self::Problem(Box::new(problem)),
            _ => Self::foreign(what, start_of(&body)),
        }
    }

    /// An answer that is not the API's.
    pub fn foreign(what: impl Into<String>, said: impl Into<String>) -> Self {
        Self::Foreign {
            what: what.into(),
            said: said.into(),
        }
    }

    /// The stable code, when the API itself refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Problem(problem) => Some(problem.code),
            Self::Foreign { .. } => None,
        }
    }

    /// The exit code a script sees.
    pub fn exit(&self) -> Exit {
        let Some(code) = self.code() else {
            return Exit::Server;
        };
        match (code, code.class()) {
            (ErrorCode::NotFound, _) => Exit::Absent,
            (_, ErrorClass::Access) => Exit::Unauthorised,
            (_, ErrorClass::Request | ErrorClass::State) => Exit::Refused,
            (_, ErrorClass::Unavailable | ErrorClass::Internal) => Exit::Server,
        }
    }

    /// What to do next: the server's own hint where it gave one.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Problem(problem) => problem.hint.clone().or_else(|| known_advice(problem)),
            Self::Foreign { .. } => Some(
                "check that --url names an Espalier server of the same version as this command"
                    .into(),
            ),
        }
    }
}

fn known_advice(problem: &Problem) -> Option<String> {
    let advice = match problem.code {
        ErrorCode::Unauthenticated => {
            "name the right token file with --token-file; `espalier up` prints where it is"
        }
        ErrorCode::Internal => "look into the server's log",
        ErrorCode::DatabaseUnavailable | ErrorCode::BrokerUnavailable | ErrorCode::ShuttingDown => {
            "try again in a moment; `espalier status` says which part is away"
        }
        ErrorCode::HostUnavailable => {
            "start espalier-host, or see with `espalier status` why it is away"
        }
        _ => return None,
    };
    Some(advice.into())
}

fn start_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        "an empty body".into()
    } else {
        text.chars().take(FOREIGN_BODY_CHARS).collect()
    }
}
