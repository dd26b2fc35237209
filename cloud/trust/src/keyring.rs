//! All keys that the running cloud holds. While one replaces another both lie here; signed metadata say which counts.

use std::sync::Arc;

use espalier_protocol::trust::{DeployerKeys, KeyId, PublicKey, TrustLevel};

use crate::ceremony::OnlineKeys;
use crate::deployer::Deployer;
use crate::keys::{KeyError, KeyFolder, KeyRole, KeySource, PublicHalf};
use crate::tuf::{RoleHolders, TrustedRoot, TufError};

/// The keys of one role: never none.
#[derive(Debug, Clone)]
struct Keys {
    oldest: Arc<dyn KeySource>,
    /// Those that came later, in their order.
    later: Vec<Arc<dyn KeySource>>,
}

impl Keys {
    fn open(folder: &KeyFolder, role: KeyRole, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let mut keys = folder.open_all(role, passphrase)?.into_iter();
        let none = || KeyError::None {
            role,
            path: folder.file(role),
        };
        Ok(Self {
            oldest: keys.next().ok_or_else(none)?,
            later: keys.collect(),
        })
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<dyn KeySource>> {
        std::iter::once(&self.oldest).chain(&self.later)
    }
}

/// All keys that the running cloud holds.
#[derive(Debug, Clone)]
pub struct KeyRing {
    snapshot: Keys,
    timestamp: Keys,
    deployer: Keys,
    device_ca: Arc<dyn KeySource>,
}

/// A key that is not here.
#[derive(Debug, thiserror::Error)]
pub enum NotHeld {
    /// The root asks for keys that the cloud does not have.
    #[error("root version {version} names {} for {role}, and no such key is here", words(.named))]
    Named {
        /// The root's version.
        version: u64,
        /// Which role nobody could sign for.
        role: KeyRole,
        /// The keys that would do.
        named: Vec<KeyId>,
    },
    /// The targets let others speak.
    #[error("the targets name none of the deployer keys that are here")]
    NotListed,
    /// Devices of a production chain never agreed to a key that anybody with the disk may use.
    #[error(
        "the {role} key {key} lies in the clear, and the root is a production root: only keys with a passphrase count under it"
    )]
    InTheClear {
        /// What it would speak for.
        role: KeyRole,
        /// The key.
        key: KeyId,
    },
    /// The root cannot be read.
    #[error(transparent)]
    Root(#[from] TufError),
}

fn words(ids: &[KeyId]) -> String {
    let words: Vec<_> = ids.iter().map(ToString::to_string).collect();
    words.join(" or ")
}

/// The key, if it may be trusted as far as the root that it speaks under.
fn as_trusted(
    key: &Arc<dyn KeySource>,
    role: KeyRole,
    root: TrustLevel,
) -> Result<Arc<dyn KeySource>, NotHeld> {
    match (root, key.trust()) {
        (TrustLevel::Production, TrustLevel::Development) => Err(NotHeld::InTheClear {
            role,
            key: key.public_key().id(),
        }),
        _ => Ok(Arc::clone(key)),
    }
}

impl KeyRing {
    /// Opens all keys of a folder.
    ///
    /// # Errors
    /// As [`KeyFolder::open_all`].
    pub fn open(folder: &KeyFolder, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let open = |role| Keys::open(folder, role, passphrase);
        Ok(Self {
            snapshot: open(KeyRole::Snapshot)?,
            timestamp: open(KeyRole::Timestamp)?,
            deployer: open(KeyRole::Deployer)?,
            // Devices believe one authority from their enrolment on: a second key would say nothing to them.
            device_ca: Arc::new(folder.open(KeyRole::DeviceCa, passphrase)?),
        })
    }

    /// The keys by which the cloud speaks under a root: the newest ones that it names.
    ///
    /// # Errors
    /// [`NotHeld`] when none of those that it names is here, or the newest of them is weaker than the root.
    pub fn under(&self, root: &TrustedRoot) -> Result<OnlineKeys, NotHeld> {
        let plan = root.plan()?;
        let choose = |keys: &Keys, role, holders: &RoleHolders| {
            let newest = keys
                .iter()
                .rev()
                .find(|key| holders.contain(key.public_key().id()));
            let newest = newest.ok_or_else(|| NotHeld::Named {
                version: plan.version.get(),
                role,
                named: holders.keys.iter().map(PublicHalf::id).collect(),
            })?;
            as_trusted(newest, role, root.trust())
        };
        Ok(OnlineKeys {
            snapshot: choose(&self.snapshot, KeyRole::Snapshot, &plan.snapshot)?,
            timestamp: choose(&self.timestamp, KeyRole::Timestamp, &plan.timestamp)?,
            ..self.oldest()
        })
    }

    /// One key of each role before there is a root: what a first root is to name.
    #[must_use]
    pub fn oldest(&self) -> OnlineKeys {
        OnlineKeys {
            snapshot: Arc::clone(&self.snapshot.oldest),
            timestamp: Arc::clone(&self.timestamp.oldest),
            deployer: Arc::clone(&self.deployer.oldest),
            device_ca: Arc::clone(&self.device_ca),
        }
    }

    /// The public halves of the deployer's keys, the oldest first: what the next targets should name.
    #[must_use]
    pub fn deployer_keys(&self) -> Vec<PublicKey> {
        self.deployer.iter().map(|key| key.public_key()).collect()
    }

    /// The deployer that devices believe: the last one of their list that is here.
    ///
    /// # Errors
    /// [`NotHeld::NotListed`] when they believe others only; [`NotHeld::InTheClear`] when it is weaker than their root.
    pub fn deployer(&self, believed: &DeployerKeys, root: TrustLevel) -> Result<Deployer, NotHeld> {
        let here =
            |public: &PublicKey| self.deployer.iter().find(|key| key.public_key() == *public);
        let newest = believed.keys.iter().rev().find_map(here);
        let newest = newest.ok_or(NotHeld::NotListed)?;
        as_trusted(newest, KeyRole::Deployer, root).map(Deployer::new)
    }

    /// The key that signs certificates.
    #[must_use]
    pub fn device_ca(&self) -> Arc<dyn KeySource> {
        Arc::clone(&self.device_ca)
    }

    /// How far what these keys sign may be trusted: no further than the weakest of them.
    #[must_use]
    pub fn trust(&self) -> TrustLevel {
        let online = [&self.snapshot, &self.timestamp, &self.deployer];
        let mut keys = online
            .into_iter()
            .flat_map(Keys::iter)
            .chain([&self.device_ca]);
        match keys.any(|key| key.trust() == TrustLevel::Development) {
            true => TrustLevel::Development,
            false => TrustLevel::Production,
        }
    }
}
