//! The first edition of the signed metadata: made here with development keys, or begun elsewhere in a key ceremony.

use espalier_api::error::ErrorCode;
use espalier_store::{Edition, Metadata, Role, Versions};
use espalier_trust::{
    OnlineKeys, deployer_target,
    tuf::{SignedFile, TrustedRoot, TufError, read_targets},
};

use crate::{
    authority::MadeElsewhere,
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    usecase,
};

/// What a tenant begins with.
pub(super) struct Founding {
    /// Version 1 of every role.
    pub edition: Edition,
    /// The target that they begin with.
    pub deployer_json: Vec<u8>,
}

/// Version 1 of every role.
///
/// # Errors
/// When there are neither release keys nor a first edition from elsewhere, or the latter does not fit the keys here.
pub(super) fn first_edition(cloud: &Cloud) -> Outcome<Founding> {
    match cloud.authority.release_keys()? {
        Some(release_keys) => made_here(cloud, &release_keys),
        None => begun_elsewhere(cloud, &cloud.authority.made_elsewhere()?),
    }
}

fn made_here(cloud: &Cloud, release_keys: &espalier_trust::OfflineKeys) -> Outcome<Founding> {
    let (authority, now) = (&cloud.authority, cloud.world.now());
    let online = authority.keys().oldest();
    let edition = espalier_trust::first_edition(release_keys, &online, &authority.lifetimes, now)
        .map_err(Refusal::internal)?;
    Ok(Founding {
        edition: on_nothing(vec![
            usecase::metadata(Role::Root, edition.root),
            usecase::metadata(Role::Targets, edition.targets),
            usecase::metadata(Role::Snapshot, edition.snapshot),
            usecase::metadata(Role::Timestamp, edition.timestamp),
        ]),
        deployer_json: edition.deployer_json,
    })
}

/// The release keys stay where they are; this server adds snapshot and timestamp.
fn begun_elsewhere(cloud: &Cloud, made: &MadeElsewhere) -> Outcome<Founding> {
    let root = TrustedRoot::read(&made.root).map_err(|error| unfit("1.root.json", error))?;
    let targets =
        read_targets(&root, &made.targets).map_err(|error| unfit("1.targets.json", error))?;
    if root.version().get() != 1 || targets.version().get() != 1 {
        return Err(unfit(
            "1.root.json or 1.targets.json",
            "its version is not 1",
        ));
    }
    let (deployer, deployer_json) =
        deployer_target(&cloud.authority.keys().deployer_keys()).map_err(Refusal::internal)?;
    if !targets.names(&deployer) {
        return Err(unfit(
            "1.targets.json",
            "it names other deployer keys than those that are here",
        ));
    }
    let online: OnlineKeys = cloud.authority.under(&root)?;
    let (now, lifetimes) = (cloud.world.now(), &cloud.authority.lifetimes);
    let fresh = espalier_trust::first_freshness(&root, &made.targets, &online, lifetimes, now);
    let (snapshot, timestamp) = fresh.map_err(|error: TufError| unfit("1.root.json", error))?;
    let given = |expires, bytes: &[u8]| SignedFile {
        version: std::num::NonZeroU64::MIN,
        expires,
        bytes: bytes.to_vec(),
    };
    Ok(Founding {
        edition: on_nothing(vec![
            usecase::metadata(Role::Root, given(root.expires(), &made.root)),
            usecase::metadata(Role::Targets, given(targets.expires(), &made.targets)),
            usecase::metadata(Role::Snapshot, snapshot),
            usecase::metadata(Role::Timestamp, timestamp),
        ]),
        deployer_json,
    })
}

fn on_nothing(files: Vec<Metadata>) -> Edition {
    let on = Versions::default();
    Edition { on, files }
}

fn unfit(file: &str, why: impl ToString) -> Refusal {
    Refusal::new(
        ErrorCode::Internal,
        "The first edition from the key ceremony does not fit the keys of this server.",
    )
    .with_hint("the log says why; make it anew for the keys in the state folder")
    .because(format!("{file}: {}", why.to_string()))
}
