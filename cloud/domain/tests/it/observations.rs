//! What is taken from a report, and what is not believed.

use espalier_domain::observation::{
    Freshness, MAX_COUNTER, MAX_MODELS, MAX_REFUSALS, Observation, Position, ReportRefusal,
};
use espalier_protocol::report::{
    AssignmentProgress, Attack, Failure, FailureKind, MAX_DETAIL_BYTES, ModelState, Refusal,
    Report, Step,
};
use espalier_protocol::{DeviceIdentity, Incarnation, id::AssignmentId};
use uuid::Uuid;

use crate::world::start;

fn press() -> DeviceIdentity {
    "acme/press-1".parse().unwrap()
}

fn report() -> Report {
    Report {
        device: press(),
        boot: 3,
        seq: 8,
        incarnation: Some(Incarnation::from_bytes([5; 16])),
        nonce: vec![0; 16],
        at: start(),
        class: "x86".parse().unwrap(),
        desired_sequence: 4,
        models: Vec::new(),
        progress: None,
        refused: Vec::new(),
        inventory: None,
        traceparent: None,
    }
}

fn take(report: Report) -> Result<Observation, ReportRefusal> {
    Observation::from_report(report, &press(), start())
}

#[test]
fn a_report_about_another_device_is_not_believed() {
    let mut lie = report();
    lie.device = "acme/press-2".parse().unwrap();
    assert!(matches!(take(lie), Err(ReportRefusal::AboutAnother { .. })));
    let mut other_tenant = report();
    other_tenant.device = "other/press-1".parse().unwrap();
    assert!(matches!(
        take(other_tenant),
        Err(ReportRefusal::AboutAnother { .. })
    ));
}

#[test]
fn everything_that_is_kept_is_bounded() {
    let model = |number: usize| ModelState {
        model: format!("m-{number}").parse().unwrap(),
        active: None,
        previous: None,
    };
    let mut many = report();
    many.models = (0..=MAX_MODELS).map(model).collect();
    assert_eq!(
        take(many),
        Err(ReportRefusal::TooManyModels(MAX_MODELS + 1))
    );
    let mut twice = report();
    twice.models = vec![model(1), model(1)];
    assert_eq!(take(twice), Err(ReportRefusal::RepeatedModel));

    let mut wordy = report();
    let detail = "ä".repeat(MAX_DETAIL_BYTES);
    wordy.refused = vec![
        Refusal {
            attack: Attack::Replay,
            detail: detail.clone()
        };
        MAX_REFUSALS + 9
    ];
    let step = Step::Failed(Failure {
        kind: FailureKind::NoSpace,
        detail,
    });
    wordy.progress = Some(AssignmentProgress {
        assignment: AssignmentId(Uuid::nil()),
        attempt: 1,
        step,
    });
    wordy.traceparent = Some("x".repeat(1000));
    let taken = take(wordy).unwrap();
    assert_eq!(taken.refused.len(), MAX_REFUSALS);
    assert!(taken.refused[0].detail.len() <= MAX_DETAIL_BYTES);
    assert!(
        matches!(taken.progress.unwrap().step, Step::Failed(failure) if failure.detail.len() <= MAX_DETAIL_BYTES)
    );
    assert_eq!(taken.traceparent, None);
}

/// One report with the last possible number would otherwise shut out all that follow.
#[test]
fn a_report_from_the_end_of_all_counting_is_not_believed() {
    let mut last = report();
    last.seq = u64::MAX;
    assert_eq!(take(last), Err(ReportRefusal::Counter("seq")));
    let mut last = report();
    last.boot = MAX_COUNTER + 1;
    assert_eq!(take(last), Err(ReportRefusal::Counter("boot")));
}

#[test]
fn boots_order_before_sequences() {
    let at = |boot, seq| Position { boot, seq };
    assert_eq!(at(1, 1).after(None), Freshness::New);
    assert_eq!(at(2, 1).after(Some(at(1, 900))), Freshness::New);
    assert_eq!(at(1, 900).after(Some(at(2, 1))), Freshness::Late);
    assert_eq!(at(2, 1).after(Some(at(2, 1))), Freshness::Duplicate);
}
