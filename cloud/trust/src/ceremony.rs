//! The first edition of a repository: what a cloud must have before the first device can trust it.

use std::num::NonZeroU64;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::deployer::deployer_target;
use crate::keys::{KeyError, KeyFolder, KeyRole, KeySource};
use crate::tuf::{
    RoleHolders, RootPlan, SignedFile, TrustedRoot, TufError, read_targets, sign_root,
    sign_snapshot, sign_targets, sign_timestamp,
};

/// How long signed metadata is trusted after it was signed.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Roots.
    pub root: SignedDuration,
    /// Targets.
    pub targets: SignedDuration,
    /// Snapshots.
    pub snapshot: SignedDuration,
    /// Timestamps: how long a device can be kept from news before it notices.
    pub timestamp: SignedDuration,
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Default for Lifetimes {
    /// A year and a half for what people sign by hand, a week for what the cloud signs by itself: an operator
    /// who is away for a long weekend must not come home to a frozen fleet.
    fn default() -> Self {
        let long = DAY * 540;
        Self {
            root: long,
            targets: long,
            snapshot: DAY * 7,
            timestamp: DAY * 7,
        }
    }
}

/// The release keys; in production they never come near the cloud's machines.
#[derive(Debug, Clone)]
pub struct OfflineKeys {
    /// Holds root.
    pub root: Arc<dyn KeySource>,
    /// Holds targets.
    pub targets: Arc<dyn KeySource>,
}

impl OfflineKeys {
    /// Opens both from a folder.
    ///
    /// # Errors
    /// As [`KeyFolder::open`].
    pub fn open(folder: &KeyFolder, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let open = |role| {
            folder
                .open(role, passphrase)
                .map(|key| Arc::new(key) as Arc<dyn KeySource>)
        };
        Ok(Self {
            root: open(KeyRole::Root)?,
            targets: open(KeyRole::Targets)?,
        })
    }
}

/// The keys that the running cloud holds.
#[derive(Debug, Clone)]
pub struct OnlineKeys {
    /// Holds snapshot.
    pub snapshot: Arc<dyn KeySource>,
    /// Holds timestamp.
    pub timestamp: Arc<dyn KeySource>,
    /// Signs desired states and acknowledgements.
    pub deployer: Arc<dyn KeySource>,
    /// Signs certificates.
    pub device_ca: Arc<dyn KeySource>,
}

impl OnlineKeys {
    /// Opens all of them from a folder.
    ///
    /// # Errors
    /// As [`KeyFolder::open`].
    pub fn open(folder: &KeyFolder, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let open = |role| {
            folder
                .open(role, passphrase)
                .map(|key| Arc::new(key) as Arc<dyn KeySource>)
        };
        Ok(Self {
            snapshot: open(KeyRole::Snapshot)?,
            timestamp: open(KeyRole::Timestamp)?,
            deployer: open(KeyRole::Deployer)?,
            device_ca: open(KeyRole::DeviceCa)?,
        })
    }
}

/// Version 1 of every role, and the one target that they begin with.
#[derive(Debug, Clone)]
pub struct FirstEdition {
    /// `1.root.json`.
    pub root: SignedFile,
    /// `1.targets.json`.
    pub targets: SignedFile,
    /// `1.snapshot.json`.
    pub snapshot: SignedFile,
    /// `timestamp.json`.
    pub timestamp: SignedFile,
    /// The bytes of the target that lists the deployer's keys; served by digest like every target.
    pub deployer_json: Vec<u8>,
}

/// Signs the first edition. The release keys are at hand once, here, and afterwards only where releases are signed.
///
/// # Errors
/// [`TufError::Key`] when a key would not sign.
pub fn first_edition(
    offline: &OfflineKeys,
    online: &OnlineKeys,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<FirstEdition, TufError> {
    let first = NonZeroU64::MIN;
    let root = sign_root(&RootPlan {
        version: first,
        expires: now + lifetimes.root,
        root: RoleHolders::one(&*offline.root),
        targets: RoleHolders::one(&*offline.targets),
        snapshot: RoleHolders::one(&*online.snapshot),
        timestamp: RoleHolders::one(&*online.timestamp),
    })?;
    let trusted = TrustedRoot::read(&root.bytes)?;
    let (deployer, deployer_json) = deployer_target(&[online.deployer.public_key()])?;
    let targets = sign_targets(
        &trusted,
        None,
        &[deployer],
        now + lifetimes.targets,
        &[&*offline.targets],
    )?;
    let named = read_targets(&trusted, &targets.bytes)?;
    let snapshot = sign_snapshot(
        &trusted,
        &named,
        first,
        now + lifetimes.snapshot,
        &*online.snapshot,
    )?;
    let timestamp = sign_timestamp(
        &trusted,
        &snapshot,
        first,
        now + lifetimes.timestamp,
        &*online.timestamp,
    )?;
    Ok(FirstEdition {
        root,
        targets,
        snapshot,
        timestamp,
        deployer_json,
    })
}
