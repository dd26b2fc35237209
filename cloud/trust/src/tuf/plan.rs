//! What a root shall say, before anybody signed it: who holds which role, and how many of them must sign.

use std::num::NonZeroU64;

use espalier_protocol::trust::{KeyId, TrustLevel};

use super::TufRole;
use crate::keys::PublicHalf;

/// What a root shall say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootPlan {
    /// Its version: 1 for the first, then one more each time.
    pub version: NonZeroU64,
    /// When devices stop following it.
    pub expires: jiff::Timestamp,
    /// Holders of root, and how many of them must sign.
    pub root: RoleHolders,
    /// Holders of targets.
    pub targets: RoleHolders,
    /// Holders of snapshot.
    pub snapshot: RoleHolders,
    /// Holders of timestamp.
    pub timestamp: RoleHolders,
}

/// The keys of one role and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleHolders {
    /// The keys.
    pub keys: Vec<PublicHalf>,
    /// How many of them must sign.
    pub threshold: NonZeroU64,
}

impl RoleHolders {
    /// One key that signs alone.
    #[must_use]
    pub fn one(key: PublicHalf) -> Self {
        Self {
            keys: vec![key],
            threshold: NonZeroU64::MIN,
        }
    }

    /// Several keys, of which `threshold` must sign. Whether there are as many is judged with the whole root.
    #[must_use]
    pub fn several(keys: Vec<PublicHalf>, threshold: NonZeroU64) -> Self {
        Self { keys, threshold }
    }

    /// Whether a key is among them.
    #[must_use]
    pub fn contain(&self, id: KeyId) -> bool {
        self.keys.iter().any(|key| key.id() == id)
    }
}

impl RootPlan {
    /// The holders of a role.
    #[must_use]
    pub fn holders(&self, role: TufRole) -> &RoleHolders {
        match role {
            TufRole::Root => &self.root,
            TufRole::Targets => &self.targets,
            TufRole::Snapshot => &self.snapshot,
            TufRole::Timestamp => &self.timestamp,
        }
    }

    /// The holders of a role, to be changed.
    pub fn holders_mut(&mut self, role: TufRole) -> &mut RoleHolders {
        match role {
            TufRole::Root => &mut self.root,
            TufRole::Targets => &mut self.targets,
            TufRole::Snapshot => &mut self.snapshot,
            TufRole::Timestamp => &mut self.timestamp,
        }
    }

    /// How far such a root may be trusted: development as soon as one development key holds one of its roles.
    #[must_use]
    pub fn trust(&self) -> TrustLevel {
        let mut keys = TufRole::ALL
            .into_iter()
            .flat_map(|role| &self.holders(role).keys);
        match keys.any(|key| key.trust() == TrustLevel::Development) {
            true => TrustLevel::Development,
            false => TrustLevel::Production,
        }
    }

    /// Whether devices could follow such a root, and no key can do more than its role.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn check(&self) -> Result<(), PlanError> {
        let mut seen: Vec<(KeyId, TufRole)> = Vec::new();
        for role in TufRole::ALL {
            let held = self.holders(role);
            for key in held.keys.iter().map(PublicHalf::id) {
                match seen.iter().find(|(known, _)| *known == key) {
                    Some((_, other)) if *other == role => {
                        return Err(PlanError::Twice { role, key });
                    }
                    Some((_, other)) => {
                        let other = *other;
                        return Err(PlanError::TwoRoles { role, other, key });
                    }
                    None => seen.push((key, role)),
                }
            }
            let (keys, threshold) = (held.keys.len(), held.threshold.get());
            if (keys as u64) < threshold {
                return Err(PlanError::TooFew {
                    role,
                    keys,
                    threshold,
                });
            }
        }
        let online = [TufRole::Snapshot, TufRole::Timestamp];
        match online
            .into_iter()
            .find(|role| self.holders(*role).threshold > NonZeroU64::MIN)
        {
            Some(role) => Err(PlanError::SignsAlone(role)),
            None => Ok(()),
        }
    }
}

/// Why no root can say what is planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A role that nobody could sign for any more.
    #[error("{role} would have {keys} keys, and {threshold} would have to sign")]
    TooFew {
        /// Which role.
        role: TufRole,
        /// Its keys.
        keys: usize,
        /// How many must sign.
        threshold: u64,
    },
    /// The server signs these roles by itself, with keys that lie side by side: a second one would protect nothing.
    #[error("the server signs {0} by itself: its threshold stays 1")]
    SignsAlone(TufRole),
    /// The same key would count twice.
    #[error("the key {key} holds {role} already")]
    Twice {
        /// Which role.
        role: TufRole,
        /// Which key.
        key: KeyId,
    },
    /// A thief of one key would have two roles.
    #[error("the key {key} would hold {role}, and holds {other}: make a key for each role")]
    TwoRoles {
        /// The role that it was given last.
        role: TufRole,
        /// The one before.
        other: TufRole,
        /// Which key.
        key: KeyId,
    },
}
