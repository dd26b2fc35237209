//! A device's certificate is followed by the next while the device is known, and by one only.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use espalier_api::{
    claim::{CreateClaim, ViaGateway},
    device::DeviceView,
    error::ErrorCode,
};
use espalier_protocol::{
    claim::Claim,
    enrol::Role,
    envelope::seal,
    renew::{MAX_RENEWAL_BYTES, RenewRequest, Renewed},
    trust::SigningKey,
};
use espalier_trust::ca::{PeerCertificate, read_peer};
use jiff::SignedDuration;
use reqwest::{Client, Response, StatusCode};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};

use crate::{
    device::{Device, at, claim, https, key},
    stack::{Stack, now, problem},
};

/// How long ago the cloud and its devices began: a certificate of then is due.
const EIGHT_MONTHS: SignedDuration = SignedDuration::from_hours(24 * 240);

/// A cloud that begins eight months ago, and what brings it to today.
async fn eight_months_ago() -> Option<(Stack, Arc<AtomicBool>)> {
    let today = Arc::new(AtomicBool::new(false));
    let is_today = today.clone();
    let clock = move || match is_today.load(Ordering::Relaxed) {
        true => now(),
        false => now() - EIGHT_MONTHS,
    };
    Some((Stack::by(clock).await?, today))
}

async fn enrolled(stack: &Stack, name: &str, role: Role) -> Device {
    let claim = claim(stack, &CreateClaim::default()).await;
    Device::enrol(claim, name, role, None).await
}

fn read(pem: &str) -> PeerCertificate {
    read_peer(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
}

/// What a device says that wants its certificate to be followed.
fn asks(device: &Device, certificate_pem: &str) -> RenewRequest {
    RenewRequest {
        device: device.identity.clone(),
        follows: read(certificate_pem).serial.to_string(),
    }
}

fn signed(device: &Device, request: &RenewRequest) -> Vec<u8> {
    seal(request, &device.signing).unwrap()
}

/// Sends a request for `device` over any connection.
async fn send(http: &Client, door: &Claim, device: &Device, request: Vec<u8>) -> Response {
    let path = at(door, &format!("{}/renew", device.identity));
    http.post(path).body(request).send().await.unwrap()
}

/// The certificate that follows this one.
async fn next(device: &Device, certificate_pem: &str) -> String {
    let request = signed(device, &asks(device, certificate_pem));
    given(send(&device.http, &device.claim, device, request).await).await
}

async fn given(answer: Response) -> String {
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, StatusCode::OK, "{text}");
    let renewed: Renewed = serde_json::from_str(&text).unwrap();
    renewed.certificate_pem
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_is_followed_once_and_both_open_the_door() {
    let Some((stack, today)) = eight_months_ago().await else {
        return;
    };
    let device = enrolled(&stack, "press-1", Role::Device).await;
    let first = &device.certificate_pem;
    assert_eq!(&next(&device, first).await, first, "it was too early");

    today.store(true, Ordering::Relaxed);
    let second = next(&device, first).await;
    let (old, new) = (read(first), read(&second));
    assert_eq!(
        (&new.identity, new.public_key),
        (&old.identity, old.public_key)
    );
    assert_ne!(new.serial, old.serial);
    assert!(new.not_after.duration_since(old.not_after) >= EIGHT_MONTHS);
    assert_eq!(next(&device, first).await, second, "a second successor");
    assert_eq!(next(&device, &second).await, second, "it was too early");

    let with_new = https(&device.claim, Some((&second, &device.key)));
    for http in [&device.http, &with_new] {
        let file = http.get(at(&device.claim, "tuf/timestamp.json")).send();
        assert_eq!(file.await.unwrap().status(), StatusCode::OK);
    }
    let view: DeviceView = stack.get("/devices/press-1").await;
    assert_eq!(view.certificate.serial, new.serial.as_str());
    let events: Value = stack.get("/devices/press-1/events").await;
    let told = events["items"].as_array().unwrap().iter();
    assert_eq!(
        told.filter(|event| event["kind"] == "device.renewed")
            .count(),
        1
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_prove_nothing_are_refused_by_name() {
    let Some((stack, today)) = eight_months_ago().await else {
        return;
    };
    let device = enrolled(&stack, "press-1", Role::Device).await;
    let other = enrolled(&stack, "press-2", Role::Device).await;
    today.store(true, Ordering::Relaxed);
    let honest = asks(&device, &device.certificate_pem);
    let stranger = SigningKey::from_pkcs8(key().serialized_der()).unwrap();
    let made_up = RenewRequest {
        follows: "abc".into(),
        ..honest.clone()
    };
    let of_the_other = asks(&device, &other.certificate_pem);
    let cases = [
        (
            seal(&honest, &stranger).unwrap(),
            ErrorCode::InvalidSignature,
        ),
        (
            seal(&honest, &other.signing).unwrap(),
            ErrorCode::InvalidSignature,
        ),
        (
            signed(&device, &asks(&other, &other.certificate_pem)),
            ErrorCode::InvalidValue,
        ),
        (signed(&device, &made_up), ErrorCode::CertificateRefused),
        (
            signed(&device, &of_the_other),
            ErrorCode::CertificateRefused,
        ),
        (device.report(1, 1), ErrorCode::MalformedBody),
        (vec![0xff; 100], ErrorCode::MalformedBody),
        (vec![0; MAX_RENEWAL_BYTES + 1], ErrorCode::TooLarge),
    ];
    for (number, (request, code)) in cases.into_iter().enumerate() {
        let answer = send(&device.http, &device.claim, &device, request).await;
        assert_eq!(problem(answer).await.code, code, "case {number}");
    }
    // The signature is right, and the connection is somebody else's.
    for http in [&other.http, &https(&device.claim, None)] {
        let answer = send(http, &device.claim, &device, signed(&device, &honest)).await;
        assert_eq!(problem(answer).await.code, ErrorCode::CertificateRefused);
    }
    let view: DeviceView = stack.get("/devices/press-1").await;
    assert_eq!(
        view.certificate.serial, honest.follows,
        "nothing was issued"
    );

    let _: DeviceView = stack.post("/devices/press-1/revoke", &json!({})).await;
    let answer = send(
        &device.http,
        &device.claim,
        &device,
        signed(&device, &honest),
    )
    .await;
    assert_eq!(problem(answer).await.code, ErrorCode::CertificateRefused);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn child_is_renewed_through_its_own_gateway_and_no_other() {
    let Some((stack, today)) = eight_months_ago().await else {
        return;
    };
    let gateway = enrolled(&stack, "hall", Role::Gateway).await;
    let elsewhere = enrolled(&stack, "yard", Role::Gateway).await;
    let behind = CreateClaim {
        gateway: Some(ViaGateway {
            name: "hall".parse().unwrap(),
            door: "https://192.0.2.1:7480/".parse().unwrap(),
        }),
        ..CreateClaim::default()
    };
    let behind = claim(&stack, &behind).await;
    let child = Device::enrol(behind, "press-1", Role::Device, Some(&gateway)).await;
    today.store(true, Ordering::Relaxed);
    let request = signed(&child, &asks(&child, &child.certificate_pem));
    let over = |gateway: &Device| {
        let (http, door, request) = (gateway.http.clone(), gateway.claim.clone(), request.clone());
        let child = &child;
        async move { send(&http, &door, child, request).await }
    };
    let refused = problem(over(&elsewhere).await).await;
    assert_eq!(refused.code, ErrorCode::CertificateRefused);
    assert!(
        refused.detail.contains("does not live behind default/yard"),
        "{}",
        refused.detail
    );
    let next = given(over(&gateway).await).await;
    assert_eq!(read(&next).identity, child.identity);
    assert_ne!(next, child.certificate_pem);

    let _: DeviceView = stack.post("/devices/press-1/revoke", &json!({})).await;
    let refused = problem(over(&gateway).await).await;
    assert_eq!(refused.code, ErrorCode::CertificateRefused);
    stack.stop().await;
}
