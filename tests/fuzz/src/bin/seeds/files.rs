//! Signed metadata, certificates, records, models, pictures and masks.

use std::io::{self, Cursor};
use std::num::NonZeroU64;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use espalier_forge::onnx::build::Setting;
use espalier_forge::onnx::{DataType, GraphBuilder, ModelProto, write as write_onnx};
use espalier_fuzz_targets::fixture::{self, cloud, key, now};
use espalier_protocol::Digest;
use espalier_protocol::proof::bom::{
    BomError, Component, ComponentKind, Dependency, Metadata, Tools,
};
use espalier_protocol::proof::{Bom, SignatureError, Statement};
use espalier_runtime::Mask;
use espalier_trust::keys::PublicHalf;
use espalier_trust::tuf::{RoleHolders, RootPlan, sign_root};
use image::{DynamicImage, ImageFormat};
use jiff::SignedDuration;
use ring::rand::SystemRandom;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::certified::Certified;
use super::{Corpus, hazards};

pub fn write(corpus: &Corpus) -> io::Result<()> {
    metadata(corpus)?;
    proofs(corpus)?;
    records(corpus)?;
    certificates(corpus)?;
    models(corpus)?;
    pictures(corpus)?;
    masks(corpus)
}

fn metadata(corpus: &Corpus) -> io::Result<()> {
    let cloud = cloud();
    let files = [
        (0, "root", &cloud.first.root.bytes),
        (1, "timestamp", &cloud.timestamp.bytes),
        (2, "snapshot", &cloud.snapshot.bytes),
        (3, "targets", &cloud.targets.bytes),
        (1, "first-timestamp", &cloud.first.timestamp.bytes),
        (2, "first-snapshot", &cloud.first.snapshot.bytes),
        (3, "first-targets", &cloud.first.targets.bytes),
        (3, "snapshot-as-targets", &cloud.snapshot.bytes),
        (5, "claim", &cloud.first.root.bytes),
    ];
    for (place, name, bytes) in files {
        corpus.put("tuf-on-a-device", name, [&[place], &bytes[..]].concat())?;
    }
    corpus.put(
        "tuf-on-a-device",
        "claim-of-the-last-root",
        [&[5], &last_root()?[..]].concat(),
    )?;
    let stored = serde_json::json!({
        "format": 1,
        "roots": [text(&cloud.first.root.bytes)],
        "timestamp": text(&cloud.first.timestamp.bytes),
        "snapshot": text(&cloud.first.snapshot.bytes),
        "targets": text(&cloud.first.targets.bytes),
    });
    let stored = [&[4], stored.to_string().as_bytes()].concat();
    corpus.put("tuf-on-a-device", "record", stored)?;
    hazards::json(corpus, "tuf-root", "first", &text(&cloud.first.root.bytes))?;
    hazards::json(corpus, "tuf-targets", "second", &text(&cloud.targets.bytes))?;
    corpus.put("tuf-targets", "first-again", &cloud.first.targets.bytes)?;
    // One signature more than there are keys.
    let signed = text(&cloud.targets.bytes);
    let mut value: serde_json::Value = serde_json::from_str(&signed).map_err(io::Error::other)?;
    let signature = value["signatures"][0].clone();
    value["signatures"] = vec![signature; 2].into();
    corpus.put("tuf-targets", "signed-twice-by-one-key", value.to_string())
}

/// A root after which no number is left for another one.
fn last_root() -> io::Result<Vec<u8>> {
    let keys = fixture::RELEASE.map(key);
    let [root, targets, snapshot, timestamp] =
        [0, 1, 2, 3].map(|role| RoleHolders::one(PublicHalf::of(&*keys[role])));
    let plan = RootPlan {
        version: NonZeroU64::MAX,
        expires: now() + SignedDuration::from_hours(24),
        root,
        targets,
        snapshot,
        timestamp,
    };
    let signed = sign_root(&plan, &[&*keys[0]]).map_err(io::Error::other)?;
    Ok(signed.bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn proofs(corpus: &Corpus) -> io::Result<()> {
    let (key, pair) = fixture::bundle_key();
    let random = SystemRandom::new();
    let statement = Statement::of(fixture::MANIFEST).map_err(io::Error::other)?;
    let sealed = statement
        .seal(&key, |message| {
            let signature = pair
                .sign(&random, message)
                .map_err(|_| io::Error::other("the key does not sign"))?;
            Ok::<_, Failed>(signature.as_ref().to_vec())
        })
        .map_err(|Failed(error)| error)?;
    hazards::json(corpus, "bundle-signature", "honest", &text(&sealed))?;
    let bill = bill().and_then(|bill| bill.to_json());
    let bill = bill.map_err(io::Error::other)?;
    hazards::json(corpus, "bill-of-materials", "honest", &text(&bill))?;
    corpus.put("bundle-key", "honest", key.to_pem())?;
    corpus.put("bundle-key", "on-one-line", key.to_pem().replace('\n', " "))?;
    corpus.put(
        "bundle-key",
        "of-nothing",
        "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----",
    )?;
    corpus.put(
        "bundle-key",
        "whose-end-is-its-beginning",
        "-----BEGIN PUBLIC KEY-----",
    )
}

/// An error of either side.
struct Failed(io::Error);

impl From<SignatureError> for Failed {
    fn from(error: SignatureError) -> Self {
        Self(io::Error::other(error))
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

fn bill() -> Result<Bom, BomError> {
    let mut build = Component::new(ComponentKind::MachineLearningModel, "tile-defect");
    build.components = vec![Component::file("graph.onnx", Digest::of(b"graph.onnx"))];
    let tools = Tools {
        components: vec![Component::new(ComponentKind::Application, "espalier-forge")],
    };
    let metadata = Metadata {
        timestamp: now(),
        tools,
        component: build,
    };
    let needs = Dependency {
        who: "build".to_owned(),
        depends_on: vec!["onnxruntime".to_owned()],
    };
    Bom::new(metadata, Vec::new(), vec![needs])
}

fn records(corpus: &Corpus) -> io::Result<()> {
    let body = b"{}";
    let record = |format: &str, generation: &str, digest: Digest| {
        let head = format!("espalier-record {format} {generation} {digest}\n");
        [head.as_bytes(), body].concat()
    };
    let right = Digest::of(body);
    corpus.put("record", "whole", record("1", "1", right))?;
    corpus.put(
        "record",
        "of-the-last-generation",
        record("1", &u64::MAX.to_string(), right),
    )?;
    corpus.put(
        "record",
        "of-a-generation-too-far",
        record("1", "18446744073709551616", right),
    )?;
    corpus.put("record", "of-another-format", record("2", "1", right))?;
    corpus.put(
        "record",
        "of-other-bytes",
        record("1", "1", Digest::of(b"x")),
    )?;
    corpus.put("record", "without-a-head", body)?;
    corpus.put("record", "empty", b"")?;
    let slots = r#"{"tile-defect":{"serving":{},"trial":{},"arrival":null,"burnt":[]}}"#;
    corpus.put("record", "of-slots", slots)?;
    let floors = r#"{"desired_sequence":1,"desired_envelope":null,"time":"2026-01-01T00:00:00Z","counters":{}}"#;
    corpus.put("record", "of-floors", floors)?;
    let anchor = r#"{"format":1,"identity":"acme/press-7","class":"x86-int8","tuf_root":"a root"}"#;
    corpus.put("record", "of-an-anchor", anchor)
}

fn certificates(corpus: &Corpus) -> io::Result<()> {
    let device = Certified::device()?;
    for (name, pem) in [
        ("of-a-device", &device.certificate),
        ("of-the-authority", &device.authority),
    ] {
        let certificate =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)?;
        corpus.put("peer-certificate", name, &certificate)?;
    }
    corpus.put(
        "peer-certificate",
        "of-endless-length",
        [0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
    )?;
    corpus.put("peer-certificate", "of-depth", [0x30, 0x80].repeat(500))?;
    corpus.put("certificate-request", "honest", &device.request)?;
    corpus.put("certificate-request", "twice", device.request.repeat(2))?;
    corpus.put(
        "certificate-request",
        "without-an-end",
        device.request.replace("-----END", "END"),
    )?;
    let nothing = STANDARD.encode([0x30, 0x80].repeat(500));
    let pem = |body: &str| {
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
    };
    corpus.put("certificate-request", "of-depth", pem(&nothing))?;
    corpus.put("certificate-request", "of-nothing", pem(""))
}

fn graph() -> ModelProto {
    let mut graph = GraphBuilder::new("seed");
    let x = graph.input("x", DataType::Float, &[1.into(), "count".into()]);
    let weight = graph.floats(&[2, 2], &[1.0, 0.0, 0.0, 1.0]);
    let y = graph.node(
        "Gemm",
        &[Some(&x), Some(&weight)],
        vec![("alpha", Setting::Float(1.0))],
    );
    let axes = graph.integers(&[0]);
    let z = graph.op("Unsqueeze", &[&y, &axes]);
    graph.output(&z, "z", DataType::Float, &[1.into(), 1.into(), 2.into()]);
    graph.finish()
}

fn models(corpus: &Corpus) -> io::Result<()> {
    let honest = write_onnx(&graph());
    corpus.put("onnx", "of-two-nodes", &honest)?;
    corpus.put("onnx", "cut-off", &honest[..honest.len() / 2])?;
    corpus.put(
        "onnx",
        "of-empty-nodes",
        [&[0x3a, 0xc8, 1][..], &[0x0a, 0].repeat(100)].concat(),
    )?;
    let mut bomb = graph();
    if let Some(graph) = &mut bomb.graph {
        graph.initializer[0].dims = vec![i64::MAX, i64::MAX];
    }
    corpus.put("onnx", "that-promises-elements", write_onnx(&bomb))?;
    let recipes = [
        (
            "device",
            include_str!("../../../../../cloud/forge/recipes/device-x86-int8.toml"),
        ),
        (
            "gateway",
            include_str!("../../../../../cloud/forge/recipes/gateway-x86-int8.toml"),
        ),
        (
            "half",
            include_str!("../../../../../cloud/forge/recipes/gateway-x86-fp16.toml"),
        ),
    ];
    for (name, recipe) in recipes {
        corpus.put("recipe", name, recipe)?;
    }
    corpus.put("recipe", "of-depth", format!("a = {}", "[".repeat(500)))?;
    corpus.put(
        "recipe",
        "of-many-dots",
        format!("a{} = 1", ".a".repeat(500)),
    )
}

fn pictures(corpus: &Corpus) -> io::Result<()> {
    let png = |picture: DynamicImage| -> io::Result<Vec<u8>> {
        let mut file = Cursor::new(Vec::new());
        picture
            .write_to(&mut file, ImageFormat::Png)
            .map_err(io::Error::other)?;
        Ok(file.into_inner())
    };
    let honest = png(DynamicImage::new_rgb8(9, 9))?;
    corpus.put("picture", "rgb.png", &honest)?;
    corpus.put("picture", "grey.png", png(DynamicImage::new_luma8(5, 3))?)?;
    corpus.put("picture", "deep.png", png(DynamicImage::new_rgba16(3, 2))?)?;
    corpus.put("picture", "cut-off.png", &honest[..honest.len() / 2])?;
    let mut bomb = honest;
    bomb[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    corpus.put("picture", "that-unfolds.png", bomb)?;
    for (name, file) in [
        (
            "baseline.jpg",
            &include_bytes!("../../../../../device-runtime/runtime/tests/pictures/quadrants.jpg")[..],
        ),
        (
            "progressive.jpg",
            include_bytes!(
                "../../../../../device-runtime/runtime/tests/pictures/quadrants-progressive.jpg"
            ),
        ),
        (
            "cmyk.jpg",
            include_bytes!(
                "../../../../../device-runtime/runtime/tests/pictures/quadrants-cmyk.jpg"
            ),
        ),
        (
            "grey.jpg",
            include_bytes!(
                "../../../../../device-runtime/runtime/tests/pictures/quadrants-grey.jpg"
            ),
        ),
        (
            "turned.jpg",
            include_bytes!(
                "../../../../../device-runtime/runtime/tests/pictures/quadrants-turned.jpg"
            ),
        ),
    ] {
        corpus.put("picture", name, file)?;
    }
    Ok(())
}

fn masks(corpus: &Corpus) -> io::Result<()> {
    let pixels = (0..60).map(|at| at % 7 < 3).collect();
    let mask = Mask::from_pixels(10, 6, pixels).ok_or_else(|| io::Error::other("60 pixels"))?;
    let honest = serde_json::to_string(&mask.to_rle()).map_err(io::Error::other)?;
    hazards::json(corpus, "mask", "honest", &honest)?;
    for (name, text) in [
        (
            "of-too-many-pixels",
            r#"{"size":[4294967295,4294967295],"counts":"0"}"#,
        ),
        ("of-no-pixels", r#"{"size":[0,5],"counts":""}"#),
        (
            "of-runs-without-end",
            r#"{"size":[2,2],"counts":"ooooooooooooooooo"}"#,
        ),
        ("of-negative-runs", r#"{"size":[2,2],"counts":"@@@@@@"}"#),
        ("that-covers-too-little", r#"{"size":[9,9],"counts":"1"}"#),
        ("of-empty-runs", r#"{"size":[2,2],"counts":"00000000004"}"#),
    ] {
        corpus.put("mask", name, text)?;
    }
    Ok(())
}
