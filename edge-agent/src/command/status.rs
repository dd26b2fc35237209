//! `espalier-agent status`: what the running agent says of itself.

use anyhow::{Context as _, Result};

use crate::{config::Config, doors::Doors};

/// Show what the running agent serves, and how its conversation goes.
#[derive(Debug, clap::Args)]
pub struct Status {}

impl Status {
    /// Asks the agent at its local door and prints its answer (JSON).
    ///
    /// # Errors
    /// When no agent runs on this state folder.
    pub async fn run(self, config: &Config) -> Result<()> {
        let doors = Doors::read(&config.state)?;
        let url = format!("http://{}/agent/v1/status", doors.serving);
        let asked = reqwest::get(&url).await;
        let answer = asked.with_context(|| {
            format!("no agent answers at {url}: start it with `espalier-agent run`")
        })?;
        let status: serde_json::Value = answer.error_for_status()?.json().await?;
        println!("{}", serde_json::to_string_pretty(&status)?);
        Ok(())
    }
}
