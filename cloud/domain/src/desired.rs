//! What a device should run, from the assignments that it was told of.

use std::collections::BTreeMap;

use espalier_protocol::ModelName;
use espalier_protocol::desired::{Action, DesiredModel};

use crate::assignment::{Assignment, Goal};

/// The models of a device's desired state.
///
/// `assignments` are the device's own, in the order in which it was told of them; for each model the last one
/// that still stands counts.
#[must_use]
pub fn desired_models<'a>(
    assignments: impl IntoIterator<Item = &'a Assignment>,
) -> Vec<DesiredModel> {
    let standing = assignments
        .into_iter()
        .filter(|assignment| assignment.is_open());
    let latest: BTreeMap<&ModelName, &Assignment> =
        standing.map(|found| (&found.model, found)).collect();
    latest.into_values().filter_map(desired_model).collect()
}

fn desired_model(assignment: &Assignment) -> Option<DesiredModel> {
    let (release, bundle, action) = match assignment.goal {
        Goal::Install => (assignment.release, assignment.bundle, Action::Install),
        Goal::Return => {
            let before = assignment.before?;
            (before.release, before.bundle, Action::Revert)
        }
    };
    Some(DesiredModel {
        model: assignment.model.clone(),
        assignment: assignment.id,
        attempt: assignment.attempt,
        release,
        bundle,
        action,
    })
}
