//! The operator door: who may come in, and what it says to nonsense.

use std::os::unix::fs::PermissionsExt;

use espalier_api::{error::ErrorCode, model::BlobView};
use espalier_protocol::Digest;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::stack::{Stack, problem};

/// Operations that machines ask without a token.
const OPEN: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/version"];

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_without_a_token() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let document: Value = serde_json::from_str(&espalier_server::http::openapi().unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 30, "the document lists {} paths", paths.len());
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let url = format!("{}{}", stack.endpoints.api, path.replace(['{', '}'], ""));
            // A body that no extractor would take: authorisation must win before it is read.
            let answer = stack
                .http
                .request(method.clone(), url)
                .body("{not json")
                .send()
                .await
                .unwrap();
            if OPEN.contains(&path.as_str()) {
                assert_eq!(answer.status(), StatusCode::OK, "{method} {path}");
            } else {
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
                assert_eq!(problem(answer).await.code, ErrorCode::Unauthenticated);
            }
        }
    }
    let wrong = stack
        .http
        .get(format!("{}/api/v1/devices", stack.endpoints.api))
        .bearer_auth("guess")
        .send()
        .await;
    assert_eq!(wrong.unwrap().status(), StatusCode::UNAUTHORIZED);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_answered_with_a_problem() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let id = "01900000-0000-7000-8000-000000000000";
    let build = json!({ "model_version": id, "device_class": "x", "recipe": "a = 1" });
    let rollout = json!({ "release": id, "selector": "site = = 1" });
    let unknown_field = json!({ "builds": [], "surprise": 1 });
    let cases = [
        (Method::GET, "/nothing", None, ErrorCode::NotFound),
        (Method::DELETE, "/devices", None, ErrorCode::NotFound),
        (
            Method::GET,
            "/devices/UPPER",
            None,
            ErrorCode::MalformedParameter,
        ),
        (Method::GET, "/devices/nobody", None, ErrorCode::NotFound),
        (
            Method::GET,
            "/devices?limit=many",
            None,
            ErrorCode::MalformedParameter,
        ),
        (
            Method::GET,
            "/devices?after=UPPER",
            None,
            ErrorCode::MalformedParameter,
        ),
        (
            Method::GET,
            "/builds?after=yesterday",
            None,
            ErrorCode::MalformedParameter,
        ),
        (
            Method::GET,
            "/builds/not-an-id",
            None,
            ErrorCode::MalformedParameter,
        ),
        (
            Method::GET,
            "/rollouts/01900000-0000-7000-8000-000000000000/events",
            None,
            ErrorCode::NotFound,
        ),
        (Method::POST, "/builds", Some(build), ErrorCode::NotFound),
        (
            Method::POST,
            "/releases",
            Some(unknown_field),
            ErrorCode::MalformedBody,
        ),
        (
            Method::POST,
            "/rollouts",
            Some(rollout),
            ErrorCode::InvalidSelector,
        ),
        (
            Method::POST,
            "/claims",
            Some(json!({ "uses": 0 })),
            ErrorCode::InvalidValue,
        ),
        (
            Method::POST,
            "/claims",
            Some(json!({ "class": "Not A Name" })),
            ErrorCode::MalformedBody,
        ),
        (
            Method::POST,
            "/models/m/versions",
            Some(json!({ "from": "files", "files": [] })),
            ErrorCode::InvalidModel,
        ),
        (
            Method::POST,
            "/models/m/versions",
            Some(
                json!({ "from": "files", "files": [{ "path": "../../etc/passwd", "digest": "0".repeat(64) }] }),
            ),
            ErrorCode::MalformedBody,
        ),
        (
            Method::POST,
            "/models/m/versions",
            Some(json!({ "from": "url", "url": "http://169.254.169.254/model.json" })),
            ErrorCode::ImportFailed,
        ),
    ];
    for (method, path, body, code) in cases {
        let answer = stack.call(method.clone(), path, body.as_ref()).await;
        assert_eq!(problem(answer).await.code, code, "{method} {path}");
    }
    let huge = "x".repeat(2 << 20);
    let answer = stack.call(Method::POST, "/builds", Some(&huge)).await;
    assert_eq!(problem(answer).await.code, ErrorCode::TooLarge);
    stack.stop().await;
}

/// JSON that costs more than it weighs, or says a thing twice.
#[tokio::test(flavor = "multi_thread")]
async fn json_bombs_are_answered_with_a_problem() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let bombs = [
        "[".repeat(500_000),
        "{\"a\":".repeat(100_000),
        format!("{{\"uses\":{}}}", "9".repeat(500_000)),
        format!("{}1", " ".repeat(1_000_000)),
        r#"{"uses":1,"uses":2}"#.to_owned(),
    ];
    for path in ["/builds", "/releases", "/rollouts", "/claims"] {
        for bomb in &bombs {
            let answer = stack
                .http
                .post(format!("{}/api/v1{path}", stack.endpoints.api))
                .bearer_auth(&stack.token)
                .header("content-type", "application/json")
                .body(bomb.clone())
                .send()
                .await
                .unwrap();
            let code = problem(answer).await.code;
            let refused = matches!(code, ErrorCode::MalformedBody | ErrorCode::TooLarge);
            assert!(refused, "{path}: {code:?}");
        }
    }
    stack.ready().await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_upload_leaves_nothing() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let good = b"weights".to_vec();
    let path = format!("/blobs/{}", Digest::of(&good));
    let put = |bytes: Vec<u8>| {
        let url = format!("{}/api/v1{path}", stack.endpoints.api);
        stack
            .http
            .put(url)
            .bearer_auth(&stack.token)
            .body(bytes)
            .send()
    };
    assert_eq!(
        problem(put(b"weightz".to_vec()).await.unwrap()).await.code,
        ErrorCode::DigestMismatch
    );
    let absent = stack.call(Method::GET, &path, None::<&()>).await;
    assert_eq!(problem(absent).await.code, ErrorCode::NotFound);
    let incoming = stack.folder.path().join("blobs/incoming");
    let left = std::fs::read_dir(incoming).map_or(0, |files| files.count());
    assert_eq!(left, 0, "something half-written was left");

    for _ in 0..2 {
        let kept: BlobView = put(good.clone()).await.unwrap().json().await.unwrap();
        assert_eq!(kept.size, good.len() as u64);
    }
    let fetched = stack
        .call(Method::GET, &path, None::<&()>)
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(fetched, good);
    stack.stop().await;
}

/// Another tenant's file: it is in the store, and its digest may be known from a log or a manifest.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_others_sent_is_not_there() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let theirs = Digest::of(b"theirs");
    let name = theirs.to_string();
    let folder = stack.folder.path().join("blobs/sha256").join(&name[..2]);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(&name), b"theirs").unwrap();

    let path = format!("/blobs/{theirs}");
    let read = stack.call(Method::GET, &path, None::<&()>).await;
    assert_eq!(problem(read).await.code, ErrorCode::NotFound);
    let model = json!({ "from": "files", "files": [{ "path": "model.onnx", "digest": theirs }] });
    let import = stack
        .call(Method::POST, "/models/m/versions", Some(&model))
        .await;
    assert_eq!(problem(import).await.code, ErrorCode::NotFound);

    let url = format!("{}/api/v1{path}", stack.endpoints.api);
    let sent = stack.http.put(url).bearer_auth(&stack.token).body("theirs");
    assert_eq!(sent.send().await.unwrap().status(), StatusCode::OK);
    let read = stack.call(Method::GET, &path, None::<&()>).await;
    assert_eq!(read.bytes().await.unwrap(), &b"theirs"[..]);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_for_their_owner_only() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(stack.endpoints.admin_token_file.as_ref()), 0o600);
    assert_eq!(mode(&stack.folder.path().join("keys")), 0o700);
    assert_eq!(mode(&stack.folder.path().join("tls/server.key.pem")), 0o600);
    let shown = stack
        .http
        .get(format!("{}/metrics", stack.endpoints.api))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        shown.contains("espalier_cloud_part_up{part=\"database\"} 1"),
        "{shown}"
    );
    assert!(!shown.contains(&stack.token));
    stack.stop().await;
}

#[tokio::test]
async fn pages_that_answers_point_at_are_there_without_a_token() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    for (page, holds) in [
        ("openapi.json", "\"openapi\": \"3.1"),
        ("docs/", "swagger"),
        ("docs/errors", "action_not_allowed"),
    ] {
        let answer = stack
            .http
            .get(format!("{}/{page}", stack.endpoints.api))
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{page}: {}", answer.status());
        let text = answer.text().await.unwrap();
        let text = text.replace("\":\"", "\": \"");
        assert!(text.contains(holds), "{page}: {text:.300}");
    }
    stack.stop().await;
}

#[test]
fn openapi_document_is_the_committed_one() {
    let committed = include_str!("../../../api/openapi.json");
    let made = espalier_server::http::openapi().unwrap();
    assert!(
        made == committed,
        "run `cargo xtask gen`: the OpenAPI document has changed"
    );
}
