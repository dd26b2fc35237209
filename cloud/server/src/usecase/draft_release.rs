use espalier_api::{
    error::ErrorCode,
    release::{CreateRelease, ReleaseView},
};
use espalier_domain::{
    build::Build,
    principal::Principal,
    release::{ReleaseRefusal, draft},
};
use espalier_protocol::id::ReleaseId;
use espalier_store::{DraftError, NewRelease};

use super::{announce, record, sentence};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    view,
};

/// Drafts a release. Its document is fixed here, byte by byte.
///
/// # Errors
/// `not_found` for an unknown build, `gate_not_passed`, `invalid_value`.
pub async fn draft_release(
    cloud: &Cloud,
    who: &Principal,
    request: CreateRelease,
) -> Outcome<ReleaseView> {
    let builds = find_builds(cloud, who, &request).await?;
    let first = builds
        .first()
        .ok_or_else(|| refused(ReleaseRefusal::NoBuilds))?;
    let version = cloud
        .store()?
        .models()
        .find(&who.tenant, first.model_version)
        .await?;
    let version = version.ok_or_else(|| Refusal::internal("a build of no model version"))?;
    let id = ReleaseId(cloud.world.id()?);
    let write = |counter| write(id, counter, &version, &builds);
    let drafted = cloud
        .store()?
        .releases()
        .draft(&who.tenant, &version.model, cloud.world.now(), write)
        .await;
    let release = drafted.map_err(|error| match error {
        DraftError::Refused(refusal) => refusal,
        DraftError::Store(error) => error.into(),
    })?;
    record(
        cloud,
        who,
        "release.draft",
        id,
        serde_json::json!({ "digest": release.digest }),
    )
    .await?;
    announce(
        cloud,
        &who.tenant,
        "release.drafted",
        id,
        serde_json::json!({ "model": release.document.model }),
    )
    .await;
    Ok(view::release(release, cloud.authority.trust()))
}

async fn find_builds(
    cloud: &Cloud,
    who: &Principal,
    request: &CreateRelease,
) -> Outcome<Vec<Build>> {
    let mut builds = Vec::with_capacity(request.builds.len());
    for id in &request.builds {
        let build = cloud.store()?.builds().find(&who.tenant, *id).await?;
        builds.push(build.ok_or_else(|| Refusal::absent(format!("build {id}")))?);
    }
    Ok(builds)
}

fn write(
    id: ReleaseId,
    counter: u64,
    version: &espalier_domain::model::ModelVersion,
    builds: &[Build],
) -> Outcome<NewRelease> {
    let document = draft(id, counter, version, builds).map_err(refused)?;
    let bytes = serde_json::to_vec_pretty(&document).map_err(Refusal::internal)?;
    let builds = builds
        .iter()
        .map(|build| (build.device_class.clone(), build.id))
        .collect();
    Ok(NewRelease {
        document,
        bytes,
        builds,
    })
}

fn refused(refusal: ReleaseRefusal) -> Refusal {
    let code = match refusal {
        ReleaseRefusal::NotPassed { .. } => ErrorCode::GateNotPassed,
        _ => ErrorCode::InvalidValue,
    };
    Refusal::new(code, sentence(&refusal))
}
