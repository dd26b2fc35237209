//! A camera beside an agent: a new picture at a steady rate, and a memory of who answered, when, and how fast.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use crate::now;

/// Time between two frames: ten a second.
const FRAME: Duration = Duration::from_millis(100);

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// When it was answered.
    pub at: Timestamp,
    /// From when the frame was due to its answer: a late answer delays no measurement.
    pub took: Duration,
    /// The release whose bundle answered, or why nobody did.
    pub release: Result<String, String>,
}

/// A camera that is running.
pub struct Camera {
    stop: Arc<AtomicBool>,
    answered: watch::Receiver<usize>,
    asking: JoinHandle<Vec<Asked>>,
}

impl Camera {
    /// Begins to ask `url` about frames that all show the picture (PNG).
    #[must_use]
    pub fn start(url: String, picture: Vec<u8>, prompt: Value) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (count, answered) = watch::channel(0);
        let asking = tokio::spawn(ask(url, picture.into(), prompt, Arc::clone(&stop), count));
        Self {
            stop,
            answered,
            asking,
        }
    }

    /// Waits until so many more frames were answered.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn see(&mut self, frames: usize) -> Result<()> {
        let enough = *self.answered.borrow() + frames;
        let seen = self.answered.wait_for(|count| *count >= enough).await;
        seen.context("the camera panicked").map(drop)
    }

    /// Ends it and gives all requests.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn end(self) -> Result<Vec<Asked>> {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.await.context("the camera panicked")
    }
}

async fn ask(
    url: String,
    picture: Arc<[u8]>,
    prompt: Value,
    stop: Arc<AtomicBool>,
    count: watch::Sender<usize>,
) -> Vec<Asked> {
    let http = reqwest::Client::new();
    let mut all = Vec::new();
    let mut frames = tokio::time::interval(FRAME);
    while !stop.load(Ordering::Relaxed) {
        let due = frames.tick().await;
        let release = once(&http, &url, frame(&picture, all.len()), &prompt).await;
        all.push(Asked {
            at: now(),
            took: due.elapsed(),
            release: release.map_err(|error| format!("{error:#}")),
        });
        count.send_replace(all.len());
    }
    all
}

/// The picture with a number behind its end, which nobody decodes: other bytes, so that no embedding is kept for it.
fn frame(picture: &[u8], number: usize) -> Vec<u8> {
    [picture, &number.to_le_bytes()].concat()
}

async fn once(
    http: &reqwest::Client,
    url: &str,
    picture: Vec<u8>,
    prompt: &Value,
) -> Result<String> {
    let form = reqwest::multipart::Form::new()
        .part("image", reqwest::multipart::Part::bytes(picture))
        .text("request", prompt.to_string());
    let answer = http.post(url).multipart(form).send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status.is_success(), "{status}: {text}");
    let answer: Value = serde_json::from_str(&text)?;
    let release = answer["release_digest"].as_str();
    Ok(release.context("an answer without its release")?.to_owned())
}
