//! Reconcilers: each takes no input, looks at everything, and brings it one step nearer to what it
//! should be. They run on a timer and on a signal; a signal only makes the next pass come sooner, so a
//! lost one costs time, never correctness.

mod desired;
mod events;
mod forge;
mod founding;
mod metadata;
mod notices;
mod parts;
mod restore;
mod rollouts;

use std::{sync::Arc, time::Duration};

use espalier_protocol::Digest;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    cloud::Cloud,
    metrics::{Metrics, ReconcilerLabels},
    readiness::Part,
    refusal::Outcome,
};

/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The first pause after a failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Seconds between two looks at all rollouts.
const PLAN_SECONDS: u64 = 5;

/// When a reconciler runs.
#[derive(Clone)]
pub struct Rhythm {
    /// Its name in logs and metrics.
    pub name: &'static str,
    /// A pass begins at least this often.
    pub period: Duration,
    /// Makes the next pass begin at once.
    pub signal: Arc<Notify>,
}

/// Runs passes until `stop`. A pass that fails is repeated after a pause that grows; one that was
/// begun is always finished, so that a drain leaves nothing half done.
pub async fn keep<F>(
    rhythm: Rhythm,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    mut pass: impl FnMut() -> F,
) where
    F: Future<Output = Outcome<()>>,
{
    let mut pause: Option<Duration> = None;
    while !stop.is_cancelled() {
        pause = match pass().await {
            Ok(()) => None,
            Err(refusal) => {
                let causes = refusal.causes();
                tracing::warn!(reconciler = rhythm.name, problem = %refusal, causes, "a pass failed; it is tried again");
                metrics
                    .reconcile_failures
                    .get_or_create(&ReconcilerLabels {
                        reconciler: rhythm.name,
                    })
                    .inc();
                Some(pause.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE)))
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = signalled(&rhythm, pause) => {}
            () = tokio::time::sleep(pause.unwrap_or(rhythm.period)) => {}
        }
    }
}

/// After a failure a signal must not make a broken part be hammered.
async fn signalled(rhythm: &Rhythm, pause: Option<Duration>) {
    match pause {
        None => rhythm.signal.notified().await,
        Some(_) => std::future::pending().await,
    }
}

/// What has to be done once the database answers.
pub struct Bootstrap {
    /// Where the database is.
    pub database_url: String,
    /// The digest of the admin token.
    pub admin_token: Digest,
}

/// Starts every reconciler.
pub fn run_all(cloud: &Arc<Cloud>, bootstrap: Bootstrap, tasks: &mut JoinSet<()>) {
    tasks.spawn(notices::listen(
        Arc::clone(cloud),
        bootstrap.database_url.clone(),
    ));
    let every = |name, seconds| Rhythm {
        name,
        period: Duration::from_secs(seconds),
        signal: Arc::default(),
    };
    let rung = |name, seconds, bell: &Arc<Notify>| Rhythm {
        signal: Arc::clone(bell),
        ..every(name, seconds)
    };

    let parts = Arc::new(parts::Parts::new(bootstrap));
    spawn(tasks, cloud, every("parts", 2), move |cloud| {
        let parts = Arc::clone(&parts);
        async move { parts.pass(&cloud).await }
    });
    once_founded(
        tasks,
        cloud,
        rung("rollouts", PLAN_SECONDS, &cloud.bells.plan),
        |cloud| async move { rollouts::pass(&cloud).await },
    );
    let publisher = Arc::new(desired::Publisher::default());
    once_founded(
        tasks,
        cloud,
        rung("desired", 5, &cloud.bells.publish),
        move |cloud| {
            let publisher = Arc::clone(&publisher);
            async move { publisher.pass(&cloud).await }
        },
    );
    once_founded(tasks, cloud, every("metadata", 60), |cloud| async move {
        metadata::pass(&cloud).await
    });
    once_founded(tasks, cloud, every("events", 600), |cloud| async move {
        events::pass(&cloud).await
    });
    let worker: Arc<str> = format!(
        "{}-{}",
        std::process::id(),
        cloud.world.now().as_nanosecond()
    )
    .into();
    once_founded(
        tasks,
        cloud,
        rung("forge", 5, &cloud.bells.forge),
        move |cloud| {
            let worker = Arc::clone(&worker);
            async move { forge::pass(&cloud, &worker).await }
        },
    );
}

/// A reconciler that may do nothing before database and keys are known to belong together.
fn once_founded<F>(
    tasks: &mut JoinSet<()>,
    cloud: &Arc<Cloud>,
    rhythm: Rhythm,
    mut pass: impl FnMut(Arc<Cloud>) -> F + Send + 'static,
) where
    F: Future<Output = Outcome<()>> + Send + 'static,
{
    spawn(tasks, cloud, rhythm, move |cloud| {
        let founded = cloud.readiness.is_up(Part::Trust);
        let begun = founded.then(|| pass(cloud));
        async move {
            match begun {
                Some(pass) => pass.await,
                None => Ok(()),
            }
        }
    });
}

fn spawn<F>(
    tasks: &mut JoinSet<()>,
    cloud: &Arc<Cloud>,
    rhythm: Rhythm,
    mut pass: impl FnMut(Arc<Cloud>) -> F + Send + 'static,
) where
    F: Future<Output = Outcome<()>> + Send + 'static,
{
    let (shared, metrics, stop) = (
        Arc::clone(cloud),
        Arc::clone(&cloud.metrics),
        cloud.stopping.clone(),
    );
    tasks.spawn(keep(rhythm, metrics, stop, move || {
        pass(Arc::clone(&shared))
    }));
}
