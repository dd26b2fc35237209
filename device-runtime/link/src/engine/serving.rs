//! Letting what the slots call active serve, and telling what is wrong with it from what is wrong around it.

use std::sync::Arc;

use espalier_protocol::ModelName;
use espalier_protocol::report::{Failure, FailureKind, Installed};
use espalier_slots::VerifiedBundle;

use super::core::Core;
use super::update::blocking;

/// Why an active bundle does not serve.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// Its bytes are damaged, or the runtime refuses them: it would not serve later either.
    Lasting(Failure),
    /// The machine is at fault: no runtime, or a disk that refuses to read. Its place is kept, and it is tried again with
    /// the next start and the next order.
    Passing(Failure),
}

/// Lets the active bundle answer for its model, under the release that it is installed by. Its bytes are digested first:
/// nothing serves that was not verified by this process.
pub(super) async fn load(
    core: &Arc<Core>,
    model: &ModelName,
    active: &Installed,
) -> Result<(), Obstacle> {
    let bundle = verified(core, active).await;
    let loaded = match bundle {
        Ok(bundle) => serve(core, bundle, active).await,
        Err(obstacle) => Err(obstacle),
    };
    match &loaded {
        Ok(()) => core.serves(model),
        Err(Obstacle::Lasting(failure) | Obstacle::Passing(failure)) => {
            tracing::error!(%model, bundle = %active.bundle.short(), kind = ?failure.kind, detail = %failure.detail, "the active bundle does not serve");
            core.serves_not(model, failure);
        }
    }
    loaded
}

async fn serve(
    core: &Arc<Core>,
    bundle: VerifiedBundle,
    active: &Installed,
) -> Result<(), Obstacle> {
    let (probe, installed) = (core.probe.clone(), *active);
    let served = blocking(move || probe.serve(&bundle, &installed)).await;
    served.map_err(|failure| match failure.kind {
        FailureKind::LoadFailed => Obstacle::Lasting(failure),
        _ => Obstacle::Passing(failure),
    })
}

async fn verified(core: &Core, active: &Installed) -> Result<VerifiedBundle, Obstacle> {
    let content = core.store().content().clone();
    let digest = active.bundle;
    let corrupt = |detail: String| Failure {
        kind: FailureKind::Corrupt,
        detail,
    };
    match blocking(move || content.verify(&digest)).await {
        Ok(Some(bundle)) => Ok(bundle),
        Ok(None) => Err(Obstacle::Lasting(corrupt("its files are gone".to_owned()))),
        Err(error) if error.is_damage() => Err(Obstacle::Lasting(corrupt(error.to_string()))),
        Err(error) => Err(Obstacle::Passing(Failure {
            kind: FailureKind::StoreFailed,
            detail: error.to_string(),
        })),
    }
}
