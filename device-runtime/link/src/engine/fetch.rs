//! Getting a planned bundle's bytes onto the disk, verified.

use espalier_protocol::ModelName;
use espalier_protocol::report::{Attack, Failure, FailureKind};
use espalier_slots::content::{ContentError, Staging};
use espalier_slots::trust::{PlanRefusal, VerifiedPlan};
use espalier_slots::{Candidate, Content, StoreError, VerifiedBundle};
use tokio::time::{Duration, Instant};

use super::core::Core;
use super::requirements;
use super::update::blocking;
use crate::door::DoorError;
use crate::download::{DownloadError, fetch_missing};

/// Progress is reported at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Why the bundle is not here.
#[derive(Debug)]
pub(super) enum FetchError {
    /// It is not what both signers spoke of.
    Refused(PlanRefusal),
    /// It could not be fetched or kept; it may be an attack.
    Failed(Failure, Option<Attack>),
}

impl From<DownloadError> for FetchError {
    fn from(error: DownloadError) -> Self {
        let (kind, attack) = match &error {
            DownloadError::Door(error) => return error.into(),
            DownloadError::TooSlow(_) => (FailureKind::DownloadFailed, None),
            DownloadError::Writer(_) => (FailureKind::StoreFailed, None),
            DownloadError::Content(error) => verdict(error),
        };
        Self::failed(kind, attack, error.to_string())
    }
}

impl From<ContentError> for FetchError {
    fn from(error: ContentError) -> Self {
        let (kind, attack) = verdict(&error);
        Self::failed(kind, attack, error.to_string())
    }
}

impl From<StoreError> for FetchError {
    fn from(error: StoreError) -> Self {
        ContentError::from(error).into()
    }
}

impl From<&DoorError> for FetchError {
    fn from(error: &DoorError) -> Self {
        let attack = matches!(error, DoorError::TooLarge { .. }).then_some(Attack::EndlessData);
        Self::failed(FailureKind::DownloadFailed, attack, error.to_string())
    }
}

impl FetchError {
    fn failed(kind: FailureKind, attack: Option<Attack>, detail: String) -> Self {
        Self::Failed(Failure { kind, detail }, attack)
    }
}

fn verdict(error: &ContentError) -> (FailureKind, Option<Attack>) {
    match error {
        ContentError::ManifestDigest(_) | ContentError::FileDigest { .. } => {
            (FailureKind::Corrupt, Some(Attack::ArbitrarySoftware))
        }
        ContentError::TooLong { .. } => (FailureKind::Corrupt, Some(Attack::EndlessData)),
        ContentError::Manifest(_) => (FailureKind::Untrusted, Some(Attack::Malformed)),
        ContentError::Short { .. } => (FailureKind::DownloadFailed, None),
        ContentError::NoSpace { .. } => (FailureKind::NoSpace, None),
        ContentError::Store(error) => (store_failure(error), None),
    }
}

/// The kind of a failure of the store itself.
pub(super) fn store_failure(error: &StoreError) -> FailureKind {
    if error.is_full() {
        FailureKind::NoSpace
    } else {
        FailureKind::StoreFailed
    }
}

/// The planned bundle, complete and verified, and the bytes that were fetched for it now.
pub(super) async fn bundle(
    core: &Core,
    plan: &VerifiedPlan,
    candidate: &Candidate,
) -> Result<(VerifiedBundle, u64), FetchError> {
    let content = core.store().content().clone();
    if let Some(bundle) = already_here(&content, candidate).await {
        plan.check_manifest(bundle.manifest())
            .map_err(FetchError::Refused)?;
        return Ok((bundle, 0));
    }
    let (manifest, mut bytes) = manifest(core, &content, plan).await?;
    let digest = candidate.bundle;
    let staging = blocking(move || content.stage(&digest, &manifest)).await?;
    plan.check_manifest(staging.manifest())
        .map_err(FetchError::Refused)?;
    requirements::check(&staging.manifest().requires, &core.inventory)
        .map_err(|failure| FetchError::Failed(failure, None))?;
    let mut staging = blocking(move || fill_from_bundles(staging)).await?;
    bytes += files(core, &plan.order().model, candidate, &mut staging).await?;
    let bundle = blocking(move || staging.finish()).await?;
    Ok((bundle, bytes))
}

/// Copies take as much room as what is fetched.
fn fill_from_bundles(mut staging: Staging) -> Result<Staging, ContentError> {
    staging.check_space()?;
    staging.take_from_bundles()?;
    Ok(staging)
}

async fn already_here(content: &Content, candidate: &Candidate) -> Option<VerifiedBundle> {
    let (content, digest) = (content.clone(), candidate.bundle);
    // One that is damaged is staged again: its whole files are taken over, the broken ones are fetched.
    blocking(move || content.verify(&digest))
        .await
        .ok()
        .flatten()
}

async fn manifest(
    core: &Core,
    content: &Content,
    plan: &VerifiedPlan,
) -> Result<(Vec<u8>, u64), FetchError> {
    let build = plan.build();
    if let Some(manifest) = content.staged_manifest(&build.bundle)? {
        return Ok((manifest, 0));
    }
    let mut failures = 0;
    let mut random = core.random();
    loop {
        let error = match core.door.blob(&build.bundle, build.manifest_bytes).await {
            Ok(Some(manifest)) => return Ok((manifest.to_vec(), manifest.len() as u64)),
            Ok(None) => {
                let detail = "the bundle's manifest is not there".to_owned();
                return Err(FetchError::failed(
                    FailureKind::DownloadFailed,
                    None,
                    detail,
                ));
            }
            Err(error) => error,
        };
        failures += 1;
        if !error.is_passing() || failures >= core.config.download_tries {
            return Err((&error).into());
        }
        tokio::time::sleep(core.config.backoff.delay(failures, &mut random)).await;
    }
}

async fn files(
    core: &Core,
    model: &ModelName,
    candidate: &Candidate,
    staging: &mut Staging,
) -> Result<u64, FetchError> {
    let total = staging.bytes_to_fetch()?;
    let mut done = 0;
    let mut said: Option<Instant> = None;
    let mut random = core.random();
    fetch_missing(&core.door, staging, core.patience(), &mut random, |bytes| {
        done += bytes;
        if said.is_none_or(|at| at.elapsed() >= PROGRESS_EVERY) {
            said = Some(Instant::now());
            core.downloading(model, candidate, done, total);
        }
    })
    .await?;
    Ok(done)
}
