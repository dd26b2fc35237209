//! What callers can do, one file for each verb. No HTTP and no MQTT in here; a principal or a device
//! in, a view or a refusal out.

mod broker_config;
mod cancel_build;
mod create_build;
mod create_rollout;
mod current_targets;
mod download_blob;
mod draft_release;
mod enrol;
mod import_model;
mod list_assignments;
mod list_builds;
mod list_devices;
mod list_events;
mod list_models;
mod list_releases;
mod list_rollouts;
mod make_claim;
mod metadata_file;
mod publication;
mod publish_root;
mod publish_targets;
mod quarantine_device;
mod readmit_device;
mod release_file;
mod released_blob;
mod renew;
mod revoke_device;
mod segment;
mod set_labels;
mod sign_bundles;
mod sign_release;
mod signing_request;
mod steer_rollout;
mod upload_blob;

pub use broker_config::broker_config;
pub use cancel_build::cancel_build;
pub use create_build::create_build;
pub use create_rollout::create_rollout;
pub use current_targets::current_targets;
pub use download_blob::download_blob;
pub use draft_release::draft_release;
pub use enrol::enrol;
pub use import_model::{import_client, import_model, lay_out, sweep_imports};
pub use list_assignments::list_assignments;
pub use list_builds::{list_builds, show_build};
pub use list_devices::{list_devices, show_device};
pub use list_events::{list_device_events, list_rollout_events};
pub use list_models::{list_model_versions, list_models, show_model_version};
pub use list_releases::{list_releases, show_release};
pub use list_rollouts::{list_rollouts, show_rollout};
pub use make_claim::make_claim;
pub use metadata_file::{TIMESTAMP_FILE, metadata_file};
pub use publication::{Standing, metadata};
pub use publish_root::{keep_beside_keys, publish_root};
pub use publish_targets::publish_targets;
pub use quarantine_device::quarantine_device;
pub use readmit_device::readmit_device;
pub use release_file::release_file;
pub use released_blob::released_blob;
pub use renew::renew;
pub use revoke_device::revoke_device;
pub use segment::segment;
pub use set_labels::set_labels;
pub use sign_bundles::sign_bundles;
pub use sign_release::sign_release;
pub use signing_request::signing_request;
pub use steer_rollout::steer_rollout;
pub use upload_blob::upload_blob;

use espalier_api::{
    error::ErrorCode,
    page::PageQuery,
    system::{ReadinessView, VersionView},
};
use espalier_domain::{
    audit::{Actor, AuditEntry},
    principal::Principal,
};
use espalier_protocol::Tenant;
use espalier_store::NewEvent;

use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal, sentence},
};

/// The version of the wire protocol: the `v1` of topics and message types.
const PROTOCOL: u32 = 1;

/// Which parts answer.
#[must_use]
pub fn readiness(cloud: &Cloud) -> ReadinessView {
    cloud.readiness.view()
}

/// What is running.
#[must_use]
pub fn version(cloud: &Cloud) -> VersionView {
    VersionView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        trust: cloud.authority.trust(),
    }
}

/// Writes what a principal did into the audit log.
async fn record(
    cloud: &Cloud,
    who: &Principal,
    action: &str,
    subject: impl ToString,
    detail: serde_json::Value,
) -> Outcome<()> {
    let entry = AuditEntry {
        at: cloud.world.now(),
        tenant: who.tenant.clone(),
        actor: Actor::Principal(who.id),
        action: action.to_owned(),
        subject: subject.to_string(),
        detail,
    };
    Ok(cloud.store()?.audit().append(&entry).await?)
}

/// Tells open consoles. An event that cannot be told is logged and forgotten: it is a convenience,
/// and what it speaks of is done.
pub async fn announce(
    cloud: &Cloud,
    tenant: &Tenant,
    kind: &str,
    subject: impl ToString,
    payload: serde_json::Value,
) {
    let event = NewEvent {
        at: cloud.world.now(),
        kind: kind.to_owned(),
        subject: subject.to_string(),
        payload,
    };
    let told = match cloud.store() {
        Ok(store) => store
            .events()
            .append(tenant, &[event])
            .await
            .map_err(Refusal::from),
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = told {
        tracing::warn!(
            kind,
            causes = refusal.causes(),
            "an event could not be told"
        );
    }
}

/// Where a page goes on: its list is cut after the row that is named by this.
fn cursor<T: std::str::FromStr>(query: &PageQuery) -> Outcome<Option<T>> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            Refusal::new(
                ErrorCode::MalformedParameter,
                format!("`{text}` is no cursor of this list."),
            )
        })
    };
    query.after.as_ref().map(parse).transpose()
}
