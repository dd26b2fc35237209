use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use espalier_serving::{HostOptions, Limits, Tier};
use serde_json::{Value, json};

use crate::door::{Door, form, json as read};
use crate::tiny;

const CLICK: &str = r#"{"points":[{"x":30,"y":20}]}"#;

fn door() -> Door {
    Door::serving(12.0, HostOptions::default(), Limits::default())
}

async fn problem(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let document: Value = read(response).await;
    assert_eq!(document["status"], status);
    assert!(!document["detail"].as_str().unwrap().is_empty());
    (status, document["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_form_and_json_get_the_same_answer() {
    let mut door = door();
    let digest = door.switch_to(12.0);
    let picture = tiny::picture(80, 60);
    let first = door.ask(&picture, CLICK).await;
    assert_eq!(
        (first.computed_on.tier, first.computed_on.name.as_str()),
        (Tier::Gateway, "acme/gate")
    );
    assert_eq!(
        (first.bundle_digest, first.embedding_cached),
        (digest, false)
    );
    let best = &first.masks[0];
    assert_eq!(best.rle.size, [60, 80]);
    assert!(best.area > 300 && best.bbox.is_some());

    let body = json!({ "image": STANDARD.encode(&picture), "points": [{ "x": 30, "y": 20, "label": "foreground" }] });
    let response = door
        .post("application/json", body.to_string().into_bytes())
        .await;
    let second: espalier_serving::Answer = read(response).await;
    assert_eq!(second.masks, first.masks);
    assert!(second.embedding_cached);
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_problem_with_a_code() {
    let door = door();
    let picture = tiny::picture(80, 60);
    let broken = &picture[..40];
    let outside = r#"{"points":[{"x":81,"y":20}]}"#;
    for (picture, prompt, wanted) in [
        (&picture[..], outside, (422, "invalid_prompt")),
        (&picture[..], "{}", (422, "invalid_prompt")),
        (&picture[..], "[", (400, "malformed_body")),
        (broken, CLICK, (422, "invalid_picture")),
        (&b"GIF89a"[..], CLICK, (422, "invalid_picture")),
    ] {
        let (status, code) = problem(door.post_form(picture, prompt).await).await;
        assert_eq!((status, code.as_str()), wanted);
    }
    let (kind, lonely) = form(&[("image", &picture)]);
    assert_eq!(problem(door.post(&kind, lonely).await).await.0, 400);
    let (kind, twice) = form(&[
        ("image", &picture),
        ("image", &picture),
        ("request", CLICK.as_bytes()),
    ]);
    assert_eq!(problem(door.post(&kind, twice).await).await.0, 400);
    let (kind, mut cut) = form(&[("image", &picture), ("request", CLICK.as_bytes())]);
    cut.truncate(cut.len() - 20);
    assert_eq!(problem(door.post(&kind, cut).await).await.0, 400);
    let json = |text: &str| text.as_bytes().to_vec();
    assert_eq!(
        problem(
            door.post("application/json", json(r#"{"image":"%%"}"#))
                .await
        )
        .await
        .0,
        400
    );
    assert_eq!(
        problem(door.post("text/plain", json("hello")).await)
            .await
            .1,
        "unsupported_media"
    );
}

/// A few hundred bytes that claim to unfold into gigabytes.
#[tokio::test]
async fn a_decompression_bomb_is_refused_at_the_door_and_the_next_picture_is_answered() {
    let door = door();
    let mut bomb = include_bytes!("../../../runtime/tests/pictures/quadrants.jpg").to_vec();
    let mut markers = bomb.windows(2);
    let sizes = markers.position(|pair| pair == [0xff, 0xc0]).unwrap();
    bomb[sizes + 5..sizes + 9].copy_from_slice(&[0x40, 0, 0x40, 0]);
    let refused = problem(door.post_form(&bomb, CLICK).await).await;
    assert_eq!(refused, (422, "invalid_picture".into()));
    let json = json!({ "image": STANDARD.encode(&bomb), "points": [{ "x": 1, "y": 1 }] });
    let json = json.to_string().into_bytes();
    let refused = problem(door.post("application/json", json).await).await;
    assert_eq!(refused, (422, "invalid_picture".into()));
    assert!(
        !door
            .ask(&tiny::picture(80, 60), CLICK)
            .await
            .masks
            .is_empty()
    );
}

/// A photograph that is to be shown a quarter turn clockwise: 32 × 16 as stored, 16 × 32 as anybody sees it.
#[tokio::test]
async fn a_turned_photograph_is_answered_as_it_is_seen() {
    let mut door = door();
    door.switch_to(12.0);
    let turned = include_bytes!("../../../runtime/tests/pictures/quadrants-turned.jpg");
    let answer = door.ask(turned, r#"{"points":[{"x":8,"y":24}]}"#).await;
    assert_eq!(answer.masks[0].rle.size, [32, 16]);
    let beside = door.post_form(turned, r#"{"points":[{"x":24,"y":8}]}"#);
    assert_eq!(problem(beside.await).await, (422, "invalid_prompt".into()));
}

#[tokio::test]
async fn addresses_that_lead_nowhere_say_so() {
    let door = door();
    let (kind, body) = form(&[("image", b"x"), ("request", CLICK.as_bytes())]);
    let post = door
        .client
        .post(door.url("/v1/models/sam/segment"))
        .header("content-type", kind)
        .body(body);
    assert_eq!(
        problem(post.send().await.unwrap()).await,
        (404, "unknown_model".into())
    );
    let get = |path: &str| door.client.get(door.url(path)).send();
    assert_eq!(
        problem(get("/v2/models/sam").await.unwrap()).await,
        (404, "unknown_model".into())
    );
    assert_eq!(
        problem(get("/v3").await.unwrap()).await,
        (404, "not_found".into())
    );
}

#[tokio::test]
async fn a_request_may_insist_on_a_bundle() {
    let mut door = door();
    let digest = door.switch_to(9.0);
    let ask = |pin: String| {
        let (kind, body) = form(&[
            ("image", &tiny::picture(80, 60)),
            ("request", CLICK.as_bytes()),
        ]);
        let post = door
            .client
            .post(door.url("/v1/models/tiny/segment"))
            .header("content-type", kind);
        post.header("espalier-bundle", pin).body(body).send()
    };
    assert_eq!(ask(digest.to_string()).await.unwrap().status(), 200);
    assert_eq!(
        problem(ask("0".repeat(64)).await.unwrap()).await,
        (412, "other_bundle".into())
    );
    assert_eq!(
        problem(ask("latest".into()).await.unwrap()).await,
        (400, "malformed_parameter".into())
    );
}

#[tokio::test]
async fn a_body_past_its_limit_is_refused() {
    let limits = Limits {
        body: 4096,
        ..Limits::default()
    };
    let door = Door::serving(12.0, HostOptions::default(), limits);
    let (kind, body) = form(&[("image", &[0; 8192]), ("request", CLICK.as_bytes())]);
    assert_eq!(
        problem(door.post(&kind, body).await).await,
        (413, "too_large".into())
    );
}

#[tokio::test]
async fn health_models_and_metrics_tell_what_serves() {
    let mut door = Door::open(HostOptions::default(), Limits::default());
    let get = async |door: &Door, path: &str| door.client.get(door.url(path)).send().await.unwrap();
    assert_eq!(get(&door, "/v2/health/live").await.status(), 200);
    assert_eq!(
        get(&door, "/v2/health/ready").await.status(),
        503,
        "nothing serves yet"
    );
    let digest = door.switch_to(12.0);
    assert_eq!(get(&door, "/v2/health/ready").await.status(), 200);
    assert_eq!(get(&door, "/v2/models/tiny/ready").await.status(), 200);

    door.ask(&tiny::picture(80, 60), CLICK).await;
    let models: Value = read(get(&door, "/v2/models").await).await;
    let tiny = &models["models"][0];
    assert_eq!(
        (&tiny["name"], &tiny["bundle_digest"]),
        (&json!("tiny"), &json!(digest))
    );
    assert_eq!(
        (&tiny["answered"], &tiny["providers"]),
        (&json!(1), &json!(["cpu", "cpu"]))
    );
    let metrics = get(&door, "/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains(r#"espalier_requests_total{model="tiny",outcome="answered"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(&format!(
            r#"espalier_serving{{model="tiny",bundle="{digest}"}} 1"#
        )),
        "{metrics}"
    );

    door.service.drain();
    assert_eq!(
        get(&door, "/v2/health/ready").await.status(),
        503,
        "draining"
    );
    door.ask(&tiny::picture(80, 60), CLICK).await;
}

#[tokio::test]
async fn a_large_picture_in_json_is_decoded_as_it_was_encoded() {
    let door = door();
    let picture = noise();
    let answer = door.ask(&picture, CLICK).await;
    let post = |image: &str| {
        let body = format!(r#"{{"image":"{image}","points":[{{"x":30,"y":20}}]}}"#);
        door.post("application/json", body.into_bytes())
    };
    let image = STANDARD.encode(&picture);
    assert!(image.len() > 100_000 && image.contains('/'));
    // Some writers of JSON escape what others do not.
    for spelling in [image.clone(), image.replace('/', r"\/")] {
        let same: espalier_serving::Answer = read(post(&spelling).await).await;
        assert_eq!(same.masks, answer.masks);
        assert!(same.embedding_cached, "other bytes arrived");
    }
    let mut padded = image.clone();
    padded.replace_range(16_380..16_384, "AA==");
    for broken in [padded, image[..image.len() - 1].to_owned(), "é".to_owned()] {
        let refused = problem(post(&broken).await).await;
        assert_eq!(refused, (400, "malformed_body".into()));
    }
}

/// A picture that no encoder can make small.
fn noise() -> Vec<u8> {
    let mut state = 7_u32;
    let picture = image::RgbImage::from_fn(240, 180, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
    });
    let mut file = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut file, image::ImageFormat::Png)
        .unwrap();
    file.into_inner()
}
