//! A bundle's own signature and bill of materials, good and altered.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use espalier_protocol::envelope::pre_authentication_encoding;
use espalier_protocol::manifest::{MANIFEST_FILE, Manifest};
use espalier_protocol::proof::bom::{
    BomError, Component, ComponentKind, Dependency, Metadata, Tools,
};
use espalier_protocol::proof::signature::MAX_SIGNATURE_BYTES;
use espalier_protocol::proof::{
    Bom, BundleKey, BundleSignature, Difference, SignatureError, Statement,
};
use espalier_protocol::{BundlePath, Digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// A signer, as the release keys' machine has one.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap())
    }

    fn key(&self) -> BundleKey {
        BundleKey::from_point(self.0.public_key().as_ref()).unwrap()
    }

    fn raw(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(&SystemRandom::new(), message).unwrap();
        signature.as_ref().to_vec()
    }

    fn sign(&self, manifest: &[u8]) -> Vec<u8> {
        let statement = Statement::of(manifest).unwrap();
        let sign = |message: &[u8]| Ok::<_, SignatureError>(self.raw(message));
        statement.seal(&self.key(), sign).unwrap()
    }

    /// Signs any statement, as somebody would who has the key and means harm, or makes mistakes.
    fn sign_statement(&self, statement: &Value) -> Vec<u8> {
        let payload = statement.to_string().into_bytes();
        let kind = "application/vnd.in-toto+json";
        let signature = self.raw(&pre_authentication_encoding(kind, &payload));
        let mut bundle: Value = serde_json::from_slice(&self.sign(&manifest("graph"))).unwrap();
        bundle["dsseEnvelope"]["payload"] = BASE64.encode(payload).into();
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = BASE64.encode(signature).into();
        bundle.to_string().into_bytes()
    }
}

fn manifest(graph: &str) -> Vec<u8> {
    let entry = |text: &str| json!({ "size": text.len(), "sha256": Digest::of(text.as_bytes()) });
    let manifest = json!({
        "format": 1, "model": "link", "model_version": "01900000-0000-7000-8000-000000000001",
        "device_class": "edge-x86",
        "serving": { "task": "tensor", "graph": "graph.onnx" },
        "requires": { "onnxruntime": "1.24", "opset": 17, "memory_bytes": 1 },
        "golden": [{ "input": "golden/in", "request": "golden/in", "own": "golden/out", "full": "golden/out" }],
        "golden_tolerance": { "min_iou": 0.9, "max_abs": 0.1 },
        "files": { "graph.onnx": entry(graph), "golden/in": entry("in"), "golden/out": entry("out") },
    });
    manifest.to_string().into_bytes()
}

/// The digests of the bundle's files as a verifier finds them on a disk.
fn found(manifest: &[u8], graph: &str) -> BTreeMap<BundlePath, Digest> {
    let files: [(&str, &[u8]); 4] = [
        (MANIFEST_FILE, manifest),
        ("graph.onnx", graph.as_bytes()),
        ("golden/in", b"in"),
        ("golden/out", b"out"),
    ];
    let found = files.map(|(path, bytes)| (path.parse().unwrap(), Digest::of(bytes)));
    found.into()
}

fn statement_of(signed: &[u8]) -> Value {
    serde_json::from_slice(BundleSignature::parse(signed).unwrap().payload()).unwrap()
}

fn verify(signed: &[u8], key: &BundleKey) -> Result<Statement, SignatureError> {
    BundleSignature::parse(signed).and_then(|signature| signature.verify(key))
}

#[test]
fn signature_over_a_bundle_verifies() {
    let (signer, manifest) = (Signer::new(), manifest("graph"));
    let statement = verify(&signer.sign(&manifest), &signer.key()).unwrap();
    assert_eq!(
        statement.files().len(),
        4,
        "the manifest itself is signed, too"
    );
    statement.compare(&found(&manifest, "graph")).unwrap();
}

#[test]
fn bundle_with_a_flipped_byte_a_removed_or_an_added_file_is_refused_by_its_name() {
    let (signer, manifest) = (Signer::new(), manifest("graph"));
    let statement = verify(&signer.sign(&manifest), &signer.key()).unwrap();
    let path = |text: &str| -> BundlePath { text.parse().unwrap() };
    let flipped = found(&manifest, "grapi");
    assert_eq!(
        statement.compare(&flipped),
        Err(Difference::Altered(path("graph.onnx")))
    );
    let mut removed = found(&manifest, "graph");
    removed.remove(&path("golden/out"));
    assert_eq!(
        statement.compare(&removed),
        Err(Difference::Missing(path("golden/out")))
    );
    let mut added = found(&manifest, "graph");
    added.insert(path("golden/more"), Digest::of(b"more"));
    assert_eq!(
        statement.compare(&added),
        Err(Difference::Unsigned(path("golden/more")))
    );
    let mut other_manifest = found(&manifest, "graph");
    other_manifest.insert(path(MANIFEST_FILE), Digest::of(b"{}"));
    assert_eq!(
        statement.compare(&other_manifest),
        Err(Difference::Altered(path(MANIFEST_FILE)))
    );
}

#[test]
fn signature_of_another_bundle_is_refused() {
    let signer = Signer::new();
    let statement = verify(&signer.sign(&manifest("other")), &signer.key()).unwrap();
    let here = found(&manifest("graph"), "graph");
    assert!(matches!(
        statement.compare(&here),
        Err(Difference::Altered(_))
    ));
}

#[test]
fn signature_by_another_key_is_refused() {
    let (signer, other) = (Signer::new(), Signer::new());
    let signed = signer.sign(&manifest("graph"));
    assert!(matches!(
        verify(&signed, &other.key()),
        Err(SignatureError::OtherKey { .. })
    ));
    // The hint is not signed: whoever writes another one gains nothing.
    let mut relabelled: Value = serde_json::from_slice(&signed).unwrap();
    relabelled["verificationMaterial"]["publicKey"]["hint"] =
        other.key().fingerprint().to_string().into();
    assert!(matches!(
        verify(relabelled.to_string().as_bytes(), &other.key()),
        Err(SignatureError::Forged)
    ));
}

#[test]
fn tampered_statement_is_refused() {
    let signer = Signer::new();
    let mut signed: Value = serde_json::from_slice(&signer.sign(&manifest("graph"))).unwrap();
    let mut statement = statement_of(signed.to_string().as_bytes());
    statement["predicate"]["resources"][0]["digest"] = Digest::of(b"evil").to_string().into();
    signed["dsseEnvelope"]["payload"] = BASE64.encode(statement.to_string()).into();
    assert!(matches!(
        verify(signed.to_string().as_bytes(), &signer.key()),
        Err(SignatureError::Forged)
    ));
}

/// Even the right key does not make us follow a name out of the bundle, or take one file for two.
#[test]
fn signed_statements_that_make_no_sense_are_refused_by_name() {
    let signer = Signer::new();
    let good = statement_of(&signer.sign(&manifest("graph")));
    let with = |change: &dyn Fn(&mut Value)| {
        let mut statement = good.clone();
        change(&mut statement);
        verify(&signer.sign_statement(&statement), &signer.key())
    };
    for escape in ["../graph.onnx", "/etc/passwd", "a/../../b", "C:\\x", ""] {
        let refused = with(&|s| s["predicate"]["resources"][0]["name"] = escape.into());
        assert!(
            matches!(refused, Err(SignatureError::Escape(_))),
            "{escape}"
        );
    }
    let twice = with(&|s| {
        let first = s["predicate"]["resources"][0].clone();
        s["predicate"]["resources"]
            .as_array_mut()
            .unwrap()
            .push(first);
    });
    assert!(matches!(twice, Err(SignatureError::Twice(_))), "{twice:?}");
    let no_digest = with(&|s| s["predicate"]["resources"][0]["digest"] = "abcd".into());
    assert!(matches!(no_digest, Err(SignatureError::NoDigest(_))));
    let subject = with(&|s| s["subject"][0]["digest"]["sha256"] = "00".into());
    assert!(matches!(subject, Err(SignatureError::Subject)));
    let two = with(&|s| {
        let first = s["subject"][0].clone();
        s["subject"].as_array_mut().unwrap().push(first);
    });
    assert!(matches!(two, Err(SignatureError::NotOne(2, "subjects"))));
    for (place, value) in [
        ("/predicateType", "https://slsa.dev/provenance/v1"),
        ("/_type", "https://in-toto.io/Statement/v0.1"),
        ("/predicate/serialization/method", "shards"),
        ("/predicate/serialization/hash_type", "blake3"),
        ("/predicate/resources/0/algorithm", "md5"),
    ] {
        let refused = with(&|s| *s.pointer_mut(place).unwrap() = value.into());
        assert!(
            matches!(refused, Err(SignatureError::Form { .. })),
            "{place}"
        );
    }
}

#[test]
fn envelopes_of_another_form_and_endless_ones_are_refused_by_name() {
    let signer = Signer::new();
    let good: Value = serde_json::from_slice(&signer.sign(&manifest("graph"))).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        verify(bundle.to_string().as_bytes(), &signer.key())
    };
    let media = with(&|b| b["mediaType"] = "application/json".into());
    assert!(matches!(
        media,
        Err(SignatureError::Form {
            what: "media type",
            ..
        })
    ));
    let payload = with(&|b| b["dsseEnvelope"]["payloadType"] = "text/plain".into());
    assert!(matches!(
        payload,
        Err(SignatureError::Form {
            what: "payload type",
            ..
        })
    ));
    let none = with(&|b| b["dsseEnvelope"]["signatures"] = json!([]));
    assert!(matches!(none, Err(SignatureError::NotOne(0, "signatures"))));
    let text = with(&|b| b["dsseEnvelope"]["payload"] = "%".into());
    assert!(matches!(text, Err(SignatureError::Base64("payload"))));
    let keyless = with(&|b| b["verificationMaterial"] = json!({ "certificate": {} }));
    assert!(matches!(keyless, Err(SignatureError::Json(_))));
    assert!(matches!(
        BundleSignature::parse(&vec![b' '; MAX_SIGNATURE_BYTES + 1]),
        Err(SignatureError::TooLarge(_))
    ));
    let bomb = vec![b'['; MAX_SIGNATURE_BYTES];
    assert!(matches!(
        BundleSignature::parse(&bomb),
        Err(SignatureError::Json(_))
    ));
}

#[test]
fn manifest_that_lists_its_own_signature_is_refused() {
    let mut manifest: Value = serde_json::from_slice(&manifest("graph")).unwrap();
    manifest["files"]["model.sig"] = json!({ "size": 1, "sha256": Digest::of(b"x") });
    assert!(Statement::of(manifest.to_string().as_bytes()).is_err());
}

#[test]
fn key_survives_its_pem_and_nothing_else_is_one() {
    let key = Signer::new().key();
    assert_eq!(key.to_pem().parse(), Ok(key));
    assert_eq!(key.to_pem().replace('\n', "\r\n").parse(), Ok(key));
    let private = key.to_pem().replace("PUBLIC", "PRIVATE");
    let cut = key.to_pem().replacen("MFkwEwYH", "MFkwEwY", 1);
    for text in [
        private.as_str(),
        &cut,
        "",
        "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----",
    ] {
        assert!(text.parse::<BundleKey>().is_err(), "{text}");
    }
}

fn bom(manifest: &Manifest) -> Bom {
    let files = manifest.files.iter();
    let mut build = Component::new(ComponentKind::MachineLearningModel, "link");
    build.version = manifest.model_version.to_string();
    build.components = files
        .map(|(path, entry)| Component::file(path.as_str(), entry.sha256))
        .collect();
    let metadata = Metadata {
        timestamp: "2026-11-24T12:00:00Z".parse().unwrap(),
        tools: Tools {
            components: Vec::new(),
        },
        component: build,
    };
    let needs = Dependency {
        who: "build".into(),
        depends_on: Vec::new(),
    };
    Bom::new(metadata, Vec::new(), vec![needs]).unwrap()
}

#[test]
fn bill_of_materials_is_the_same_for_the_same_facts_and_another_for_others() {
    let manifest = Manifest::parse(&manifest("graph")).unwrap();
    let bytes = bom(&manifest).to_json().unwrap();
    assert_eq!(bytes, bom(&manifest).to_json().unwrap());
    let read = Bom::parse(&bytes).unwrap();
    assert_eq!(read, bom(&manifest));
    read.describes(&manifest).unwrap();
    let mut later = manifest;
    later.files.remove(&"golden/in".parse().unwrap());
    assert_ne!(bom(&later).serial_number(), read.serial_number());
}

#[test]
fn bill_of_materials_that_was_altered_or_is_of_another_bundle_is_refused() {
    let manifest = |graph| Manifest::parse(&manifest(graph)).unwrap();
    let ours = bom(&manifest("graph"));
    let other = ours.describes(&manifest("other")).unwrap_err();
    assert!(
        matches!(&other, BomError::OtherBundle(file) if file == "graph.onnx"),
        "{other}"
    );
    let mut json: Value = serde_json::from_slice(&ours.to_json().unwrap()).unwrap();
    json["metadata"]["component"]["description"] = "better than it is".into();
    assert!(matches!(
        Bom::parse(json.to_string().as_bytes()),
        Err(BomError::Serial)
    ));
    json["specVersion"] = "1.3".into();
    assert!(matches!(
        Bom::parse(json.to_string().as_bytes()),
        Err(BomError::Format(_))
    ));
}
