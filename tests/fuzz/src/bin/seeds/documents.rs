//! Documents in JSON and TOML.

use std::io;

use espalier_fuzz_targets::fixture::{DEPLOYER, DEVICE, cloud, key_file, signing_key};
use espalier_protocol::Digest;
use espalier_trust::keys::KeyFile;
use serde_json::{Value, json};

use super::{Corpus, hazards};

const ID: &str = "01890000-0000-7000-8000-000000000000";

pub fn write(corpus: &Corpus) -> io::Result<()> {
    let put = |target, name, value: Value| hazards::json(corpus, target, name, &value.to_string());
    put(
        "manifest",
        "of-a-graph",
        manifest(json!({"task": "tensor", "graph": "graph.onnx"})),
    )?;
    put("manifest", "of-segmentation", manifest(segmentation()))?;
    colliding(corpus)?;
    put(
        "model-description",
        "of-a-graph",
        model(json!({"task": "tensor", "graph": "graph.onnx"})),
    )?;
    put(
        "model-description",
        "of-segmentation",
        model(segmentation()),
    )?;
    put(
        "model-description",
        "that-asks-for-gigabytes",
        model(gigabytes()),
    )?;
    let release = String::from_utf8_lossy(&cloud().release);
    hazards::json(corpus, "release", "of-one-build", &release)?;
    put(
        "claim",
        "of-a-cloud",
        claim(
            json!({"via": "cloud", "door": "https://cloud:7443/", "broker": "mqtts://cloud:8883"}),
        ),
    )?;
    put(
        "claim",
        "of-a-gateway",
        claim(json!({"via": "gateway", "door": "https://[::1]:7480/", "gateway": "acme/gate-1"})),
    )?;
    put("enrolment", "request", enrol())?;
    put(
        "enrolment",
        "answer",
        json!({"identity": "acme/press-7", "certificate_pem": "PEM", "gateway": "gate-1"}),
    )?;
    put("enrolment", "renewed", json!({"certificate_pem": "PEM"}))?;
    jobs(corpus)?;
    let keys = json!({"format": 1, "keys": [signing_key(DEPLOYER).public()]});
    put("deployer-keys", "of-one", keys)?;
    keys_of_people(corpus)?;
    questions(corpus)
}

fn manifest(serving: Value) -> Value {
    let mut files = serde_json::Map::new();
    for path in [
        "graph.onnx",
        "encoder.onnx",
        "decoder.onnx",
        "golden/000/input.png",
        "golden/000/request.json",
        "golden/000/own.json",
        "golden/000/full.json",
    ] {
        let entry = json!({"size": 1, "sha256": Digest::of(path.as_bytes())});
        files.insert(path.to_owned(), entry);
    }
    json!({
        "format": 1, "model": "tile-defect", "model_version": ID, "device_class": "x86-int8",
        "serving": serving,
        "requires": {"onnxruntime": "1.20", "opset": 17, "memory_bytes": 1},
        "golden": [{"input": "golden/000/input.png", "request": "golden/000/request.json",
                    "own": "golden/000/own.json", "full": "golden/000/full.json"}],
        "golden_tolerance": {"min_iou": 0.9, "max_abs": 0.1},
        "files": files,
    })
}

/// Manifests whose files would lie on each other.
fn colliding(corpus: &Corpus) -> io::Result<()> {
    let honest = manifest(json!({"task": "tensor", "graph": "graph.onnx"}));
    let entry = json!({"size": 1, "sha256": Digest::of(b"x")});
    for (name, path) in [
        ("that-escapes", "../../etc/cron.d/x"),
        ("that-folds", "GRAPH.onnx"),
        ("that-lists-itself", "Manifest.json"),
        ("with-a-file-that-is-a-folder", "graph.onnx/x"),
    ] {
        let mut value = honest.clone();
        value["files"][path] = entry.clone();
        corpus.put("manifest", name, value.to_string())?;
    }
    let twice = honest.to_string().replacen(
        "\"graph.onnx\":{",
        &format!("\"graph.onnx\":{entry},\"graph.onnx\":{{"),
        1,
    );
    corpus.put("manifest", "that-lists-a-file-twice", twice)?;
    let endless = honest
        .to_string()
        .replace("\"max_abs\":0.1", "\"max_abs\":1e39");
    corpus.put("manifest", "that-tolerates-everything", endless)
}

fn model(serving: Value) -> Value {
    json!({"format": 1, "model": "tile-defect", "summary": "Finds cracks.", "serving": serving})
}

fn segmentation() -> Value {
    json!({
        "task": "promptable-segmentation",
        "encoder": {
            "graph": "encoder.onnx", "input": "picture", "outputs": ["embedding"],
            "preprocessing": {"height": 64, "width": 64, "fit": "long-side-pad", "scale": 0.25,
                              "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "layout": "nchw"},
        },
        "decoder": {
            "graph": "decoder.onnx", "embeddings": ["embedding"], "point_coords": "points",
            "point_labels": "labels", "pad_point": true,
            "mask_input": {"mask": "mask", "has_mask": "has_mask", "height": 16, "width": 16},
            "masks": "masks", "mask_frame": "input", "scores": "scores", "mask_threshold": 0.0,
        },
    })
}

fn gigabytes() -> Value {
    let mut serving = segmentation();
    serving["decoder"]["mask_input"]["height"] = json!(u32::MAX);
    serving["decoder"]["mask_input"]["width"] = json!(u32::MAX);
    serving
}

fn claim(uplink: Value) -> Value {
    json!({
        "format": 1, "id": ID, "tenant": "acme", "token": "secret",
        "expires_at": "2027-01-01T00:00:00Z", "class": "x86-int8", "trust": "development",
        "ca_pem": "PEM", "tuf_root": "{}", "uplink": uplink,
    })
}

fn enrol() -> Value {
    json!({
        "token": "secret", "device": "press-7", "class": "x86-int8", "role": "gateway", "csr_pem": "PEM",
        "inventory": {"agent": "0.1.0", "architecture": "x86_64", "os": "linux", "cpus": 2,
                      "memory_bytes": 1, "disk_free_bytes": 1},
    })
}

fn jobs(corpus: &Corpus) -> io::Result<()> {
    let evaluation = json!({
        "bytes": 1, "full_bytes": 2, "params": 3, "latency_ms_p50": 1.5, "latency_ms_p95": 2.5,
        "full_latency_ms_p50": 9.0, "threads": 2, "peak_memory_bytes": 4, "agreement_iou": 0.9,
        "agreement_iou_click": 0.9, "agreement_iou_box": 0.9, "pairs": 240, "held_out": "scenes",
        "gate": {"verdict": "failed", "reasons": ["too slow"]},
    });
    let put = |name, value: Value| hazards::json(corpus, "job", name, &value.to_string());
    put(
        "order",
        json!({"id": ID, "model_version": ID, "device_class": "x86-int8", "recipe": "a = 1"}),
    )?;
    put(
        "progress",
        json!({"event": "progress", "stage": "quantise", "done": 1, "total": 2}),
    )?;
    put(
        "refusal",
        json!({"event": "refused", "code": "invalid-model", "detail": "it has no graph"}),
    )?;
    let bundle = Digest::of(b"bundle");
    put(
        "end",
        json!({"event": "finished", "bundle": bundle, "evaluation": evaluation}),
    )?;
    put("evaluation", evaluation)?;
    put(
        "answer",
        json!({"masks": [{"rle": {"size": [2, 2], "counts": "04"}, "score": 0.5}]}),
    )
}

fn keys_of_people(corpus: &Corpus) -> io::Result<()> {
    hazards::json(
        corpus,
        "key-file",
        "development",
        &String::from_utf8_lossy(&key_file(DEVICE)),
    )?;
    let public = signing_key(DEVICE).public();
    let encrypted = json!({
        "version": 1, "public_key": public, "protection": "passphrase",
        "kdf": {"name": "pbkdf2-hmac-sha256", "rounds": 600_000, "salt": "AAAAAAAAAAAAAAAAAAAAAA=="},
        "cipher": {"name": "aes-256-gcm", "nonce": "AAAAAAAAAAAAAAAA", "ciphertext": "AAAA"},
    });
    hazards::json(corpus, "key-file", "encrypted", &encrypted.to_string())?;
    let half = KeyFile::from_json(&key_file(DEVICE))
        .map_err(io::Error::other)?
        .public_half();
    let half = half.to_json().map_err(io::Error::other)?;
    corpus.put("key-file", "public-half", half)
}

fn questions(corpus: &Corpus) -> io::Result<()> {
    let prompt = json!({"points": [{"x": 1.5, "y": 2.0, "label": "background"}], "box": [0.0, 0.0, 9.0, 9.0]});
    let mut whole = prompt.clone();
    whole["image"] = json!("iVBORw0KGgo=");
    hazards::json(corpus, "question", "prompt", &prompt.to_string())?;
    hazards::json(corpus, "question", "whole", &whole.to_string())?;
    let escaped = whole.to_string().replace("iVBOR", "\\u0069VBOR");
    corpus.put("question", "with-an-escaped-picture", escaped)?;
    let padded = whole
        .to_string()
        .replace("iVBORw0KGgo=", &"AA==".repeat(4097));
    corpus.put("question", "with-padding-inside", padded)
}
