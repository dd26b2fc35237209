//! The first edition of a repository: what a cloud must have before the first device can trust it.

use std::num::NonZeroU64;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::deployer::deployer_target;
use crate::keys::{KeyError, KeyFolder, KeyRole, KeySource, PublicHalf};
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

/// The keys that the running cloud signs with, one for each role; a [`KeyRing`](crate::KeyRing) chooses them.
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
    let plan = RootPlan {
        version: first,
        expires: now + lifetimes.root,
        root: RoleHolders::one(PublicHalf::of(&*offline.root)),
        targets: RoleHolders::one(PublicHalf::of(&*offline.targets)),
        snapshot: RoleHolders::one(PublicHalf::of(&*online.snapshot)),
        timestamp: RoleHolders::one(PublicHalf::of(&*online.timestamp)),
    };
    let root = sign_root(&plan, &[&*offline.root])?;
    let trusted = TrustedRoot::read(&root.bytes)?;
    let (deployer, deployer_json) = deployer_target(&[online.deployer.public_key()])?;
    let targets = sign_targets(
        &trusted,
        None,
        &[deployer],
        now + lifetimes.targets,
        &[&*offline.targets],
    )?;
    let (snapshot, timestamp) = first_freshness(&trusted, &targets.bytes, online, lifetimes, now)?;
    Ok(FirstEdition {
        root,
        targets,
        snapshot,
        timestamp,
        deployer_json,
    })
}

/// The first snapshot and timestamp for a root and targets that were signed elsewhere, by release keys that never come
/// near this machine.
///
/// # Errors
/// [`TufError::BadSignature`] when the targets do not hold under the root; [`TufError::WrongKeys`] when the root names
/// other keys for snapshot or timestamp.
pub fn first_freshness(
    root: &TrustedRoot,
    targets: &[u8],
    online: &OnlineKeys,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<(SignedFile, SignedFile), TufError> {
    let (named, first) = (read_targets(root, targets)?, NonZeroU64::MIN);
    let ends = now + lifetimes.snapshot;
    let snapshot = sign_snapshot(root, &named, first, ends, &*online.snapshot)?;
    let ends = now + lifetimes.timestamp;
    let timestamp = sign_timestamp(root, &snapshot, first, ends, &*online.timestamp)?;
    Ok((snapshot, timestamp))
}
