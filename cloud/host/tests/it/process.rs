//! A host process of a test's own.

use std::fs;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use espalier_support::{process, wait};
use serde::de::DeserializeOwned;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Child;

use crate::tiny;

/// Loading a tiny model takes a fraction of this, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Host {
    child: Child,
    address: String,
    client: reqwest::Client,
}

impl Host {
    pub async fn start(arguments: &[&str]) -> Self {
        let scratch = TempDir::new().unwrap();
        let file = scratch.path().join("address");
        let mut command = command(arguments);
        command.arg("--address-file").arg(&file);
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let address = wait::until("the host's address", PATIENCE, || {
            assert!(child.try_wait().unwrap().is_none(), "the host ended early");
            let address = fs::read_to_string(&file).ok();
            async { Ok(address) }
        });
        let address = address.await.unwrap();
        // Only TLS would need a provider, but the client asks for one before it knows.
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        Self {
            child,
            address,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Starts a host that ends by itself; gives its status and last words.
    pub fn fail(arguments: &[&str]) -> (ExitStatus, String) {
        let output = command(arguments).stderr(Stdio::piped()).output().unwrap();
        (
            output.status,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// Clicks on a picture; the model must answer.
    pub async fn ask<T: DeserializeOwned>(&self, model: &str) -> T {
        self.try_ask(model).await.expect("the model serves")
    }

    /// Clicks on a picture; none when the model does not serve.
    pub async fn try_ask<T: DeserializeOwned>(&self, model: &str) -> Option<T> {
        use base64::Engine as _;
        let image = base64::engine::general_purpose::STANDARD.encode(tiny::picture(80, 60));
        let body = json!({ "image": image, "points": [{ "x": 40, "y": 30 }] }).to_string();
        let post = self
            .client
            .post(format!("{}v1/models/{model}/segment", self.address));
        let response = post
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap();
        if response.status() == 404 {
            return None;
        }
        assert_eq!(response.status(), 200);
        Some(serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }

    pub async fn terminate(&mut self) -> ExitStatus {
        process::send(self.child.id().unwrap(), libc::SIGTERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("the host does not end").unwrap()
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_espalier-host"));
    // The last one wins, so that a test may choose another address.
    let listen = if arguments.contains(&"--listen") {
        &[][..]
    } else {
        &["--listen", "127.0.0.1:0"][..]
    };
    command.args(listen).args(arguments).env("RUST_LOG", "warn");
    command
}
