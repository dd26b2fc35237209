//! One model's update: from an accepted order to a serving bundle, or to a named end.
//!
//! It begins wherever the slots say that an earlier try stopped, so it may be killed anywhere and run again. Until the
//! switch nothing that serves is touched.

use std::sync::Arc;
use std::thread;

use espalier_protocol::desired::{Action, DesiredModel, TufVersions};
use espalier_protocol::report::{Activation, Failure, FailureKind, Refusal, Step};
use espalier_slots::slots::{Ending, WrongState};
use espalier_slots::trust::{Floors, PlanRefusal, VerifiedPlan};
use espalier_slots::{
    Candidate, ModelSlots, Resume, Standing, StoreError, TrialOutcome, VerifiedBundle,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::core::Core;
use super::fetch::{self, FetchError};
use super::requirements;
use super::serving::{self, Obstacle};
use super::trust::{PlanError, TrustFailure};

/// An accepted order for one model.
pub(super) struct Order {
    pub(super) wanted: DesiredModel,
    pub(super) tuf: TufVersions,
    /// Nothing new may be started for it any more.
    pub(super) expired: bool,
}

/// Why an update does not go on.
#[derive(Debug)]
enum Stop {
    /// It ends like this, and is reported.
    Failed(Failure),
    /// A newer order, or the end of the agent: the slots know where it was.
    Cancelled,
    /// The store cannot be written: nothing can be said about it durably either.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// How a trial ended without success.
enum TrialEnd {
    /// The bundle is not fit to serve.
    Failed(Failure),
    /// Nobody waits for it any more.
    BrokenOff,
}

/// Carries an order out.
pub(super) async fn run(core: Arc<Core>, order: Order, cancel: CancellationToken) {
    let candidate = Candidate::of(&order.wanted, core.now());
    let update = Update {
        core: &core,
        order: &order,
        candidate,
        cancel,
    };
    match update.begin().await {
        Ok(()) | Err(Stop::Cancelled) => {}
        Err(Stop::Failed(failure)) => update.fail(failure).await,
        Err(Stop::Store(error)) => update.store_failed(&error).await,
    }
}

struct Update<'a> {
    core: &'a Arc<Core>,
    order: &'a Order,
    candidate: Candidate,
    cancel: CancellationToken,
}

impl Update<'_> {
    async fn begin(&self) -> Result<(), Stop> {
        let slots = self.core.slots_of(&self.order.wanted.model);
        match slots.standing(&self.order.wanted) {
            Standing::Arrived(activation) if self.core.is_idle(&self.order.wanted.model) => {
                return self.let_serve(activation).await;
            }
            Standing::Arrived(activation) => self.say(Step::Active(activation)).await,
            Standing::AlreadyActive => return self.settle().await,
            Standing::Ended(failure, Ending::Failed) => self.say(Step::Failed(failure)).await,
            Standing::Ended(failure, Ending::RolledBack) => {
                self.say(Step::RolledBack(failure)).await;
            }
            Standing::UnderWay => return self.resume(slots.trial.resume()).await,
            Standing::Kept => return self.revert().await,
            _ if self.order.expired => {
                tracing::info!(model = %self.order.wanted.model, "an expired order is not begun")
            }
            Standing::Burnt => return Err(Stop::Failed(already_failed())),
            Standing::NotKept | Standing::New => {
                self.say(Step::Accepted).await;
                return self.install().await;
            }
        }
        Ok(())
    }

    async fn resume(&self, resume: Resume) -> Result<(), Stop> {
        match resume {
            Resume::Rest | Resume::Report(_) => Ok(()),
            Resume::Fetch(candidate) => self.of(candidate).install().await,
            Resume::Try(candidate) => self.of(candidate).resume_trial().await,
            Resume::RollBack(candidate, failure) => self.of(candidate).roll_back(failure).await,
        }
    }

    /// The same update with the candidate that the slots know: it remembers when it began.
    fn of(&self, candidate: Candidate) -> Update<'_> {
        Update {
            core: self.core,
            order: self.order,
            candidate,
            cancel: self.cancel.clone(),
        }
    }

    async fn install(&self) -> Result<(), Stop> {
        let plan = self.plan().await?;
        self.raise_counter(&plan)?;
        let candidate = self.candidate;
        self.change(move |slots| slots.abandon_trial().stage(candidate))
            .await?;
        // What an earlier order left behind may take the very room that this one needs.
        self.core.collect_garbage().await;
        let fetched = fetch::bundle(self.core, &plan, &candidate);
        let (bundle, bytes) = match self.cancel.run_until_cancelled(fetched).await {
            None => return Err(Stop::Cancelled),
            Some(Ok(fetched)) => fetched,
            Some(Err(error)) => return Err(self.fetch_failed(error)),
        };
        self.change(ModelSlots::verified).await?;
        self.say(Step::Verified).await;
        self.attempt(bundle, bytes).await
    }

    async fn resume_trial(&self) -> Result<(), Stop> {
        let content = self.core.store().content().clone();
        let digest = self.candidate.bundle;
        let verified = blocking(move || content.verify(&digest)).await;
        match verified {
            Ok(Some(bundle)) => self.attempt(bundle, 0).await,
            // It rotted, or was never completed: fetch again what is broken.
            Ok(None) | Err(_) => self.install().await,
        }
    }

    async fn plan(&self) -> Result<VerifiedPlan, Stop> {
        let mut failures = 0;
        let mut random = self.core.random();
        loop {
            let failure = match self.try_plan().await {
                Ok(plan) => return Ok(plan),
                Err(PlanError::Refused(refusal)) => return Err(self.refused(refusal)),
                Err(PlanError::Passing(failure)) => failure,
            };
            failures += 1;
            if failures >= self.core.config.download_tries {
                return Err(Stop::Failed(failure.failure()));
            }
            tracing::info!(%failure, "trust cannot be established now; it is tried again");
            let wait = self.core.config.backoff.delay(failures, &mut random);
            self.cancel
                .run_until_cancelled(tokio::time::sleep(wait))
                .await
                .ok_or(Stop::Cancelled)?;
        }
    }

    async fn try_plan(&self) -> Result<VerifiedPlan, PlanError> {
        let renewed = self.core.renew_trust_to(&self.order.tuf).await;
        renewed.map_err(|failure| {
            if failure.is_passing() {
                PlanError::Passing(failure)
            } else {
                PlanError::Refused(failure.into())
            }
        })?;
        self.core.plan(&self.order.wanted).await
    }

    fn refused(&self, refusal: PlanRefusal) -> Stop {
        if let Some(attack) = refusal.attack {
            self.core.refuse(Refusal {
                attack,
                detail: refusal.failure.detail.clone(),
            });
        }
        match self.order.wanted.action {
            // The order was to go back, and the only way left was to fetch what may not be fetched any more.
            Action::Revert => Stop::Failed(Failure {
                kind: FailureKind::NothingToRevert,
                detail: refusal.failure.detail,
            }),
            Action::Install => Stop::Failed(refusal.failure),
        }
    }

    fn raise_counter(&self, plan: &VerifiedPlan) -> Result<(), Stop> {
        let order = plan.order();
        let raise =
            |floors: Floors| floors.with_counter(order.model.clone(), order.release.counter);
        Ok(self.core.store().raise_floors(raise)?)
    }

    fn fetch_failed(&self, error: FetchError) -> Stop {
        match error {
            FetchError::Refused(refusal) => self.refused(refusal),
            FetchError::Failed(failure, attack) => {
                if let Some(attack) = attack {
                    self.core.refuse(Refusal {
                        attack,
                        detail: failure.detail.clone(),
                    });
                }
                if failure.kind == FailureKind::NoSpace {
                    self.make_room();
                }
                Stop::Failed(failure)
            }
        }
    }

    /// What did not fit must not keep the disk full: not even its failure could be written down.
    fn make_room(&self) {
        let content = self.core.store().content().clone();
        if let Err(error) = content.unstage(&self.candidate.bundle) {
            tracing::warn!(%error, "the parts of a bundle that does not fit could not be removed");
        }
    }

    /// Tries the bundle, and lets it serve when it passes.
    async fn attempt(&self, bundle: VerifiedBundle, bytes: u64) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        requirements::check(&bundle.manifest().requires, &self.core.inventory)
            .map_err(Stop::Failed)?;
        self.change(ModelSlots::begin_trial).await?;
        self.say(Step::Trial).await;
        match self.trial(&bundle).await {
            Ok(outcome) => self.activate(bundle, bytes, outcome).await,
            Err(TrialEnd::Failed(failure)) => self.roll_back(failure).await,
            Err(TrialEnd::BrokenOff) => {
                self.change(ModelSlots::break_off_trial).await?;
                Err(Stop::Cancelled)
            }
        }
    }

    async fn trial(&self, bundle: &VerifiedBundle) -> Result<TrialOutcome, TrialEnd> {
        let limit = self.core.config.trial_limit;
        let outcome = self.begin_on_a_thread(bundle)?;
        let failed = |kind, detail| Err(TrialEnd::Failed(Failure { kind, detail }));
        let ended = tokio::select! {
            biased;
            ended = tokio::time::timeout(limit, outcome) => ended,
            () = self.cancel.cancelled() => return Err(TrialEnd::BrokenOff),
        };
        match ended {
            Ok(Ok(outcome)) => outcome.map_err(TrialEnd::Failed),
            Ok(Err(_panicked)) => failed(
                FailureKind::TrialCrashed,
                "the trial ended without an answer".to_owned(),
            ),
            Err(_passed) => failed(
                FailureKind::TrialTimeout,
                format!("the trial did not end within {} s", limit.as_secs()),
            ),
        }
    }

    /// A thread of its own, since nobody can interrupt a kernel: an agent that ends does not wait for it, and what it
    /// loads after nobody waits any more is let go of.
    fn begin_on_a_thread(
        &self,
        bundle: &VerifiedBundle,
    ) -> Result<oneshot::Receiver<Result<TrialOutcome, Failure>>, TrialEnd> {
        let (probe, bundle) = (self.core.probe.clone(), bundle.clone());
        let (tell, outcome) = oneshot::channel();
        let trial = move || {
            if tell.send(probe.trial(&bundle)).is_err() {
                probe.forget(&bundle.digest());
            }
        };
        match thread::Builder::new().name("trial".to_owned()).spawn(trial) {
            Ok(_detached) => Ok(outcome),
            Err(error) => Err(TrialEnd::Failed(Failure {
                kind: FailureKind::LoadFailed,
                detail: format!("no thread for the trial: {error}"),
            })),
        }
    }

    /// Durable first, then the switch: after a power cut between both the new bundle serves, and it passed its trial.
    async fn activate(
        &self,
        bundle: VerifiedBundle,
        bytes: u64,
        outcome: TrialOutcome,
    ) -> Result<(), Stop> {
        let activation = self.activation(bytes, outcome);
        self.change(move |slots| slots.activate(activation)).await?;
        self.switch(bundle, activation).await
    }

    async fn revert(&self) -> Result<(), Stop> {
        self.say(Step::Accepted).await;
        let content = self.core.store().content().clone();
        let digest = self.candidate.bundle;
        match blocking(move || content.verify(&digest)).await {
            Ok(Some(bundle)) => {
                let activation = self.activation(0, TrialOutcome::default());
                let candidate = self.candidate;
                self.change(move |slots| slots.abandon_trial().revert(&candidate, activation))
                    .await?;
                self.switch(bundle, activation).await
            }
            Ok(None) | Err(_) => {
                self.change(|slots| Ok(slots.drop_previous())).await?;
                self.install().await
            }
        }
    }

    async fn switch(&self, bundle: VerifiedBundle, activation: Activation) -> Result<(), Stop> {
        let (probe, installed) = (self.core.probe.clone(), activation.installed);
        match blocking(move || probe.serve(&bundle, &installed)).await {
            Ok(()) => {
                self.core.serves(&self.order.wanted.model);
                self.say(Step::Active(activation)).await;
                self.core.collect_garbage().await;
            }
            Err(failure) => {
                let (candidate, kept) = (self.candidate, failure.clone());
                self.change(move |slots| Ok(slots.withdraw(candidate, kept)))
                    .await?;
                self.core.collect_garbage().await;
                self.say(Step::RolledBack(failure)).await;
            }
        }
        Ok(())
    }

    /// The ordered bundle is the active one: only the release that it is installed by is another.
    async fn settle(&self) -> Result<(), Stop> {
        let activation = self.activation(0, TrialOutcome::default());
        let candidate = self.candidate;
        self.change(move |slots| slots.abandon_trial().settle(&candidate, activation))
            .await?;
        self.let_serve(activation).await
    }

    /// Lets the active bundle answer by this order's release; since the start it may not have answered at all.
    async fn let_serve(&self, activation: Activation) -> Result<(), Stop> {
        let model = &self.order.wanted.model;
        match serving::load(self.core, model, &activation.installed).await {
            Ok(()) => self.say(Step::Active(activation)).await,
            // Not kept as the order's end: it is tried again.
            Err(Obstacle::Passing(failure)) => self.say(Step::Failed(failure)).await,
            Err(Obstacle::Lasting(_)) => return self.install().await,
        }
        Ok(())
    }

    async fn roll_back(&self, failure: Failure) -> Result<(), Stop> {
        self.core.probe.forget(&self.candidate.bundle);
        let kept = failure.clone();
        self.change(|slots| slots.roll_back(kept)).await?;
        self.core.collect_garbage().await;
        self.say(Step::RolledBack(failure)).await;
        Ok(())
    }

    fn activation(&self, bytes_downloaded: u64, outcome: TrialOutcome) -> Activation {
        let since = self.core.now().duration_since(self.candidate.since);
        Activation {
            installed: self.candidate.installed(),
            bytes_downloaded,
            duration_ms: u64::try_from(since.as_millis()).unwrap_or(0),
            golden_agreement: outcome.golden_agreement,
            golden_latency_ms: outcome.golden_latency_ms,
        }
    }

    async fn fail(&self, failure: Failure) {
        let (candidate, kept) = (self.candidate, failure.clone());
        let ended = self
            .change(move |slots| slots.abandon_trial().fail(candidate, kept))
            .await;
        self.core.collect_garbage().await;
        match ended {
            Ok(()) => self.say(Step::Failed(failure)).await,
            Err(error) => self.store_failed(&error).await,
        }
    }

    /// Nothing durable says that the order ended: it is carried on when it comes again, or with the next start.
    async fn store_failed(&self, error: &StoreError) {
        tracing::error!(model = %self.order.wanted.model, %error, "the update stops: the store cannot be used");
        let failure = Failure {
            kind: fetch::store_failure(error),
            detail: error.to_string(),
        };
        self.say(Step::Failed(failure)).await;
    }

    /// Makes a transition durable, away from the async threads.
    async fn change(
        &self,
        transition: impl FnOnce(ModelSlots) -> Result<ModelSlots, WrongState> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (core, model) = (self.core.clone(), self.order.wanted.model.clone());
        blocking(move || core.change(&model, transition)).await
    }

    /// Reports a step, durably, away from the async threads.
    async fn say(&self, step: Step) {
        let (core, candidate) = (self.core.clone(), self.candidate);
        blocking(move || core.step(&candidate, step)).await;
    }
}

fn already_failed() -> Failure {
    Failure {
        kind: FailureKind::AlreadyFailed,
        detail:
            "this bundle failed its trial here before; order it with a new attempt to try again"
                .into(),
    }
}

/// Runs disk work or inference away from the async threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let failed = match tokio::task::spawn_blocking(work).await {
        Ok(value) => return value,
        Err(failed) => failed,
    };
    match failed.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // Nobody aborts the work but a runtime that ends, and that polls nothing again.
        Err(_cancelled) => std::future::pending().await,
    }
}

impl From<TrustFailure> for Stop {
    fn from(failure: TrustFailure) -> Self {
        Self::Failed(failure.failure())
    }
}
