//! The root: which keys hold which role. Its first edition travels with every claim.

use std::collections::HashMap;
use std::num::NonZeroU64;

use espalier_protocol::trust::TrustLevel;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::Key;
use tough::schema::{Role, RoleKeys, RoleType, Root, Signed};

use super::{Allowed, SPEC_VERSION, SignedFile, TufError, key_id, malformed, parse, sign, tuf_key};
use crate::keys::KeySource;

/// The root's own field that says that a development key holds one of its roles.
pub const TRUST_FIELD: &str = "x-espalier-trust";

const ROLE: &str = "root";

/// What a root shall say.
pub struct RootPlan<'a> {
    /// Its version: 1 for the first, then one more each time.
    pub version: NonZeroU64,
    /// When devices stop following it.
    pub expires: jiff::Timestamp,
    /// Holders of root, and how many of them must sign.
    pub root: RoleHolders<'a>,
    /// Holders of targets.
    pub targets: RoleHolders<'a>,
    /// Holders of snapshot.
    pub snapshot: RoleHolders<'a>,
    /// Holders of timestamp.
    pub timestamp: RoleHolders<'a>,
}

/// The keys of one role and how many of them must sign.
#[derive(Clone)]
pub struct RoleHolders<'a> {
    keys: Vec<&'a dyn KeySource>,
    threshold: NonZeroU64,
}

impl<'a> RoleHolders<'a> {
    /// One key that signs alone.
    #[must_use]
    pub fn one(key: &'a dyn KeySource) -> Self {
        Self {
            keys: vec![key],
            threshold: NonZeroU64::MIN,
        }
    }

    /// Several keys, of which `threshold` must sign.
    ///
    /// # Errors
    /// [`TufError::WrongKeys`] when more must sign than there are.
    pub fn several(keys: Vec<&'a dyn KeySource>, threshold: NonZeroU64) -> Result<Self, TufError> {
        let holders = Self { keys, threshold };
        let allowed = Allowed {
            keyids: holders.key_ids()?,
            threshold,
        };
        allowed.enough("the role", holders.keys.len())?;
        Ok(holders)
    }

    fn key_ids(&self) -> Result<Vec<Decoded<Hex>>, TufError> {
        self.keys.iter().map(|key| key_id(*key)).collect()
    }
}

/// Makes a root and signs it with its own root keys.
///
/// A root that names a development key for any role is marked as development for good: whoever holds the
/// file can see it, and devices refuse it unless they were started for it.
///
/// # Errors
/// [`TufError::Key`] when a key would not sign.
pub fn sign_root(plan: &RootPlan<'_>) -> Result<SignedFile, TufError> {
    let holders = [
        (RoleType::Root, &plan.root),
        (RoleType::Targets, &plan.targets),
        (RoleType::Snapshot, &plan.snapshot),
        (RoleType::Timestamp, &plan.timestamp),
    ];
    let mut keys: HashMap<Decoded<Hex>, Key> = HashMap::new();
    let mut roles = HashMap::new();
    for (role, held) in holders {
        let keyids = held.key_ids()?;
        keys.extend(
            keyids
                .iter()
                .cloned()
                .zip(held.keys.iter().map(|key| tuf_key(*key))),
        );
        roles.insert(
            role,
            RoleKeys {
                keyids,
                threshold: held.threshold,
                _extra: HashMap::new(),
            },
        );
    }
    let root = Root {
        spec_version: SPEC_VERSION.to_owned(),
        consistent_snapshot: true,
        version: plan.version,
        expires: plan.expires,
        keys,
        roles,
        _extra: marks(holders.iter().flat_map(|(_, held)| &held.keys)),
    };
    let allowed = allowed(&root, RoleType::Root)?;
    sign(root, ROLE, &allowed, &plan.root.keys)
}

fn marks<'a>(
    keys: impl Iterator<Item = &'a &'a dyn KeySource>,
) -> HashMap<String, serde_json::Value> {
    let mut keys = keys.map(|key| key.trust());
    match keys.any(|trust| trust == TrustLevel::Development) {
        true => HashMap::from([(
            TRUST_FIELD.to_owned(),
            TrustLevel::Development.to_string().into(),
        )]),
        false => HashMap::new(),
    }
}

/// A root that was checked against its own keys.
#[derive(Debug, Clone)]
pub struct TrustedRoot {
    root: Root,
    bytes: Vec<u8>,
}

impl TrustedRoot {
    /// Reads a root that comes from a place that is trusted (the operator's disk), and checks that it signed itself.
    ///
    /// # Errors
    /// [`TufError::TooLarge`], [`TufError::Malformed`], [`TufError::BadSignature`].
    pub fn read(bytes: &[u8]) -> Result<Self, TufError> {
        let signed: Signed<Root> = parse(bytes, ROLE)?;
        let trusted = Self {
            root: signed.signed.clone(),
            bytes: bytes.to_vec(),
        };
        trusted.verify(&signed, ROLE)?;
        Ok(trusted)
    }

    /// The file as it was read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> NonZeroU64 {
        self.root.version
    }

    /// When devices stop following it.
    #[must_use]
    pub fn expires(&self) -> jiff::Timestamp {
        self.root.expires
    }

    /// How far it may be trusted: development as soon as one development key holds one of its roles.
    #[must_use]
    pub fn trust(&self) -> TrustLevel {
        match self.root._extra.contains_key(TRUST_FIELD) {
            true => TrustLevel::Development,
            false => TrustLevel::Production,
        }
    }

    /// Whether these keys may sign snapshots and timestamps under it: whether a server that holds them is the one that
    /// this root speaks of.
    #[must_use]
    pub fn names_online(&self, snapshot: &dyn KeySource, timestamp: &dyn KeySource) -> bool {
        let names = |role, key: &dyn KeySource| {
            let (Ok(allowed), Ok(id)) = (self.allowed(role), key_id(key)) else {
                return false;
            };
            allowed.keyids.contains(&id)
        };
        names(RoleType::Snapshot, snapshot) && names(RoleType::Timestamp, timestamp)
    }

    pub(super) fn allowed(&self, role: RoleType) -> Result<Allowed, TufError> {
        allowed(&self.root, role)
    }

    pub(super) fn verify<T: Role>(
        &self,
        signed: &Signed<T>,
        role: &'static str,
    ) -> Result<(), TufError> {
        self.root
            .verify_role(signed)
            .map_err(|reason| TufError::BadSignature {
                role,
                reason: reason.to_string(),
            })
    }
}

fn allowed(root: &Root, role: RoleType) -> Result<Allowed, TufError> {
    let held = root
        .roles
        .get(&role)
        .ok_or_else(|| malformed(ROLE, format!("it names no {role} role")))?;
    Ok(Allowed {
        keyids: held.keyids.clone(),
        threshold: held.threshold,
    })
}
