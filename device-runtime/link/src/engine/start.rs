//! The first thing after a start: what was active serves again, and if it cannot, what was kept does.

use std::sync::Arc;

use espalier_protocol::ModelName;
use espalier_protocol::report::{Failure, FailureKind, Installed, Step};
use espalier_slots::{Candidate, StoreError, VerifiedBundle};

use super::core::Core;
use super::update::blocking;

/// Brings every model back to serving. Bytes are digested again first: nothing serves that was not verified by this process.
///
/// # Errors
/// The store's, when it cannot note that a bundle was dropped.
pub(super) async fn serve_all(core: &Arc<Core>) -> Result<(), StoreError> {
    let models: Vec<ModelName> = core.store().slots().keys().cloned().collect();
    for model in models {
        serve(core, &model).await?;
    }
    Ok(())
}

async fn serve(core: &Arc<Core>, model: &ModelName) -> Result<(), StoreError> {
    // At most twice: the active bundle, then the kept one in its place.
    while let Some(active) = core.slots_of(model).serving.active() {
        let failure = match load(core, &active).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        tracing::error!(%model, bundle = %active.bundle.short(), detail = %failure.detail, "the active bundle does not serve");
        let arrival = core.slots_of(model).arrival().copied();
        core.change(model, |slots| Ok(slots.drop_active()))?;
        if let Some(arrival) = arrival {
            let candidate = Candidate {
                assignment: arrival.assignment,
                attempt: arrival.attempt,
                release: active.release,
                bundle: active.bundle,
                since: core.now(),
            };
            core.step(&candidate, Step::RolledBack(failure));
        }
    }
    Ok(())
}

async fn load(core: &Arc<Core>, active: &Installed) -> Result<(), Failure> {
    let bundle = verified(core, active).await?;
    let (probe, installed) = (core.probe.clone(), *active);
    blocking(move || probe.serve(&bundle, &installed)).await
}

async fn verified(core: &Arc<Core>, active: &Installed) -> Result<VerifiedBundle, Failure> {
    let content = core.store().content().clone();
    let digest = active.bundle;
    let corrupt = |detail: String| Failure {
        kind: FailureKind::Corrupt,
        detail,
    };
    match blocking(move || content.verify(&digest)).await {
        Ok(Some(bundle)) => Ok(bundle),
        Ok(None) => Err(corrupt("its files are gone".to_owned())),
        Err(error) => Err(corrupt(error.to_string())),
    }
}
