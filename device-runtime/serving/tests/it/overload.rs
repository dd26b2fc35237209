use std::time::Duration;

use espalier_serving::{HostOptions, Limits};
use futures::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::door::{Door, form, json};
use crate::tiny;

/// How long a test waits for an answer that must come.
const PATIENCE: Duration = Duration::from_secs(20);

const CLICK: &str = r#"{"points":[{"x":30,"y":20}]}"#;

#[tokio::test]
async fn more_than_the_queue_holds_is_told_to_come_back() {
    let limits = Limits {
        workers: 1,
        queue: 1,
        ..Limits::default()
    };
    let options = HostOptions {
        embedding_bytes: 0,
        ..HostOptions::default()
    };
    let door = Door::serving(12.0, options, limits);
    // Large enough that decoding it takes longer than sending a dozen of it.
    let picture = tiny::picture(3000, 3000);
    let responses = join_all((0..12).map(|_| door.post_form(&picture, CLICK))).await;
    let (answered, refused): (Vec<_>, Vec<_>) = responses
        .into_iter()
        .partition(|response| response.status() == 200);
    assert!(
        !answered.is_empty() && !refused.is_empty(),
        "{} answered, {} refused",
        answered.len(),
        refused.len()
    );
    for response in refused {
        assert_eq!(
            (
                response.status().as_u16(),
                &response.headers()["retry-after"]
            ),
            (503, &"1".parse().unwrap())
        );
        let problem: Value = json(response).await;
        assert_eq!(problem["code"], "busy");
    }
    door.ask(&tiny::picture(80, 60), CLICK).await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let limits = Limits {
        time: Duration::from_millis(1),
        ..Limits::default()
    };
    let door = Door::serving(12.0, HostOptions::default(), limits);
    let response = door.post_form(&tiny::picture(3000, 3000), CLICK).await;
    assert_eq!(response.status(), 504);
    let problem: Value = json(response).await;
    assert_eq!(problem["code"], "timed_out");
}

/// Somebody who sends the first bytes of a form at once, and the others when it is told to.
struct Slow {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Slow {
    async fn begins(door: &Door, picture: &[u8], at_once: usize) -> Self {
        let address = door.url("").replacen("http://", "", 1);
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let (kind, mut body) = form(&[("image", picture), ("request", CLICK.as_bytes())]);
        let rest = body.split_off(at_once);
        let length = body.len() + rest.len();
        let head = format!(
            "POST /v1/models/tiny/segment HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        Self { stream, rest }
    }

    async fn goes_on(&mut self) {
        self.stream.write_all(&self.rest).await.unwrap();
    }

    /// The first words of the answer.
    async fn answer(&mut self) -> String {
        let mut words = vec![0; 2048];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut words));
        let count = read.await.expect("no answer came").unwrap();
        words.truncate(count);
        String::from_utf8(words).unwrap()
    }
}

#[tokio::test]
async fn a_slow_sender_loses_its_place() {
    let limits = Limits {
        workers: 1,
        queue: 0,
        body_time: Duration::from_millis(300),
        ..Limits::default()
    };
    let door = Door::serving(12.0, HostOptions::default(), limits);
    let mut slow = Slow::begins(&door, &tiny::picture(80, 60), 100).await;
    let answer = slow.answer().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains(r#""code":"slow_body""#), "{answer}");
    door.ask(&tiny::picture(80, 60), CLICK).await;
}

#[tokio::test]
async fn large_bodies_past_the_queue_are_refused_unread() {
    const SENDERS: usize = 6;
    const PLACES: usize = 2;
    let limits = Limits {
        workers: 1,
        queue: PLACES - 1,
        ..Limits::default()
    };
    let door = Door::serving(12.0, HostOptions::default(), limits);
    let (go, told) = watch::channel(false);
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let mut slow = Slow::begins(&door, &vec![0; 8 << 20], 10_000).await;
        let mut told = told.clone();
        senders.spawn(async move {
            tokio::select! {
                refusal = slow.answer() => return refusal,
                _ = told.wait_for(|go| *go) => {}
            }
            slow.goes_on().await;
            slow.answer().await
        });
    }
    for _ in PLACES..SENDERS {
        let answer = senders.join_next().await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
    go.send_replace(true);
    for _ in 0..PLACES {
        let answer = senders.join_next().await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
    }
}
