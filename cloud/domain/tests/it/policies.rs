//! Policies that cannot work are none, and enlisting takes whom it should.

use espalier_domain::rollout::{
    Gate, InvalidPolicy, LeftOut, Policy, RolloutState, Stage, StageSize, Tally, Verb, Verdict,
    enlist, judge,
};
use espalier_domain::{Labels, Percent, Phase, Selector};
use espalier_protocol::id::RolloutId;
use uuid::Uuid;

use crate::world::{ROLLOUT, candidate, release, start};

fn stage(name: &str, size: StageSize) -> Stage {
    Stage {
        name: name.to_owned(),
        size,
        gate: Gate::default(),
    }
}

fn policy(stages: Vec<Stage>) -> Result<Policy, InvalidPolicy> {
    Policy::new(Selector::All, stages)
}

#[test]
fn a_policy_always_reaches_everybody_and_always_ends() {
    let share = |percent| StageSize::Percent(Percent::capped(percent));
    assert!(policy(vec![stage("all", StageSize::Rest)]).is_ok());
    assert_eq!(policy(vec![]), Err(InvalidPolicy::StageCount(0)));
    assert_eq!(
        policy(vec![stage("a", share(50))]),
        Err(InvalidPolicy::Rest("a".to_owned()))
    );
    let rest_first = vec![stage("a", StageSize::Rest), stage("b", StageSize::Rest)];
    assert_eq!(policy(rest_first), Err(InvalidPolicy::Rest("a".to_owned())));
    let nobody = vec![stage("a", StageSize::Count(0)), stage("b", StageSize::Rest)];
    assert_eq!(policy(nobody), Err(InvalidPolicy::Empty("a".to_owned())));
    let too_much = vec![
        stage("a", share(60)),
        stage("b", share(41)),
        stage("c", StageSize::Rest),
    ];
    assert_eq!(policy(too_much), Err(InvalidPolicy::MoreThanAll));
    let mut never = stage("a", StageSize::Rest);
    never.gate.timeout_s = u32::MAX;
    assert!(matches!(
        policy(vec![never]),
        Err(InvalidPolicy::Timeout { .. })
    ));
    let mut blind = stage("a", StageSize::Rest);
    blind.gate.success = Percent::ZERO;
    assert_eq!(
        policy(vec![blind]),
        Err(InvalidPolicy::NoSuccess("a".to_owned()))
    );
}

#[test]
fn a_policy_is_checked_when_it_is_read_back() {
    let text = r#"{"selector":"site=berlin","stages":[{"name":"canary","size":{"percent":2.5}},{"name":"rest","size":"rest"}]}"#;
    let policy: Policy = serde_json::from_str(text).unwrap();
    assert_eq!(policy.gate(0), Gate::default());
    let again: Policy = serde_json::from_value(serde_json::to_value(&policy).unwrap()).unwrap();
    assert_eq!(again, policy);
    let wrong = text.replace("\"rest\"}", "{\"count\":1}}");
    assert!(
        serde_json::from_str::<Policy>(&wrong)
            .unwrap_err()
            .to_string()
            .contains("must be `rest`")
    );
    let misspelt = text.replace("\"name\":\"rest\"", "\"name\":\"rest\",\"gaet\":{}");
    assert!(serde_json::from_str::<Policy>(&misspelt).is_err());
}

#[test]
fn who_cannot_be_taken_is_named_with_the_reason() {
    let policy = policy(vec![stage("all", StageSize::Rest)]).unwrap();
    let other = RolloutId(Uuid::from_u128(99));
    let mut barred = candidate("barred", "x86");
    barred.barred = true;
    let mut busy = candidate("busy", "x86");
    busy.busy_with = Some(other);
    let fleet = [
        candidate("good", "x86"),
        candidate("phone", "arm"),
        barred,
        busy,
    ];
    let enlisted = enlist(ROLLOUT, &policy, &release(&["x86", "riscv"]), &fleet);
    let members: Vec<_> = enlisted
        .members
        .iter()
        .map(|member| member.device.as_str())
        .collect();
    assert_eq!(members, ["good"]);
    let reasons: Vec<_> = enlisted
        .left_out
        .iter()
        .map(|(device, reason)| (device.as_str(), reason.clone()))
        .collect();
    let no_build = LeftOut::NoBuild("arm".parse().unwrap());
    assert_eq!(
        reasons,
        [
            ("phone", no_build),
            ("barred", LeftOut::Barred),
            ("busy", LeftOut::Busy(other))
        ]
    );
}

#[test]
fn only_the_selected_are_enlisted() {
    let policy = Policy::new(
        "site=berlin".parse().unwrap(),
        vec![stage("all", StageSize::Rest)],
    )
    .unwrap();
    let mut here = candidate("here", "x86");
    here.labels = Labels::from_pairs(["site=berlin"]).unwrap();
    let enlisted = enlist(
        ROLLOUT,
        &policy,
        &release(&["x86"]),
        &[here, candidate("there", "x86")],
    );
    assert_eq!(enlisted.members.len(), 1);
    assert!(
        enlisted.left_out.is_empty(),
        "who was not meant is not left out"
    );
}

/// The same device must not be everybody's canary, and a new device must not reshuffle the others.
#[test]
fn the_order_is_stable_within_a_rollout_and_another_for_the_next() {
    let policy = policy(vec![
        stage("canary", StageSize::Count(1)),
        stage("rest", StageSize::Rest),
    ])
    .unwrap();
    let fleet: Vec<_> = (0..30)
        .map(|number| candidate(&format!("d-{number}"), "x86"))
        .collect();
    let order = |rollout, fleet: &[_]| -> Vec<String> {
        let enlisted = enlist(rollout, &policy, &release(&["x86"]), fleet);
        enlisted
            .members
            .iter()
            .map(|member| member.device.to_string())
            .collect()
    };
    let all = order(ROLLOUT, &fleet);
    let mut without_last = all.clone();
    without_last.retain(|name| name != "d-29");
    assert_eq!(order(ROLLOUT, &fleet[..29]), without_last);
    let mut reversed = fleet.clone();
    reversed.reverse();
    assert_eq!(order(ROLLOUT, &reversed), all);
    let canaries: std::collections::BTreeSet<_> = (0..40)
        .map(|number| order(RolloutId(Uuid::from_u128(number)), &fleet)[0].clone())
        .collect();
    assert!(canaries.len() > 10, "{canaries:?}");
}

/// hawkBit measures failures over the whole group: one percent of ten thousand needs a hundred broken devices.
#[test]
fn whole_group_denominators_do_not_hide_failures() {
    let gate = Gate {
        failure: Percent::capped(1),
        min_sample: 5,
        ..Gate::default()
    };
    let mut counts = vec![
        (Phase::Pending, 9_990),
        (Phase::Active, 4),
        (Phase::Failed, 1),
    ];
    assert!(matches!(
        judge(0, &gate, &counts.iter().copied().collect(), 0),
        Verdict::Stop(_)
    ));
    counts[1].1 = 3;
    assert_eq!(
        judge(0, &gate, &counts.into_iter().collect::<Tally>(), 0),
        Verdict::Wait,
        "the sample is too small"
    );
}

/// hawkBit opens the next group when all have ended, whatever the conditions say.
#[test]
fn conditions_are_not_skipped_when_all_have_ended() {
    let gate = Gate {
        success: Percent::capped(90),
        failure: Percent::capped(50),
        ..Gate::default()
    };
    let tally: Tally = [(Phase::Active, 8), (Phase::Failed, 2)]
        .into_iter()
        .collect();
    assert!(matches!(judge(0, &gate, &tally, 0), Verdict::Stop(_)));
}

#[test]
fn a_stage_of_nobody_passes() {
    assert_eq!(
        judge(0, &Gate::default(), &Tally::default(), 0),
        Verdict::Pass
    );
}

#[test]
fn verbs_that_make_no_sense_are_refused_with_what_would() {
    let refuse =
        |state: &RolloutState, verb| state.after(verb, &[], start()).unwrap_err().to_string();
    let draft = RolloutState::Draft;
    assert_eq!(
        refuse(&draft, Verb::Resume),
        "a rollout that is draft cannot resume; it can start or abort"
    );
    let running = draft.after(Verb::Start, &[], start()).unwrap();
    assert_eq!(
        refuse(&running, Verb::Start),
        "a rollout that is running cannot start; it can pause or abort or revert"
    );
    let reverting = running.after(Verb::Revert, &[], start()).unwrap();
    assert_eq!(
        refuse(&reverting, Verb::Abort),
        "a rollout that is reverting cannot abort; it can do nothing more"
    );
    for verb in Verb::ALL {
        for state in [&draft, &running, &reverting] {
            assert_eq!(
                state.after(verb, &[], start()).is_ok(),
                state.allowed().contains(&verb)
            );
        }
    }
}

/// A stolen device never answers; a rollout that counted it would wait for ever, or stop for it.
#[test]
fn revoked_devices_are_not_members_of_their_stage() {
    let gate = Gate {
        success: Percent::ALL,
        failure: Percent::ZERO,
        min_sample: 3,
        ..Gate::default()
    };
    let mut counts = vec![
        (Phase::Active, 2),
        (Phase::Cancelled, 3),
        (Phase::Withdrawn, 1),
    ];
    let judged = |counts: &[(Phase, u64)]| judge(0, &gate, &counts.iter().copied().collect(), 0);
    assert_eq!(judged(&counts), Verdict::Pass);
    counts[0] = (Phase::Failed, 1);
    assert!(matches!(judged(&counts), Verdict::Stop(_)));
    assert_eq!(judged(&counts[1..]), Verdict::Pass, "nobody is left");
}
