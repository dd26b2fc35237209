//! One caller that asks an agent without pause, and remembers who answered, when, and how fast.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::now;

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// When it was answered.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The release whose bundle answered; none for a request that failed.
    pub release: Option<String>,
}

/// A caller that is running.
pub struct Caller {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Vec<Asked>>,
}

impl Caller {
    /// Begins to ask `url` about the picture.
    #[must_use]
    pub fn start(url: String, picture: Vec<u8>, prompt: Value) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asking = tokio::spawn(ask(url, picture.into(), prompt, Arc::clone(&stop)));
        Self { stop, asking }
    }

    /// Ends it and gives all requests.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn end(self) -> Result<Vec<Asked>> {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.await.context("the caller panicked")
    }
}

async fn ask(url: String, picture: Arc<[u8]>, prompt: Value, stop: Arc<AtomicBool>) -> Vec<Asked> {
    let http = reqwest::Client::new();
    let mut all = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let release = once(&http, &url, &picture, &prompt).await;
        all.push(Asked {
            at: now(),
            took: begun.elapsed(),
            release,
        });
    }
    all
}

async fn once(http: &reqwest::Client, url: &str, picture: &[u8], prompt: &Value) -> Option<String> {
    let form = reqwest::multipart::Form::new()
        .part("image", reqwest::multipart::Part::bytes(picture.to_vec()))
        .text("request", prompt.to_string());
    let answer = http.post(url).multipart(form).send().await.ok()?;
    let answer: Value = answer.error_for_status().ok()?.json().await.ok()?;
    answer["release_digest"].as_str().map(str::to_owned)
}
