//! The slot machine: whatever happens in whatever order, one verified bundle serves.

use std::sync::Arc;

use espalier_protocol::Digest;
use espalier_protocol::desired::{Action, DesiredModel, ReleaseRef};
use espalier_protocol::id::ReleaseId;
use espalier_protocol::report::{Activation, Failure, FailureKind};
use espalier_slots::slots::{Ending, MAX_TRIAL_STARTS};
use espalier_slots::{Candidate, Disk, ModelSlots, Resume, Serving, Standing, Store, TrialSlot};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::content::feed;
use crate::mint::{Bundle, Mint, class, id, model, noon, order};
use crate::store::{at, create};

const BUNDLES: u8 = 3;

fn bundle(number: u8) -> Bundle {
    Bundle::new(number, &class(), 64)
}

fn release(number: u8) -> ReleaseRef {
    ReleaseRef {
        id: ReleaseId(id(u128::from(number))),
        digest: Digest::of(&[number]),
        counter: u64::from(number),
    }
}

fn wanted(number: u8, attempt: u32) -> DesiredModel {
    order(
        u128::from(number),
        attempt,
        release(number),
        &bundle(number),
    )
}

fn candidate(number: u8, attempt: u32) -> Candidate {
    Candidate::of(&wanted(number, attempt), noon())
}

fn activation(candidate: &Candidate) -> Activation {
    Activation {
        installed: candidate.installed(),
        bytes_downloaded: 0,
        duration_ms: 0,
        golden_agreement: None,
        golden_latency_ms: None,
    }
}

fn failure() -> Failure {
    Failure {
        kind: FailureKind::GoldenMismatch,
        detail: "the mask was another".into(),
    }
}

fn on_trial(slots: ModelSlots, number: u8, attempt: u32) -> ModelSlots {
    let slots = slots.stage(candidate(number, attempt)).unwrap();
    slots.verified().unwrap().begin_trial().unwrap()
}

fn active(slots: ModelSlots, number: u8) -> ModelSlots {
    on_trial(slots, number, 1)
        .activate(activation(&candidate(number, 1)))
        .unwrap()
}

fn revert_to(number: u8) -> DesiredModel {
    DesiredModel {
        action: Action::Revert,
        ..order(
            100 + u128::from(number),
            1,
            release(number),
            &bundle(number),
        )
    }
}

#[test]
fn what_served_is_kept_and_reverted_to_without_a_download() {
    let slots = active(active(ModelSlots::default(), 0), 1);
    let revert = revert_to(0);
    assert_eq!(slots.standing(&revert), Standing::Kept);
    let back = Candidate::of(&revert, noon());
    let slots = slots.revert(&back, activation(&back)).unwrap();
    assert_eq!(slots.serving.active(), Some(candidate(0, 1).installed()));
    assert_eq!(slots.serving.previous(), Some(candidate(1, 1).installed()));
    assert_eq!(
        slots.standing(&revert),
        Standing::Arrived(activation(&back))
    );
}

#[test]
fn revert_to_what_is_not_kept_is_named() {
    assert_eq!(
        active(ModelSlots::default(), 1).standing(&revert_to(0)),
        Standing::NotKept
    );
}

#[test]
fn digest_that_failed_is_not_tried_without_a_new_attempt() {
    let slots = on_trial(active(ModelSlots::default(), 0), 1, 4)
        .roll_back(failure())
        .unwrap();
    assert_eq!(slots.serving.active(), Some(candidate(0, 1).installed()));
    assert_eq!(
        slots.standing(&wanted(1, 4)),
        Standing::Ended(failure(), Ending::RolledBack)
    );
    let other = DesiredModel {
        assignment: espalier_protocol::id::AssignmentId(id(77)),
        ..wanted(1, 4)
    };
    assert_eq!(slots.standing(&other), Standing::Burnt);
    assert_eq!(slots.standing(&wanted(1, 5)), Standing::New);
}

#[test]
fn failed_download_does_not_burn_the_digest() {
    let slots = ModelSlots::default()
        .stage(candidate(1, 1))
        .unwrap()
        .fail(candidate(1, 1), failure())
        .unwrap();
    assert_eq!(
        slots.standing(&wanted(1, 1)),
        Standing::Ended(failure(), Ending::Failed)
    );
    assert_eq!(slots.standing(&wanted(1, 2)), Standing::New);
}

#[test]
fn bundle_that_ends_the_process_is_rolled_back_after_its_last_start() {
    let mut slots = on_trial(ModelSlots::default(), 1, 1);
    for _ in 1..MAX_TRIAL_STARTS {
        assert_eq!(slots.trial.resume(), Resume::Try(candidate(1, 1)));
        slots = slots.begin_trial().unwrap();
    }
    assert!(slots.clone().begin_trial().is_err());
    let Resume::RollBack(_, failure) = slots.trial.resume() else {
        panic!("{:?}", slots.trial)
    };
    assert_eq!(failure.kind, FailureKind::TrialCrashed);
}

#[test]
fn trial_that_was_broken_off_counts_as_never_begun() {
    let mut slots = on_trial(ModelSlots::default(), 1, 1);
    for _ in 0..3 * MAX_TRIAL_STARTS {
        slots = slots.break_off_trial().unwrap();
        assert_eq!(slots.trial.resume(), Resume::Try(candidate(1, 1)));
        slots = slots.begin_trial().unwrap();
    }
    // One that did end the process is still remembered.
    let slots = slots.begin_trial().unwrap().break_off_trial().unwrap();
    let slots = slots.begin_trial().unwrap();
    assert!(matches!(slots.trial.resume(), Resume::RollBack(..)));
}

#[test]
fn bundle_under_another_release_is_settled_not_fetched() {
    let slots = active(ModelSlots::default(), 0);
    let again = order(50, 1, release(2), &bundle(0));
    assert_eq!(slots.standing(&again), Standing::AlreadyActive);
    let candidate = Candidate::of(&again, noon());
    let slots = slots.settle(&candidate, activation(&candidate)).unwrap();
    assert_eq!(slots.serving.active().unwrap().release, release(2));
    assert_eq!(slots.serving.previous(), None);
}

#[test]
fn withdrawn_bundle_gives_its_place_back() {
    let slots = active(active(ModelSlots::default(), 0), 1).withdraw(candidate(1, 1), failure());
    assert_eq!(
        slots.serving,
        Serving::Active {
            active: candidate(0, 1).installed()
        }
    );
    assert_eq!(
        slots.standing(&wanted(1, 1)),
        Standing::Ended(failure(), Ending::RolledBack)
    );
}

/// One thing that may happen to a device.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Stage(u8, u32),
    Fetch,
    BeginTrial,
    BreakOff,
    Pass,
    FailTrial,
    FailDownload,
    Revert(u8),
    Withdraw,
    Abandon,
    CollectGarbage,
    PowerCut,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0..BUNDLES, 1..4_u32).prop_map(|(number, attempt)| Happening::Stage(number, attempt)),
        4 => Just(Happening::Fetch),
        4 => Just(Happening::BeginTrial),
        1 => Just(Happening::BreakOff),
        4 => Just(Happening::Pass),
        1 => Just(Happening::FailTrial),
        1 => Just(Happening::FailDownload),
        1 => (0..BUNDLES).prop_map(Happening::Revert),
        1 => Just(Happening::Withdraw),
        1 => Just(Happening::Abandon),
        2 => Just(Happening::CollectGarbage),
        3 => Just(Happening::PowerCut),
    ]
}

/// A device's store and the bundles that could be ordered for it.
struct World {
    folder: TempDir,
    store: Store,
}

impl World {
    fn apply(&mut self, happening: Happening) {
        let slots = self.store.slots_of(&model());
        let change = |store: &mut Store, next: Result<ModelSlots, _>| {
            if let Ok(next) = next {
                store.change(&model(), |_| Ok(next)).unwrap();
            }
        };
        match happening {
            Happening::Stage(number, attempt)
                if slots.standing(&wanted(number, attempt)) == Standing::New =>
            {
                change(&mut self.store, slots.stage(candidate(number, attempt)));
            }
            Happening::Stage(..) => {}
            Happening::Fetch => self.fetch(&slots),
            Happening::BeginTrial => change(&mut self.store, slots.begin_trial()),
            Happening::BreakOff => change(&mut self.store, slots.break_off_trial()),
            Happening::Pass => {
                if let TrialSlot::OnTrial { candidate, .. } = slots.trial {
                    change(&mut self.store, slots.activate(activation(&candidate)));
                }
            }
            Happening::FailTrial => change(&mut self.store, slots.roll_back(failure())),
            Happening::FailDownload => {
                if let TrialSlot::Staging { candidate } = slots.trial {
                    change(&mut self.store, slots.fail(candidate, failure()));
                }
            }
            Happening::Revert(number) => {
                let back = Candidate::of(&revert_to(number), noon());
                change(&mut self.store, slots.revert(&back, activation(&back)));
            }
            Happening::Withdraw => {
                if let (Some(active), Some(_)) = (slots.serving.active(), slots.serving.previous())
                {
                    let number = (0..BUNDLES)
                        .find(|number| bundle(*number).digest() == active.bundle)
                        .unwrap();
                    change(
                        &mut self.store,
                        Ok(slots.withdraw(candidate(number, 1), failure())),
                    );
                }
            }
            Happening::Abandon => change(&mut self.store, Ok(slots.abandon_trial())),
            Happening::CollectGarbage => {
                self.store
                    .collect_garbage(&Digest::of(b"deployer"))
                    .unwrap();
                self.store.content().empty_trash().unwrap();
            }
            Happening::PowerCut => {
                self.store = Store::open(Arc::new(Disk), &at(&self.folder)).unwrap()
            }
        }
    }

    fn fetch(&mut self, slots: &ModelSlots) {
        let TrialSlot::Staging { candidate } = &slots.trial else {
            return;
        };
        let bundle = (0..BUNDLES)
            .map(bundle)
            .find(|bundle| bundle.digest() == candidate.bundle)
            .unwrap();
        let mut staging = self
            .store
            .content()
            .stage(&bundle.digest(), &bundle.manifest_bytes())
            .unwrap();
        feed(&mut staging, &bundle);
        staging.finish().unwrap();
        self.store.change(&model(), ModelSlots::verified).unwrap();
    }

    fn check(&self) {
        let slots = self.store.slots_of(&model());
        let verified = |digest| self.store.content().verify(&digest).unwrap().is_some();
        if let Some(active) = slots.serving.active() {
            assert!(verified(active.bundle), "the active bundle is gone");
        }
        if let Some(previous) = slots.serving.previous() {
            assert!(verified(previous.bundle), "the previous bundle is gone");
            assert_ne!(
                Some(previous.bundle),
                slots.serving.active().map(|active| active.bundle)
            );
        }
        if let TrialSlot::Verified { candidate } | TrialSlot::OnTrial { candidate, .. } =
            &slots.trial
        {
            assert!(verified(candidate.bundle), "the bundle on trial is gone");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_interleaving_keeps_one_verified_bundle(happenings in prop::collection::vec(happening(), 1..40)) {
        let (folder, store) = create(&Mint::new());
        let mut world = World { folder, store };
        let mut served = false;
        for happening in happenings {
            world.apply(happening);
            world.check();
            let serves = world.store.slots_of(&model()).serving.active().is_some();
            assert!(serves || !served, "a model that served serves no more after {happening:?}");
            served = serves;
        }
    }
}
