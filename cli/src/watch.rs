//! Following something until it ends: live bars in a terminal, plain lines in a pipe.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::client::{Client, Events};
use crate::failure::Failure;
use crate::output::{Output, printable};

/// How often a view is read again when no event says that it changed: a lost event costs freshness,
/// never truth.
const POLL: Duration = Duration::from_secs(2);
/// Events come in bursts; one reading serves a whole burst.
const SETTLE: Duration = Duration::from_millis(120);
const EVENTS: &str = "/events";

/// Wakes when something on the server may have changed.
pub struct Watch<'a> {
    client: &'a Client,
    events: Option<Events>,
}

impl<'a> Watch<'a> {
    /// Listens to the server's events; without them it polls.
    pub async fn new(client: &'a Client) -> Self {
        Self {
            client,
            events: client.events(EVENTS).await.ok(),
        }
    }

    /// Returns when the view should be read again.
    ///
    /// # Errors
    /// [`Failure::Interrupted`] at Ctrl-C.
    pub async fn changed(&mut self) -> Result<(), Failure> {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Err(Failure::Interrupted),
            () = tokio::time::sleep(POLL) => self.listen_again().await,
            lost = next_event(&mut self.events) => if lost { self.events = None },
        }
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }

    async fn listen_again(&mut self) {
        if self.events.is_none() {
            self.events = self.client.events(EVENTS).await.ok();
        }
    }
}

/// Waits for an event; true when the stream is lost. Without a stream it waits for ever.
async fn next_event(events: &mut Option<Events>) -> bool {
    match events {
        Some(events) => events.next().await.is_none(),
        None => std::future::pending().await,
    }
}

/// A group of bars on standard error; silent where nobody would see them.
#[derive(Debug, Clone)]
pub struct Bars(MultiProgress);

impl Bars {
    /// Bars for a person, if `output` has one before it.
    pub fn new(output: Output) -> Self {
        let target = if output.is_live() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self(MultiProgress::with_draw_target(target))
    }

    /// Adds a bar of `total` units under a name.
    pub fn add(&self, name: &str, total: u64) -> Bar {
        Bar(self
            .0
            .add(ProgressBar::new(total))
            .with_style(style("{pos}/{len}"))
            .with_prefix(printable(name).into_owned()))
    }

    /// A line above the bars.
    pub fn line(&self, text: &str) {
        // Fails only when standard error is gone, and then nobody misses it.
        let _ = self.0.println(printable(text));
    }
}

/// One bar.
#[derive(Debug, Clone)]
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar of bytes that stands alone.
    pub fn of_bytes(output: Output, name: &str, total: u64) -> Self {
        let bars = Bars::new(output);
        let style = style("{binary_bytes}/{binary_total_bytes}");
        Self(
            bars.0
                .add(ProgressBar::new(total))
                .with_style(style)
                .with_prefix(printable(name).into_owned()),
        )
    }

    /// What is going on now.
    pub fn say(&self, text: &str) {
        self.0.set_message(printable(text).into_owned());
    }

    /// There are so many units in all.
    pub fn resize(&self, total: u64) {
        self.0.set_length(total);
    }

    /// So many units in all are done.
    pub fn reach(&self, done: u64) {
        self.0.set_position(done);
    }

    /// So many more units are done.
    pub fn advance(&self, done: u64) {
        self.0.inc(done);
    }

    /// Leaves the bar as it stands.
    pub fn finish(&self) {
        self.0.abandon();
    }
}

fn style(position: &str) -> ProgressStyle {
    // The template is ours and constant; were it wrong, a plain bar would do.
    ProgressStyle::with_template(&format!("{{prefix:>10}} [{{bar:32}}] {position} {{msg}}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
