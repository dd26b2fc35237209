//! Signed messages, their payloads, and the words that they travel under.

use std::io;

use espalier_fuzz_targets::fixture::{DEPLOYER, now, signing_key};
use espalier_protocol::cbor;
use espalier_protocol::desired::{Action, DesiredModel, DesiredState, ReleaseRef, TufVersions};
use espalier_protocol::envelope::{Message, seal};
use espalier_protocol::id::{AssignmentId, ReleaseId};
use espalier_protocol::inventory::Inventory;
use espalier_protocol::renew::RenewRequest;
use espalier_protocol::report::{
    Ack, Activation, AssignmentProgress, Attack, Failure, FailureKind, Installed, ModelState,
    Refusal, Report, Step,
};
use espalier_protocol::{DeviceIdentity, Digest, Incarnation};
use jiff::SignedDuration;
use uuid::Uuid;

use super::{Corpus, hazards};

pub fn write(corpus: &Corpus) -> io::Result<()> {
    message(
        corpus,
        "desired",
        "of-one-model",
        &desired(vec![model(Action::Install)]),
    )?;
    message(corpus, "desired", "of-nothing", &desired(Vec::new()))?;
    message(
        corpus,
        "desired",
        "that-reverts",
        &desired(vec![model(Action::Revert)]),
    )?;
    for (name, step) in steps() {
        message(corpus, "report", name, &report(Some(step)))?;
    }
    message(corpus, "report", "of-a-first-boot", &first_report())?;
    message(corpus, "ack", "of-a-report", &ack())?;
    let renewal = RenewRequest {
        device: device(),
        follows: "a51".to_owned(),
    };
    message(corpus, "renewal", "of-a-device", &renewal)?;
    words(corpus)
}

fn message<M: Message>(corpus: &Corpus, target: &str, name: &str, message: &M) -> io::Result<()> {
    let payload = cbor::encode(message).map_err(io::Error::other)?;
    let sealed = seal(message, &signing_key(DEPLOYER)).map_err(io::Error::other)?;
    hazards::cbor(corpus, target, name, &payload)?;
    hazards::cbor(corpus, "envelope", &format!("{target}-{name}"), &sealed)
}

fn device() -> DeviceIdentity {
    "acme/press-7".parse().expect("a constant is a name")
}

fn release() -> ReleaseRef {
    ReleaseRef {
        id: ReleaseId(Uuid::from_u128(1)),
        digest: Digest::of(b"release"),
        counter: 7,
    }
}

fn installed() -> Installed {
    Installed {
        release: release(),
        bundle: Digest::of(b"bundle"),
    }
}

fn model(action: Action) -> DesiredModel {
    DesiredModel {
        model: "tile-defect".parse().expect("a constant is a name"),
        assignment: AssignmentId(Uuid::from_u128(3)),
        attempt: 1,
        release: release(),
        bundle: Digest::of(b"bundle"),
        action,
    }
}

fn desired(models: Vec<DesiredModel>) -> DesiredState {
    DesiredState {
        device: device(),
        sequence: 4,
        issued_at: now(),
        expires_at: now() + SignedDuration::from_hours(24),
        class: "x86-int8".parse().expect("a constant is a name"),
        models,
        tuf: TufVersions {
            root: 1,
            timestamp: 2,
            snapshot: 2,
            targets: 2,
        },
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}

fn steps() -> [(&'static str, Step); 8] {
    let failure = Failure {
        kind: FailureKind::GoldenMismatch,
        detail: "another mask".to_owned(),
    };
    let activation = |agreement| Activation {
        installed: installed(),
        bytes_downloaded: 9,
        duration_ms: 8,
        golden_agreement: Some(agreement),
        golden_latency_ms: None,
    };
    [
        ("that-accepts", Step::Accepted),
        ("of-a-download", Step::Downloading { done: 1, total: 2 }),
        ("that-verified", Step::Verified),
        ("of-a-trial", Step::Trial),
        ("that-serves", Step::Active(activation(0.95))),
        (
            "with-a-number-that-is-none",
            Step::Active(activation(f32::NAN)),
        ),
        ("of-a-failure", Step::Failed(failure.clone())),
        ("of-a-rollback", Step::RolledBack(failure)),
    ]
}

fn report(step: Option<Step>) -> Report {
    Report {
        device: device(),
        boot: 3,
        seq: 9,
        incarnation: Some(Incarnation::from_bytes([5; 16])),
        nonce: vec![7; 16],
        at: now(),
        class: "x86-int8".parse().expect("a constant is a name"),
        desired_sequence: 4,
        models: vec![ModelState {
            model: "tile-defect".parse().expect("a constant is a name"),
            active: Some(installed()),
            previous: None,
        }],
        progress: step.map(|step| AssignmentProgress {
            assignment: AssignmentId(Uuid::from_u128(3)),
            attempt: 1,
            step,
        }),
        refused: Vec::new(),
        inventory: None,
        traceparent: None,
    }
}

fn first_report() -> Report {
    Report {
        refused: vec![Refusal {
            attack: Attack::Replay,
            detail: "sequence 3 after 4".to_owned(),
        }],
        inventory: Some(Inventory {
            agent: "0.1.0".to_owned(),
            architecture: "x86_64".to_owned(),
            os: "linux".to_owned(),
            cpus: 2,
            memory_bytes: 1 << 30,
            disk_free_bytes: 1 << 32,
            onnxruntime: Some("1.20.0".to_owned()),
            providers: vec!["cpu".to_owned()],
        }),
        ..report(None)
    }
}

fn ack() -> Ack {
    Ack {
        device: device(),
        boot: 3,
        seq: 9,
    }
}

fn words(corpus: &Corpus) -> io::Result<()> {
    for (name, text) in [
        ("desired", "espalier/v1/acme/press-7/down/desired"),
        ("ack", "espalier/v1/acme/press-7/down/ack"),
        ("report", "espalier/v1/acme/press-7/up/report"),
        ("with-a-wildcard", "espalier/v1/acme/+/up/report"),
        ("of-all", "espalier/v1/acme/#"),
        (
            "with-a-level-too-many",
            "espalier/v1/acme/press-7/x/up/report",
        ),
        ("with-an-empty-level", "espalier/v1//press-7/up/report"),
        ("of-another-version", "espalier/v2/acme/press-7/up/report"),
        ("with-nul", "espalier/v1/ac\0me/press-7/up/report"),
        ("with-a-slash-before", "/espalier/v1/acme/press-7/up/report"),
    ] {
        corpus.put("topic", name, text)?;
    }
    for (name, text) in [
        ("plain", "press-7"),
        ("identity", "acme/press-7"),
        ("digest", &Digest::of(b"x").to_string()),
        ("digest-in-capitals", &"AB".repeat(32)),
        ("longest", &"a".repeat(63)),
        ("too-long", &"a".repeat(64)),
        ("with-an-outer-hyphen", "-press"),
        ("of-cyrillic", "асme"),
        ("that-leaves", ".."),
        ("with-two-slashes", "acme/press/7"),
    ] {
        corpus.put("name", name, text)?;
    }
    for (name, text) in [
        ("plain", "golden/000/input.png"),
        ("longest", &"a".repeat(200)),
        ("too-long", &"a/".repeat(101)),
        ("that-leaves", "../../etc/cron.d/x"),
        ("that-leaves-later", "golden/../../x"),
        ("absolute", "/etc/passwd"),
        ("with-a-backslash", "golden\\..\\x"),
        ("of-a-drive", "C:/x"),
        ("of-a-stream", "x.onnx:hidden"),
        ("with-nul", "x.onnx\0.png"),
        ("with-a-last-dot", "graph.onnx."),
        ("hidden", ".ssh/authorized_keys"),
        ("of-look-alikes", "ｇraph．onnx"),
        ("with-a-long-s", "meſſage"),
        ("with-an-empty-part", "golden//x"),
        ("of-a-folder", "golden/"),
        ("with-a-space", "graph.onnx "),
        ("percent-encoded", "%2e%2e/x"),
    ] {
        corpus.put("path", name, text)?;
    }
    Ok(())
}
