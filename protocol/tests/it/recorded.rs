//! What version 0.1 wrote is read for ever. The files in `corpus/v0.1` were recorded once and are never made again; a new
//! version adds its own folder.

use std::{fs, path::PathBuf};

use espalier_protocol::{
    cbor::{self, CborError},
    claim::{Claim, ClaimError, Uplink},
    desired::{Action, DesiredState},
    enrol::{EnrolRequest, Enrolled, Role},
    envelope::{Envelope, EnvelopeError, Message},
    job::{BuildJob, GateVerdict, JobEvent},
    manifest::{Manifest, ManifestError, ModelDescription},
    release::{ReleaseDocument, ReleaseError},
    renew::{RenewRequest, Renewed},
    report::{Ack, Attack, FailureKind, Report, Step},
    topic::{Channel, Topic},
    trust::{DeployerKeys, SigningKey},
};

fn recorded(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/v0.1");
    fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn text(name: &str) -> String {
    String::from_utf8(recorded(name)).unwrap()
}

/// Opens a recorded envelope with the key that signed it, whose seed is all ones.
fn opened<M: Message>(name: &str) -> M {
    let head = [
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    let key = SigningKey::from_pkcs8(&[&head[..], &[1; 32]].concat()).unwrap();
    let key = key.public();
    let envelope = Envelope::parse(&recorded(name)).unwrap();
    envelope
        .open(|id| (id == key.id()).then_some(&key))
        .unwrap()
}

#[test]
fn desired_states_of_v0_1_are_read_for_ever() {
    let state: DesiredState = opened("desired-install.dsse");
    assert_eq!(
        (state.device.to_string().as_str(), state.sequence),
        ("acme/press-7", 4)
    );
    assert_eq!(
        state.expires_at.duration_since(state.issued_at).as_hours(),
        24
    );
    assert_eq!(state.class.as_str(), "x86-int8");
    assert_eq!(state.tuf.targets, 2);
    let model = &state.models[0];
    assert_eq!(
        (model.model.as_str(), model.attempt, model.action),
        ("tile-defect", 1, Action::Install)
    );
    assert_eq!(model.release.counter, 7);
    let state: DesiredState = opened("desired-revert.dsse");
    assert_eq!(state.models[0].action, Action::Revert);
    assert!(
        opened::<DesiredState>("desired-nothing.dsse")
            .models
            .is_empty()
    );
}

#[test]
fn reports_of_v0_1_are_read_for_ever() {
    let step = |name: &str| {
        let report: Report = opened(name);
        assert_eq!(
            (report.boot, report.seq, report.desired_sequence),
            (3, 9, 4)
        );
        assert_eq!(report.nonce, [7; 16]);
        report.progress.unwrap().step
    };
    assert_eq!(step("report-accepted.dsse"), Step::Accepted);
    assert_eq!(
        step("report-downloading.dsse"),
        Step::Downloading { done: 1, total: 2 }
    );
    assert_eq!(step("report-verified.dsse"), Step::Verified);
    assert_eq!(step("report-trial.dsse"), Step::Trial);
    let Step::Active(activation) = step("report-active.dsse") else {
        panic!("it was active");
    };
    assert_eq!(
        (activation.golden_agreement, activation.duration_ms),
        (Some(0.95), 8)
    );
    let (Step::Failed(failed), Step::RolledBack(back)) =
        (step("report-failed.dsse"), step("report-rolled-back.dsse"))
    else {
        panic!("both ended without success");
    };
    assert_eq!(
        (failed.kind, back.kind),
        (FailureKind::GoldenMismatch, FailureKind::GoldenMismatch)
    );
    let first: Report = opened("report-first.dsse");
    assert_eq!(first.refused[0].attack, Attack::Replay);
    assert_eq!(first.inventory.unwrap().providers, ["cpu"]);
}

#[test]
fn acknowledgements_of_v0_1_are_read_for_ever() {
    let ack: Ack = opened("ack.dsse");
    assert_eq!(
        (ack.device.to_string().as_str(), ack.boot, ack.seq),
        ("acme/press-7", 3, 9)
    );
}

#[test]
fn documents_of_v0_1_are_read_for_ever() {
    let manifest = Manifest::parse(&recorded("manifest-tensor.json")).unwrap();
    assert_eq!(manifest.serving.task(), "tensor");
    let manifest = Manifest::parse(&recorded("manifest-segmentation.json")).unwrap();
    assert_eq!(
        (manifest.serving.task(), manifest.files.len()),
        ("promptable-segmentation", 7)
    );
    let model = ModelDescription::parse(&recorded("model.json")).unwrap();
    assert_eq!(model.serving.graphs().len(), 2);
    let release = ReleaseDocument::parse(&recorded("release.json")).unwrap();
    assert_eq!((release.counter, release.builds.len()), (1, 1));
    let keys: DeployerKeys = serde_json::from_slice(&recorded("deployer.json")).unwrap();
    assert_eq!(keys.keys.len(), 1);
}

#[test]
fn claims_and_enrolments_of_v0_1_are_read_for_ever() {
    let claim = Claim::parse(&recorded("cloud.claim")).unwrap();
    assert!(matches!(
        claim.uplink,
        Uplink::Cloud {
            broker_ca_pem: None,
            ..
        }
    ));
    let claim = Claim::parse(&recorded("gateway.claim")).unwrap();
    assert!(matches!(claim.uplink, Uplink::Gateway { .. }));
    let asked: EnrolRequest = serde_json::from_slice(&recorded("enrol-request.json")).unwrap();
    assert_eq!(asked.role, Role::Gateway);
    let answer: Enrolled = serde_json::from_slice(&recorded("enrolled.json")).unwrap();
    assert_eq!(answer.gateway.unwrap().as_str(), "gate-1");
}

#[test]
fn renewals_of_v0_1_are_read_for_ever() {
    let asked: RenewRequest = opened("renew.dsse");
    assert_eq!(asked.device.to_string(), "acme/press-7");
    assert_eq!(asked.follows, "4a01fe");
    let answer: Renewed = serde_json::from_str(r#"{"certificate_pem": "PEM"}"#).unwrap();
    assert_eq!(answer.certificate_pem, "PEM");
}

#[test]
fn jobs_of_v0_1_are_read_for_ever() {
    let job: BuildJob = serde_json::from_slice(&recorded("job.json")).unwrap();
    assert_eq!(job.device_class.as_str(), "x86-int8");
    let events: Vec<JobEvent> = text("job-events.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [
        JobEvent::Progress { .. },
        JobEvent::Refused { .. },
        JobEvent::Finished { evaluation, .. },
    ] = &events[..]
    else {
        panic!("three kinds of line: {events:?}");
    };
    assert!(matches!(evaluation.gate, GateVerdict::Failed { .. }));
}

#[test]
fn topics_of_v0_1_are_read_for_ever() {
    let channels: Vec<Channel> = text("topics.txt")
        .lines()
        .map(|line| line.parse::<Topic>().unwrap().channel)
        .collect();
    assert_eq!(channels, Channel::ALL);
}

/// A later version may add fields: this one passes over them, and they stay under the signature.
#[test]
fn fields_from_the_future_are_passed_over() {
    let ack: Ack = cbor::decode(&recorded("future/ack-with-a-field.cbor")).unwrap();
    assert_eq!(ack.seq, 9);
    let report: Report = cbor::decode(&recorded("future/report-with-a-field.cbor")).unwrap();
    assert_eq!(report.seq, 9);
    for name in ["manifest", "release", "claim"] {
        let json = recorded(&format!("future/{name}-with-a-field.json"));
        match name {
            "manifest" => drop(Manifest::parse(&json).unwrap()),
            "release" => drop(ReleaseDocument::parse(&json).unwrap()),
            _ => drop(Claim::parse(&json).unwrap()),
        }
    }
}

/// What this version cannot know the meaning of is refused, and the refusal says what it is.
#[test]
fn kinds_from_the_future_are_refused_by_name() {
    let next = Envelope::parse(&recorded("future/desired-v2.dsse")).unwrap();
    let error = next.open::<DesiredState>(|_| None).unwrap_err();
    let EnvelopeError::WrongType { found, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(found, "application/vnd.espalier.desired.v2+cbor");

    let step = cbor::decode::<Report>(&recorded("future/report-of-another-step.cbor"));
    assert!(
        matches!(&step, Err(CborError::Malformed(why)) if why.contains("unknown variant `teleport`")),
        "{step:?}"
    );
    let action = cbor::decode::<DesiredState>(&recorded("future/desired-of-another-action.cbor"));
    assert!(
        matches!(&action, Err(CborError::Malformed(why)) if why.contains("unknown variant `discard`")),
        "{action:?}"
    );
    let task = Manifest::parse(&recorded("future/manifest-of-another-task.json"));
    assert!(
        matches!(&task, Err(ManifestError::Json(why)) if why.to_string().contains("unknown variant `oracle`")),
        "{task:?}"
    );
    let manifest = Manifest::parse(&recorded("future/manifest-of-format-2.json"));
    assert!(matches!(manifest, Err(ManifestError::Format(2))));
    let release = ReleaseDocument::parse(&recorded("future/release-of-format-2.json"));
    assert!(matches!(release, Err(ReleaseError::Format(2))));
    let claim = Claim::parse(&recorded("future/claim-of-format-2.json"));
    assert!(matches!(claim, Err(ClaimError::Format(2))));
}
