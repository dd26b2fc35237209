//! A fleet in memory: it executes plans as the store does, and its devices behave as they are told to.

use std::collections::BTreeMap;

use espalier_domain::assignment::{Assignment, Goal, State, Underway};
use espalier_domain::build::{Build, BuildState, BundleFacts, Product};
use espalier_domain::model::ModelVersion;
use espalier_domain::observation::Position;
use espalier_domain::release::{Release, ReleaseState, draft};
use espalier_domain::rollout::{
    Candidate, Facts, Plan, Policy, RolloutState, Sent, Step, Tally, Verb, enlist, plan,
};
use espalier_domain::{Labels, Phase};
use espalier_protocol::Digest;
use espalier_protocol::desired::ReleaseRef;
use espalier_protocol::id::{AssignmentId, BuildId, ModelVersionId, ReleaseId, RolloutId};
use espalier_protocol::job::{Evaluation, GateVerdict};
use espalier_protocol::report::{
    Activation, AssignmentProgress, Failure, FailureKind, Installed, Step as Reported,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

pub const ROLLOUT: RolloutId =
    RolloutId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));

pub fn start() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// What a device does with what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Serves after so many ticks.
    Serves(u32),
    /// Gives up after so many ticks.
    Fails(u32),
    /// Serves after so many ticks, and goes back after as many more.
    Regrets(u32),
    /// Never says anything.
    Silent,
}

pub fn evaluation(gate: GateVerdict) -> Evaluation {
    Evaluation {
        bytes: 1,
        full_bytes: 4,
        params: 1,
        latency_ms_p50: 1.0,
        latency_ms_p95: 2.0,
        full_latency_ms_p50: 3.0,
        threads: 1,
        peak_memory_bytes: 1,
        agreement_iou: 0.95,
        agreement_iou_click: 0.95,
        agreement_iou_box: 0.95,
        pairs: 200,
        held_out: "rendered".to_owned(),
        gate,
        notes: Vec::new(),
    }
}

pub fn product(gate: GateVerdict) -> Product {
    let bundle = BundleFacts {
        digest: Digest::of(b"manifest"),
        manifest_bytes: 100,
        files_bytes: 1000,
    };
    Product {
        bundle,
        evaluation: evaluation(gate),
    }
}

pub fn version() -> ModelVersion {
    ModelVersion {
        id: ModelVersionId(Uuid::from_u128(1)),
        tenant: "acme".parse().unwrap(),
        model: "parts".parse().unwrap(),
        task: "promptable-segmentation".to_owned(),
        summary: String::new(),
        description: Digest::of(b"model.json"),
        files: Vec::new(),
        facts: serde_json::Value::Null,
        created_at: start(),
    }
}

pub fn build(number: u128, class: &str, state: BuildState) -> Build {
    Build {
        id: BuildId(Uuid::from_u128(number)),
        tenant: version().tenant,
        model_version: version().id,
        device_class: class.parse().unwrap(),
        recipe: String::new(),
        created_at: start(),
        state,
    }
}

pub fn release(classes: &[&str]) -> Release {
    let builds: Vec<_> = (1..)
        .zip(classes)
        .map(|(number, class)| {
            build(
                number,
                class,
                BuildState::Passed(product(GateVerdict::Passed)),
            )
        })
        .collect();
    let document = draft(ReleaseId(Uuid::from_u128(7)), 2, &version(), &builds).unwrap();
    let digest = Digest::of(&serde_json::to_vec(&document).unwrap());
    let builds = builds
        .iter()
        .map(|build| (build.device_class.clone(), build.id))
        .collect();
    let state = ReleaseState::Signed {
        at: start(),
        targets_version: 2,
    };
    Release {
        document,
        digest,
        builds,
        signatures: BTreeMap::new(),
        created_at: start(),
        state,
    }
}

pub fn candidate(device: &str, class: &str) -> Candidate {
    Candidate {
        device: device.parse().unwrap(),
        class: class.parse().unwrap(),
        labels: Labels::default(),
        barred: false,
        busy_with: None,
    }
}

/// What served before the rollout.
pub fn before() -> Installed {
    let digest = Digest::of(b"before");
    let release = ReleaseRef {
        id: ReleaseId(Uuid::from_u128(6)),
        digest,
        counter: 1,
    };
    Installed {
        release,
        bundle: digest,
    }
}

pub struct World {
    pub policy: Policy,
    pub state: RolloutState,
    pub assignments: Vec<Assignment>,
    pub now: Timestamp,
    behaviours: BTreeMap<AssignmentId, Behaviour>,
    reports: u64,
    /// What happened, a line for each plan, verb and report that counted.
    pub log: Vec<String>,
}

impl World {
    /// Devices `d-000`, `d-001`, …, in the order in which they are enlisted, with these behaviours.
    pub fn new(policy: Policy, behaviours: &[Behaviour]) -> Self {
        let release = release(&["x86"]);
        let names: Vec<_> = (0..behaviours.len())
            .map(|index| format!("d-{index:03}"))
            .collect();
        let candidates: Vec<_> = names.iter().map(|name| candidate(name, "x86")).collect();
        let enlistment = enlist(ROLLOUT, &policy, &release, &candidates);
        let assignments: Vec<_> = (1..)
            .zip(enlistment.members)
            .map(|(number, member)| Assignment {
                id: AssignmentId(Uuid::from_u128(number)),
                rollout: ROLLOUT,
                stage: member.stage,
                device: member.device,
                class: member.class,
                model: release.model().clone(),
                release: release.reference(),
                bundle: member.bundle,
                before: None,
                goal: Goal::Install,
                attempt: 0,
                state: State::Pending,
                last: None,
            })
            .collect();
        let behaviours = assignments
            .iter()
            .map(|assignment| assignment.id)
            .zip(behaviours.iter().copied())
            .collect();
        let mut world = Self {
            policy,
            state: RolloutState::Draft,
            assignments,
            now: start(),
            behaviours,
            reports: 0,
            log: Vec::new(),
        };
        world.act(Verb::Start);
        world
    }

    pub fn act(&mut self, verb: Verb) {
        self.state = self.state.after(verb, &self.tallies(), self.now).unwrap();
        self.note(format!("operator: {}", verb.name()));
    }

    pub fn tallies(&self) -> Vec<Tally> {
        let stages = 0..=self.policy.last_stage();
        let of_stage = |stage| {
            self.assignments
                .iter()
                .filter(move |assignment| assignment.stage == stage)
        };
        stages
            .map(|stage| of_stage(stage).map(Assignment::phase).collect())
            .collect()
    }

    pub fn facts(&self) -> Facts {
        let open = match self.state {
            RolloutState::Running { stage, .. } => Some(stage),
            _ => None,
        };
        let pending = self
            .assignments
            .iter()
            .filter(|assignment| assignment.state == State::Pending);
        let underway = self
            .assignments
            .iter()
            .filter_map(|assignment| match assignment.state {
                State::Underway { sent_at, .. } => Some(Sent {
                    assignment: assignment.id,
                    stage: assignment.stage,
                    at: sent_at,
                }),
                _ => None,
            });
        Facts {
            state: self.state.clone(),
            tallies: self.tallies(),
            pending: pending
                .filter(|assignment| Some(assignment.stage) == open)
                .map(|found| found.id)
                .take(7)
                .collect(),
            underway: underway.take(7).collect(),
        }
    }

    /// Plans and executes until there is only waiting to do.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            let next = plan(&self.policy, &self.facts(), self.now);
            assert_eq!(
                next,
                plan(&self.policy, &self.facts(), self.now),
                "the same facts give the same plan"
            );
            if next.steps.is_empty() {
                return;
            }
            self.execute(&next);
            let after = (self.state.clone(), self.assignments.clone());
            self.execute_quietly(&next);
            assert_eq!(
                after,
                (self.state.clone(), self.assignments.clone()),
                "executing twice changes nothing"
            );
        }
        panic!("the planner never settles:\n{}", self.log.join("\n"));
    }

    fn execute(&mut self, plan: &Plan) {
        for step in &plan.steps {
            self.note(format!("plan: {}", self.describe(step)));
        }
        self.execute_quietly(plan);
    }

    fn execute_quietly(&mut self, plan: &Plan) {
        let now = self.now;
        for step in &plan.steps {
            match step {
                Step::CountSilent(ids) => self.each(ids, Assignment::count_as_silent),
                Step::Send(ids) => {
                    self.each(ids, |assignment| assignment.send(Some(before()), now))
                }
                Step::CancelPending => self.assignments.iter_mut().for_each(Assignment::cancel),
                Step::SendBack => self
                    .assignments
                    .iter_mut()
                    .for_each(|assignment| assignment.send_back(now)),
                Step::Become(state) => self.state = state.clone(),
            }
        }
    }

    fn each(&mut self, ids: &[AssignmentId], step: impl Fn(&mut Assignment)) {
        self.assignments
            .iter_mut()
            .filter(|assignment| ids.contains(&assignment.id))
            .for_each(step);
    }

    /// A minute passes: devices do what they do, and the planner looks at it.
    pub fn tick(&mut self) {
        self.now += SignedDuration::from_mins(1);
        for index in 0..self.assignments.len() {
            if let Some(step) = self.due(&self.assignments[index]) {
                self.report(index, step);
            }
        }
        self.settle();
    }

    fn due(&self, assignment: &Assignment) -> Option<Reported> {
        let behaviour = self.behaviours[&assignment.id];
        let ticks = |since: Timestamp| self.now.duration_since(since).as_mins();
        match (&assignment.state, behaviour) {
            (_, Behaviour::Silent) => None,
            (
                State::Underway { sent_at, .. },
                Behaviour::Serves(after) | Behaviour::Regrets(after),
            ) if ticks(*sent_at) >= i64::from(after) => {
                Some(Reported::Active(self.activation(assignment)))
            }
            (State::Underway { sent_at, .. }, Behaviour::Fails(after))
                if ticks(*sent_at) >= i64::from(after) =>
            {
                Some(match assignment.goal {
                    Goal::Install => Reported::Failed(failure()),
                    Goal::Return => Reported::Active(self.activation(assignment)),
                })
            }
            (
                State::Underway {
                    step: Underway::Sent,
                    ..
                },
                _,
            ) => Some(Reported::Accepted),
            (State::Active(activation), Behaviour::Regrets(after))
                if assignment.goal == Goal::Install
                    && activation.duration_ms / 60_000 + 1 >= u64::from(after) =>
            {
                Some(Reported::RolledBack(failure()))
            }
            _ => None,
        }
    }

    fn activation(&self, assignment: &Assignment) -> Activation {
        let (installed, bytes_downloaded) = match assignment.goal {
            Goal::Install => (
                Installed {
                    release: assignment.release,
                    bundle: assignment.bundle,
                },
                1000,
            ),
            Goal::Return => (before(), 0),
        };
        let duration_ms = match assignment.state {
            State::Underway { sent_at, .. } => self.now.duration_since(sent_at).as_millis() as u64,
            _ => 0,
        };
        Activation {
            installed,
            bytes_downloaded,
            duration_ms,
            golden_agreement: None,
            golden_latency_ms: None,
        }
    }

    /// Reports come twice, as they may.
    fn report(&mut self, index: usize, step: Reported) {
        self.reports += 1;
        let position = Position {
            boot: 1,
            seq: self.reports,
        };
        let assignment = &mut self.assignments[index];
        let progress = AssignmentProgress {
            assignment: assignment.id,
            attempt: assignment.attempt,
            step,
        };
        let phase = assignment.phase();
        assignment.apply(&progress, position);
        let once = assignment.clone();
        assignment.apply(&progress, position);
        assert_eq!(*assignment, once, "a duplicate changes nothing");
        if once.phase() != phase && !matches!(once.phase(), Phase::Accepted) {
            self.note(format!("{}: {}", once.device, once.phase().name()));
        }
    }

    /// Devices that were ever told.
    pub fn exposed(&self) -> usize {
        self.assignments
            .iter()
            .filter(|assignment| assignment.attempt > 0)
            .count()
    }

    fn note(&mut self, line: String) {
        let minute = self.now.duration_since(start()).as_mins();
        self.log.push(format!("{minute:>3} min  {line}"));
    }

    fn describe(&self, step: &Step) -> String {
        let names = |ids: &[AssignmentId]| {
            let of = |id: &AssignmentId| {
                self.assignments
                    .iter()
                    .find(|assignment| assignment.id == *id)
                    .unwrap()
            };
            ids.iter()
                .map(|id| of(id).device.to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        match step {
            Step::CountSilent(ids) => format!("count as silent {}", names(ids)),
            Step::Send(ids) => format!("tell {}", names(ids)),
            Step::CancelPending => "cancel who was not told".to_owned(),
            Step::SendBack => "send back who was told".to_owned(),
            Step::Become(RolloutState::Running { stage, .. }) => format!("open stage {stage}"),
            Step::Become(RolloutState::Paused { reason, .. }) => format!("pause: {reason:?}"),
            Step::Become(RolloutState::Aborted { reason, .. }) => format!("abort: {reason:?}"),
            Step::Become(RolloutState::Reverting { reason, .. }) => format!("revert: {reason:?}"),
            Step::Become(other) => format!("it is {}", other.name()),
        }
    }
}

pub fn failure() -> Failure {
    Failure {
        kind: FailureKind::GoldenMismatch,
        detail: "the golden outputs were not reproduced".to_owned(),
    }
}
