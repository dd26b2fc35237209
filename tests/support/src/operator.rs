//! What an operator does: commands of `espalier`, and calls of the API where a test wants a view.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use espalier_api::system::{Endpoints, ReadinessView};
use reqwest::{Client, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::programs::Program;

/// A person with the admin's token and a terminal.
#[derive(Debug, Clone)]
pub struct Operator {
    state: PathBuf,
    endpoints: Endpoints,
    http: Client,
}

impl Operator {
    /// An operator of the control plane whose state is in `state`.
    #[must_use]
    pub fn new(state: PathBuf, endpoints: Endpoints) -> Self {
        crate::tls_provider();
        Self {
            state,
            endpoints,
            http: Client::new(),
        }
    }

    /// Runs `espalier ARGS --output json` and reads what it prints.
    ///
    /// # Errors
    /// When the command fails; with what it said.
    pub async fn run<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T> {
        let said = self.try_run(args).await?;
        if !said.status.success() {
            bail!(
                "`espalier {}` failed: {}",
                args.join(" "),
                String::from_utf8_lossy(&said.stderr)
            );
        }
        serde_json::from_slice(&said.stdout).with_context(|| {
            format!(
                "`espalier {}` printed: {}",
                args.join(" "),
                String::from_utf8_lossy(&said.stdout)
            )
        })
    }

    /// Runs a command whose failure is wanted.
    ///
    /// # Errors
    /// When it cannot be started at all.
    pub async fn try_run(&self, args: &[&str]) -> Result<std::process::Output> {
        let mut command = tokio::process::Command::new(Program::Cli.path()?);
        command
            .args(args)
            .args(["--output", "json"])
            .arg("--state")
            .arg(&self.state);
        command
            .env_remove("ESPALIER_URL")
            .env_remove("ESPALIER_TOKEN_FILE")
            .kill_on_drop(true);
        command
            .output()
            .await
            .with_context(|| format!("cannot run espalier {}", args.join(" ")))
    }

    /// Reads a view of the API; `path` begins below `/api/v1`.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or answers with something else.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.call(Method::GET, path, None).await?;
        answer
            .json()
            .await
            .with_context(|| format!("GET {path} answered with another shape"))
    }

    /// Posts JSON to the API and reads the answer.
    ///
    /// # Errors
    /// As [`Operator::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T> {
        let answer = self.call(Method::POST, path, Some(body)).await?;
        answer
            .json()
            .await
            .with_context(|| format!("POST {path} answered with another shape"))
    }

    /// Whether every part of the server is ready.
    ///
    /// # Errors
    /// Never: a server that does not answer is not ready.
    pub async fn is_ready(&self) -> Result<Option<()>> {
        self.is_ready_but_for(&[]).await
    }

    /// Whether the server is ready, but for the parts of these names.
    ///
    /// # Errors
    /// Never: a server that does not answer is not ready.
    pub async fn is_ready_but_for(&self, missing: &[&str]) -> Result<Option<()>> {
        let view = self.readiness().await.ok();
        let ready = view.is_some_and(|view| {
            view.parts
                .iter()
                .all(|part| part.ready || missing.contains(&part.name.as_str()))
        });
        Ok(ready.then_some(()))
    }

    /// What `/readyz` says; it says it whether all is ready or not.
    async fn readiness(&self) -> Result<ReadinessView> {
        let url = format!("{}/readyz", self.endpoints.api);
        Ok(self.http.get(url).send().await?.json().await?)
    }

    /// The admin's token.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn token(&self) -> Result<String> {
        let file = &self.endpoints.admin_token_file;
        let token = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the token in {file}"))?;
        Ok(token.trim().to_owned())
    }

    /// The addresses.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<reqwest::Response> {
        let url = format!("{}/api/v1{path}", self.endpoints.api);
        let request = self
            .http
            .request(method.clone(), url)
            .bearer_auth(self.token()?);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request
            .send()
            .await
            .with_context(|| format!("{method} {path} got no answer"))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        bail!(
            "{method} {path}: {status}: {}",
            answer.text().await.unwrap_or_default()
        )
    }
}
