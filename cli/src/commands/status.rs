//! `espalier status`.

use clap::Args;
use espalier_api::{
    TrustLevel,
    system::{ReadinessView, VersionView},
};
use jiff::Timestamp;
use serde::Serialize;

use super::Context;
use crate::failure::Failure;
use crate::output::{Shown, facts};

/// What a person is told wherever development keys sign.
pub const DEVELOPMENT_KEYS: &str = "\
these are DEVELOPMENT keys: they lie beside the server that uses them, and devices refuse what they
sign unless they were started with --development-trust";

/// Say what the server is and whether all its parts are up.
#[derive(Debug, Args)]
pub struct Status {}

impl Status {
    /// Asks and shows.
    ///
    /// # Errors
    /// When the server cannot be asked, or a part of it is away.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let client = context.client()?;
        let version = client.version().await?;
        let readiness = client.readiness().await?;
        let status = StatusView {
            server: client.base().to_string(),
            version,
            readiness,
        };
        context.output.show(&status)?;
        if status.readiness.ready {
            return Ok(());
        }
        Err(Failure::unsuccessful(
            "the server is not ready",
            "the parts above say what is missing",
        ))
    }
}

#[derive(Debug, Serialize)]
struct StatusView {
    server: String,
    #[serde(flatten)]
    version: VersionView,
    #[serde(flatten)]
    readiness: ReadinessView,
}

impl Shown for StatusView {
    fn text(&self, _now: Timestamp) -> String {
        let trust = match self.version.trust {
            TrustLevel::Development => DEVELOPMENT_KEYS.replace('\n', " "),
            TrustLevel::Production => "production keys".into(),
        };
        let about = [
            ("server", self.server.clone()),
            (
                "version",
                format!(
                    "{} (protocol {})",
                    self.version.version, self.version.protocol
                ),
            ),
            ("trust", trust),
        ];
        let parts = self.readiness.parts.iter().map(|part| {
            let state = if part.ready {
                "up".to_owned()
            } else {
                part.problem.clone().unwrap_or_else(|| "away".into())
            };
            (part.name.as_str(), state)
        });
        facts(about.into_iter().chain(parts))
    }
}
