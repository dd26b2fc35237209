//! The key ceremony's word arrives: the root that devices follow from now on.

use espalier_api::{
    error::ErrorCode,
    tuf::{PublishRoot, TufTargetsView},
};
use espalier_domain::principal::Principal;
use espalier_protocol::Tenant;
use espalier_store::{Edition, Metadata, Role, Written};
use espalier_trust::tuf::{
    ChainError, TrustedRoot, TrustedTargets, TufError, accept_root, read_targets,
};

use super::{
    announce, current_targets,
    publication::{LEAST_LIFE, Standing, TRIES, named},
    publish_targets::{overtaken, signed_anew},
    record,
};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal, sentence},
};

/// Checks what every device will check, and more: that this server can go on under the new root. Then publishes the
/// root with snapshot and timestamp by the keys that it names, and with the targets that were signed anew where it
/// needs them: all of it, or nothing. Every desired state is signed anew, so that each device hears of the root.
///
/// # Errors
/// `invalid_root`; `key_missing`; `targets_needed`, `invalid_signature`; `conflict` when others published meanwhile.
pub async fn publish_root(
    cloud: &Cloud,
    who: &Principal,
    request: PublishRoot,
) -> Outcome<TufTargetsView> {
    cloud.authority.look_again().await?;
    for _ in 0..TRIES {
        let Signed {
            next,
            targets,
            edition,
        } = signed(cloud, &who.tenant, &request).await?;
        let (tuf, now) = (cloud.store()?.tuf(), cloud.world.now());
        if tuf.publish_anew(&who.tenant, &edition, now).await? == Written::Updated {
            cloud.authority.deployers.forget(&who.tenant, targets);
            return published(cloud, who, &next).await;
        }
    }
    Err(overtaken())
}

async fn published(cloud: &Cloud, who: &Principal, next: &TrustedRoot) -> Outcome<TufTargetsView> {
    keep_beside_keys(cloud, next);
    let version = next.version();
    let detail = serde_json::json!({ "root_version": version });
    record(cloud, who, "root.publish", version, detail.clone()).await?;
    announce(cloud, &who.tenant, "root.published", version, detail).await;
    current_targets(cloud, who).await
}

/// Devices follow the root already; who signs releases on this machine only has to be given it by hand.
pub fn keep_beside_keys(cloud: &Cloud, root: &TrustedRoot) {
    if let Err(refusal) = cloud.authority.keep_root(root) {
        let causes = refusal.causes();
        tracing::warn!(
            version = root.version(),
            causes,
            "devices follow the root, and it could not be kept beside the keys"
        );
    }
}

/// All that is published together.
struct Signed {
    next: TrustedRoot,
    /// The version of the targets from then on.
    targets: u64,
    edition: Edition,
}

async fn signed(cloud: &Cloud, tenant: &Tenant, request: &PublishRoot) -> Outcome<Signed> {
    let standing = Standing::read(cloud, tenant).await?;
    let good_until = cloud.world.now() + LEAST_LIFE;
    let offered = request.root_json.as_bytes();
    let next = accept_root(&standing.root, offered, good_until).map_err(refused)?;
    cloud.authority.under(&next)?;
    let mut files = vec![Metadata {
        role: Role::Root,
        version: next.version().get(),
        expires_at: next.expires(),
        bytes: next.bytes().to_vec(),
    }];
    let targets = match &request.targets {
        Some(offered) => {
            let targets = signed_anew(cloud, &next, &standing.targets, offered).await?;
            files.push(named(&targets));
            targets
        }
        None => still_hold(&next, &standing.targets)?,
    };
    Ok(Signed {
        targets: targets.version().get(),
        edition: standing.edition(cloud, tenant, &next, &targets, files)?,
        next,
    })
}

/// Devices are never left with targets that the new root does not vouch for.
fn still_hold(next: &TrustedRoot, current: &TrustedTargets) -> Outcome<TrustedTargets> {
    read_targets(next, current.bytes()).map_err(|error| {
        let (root, version) = (next.version(), current.version());
        Refusal::new(
            ErrorCode::TargetsNeeded,
            format!("Targets version {version} are not signed by enough of the keys that root version {root} names for targets."),
        )
        .with_hint(format!(
            "have the new holders sign them anew and publish both together: `espalier keys targets next --root {root}.root.json --previous-root …`, `espalier keys targets sign`, `espalier keys root publish {root}.root.json --targets DRAFT`"
        ))
        .because(error)
    })
}

fn refused(error: ChainError) -> Refusal {
    let code = match &error {
        ChainError::Tuf(TufError::TooLarge { .. }) => ErrorCode::TooLarge,
        _ => ErrorCode::InvalidRoot,
    };
    let hint = match &error {
        ChainError::WrongVersion { .. } => {
            "draft the next root from the one that devices follow now: `espalier keys root next`"
        }
        ChainError::NotByTheOld { .. } | ChainError::NotByTheNew { .. } => {
            "`espalier keys root show DRAFT` says who must sign and who has"
        }
        _ => "draft another one: `espalier keys root next`",
    };
    Refusal::new(code, sentence(&error))
        .with_hint(hint)
        .because(error)
}
