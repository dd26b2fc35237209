//! The first thing after a start: what was active serves again, and if it never can, what was kept does.

use std::sync::Arc;

use espalier_protocol::ModelName;
use espalier_protocol::report::{Installed, Step};
use espalier_slots::slots::Arrival;
use espalier_slots::{Candidate, StoreError};

use super::core::Core;
use super::serving::{self, Obstacle};

/// Brings every model back to serving, as far as it can be: one that cannot keeps no other from it.
pub(super) async fn serve_all(core: &Arc<Core>) {
    let models: Vec<ModelName> = core.store().slots().keys().cloned().collect();
    for model in models {
        if let Err(error) = serve(core, &model).await {
            tracing::error!(%model, %error, "a bundle that does not serve could not be dropped; the next start tries again");
        }
    }
}

async fn serve(core: &Arc<Core>, model: &ModelName) -> Result<(), StoreError> {
    let arrival = core.slots_of(model).arrival().copied();
    // At most twice: the active bundle, then the kept one in its place.
    while let Some(active) = core.slots_of(model).serving.active() {
        let (step, lasting) = match serving::load(core, model, &active).await {
            Ok(()) => return Ok(()),
            Err(Obstacle::Passing(failure)) => (Step::Failed(failure), false),
            Err(Obstacle::Lasting(failure)) => (Step::RolledBack(failure), true),
        };
        if lasting {
            core.change(model, |slots| Ok(slots.drop_active()))?;
        }
        if let Some(arrival) = arrival {
            core.step(&brought(core, &arrival, &active), step);
        }
        if !lasting {
            return Ok(());
        }
    }
    Ok(())
}

/// The order that brought what serves, to be spoken of once more.
fn brought(core: &Core, arrival: &Arrival, active: &Installed) -> Candidate {
    Candidate {
        assignment: arrival.assignment,
        attempt: arrival.attempt,
        release: active.release,
        bundle: active.bundle,
        since: core.now(),
    }
}
