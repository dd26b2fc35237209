use espalier_api::{
    TrustLevel,
    release::{ReleaseBuildView, ReleaseState, ReleaseView},
};
use espalier_domain::release::{Release, ReleaseState as Known};
use espalier_protocol::release::ReleasedBuild;

use super::action;

/// A release as clients see it; `trust` is the level of the keys that sign here.
#[must_use]
pub fn release(release: Release, trust: TrustLevel) -> ReleaseView {
    let signed = matches!(release.state, Known::Signed { .. });
    let sign = signed.then(|| "The release is signed already.".to_owned());
    let rollout = release
        .require_signed()
        .err()
        .map(|refusal| format!("{refusal}."));
    let builds = release
        .document
        .builds
        .iter()
        .filter_map(|built| build(&release, built))
        .collect();
    ReleaseView {
        id: release.id(),
        model: release.document.model.clone(),
        model_version: release.document.model_version,
        counter: release.document.counter,
        digest: release.digest,
        created_at: release.created_at,
        state: match release.state {
            Known::Draft => ReleaseState::Draft,
            Known::Signed {
                at,
                targets_version,
            } => ReleaseState::Signed {
                signed_at: at,
                targets_version,
                trust,
            },
        },
        builds,
        actions: vec![action("sign", sign), action("rollout", rollout)],
    }
}

fn build(release: &Release, built: &ReleasedBuild) -> Option<ReleaseBuildView> {
    Some(ReleaseBuildView {
        build: *release.builds.get(&built.device_class)?,
        device_class: built.device_class.clone(),
        bundle: built.bundle,
        manifest_bytes: built.manifest_bytes,
        files_bytes: built.files_bytes,
        signature: release.signatures.get(&built.device_class).copied(),
    })
}
