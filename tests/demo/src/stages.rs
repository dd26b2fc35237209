//! Stages with a spinner in a terminal, plain lines when piped, and their times for the record.

use std::{
    fmt::Display,
    future::Future,
    io::IsTerminal as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::record::StageRecord;

/// Runs stages one after the other.
#[derive(Debug)]
pub struct Stages {
    live: bool,
    done: Vec<StageRecord>,
}

/// What a running stage says of itself.
#[derive(Debug, Clone)]
pub struct Stage {
    name: &'static str,
    bar: Option<ProgressBar>,
    said: Arc<Mutex<String>>,
}

impl Stages {
    /// Stages on standard error, live if it is a terminal.
    #[must_use]
    pub fn new() -> Self {
        Self {
            live: std::io::stderr().is_terminal(),
            done: Vec::new(),
        }
    }

    /// Runs one stage, and keeps its time whatever its end is.
    ///
    /// # Errors
    /// The stage's own.
    pub async fn run<T, F>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(Stage) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let stage = Stage::begin(name, self.live);
        let begun = Instant::now();
        let result = work(stage.clone()).await;
        let seconds = begun.elapsed().as_secs_f64();
        stage.end(result.is_ok(), seconds);
        self.done.push(StageRecord {
            name: name.to_owned(),
            ok: result.is_ok(),
            seconds,
        });
        result.with_context(|| format!("the stage `{name}` failed"))
    }

    /// All stages so far.
    #[must_use]
    pub fn into_records(self) -> Vec<StageRecord> {
        self.done
    }
}

impl Stage {
    fn begin(name: &'static str, live: bool) -> Self {
        let bar = live.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) =
                ProgressStyle::with_template("  {spinner:.cyan} {prefix:22} {wide_msg:.dim}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(name);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if bar.is_none() {
            eprintln!("{name} ...");
        }
        Self {
            name,
            bar,
            said: Arc::default(),
        }
    }

    /// Says what is going on; once, however often it is told.
    pub fn say(&self, what: impl Display) {
        let what = what.to_string();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said == what {
            return;
        }
        match &self.bar {
            Some(bar) => bar.set_message(what.clone()),
            None => eprintln!("  {}: {what}", self.name),
        }
        *said = what;
    }

    fn end(&self, ok: bool, seconds: f64) {
        let mark = if ok { "✓" } else { "✗" };
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("  {mark} {:22} {seconds:6.1} s", self.name);
    }
}
