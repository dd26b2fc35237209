//! How devices come in, and how they stay out.

use espalier_api::{
    claim::{CreateClaim, ViaGateway},
    device::{DeviceRole, DeviceView, StandingView},
    error::ErrorCode,
};
use espalier_protocol::{
    Digest,
    claim::{Claim, Uplink},
    enrol::Role,
    trust::TrustLevel,
};
use rcgen::KeyPair;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    device::{Device, at, claim, https, key, request},
    stack::{Stack, problem},
};

#[tokio::test(flavor = "multi_thread")]
async fn device_gets_metadata_with_its_certificate_only() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let claim = claim(&stack, &CreateClaim::default()).await;
    assert_eq!(claim.trust, TrustLevel::Development);
    let device = Device::enrol(claim.clone(), "press-1", Role::Device, None).await;

    let root = device.fetch("tuf/1.root.json").await.text().await.unwrap();
    assert_eq!(
        root, claim.tuf_root,
        "the root that travels with the claim is the one that is served"
    );
    let kept = std::fs::read_to_string(stack.folder.path().join("keys/1.root.json")).unwrap();
    assert_eq!(kept, root, "whoever signs finds it beside the release keys");
    let timestamp = device.fetch("tuf/timestamp.json").await;
    assert_eq!(timestamp.headers()["cache-control"], "no-cache");
    for absent in [
        "tuf/01.root.json",
        "tuf/9.root.json",
        "tuf/..%2Fkeys",
        "tuf/1.timestamp.json",
    ] {
        assert_eq!(
            device.fetch(absent).await.status(),
            StatusCode::NOT_FOUND,
            "{absent}"
        );
    }
    let stranger = https(&claim, None)
        .get(at(&claim, "tuf/1.root.json"))
        .send()
        .await
        .unwrap();
    assert_eq!(problem(stranger).await.code, ErrorCode::CertificateRefused);

    let view: DeviceView = stack.get("/devices/press-1").await;
    assert_eq!(
        (view.role, view.gateway, view.last_seen),
        (DeviceRole::Device, None, None)
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_at_the_door_is_refused_by_name_and_uses_up_no_claim() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let once = CreateClaim {
        uses: Some(1),
        ..CreateClaim::default()
    };
    let claim = claim(&stack, &once).await;
    let http = https(&claim, None);
    let ask = async |body: String| {
        let post = http.post(at(&claim, "enrol"));
        let post = post.header("content-type", "application/json").body(body);
        post.send().await.unwrap()
    };
    let honest = request(&claim, "press-1", Role::Device, &key());
    let elliptic = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let other_kind = request(&claim, "press-1", Role::Device, &elliptic);
    let changed = |field: &str, value: &str| {
        let mut body = serde_json::to_value(&honest).unwrap();
        body[field] = value.into();
        body.to_string()
    };
    let cases = [
        ("{not json".to_owned(), ErrorCode::MalformedBody),
        ("[]".to_owned(), ErrorCode::MalformedBody),
        (changed("device", "../press-1"), ErrorCode::MalformedBody),
        (changed("token", &"x".repeat(40_000)), ErrorCode::TooLarge),
        (changed("csr_pem", "no request"), ErrorCode::InvalidValue),
        (
            serde_json::to_string(&other_kind).unwrap(),
            ErrorCode::InvalidValue,
        ),
    ];
    for (body, code) in cases {
        let shown = body[..body.len().min(80)].to_owned();
        assert_eq!(problem(ask(body).await).await.code, code, "{shown}");
    }
    let answer = ask(serde_json::to_string(&honest).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claim_lets_in_as_many_as_it_counts() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let made = claim(
        &stack,
        &CreateClaim {
            uses: Some(1),
            ..CreateClaim::default()
        },
    )
    .await;
    let refusal = async |claim: &Claim, name: &str, role| {
        let asked = request(claim, name, role, &key());
        let answer = https(claim, None)
            .post(at(claim, "enrol"))
            .json(&asked)
            .send()
            .await
            .unwrap();
        problem(answer).await.code
    };
    let guess = Claim {
        token: "guess".into(),
        ..made.clone()
    };
    assert_eq!(
        refusal(&guess, "a", Role::Device).await,
        ErrorCode::ClaimRefused
    );

    let other_class = CreateClaim {
        class: Some("other".parse().unwrap()),
        ..CreateClaim::default()
    };
    let other_class = claim(&stack, &other_class);
    assert_eq!(
        refusal(&other_class.await, "a", Role::Device).await,
        ErrorCode::ClaimRefused
    );

    let key = key();
    let asked = request(&made, "a", Role::Device, &key);
    let ask = || {
        https(&made, None)
            .post(at(&made, "enrol"))
            .json(&asked)
            .send()
    };
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    // The answer may have got lost: the same device with the same key is let in again.
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    assert_eq!(
        refusal(&made, "b", Role::Device).await,
        ErrorCode::ClaimRefused
    );

    let more = claim(&stack, &CreateClaim::default()).await;
    assert_eq!(
        refusal(&more, "a", Role::Device).await,
        ErrorCode::AlreadyExists,
        "another key holds the name"
    );
    let mut forged = request(&more, "c", Role::Device, &key);
    forged.csr_pem =
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n".into();
    let answer = https(&more, None)
        .post(at(&more, "enrol"))
        .json(&forged)
        .send()
        .await
        .unwrap();
    assert_eq!(problem(answer).await.code, ErrorCode::InvalidValue);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_device_finds_every_door_shut() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let device = Device::enrol(
        claim(&stack, &CreateClaim::default()).await,
        "press-1",
        Role::Device,
        None,
    )
    .await;
    let mut session = device.connect().await;
    session.say(device.report(1, 1)).await;
    session.hear().await;
    let view: DeviceView = stack.post("/devices/press-1/revoke", &json!({})).await;
    assert!(matches!(view.standing, StandingView::Revoked { .. }));
    session.ends().await;
    device.connect().await.ends().await;
    assert_eq!(
        problem(device.fetch("tuf/timestamp.json").await).await.code,
        ErrorCode::CertificateRefused
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn child_comes_in_through_its_gateway() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let gateway = Device::enrol(
        claim(&stack, &CreateClaim::default()).await,
        "hall",
        Role::Gateway,
        None,
    )
    .await;
    let via = ViaGateway {
        name: "hall".parse().unwrap(),
        door: "https://192.0.2.1:7480/".parse().unwrap(),
    };
    // Nobody could dial it: the device would find out at its site.
    let clear_text = ViaGateway {
        door: "http://192.0.2.1:7480/".parse().unwrap(),
        ..via.clone()
    };
    let undialable = CreateClaim {
        gateway: Some(clear_text),
        ..CreateClaim::default()
    };
    let refused = stack.call(Method::POST, "/claims", Some(&undialable)).await;
    assert_eq!(problem(refused).await.code, ErrorCode::InvalidValue);
    let child_claim = claim(
        &stack,
        &CreateClaim {
            gateway: Some(via),
            ..CreateClaim::default()
        },
    )
    .await;
    assert!(
        matches!(&child_claim.uplink, Uplink::Gateway { gateway, .. } if gateway.device.as_str() == "hall")
    );
    let child = Device::enrol(child_claim, "press-1", Role::Device, Some(&gateway)).await;
    let view: DeviceView = stack.get("/devices/press-1").await;
    assert_eq!(view.gateway.unwrap().as_str(), "hall");

    // A device is no gateway: nobody comes in over its connection.
    let plain = Device::enrol(
        claim(&stack, &CreateClaim::default()).await,
        "plain",
        Role::Device,
        None,
    )
    .await;
    let more = claim(&stack, &CreateClaim::default()).await;
    let asked = request(&more, "press-2", Role::Device, &key());
    let answer = plain
        .http
        .post(at(&plain.claim, "enrol"))
        .json(&asked)
        .send()
        .await
        .unwrap();
    assert_eq!(problem(answer).await.code, ErrorCode::CertificateRefused);
    assert_eq!(child.identity.to_string(), "default/press-1");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreleased_blob_is_not_there_for_devices() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let device = Device::enrol(
        claim(&stack, &CreateClaim::default()).await,
        "press-1",
        Role::Device,
        None,
    )
    .await;
    let secret = b"an upload that nobody released".to_vec();
    let path = format!("/blobs/{}", Digest::of(&secret));
    let url = format!("{}/api/v1{path}", stack.endpoints.api);
    stack
        .http
        .put(url)
        .bearer_auth(&stack.token)
        .body(secret)
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    assert_eq!(
        problem(device.fetch(&path[1..]).await).await.code,
        ErrorCode::NotFound
    );
    assert_eq!(
        stack.call(Method::GET, &path, None::<&()>).await.status(),
        StatusCode::OK
    );

    // The deployer's keys are a released target.
    let deployer = std::fs::read_dir(stack.folder.path().join("blobs/sha256"))
        .unwrap()
        .count();
    assert!(deployer >= 1);
    stack.stop().await;
}
