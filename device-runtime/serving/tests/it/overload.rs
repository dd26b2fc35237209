use std::time::Duration;

use espalier_serving::{HostOptions, Limits};
use futures::future::join_all;
use serde_json::Value;

use crate::door::{Door, json};
use crate::tiny;

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
