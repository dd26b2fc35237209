use espalier_api::{
    page::{Page, PageQuery},
    rollout::AssignmentView,
};
use espalier_domain::principal::Principal;
use espalier_protocol::{DeviceName, id::RolloutId};

use super::{cursor, list_rollouts};
use crate::{cloud::Cloud, refusal::Outcome, view};

/// A rollout's assignments by device.
///
/// # Errors
/// `not_found`, `malformed_parameter`.
pub async fn list_assignments(
    cloud: &Cloud,
    who: &Principal,
    id: RolloutId,
    query: &PageQuery,
) -> Outcome<Page<AssignmentView>> {
    list_rollouts::find(cloud, who, id).await?;
    let after: Option<DeviceName> = cursor(query)?;
    let limit = query.rows();
    let rows = cloud
        .store()?
        .assignments()
        .of_rollout(&who.tenant, id, after.as_ref(), limit + 1)
        .await?;
    let views = rows.into_iter().map(view::assignment).collect();
    Ok(Page::cut(views, limit, |view: &AssignmentView| {
        view.device.to_string()
    }))
}
