//! Takes builds from the queue and has the forge make them, one after the other: a forge uses all the
//! processors that it gets.
//!
//! A job is held by a lease. When this process dies, the lease runs out, and whoever takes the job
//! next goes on in the same folder, where the forge finds what was finished.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use espalier_api::error::ErrorCode;
use espalier_domain::build::{BuildFailure, BuildState, BundleFacts, Product, Progress};
use espalier_protocol::{
    Digest,
    id::JobId,
    job::{BuildJob, Evaluation, INPUT_FOLDER, JobEvent, OUTPUT_FOLDER},
    manifest::{MANIFEST_FILE, MODEL_FILE, Manifest},
};
use espalier_store::{Job, Lease, LeaseState, Written};
use jiff::SignedDuration;

use crate::{
    cloud::Cloud,
    forge::{ForgeFailure, ForgeProcess},
    metrics::JobLabels,
    refusal::{Outcome, Refusal},
    usecase,
};

/// How long a job is held without a heartbeat: how late another process notices that this one died.
const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// How often this process says that it is alive, and learns of cancellations.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// After so many deaths of the forge the build is at fault.
const MOST_ATTEMPTS: u32 = 3;

/// How a run ended.
enum End {
    /// By the forge's own word.
    Said(BuildState),
    /// Another process has the job now, or it has ended.
    Lost,
    /// The forge died; the job is tried again.
    Died(String),
    /// This process ends; whoever comes next goes on at once.
    Drained,
}

/// One pass: works off the queue until it is empty.
///
/// # Errors
/// When the store or the blobs fail; the job's lease runs out, and it is tried again.
pub async fn pass(cloud: &Arc<Cloud>, worker: &str) -> Outcome<()> {
    while !cloud.stopping.is_cancelled() {
        give_up(cloud).await?;
        sweep(cloud).await?;
        let now = cloud.world.now();
        let Some(job) = cloud.store()?.jobs().take(worker, now, now + LEASE).await? else {
            return Ok(());
        };
        work(cloud, job).await?;
    }
    Ok(())
}

/// Refuses the builds over which forges died too often.
async fn give_up(cloud: &Cloud) -> Outcome<()> {
    let now = cloud.world.now();
    for build in cloud.store()?.jobs().give_up(MOST_ATTEMPTS, now).await? {
        tracing::warn!(%build, "a build was given up: the forge died over it each time");
        count(cloud, "given_up");
    }
    Ok(())
}

/// Removes the folders of jobs that have ended elsewhere: given up, cancelled, or finished by a process that died before
/// it could tidy up.
async fn sweep(cloud: &Cloud) -> Outcome<()> {
    let jobs = job_folders(&cloud.settings.jobs_folder);
    let open = cloud.store()?.jobs().open_among(&jobs).await?;
    for ended in jobs.iter().filter(|job| !open.contains(job)) {
        remove(&folder_of(cloud, *ended)).await;
    }
    Ok(())
}

/// The jobs that have a folder; none while there is no place for them.
fn job_folders(jobs: &Path) -> Vec<JobId> {
    let entries = std::fs::read_dir(jobs).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn folder_of(cloud: &Cloud, job: JobId) -> PathBuf {
    cloud.settings.jobs_folder.join(job.to_string())
}

#[tracing::instrument(skip_all, fields(build = %job.lease.build, attempt = job.attempt))]
async fn work(cloud: &Arc<Cloud>, job: Job) -> Outcome<()> {
    let folder = folder_of(cloud, job.lease.job);
    let end = match patiently(cloud, || lay_out(cloud, &job.lease, &folder)).await {
        Ok(job_file) => {
            tell(cloud, &job.lease, "running").await;
            run(cloud, &job.lease, &folder, &job_file).await?
        }
        Err(refusal) if is_outage(&refusal) => End::Drained,
        Err(refusal) => End::Said(no_storage(&refusal)),
    };
    match end {
        End::Lost => count(cloud, "lost"),
        End::Died(status) => {
            tracing::warn!(status, "the forge died; the build is tried again");
            count(cloud, "died");
            // Nobody works on it: a lease that ends now lets the next try begin at once.
            let now = cloud.world.now();
            let _ended_or_not = cloud
                .store()?
                .jobs()
                .heartbeat(&job.lease, None, now)
                .await?;
        }
        End::Drained => {
            let given_back = cloud.store()?.jobs().give_back(&job.lease).await?;
            let end = match given_back {
                Written::Updated => "given_back",
                _ => "lost",
            };
            count(cloud, end);
        }
        End::Said(state) => finish(cloud, &job.lease, state, &folder).await?,
    }
    Ok(())
}

/// Does what needs the database, however long that is away: an outage is no fault of the build. Gives up only when this
/// process ends.
async fn patiently<T, F>(cloud: &Cloud, act: impl Fn() -> F) -> Outcome<T>
where
    F: Future<Output = Outcome<T>>,
{
    loop {
        match act().await {
            Err(refusal) if is_outage(&refusal) && !cloud.stopping.is_cancelled() => {
                tracing::warn!(causes = refusal.causes(), "a build waits for the database");
                tokio::select! {
                    () = tokio::time::sleep(HEARTBEAT) => {}
                    () = cloud.stopping.cancelled() => {}
                }
            }
            outcome => return outcome,
        }
    }
}

fn is_outage(refusal: &Refusal) -> bool {
    refusal.code == ErrorCode::DatabaseUnavailable
}

/// The end of a build whose files could not be read or written. To try it again would end the same way, and look as if
/// the forge had died over it.
fn no_storage(refusal: &Refusal) -> BuildState {
    tracing::warn!(
        causes = refusal.causes(),
        "a build's files are out of reach"
    );
    let detail = format!("the build's files could not be read or written: {refusal}");
    refused("storage", detail)
}

/// The job's folder as the forge expects it. Laying it out again changes nothing.
async fn lay_out(cloud: &Cloud, lease: &Lease, folder: &Path) -> Outcome<PathBuf> {
    let build = cloud
        .store()?
        .builds()
        .find(&lease.tenant, lease.build)
        .await?;
    let build = build.ok_or_else(|| Refusal::internal("a job of no build"))?;
    let version = cloud
        .store()?
        .models()
        .find(&lease.tenant, build.model_version)
        .await?;
    let version = version.ok_or_else(|| Refusal::internal("a build of no model version"))?;
    let input = folder.join(INPUT_FOLDER);
    tokio::fs::create_dir_all(&input)
        .await
        .map_err(Refusal::internal)?;
    cloud
        .blobs
        .export(version.description, &input.join(MODEL_FILE))
        .await?;
    usecase::lay_out(cloud, &input, version.files.iter()).await?;
    let order = BuildJob {
        id: lease.job,
        model_version: build.model_version,
        device_class: build.device_class,
        recipe: build.recipe,
    };
    let job_file = folder.join("job.json");
    let bytes = serde_json::to_vec_pretty(&order).map_err(Refusal::internal)?;
    tokio::fs::write(&job_file, bytes)
        .await
        .map_err(Refusal::internal)?;
    Ok(job_file)
}

async fn run(cloud: &Arc<Cloud>, lease: &Lease, folder: &Path, job_file: &Path) -> Outcome<End> {
    let arguments = [
        OsStr::new("build"),
        OsStr::new("--json"),
        OsStr::new("--job"),
        job_file.as_os_str(),
    ];
    let mut forge = match ForgeProcess::start(&cloud.settings.forge, &arguments) {
        Ok(forge) => forge,
        Err(failure) => return Ok(End::Said(refused("no-forge", failure.to_string()))),
    };
    let mut beat = tokio::time::interval(HEARTBEAT);
    let mut progress = None;
    loop {
        tokio::select! {
            line = forge.next() => match hear(line) {
                Heard::Progress(news) => {
                    if moved_on(progress.as_ref(), &news) {
                        // The next stage is news; the rest waits for the next heartbeat.
                        beat.reset_immediately();
                    }
                    progress = Some(news);
                }
                Heard::Finished(bundle, evaluation) => {
                    let taken = take_in(cloud, folder, bundle, *evaluation).await;
                    let state = taken.unwrap_or_else(|refusal| no_storage(&refusal));
                    forge.end().await.map_err(Refusal::internal)?;
                    return Ok(End::Said(state));
                }
                Heard::Refused(code, detail) => {
                    forge.end().await.map_err(Refusal::internal)?;
                    return Ok(End::Said(refused(&code, detail)));
                }
                Heard::Nonsense(detail) => {
                    forge.cancel().await.map_err(Refusal::internal)?;
                    return Ok(End::Said(refused("forge-nonsense", detail)));
                }
                Heard::Silence => {
                    let (status, last_words) = forge.end().await.map_err(Refusal::internal)?;
                    return Ok(End::Died(format!("{status}: {last_words}")));
                }
            },
            _ = beat.tick() => {
                match heartbeat(cloud, lease, progress.clone()).await? {
                    None => {}
                    Some(LeaseState::Held) => tell(cloud, lease, "progress").await,
                    Some(LeaseState::CancelRequested) => {
                        forge.cancel().await.map_err(Refusal::internal)?;
                        return Ok(End::Said(BuildState::Cancelled));
                    }
                    Some(LeaseState::Lost) => {
                        forge.cancel().await.map_err(Refusal::internal)?;
                        return Ok(End::Lost);
                    }
                }
            }
            // A cancellation rings; the next heartbeat learns of it.
            () = cloud.bells.forge.notified() => beat.reset_immediately(),
            // What the forge has finished stays in its folder; the next start goes on from there.
            () = cloud.stopping.cancelled() => return Ok(End::Drained),
        }
    }
}

/// What became of the lease; nothing is known of it while the database is away. Then the forge goes on: should somebody
/// else take the job meanwhile, the next heartbeat that comes through says so.
async fn heartbeat(
    cloud: &Cloud,
    lease: &Lease,
    progress: Option<Progress>,
) -> Outcome<Option<LeaseState>> {
    let until = cloud.world.now() + LEASE;
    match cloud
        .store()?
        .jobs()
        .heartbeat(lease, progress, until)
        .await
    {
        Ok(state) => Ok(Some(state)),
        Err(error) if error.is_transient() => {
            tracing::warn!(%error, "a heartbeat did not come through; the forge goes on");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

enum Heard {
    Progress(Progress),
    Finished(Digest, Box<Evaluation>),
    Refused(String, String),
    Nonsense(String),
    Silence,
}

fn hear(line: Result<Option<String>, ForgeFailure>) -> Heard {
    let line = match line {
        Ok(Some(line)) => line,
        Ok(None) => return Heard::Silence,
        Err(failure) => return Heard::Nonsense(failure.to_string()),
    };
    match serde_json::from_str(&line) {
        Ok(JobEvent::Progress { stage, done, total }) => {
            Heard::Progress(Progress { stage, done, total })
        }
        Ok(JobEvent::Finished { bundle, evaluation }) => Heard::Finished(bundle, evaluation),
        Ok(JobEvent::Refused { code, detail }) => Heard::Refused(code, detail),
        Err(error) => Heard::Nonsense(format!("the forge said what is no event: {error}")),
    }
}

fn moved_on(before: Option<&Progress>, now: &Progress) -> bool {
    before.is_none_or(|before| before.stage != now.stage)
}

fn refused(code: &str, detail: String) -> BuildState {
    BuildState::Failed(BuildFailure::Refused {
        code: code.to_owned(),
        detail,
    })
}

/// Takes the bundle into the blobs: every file by its digest, the manifest last, so that a manifest
/// that is there has all its files.
async fn take_in(
    cloud: &Cloud,
    folder: &Path,
    bundle: Digest,
    evaluation: Evaluation,
) -> Outcome<BuildState> {
    let output = folder.join(OUTPUT_FOLDER);
    let bytes = tokio::fs::read(output.join(MANIFEST_FILE))
        .await
        .map_err(Refusal::internal)?;
    if Digest::of(&bytes) != bundle {
        return Ok(refused(
            "forge-nonsense",
            "the bundle's manifest is not the one that the forge speaks of".to_owned(),
        ));
    }
    let manifest = match Manifest::parse(&bytes) {
        Ok(manifest) => manifest,
        Err(error) => return Ok(refused("forge-nonsense", error.to_string())),
    };
    for (path, entry) in &manifest.files {
        let file = tokio::fs::File::open(path.under(&output))
            .await
            .map_err(Refusal::internal)?;
        let stream = tokio_util::io::ReaderStream::new(file);
        cloud
            .blobs
            .receive(stream, entry.size, Some(entry.sha256), &cloud.world)
            .await?;
    }
    let facts = BundleFacts {
        digest: bundle,
        manifest_bytes: bytes.len() as u64,
        files_bytes: manifest.total_bytes(),
    };
    cloud.blobs.put(bytes).await?;
    let product = Product {
        bundle: facts,
        evaluation,
    };
    BuildState::Running(Progress::started())
        .finish(product)
        .map_err(Refusal::internal)
}

async fn finish(cloud: &Cloud, lease: &Lease, state: BuildState, folder: &Path) -> Outcome<()> {
    let outcome = state.name();
    if let BuildState::Failed(BuildFailure::Refused { code, detail }) = &state {
        tracing::warn!(code, detail, "the forge refused a build");
    }
    let written = patiently(cloud, || end_job(cloud, lease, &state)).await?;
    if written != Written::Updated {
        tracing::info!("the build had ended meanwhile");
    }
    count(cloud, outcome);
    tell(cloud, lease, outcome).await;
    remove(folder).await;
    Ok(())
}

async fn end_job(cloud: &Cloud, lease: &Lease, state: &BuildState) -> Outcome<Written> {
    let (jobs, now) = (cloud.store()?.jobs(), cloud.world.now());
    Ok(jobs.finish(lease, state.clone(), now).await?)
}

async fn remove(folder: &Path) {
    if let Err(error) = tokio::fs::remove_dir_all(folder).await {
        tracing::warn!(%error, folder = %folder.display(), "a job's folder could not be removed");
    }
}

fn count(cloud: &Cloud, outcome: &'static str) {
    cloud
        .metrics
        .forge_jobs
        .get_or_create(&JobLabels { outcome })
        .inc();
}

async fn tell(cloud: &Cloud, lease: &Lease, what: &str) {
    usecase::announce(
        cloud,
        &lease.tenant,
        &format!("build.{what}"),
        lease.build,
        serde_json::json!({}),
    )
    .await;
}
