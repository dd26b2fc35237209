//! Builds end once, and only those that passed can be released.

use espalier_domain::build::{BuildFailure, BuildState, Progress};
use espalier_domain::release::{ReleaseRefusal, draft};
use espalier_protocol::id::{ModelVersionId, ReleaseId};
use espalier_protocol::job::GateVerdict;
use uuid::Uuid;

use crate::world::{build, product, version};

fn passed() -> BuildState {
    BuildState::Passed(product(GateVerdict::Passed))
}

fn failed_gate() -> GateVerdict {
    GateVerdict::Failed {
        reasons: vec!["agreement 0.80 is below 0.93".to_owned()],
    }
}

#[test]
fn the_gates_verdict_decides_the_end() {
    let running = BuildState::Queued.progress(Progress::started()).unwrap();
    assert_eq!(
        running
            .clone()
            .finish(product(GateVerdict::Passed))
            .unwrap(),
        passed()
    );
    let failed = running.finish(product(failed_gate())).unwrap();
    assert!(
        matches!(&failed, BuildState::Failed(BuildFailure::Gate { reasons, .. }) if reasons.len() == 1)
    );
}

#[test]
fn an_ended_build_stays_ended() {
    let ends = [
        passed(),
        BuildState::Cancelled,
        BuildState::Queued.refuse("x".into(), "y".into()).unwrap(),
    ];
    for end in ends {
        assert!(end.is_final());
        assert!(end.clone().progress(Progress::started()).is_err());
        assert!(end.clone().finish(product(GateVerdict::Passed)).is_err());
        assert!(end.clone().refuse(String::new(), String::new()).is_err());
        let refusal = end.clone().cancel().unwrap_err().to_string();
        assert_eq!(
            refusal,
            format!("a build that is {} cannot be cancelled", end.name())
        );
    }
}

#[test]
fn a_forge_that_died_is_followed_by_another() {
    let running = BuildState::Queued.progress(Progress::started()).unwrap();
    assert!(running.progress(Progress::started()).is_ok());
}

#[test]
fn only_passed_builds_of_one_version_and_one_for_each_class_are_released() {
    let id = ReleaseId(Uuid::from_u128(9));
    let good = build(1, "x86", passed());
    let draft = |builds: &[_]| draft(id, 3, &version(), builds);

    let document = draft(&[good.clone(), build(2, "arm", passed())]).unwrap();
    let classes: Vec<_> = document
        .builds
        .iter()
        .map(|build| build.device_class.as_str())
        .collect();
    assert_eq!(
        classes,
        ["arm", "x86"],
        "sorted, so that the same builds are the same document"
    );
    assert_eq!(document.counter, 3);

    assert_eq!(draft(&[]), Err(ReleaseRefusal::NoBuilds));
    let gated = build(
        1,
        "x86",
        BuildState::Queued.finish(product(failed_gate())).unwrap(),
    );
    assert!(matches!(
        draft(&[gated]),
        Err(ReleaseRefusal::NotPassed {
            state: "failed",
            ..
        })
    ));
    let twice = draft(&[good.clone(), build(2, "x86", passed())]);
    assert_eq!(
        twice,
        Err(ReleaseRefusal::TwoForClass("x86".parse().unwrap()))
    );
    let mut foreign = good.clone();
    foreign.model_version = ModelVersionId(Uuid::from_u128(77));
    assert_eq!(
        draft(&[foreign]),
        Err(ReleaseRefusal::OtherModelVersion(good.id))
    );
    let mut stolen = good.clone();
    stolen.tenant = "other".parse().unwrap();
    assert_eq!(
        draft(&[stolen]),
        Err(ReleaseRefusal::OtherModelVersion(good.id))
    );
}
