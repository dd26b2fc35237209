//! The root: which keys hold which role. Its first edition travels with every claim.

use std::collections::HashMap;
use std::num::NonZeroU64;

use espalier_protocol::trust::{PublicKey, TrustLevel};
use tough::schema::key::Key;
use tough::schema::{Role, RoleKeys, Root, Signed};

use super::{
    Allowed, MAX_ROOT_BYTES, RoleHolders, RootPlan, SPEC_VERSION, SignedFile, TufError, TufRole,
    key_id, malformed, public_key, read_signed, sign, to_the_second, tuf_key,
};
use crate::keys::{KeySource, PublicHalf};

/// The root's own field that says that a development key holds one of its roles.
pub const TRUST_FIELD: &str = "x-espalier-trust";

const ROLE: &str = "root";

/// The root that says what is planned, marked with `trust`.
pub(crate) fn draw_up(plan: &RootPlan, trust: TrustLevel) -> Result<Root, TufError> {
    let mut keys = HashMap::new();
    let mut roles = HashMap::new();
    for role in TufRole::ALL {
        let held = plan.holders(role);
        let mut keyids = Vec::new();
        for half in &held.keys {
            let id = key_id(&half.key())?;
            keys.insert(id.clone(), tuf_key(&half.key()));
            keyids.push(id);
        }
        let threshold = held.threshold;
        let allowed = Allowed { keyids, threshold };
        allowed.enough(role.name(), held.keys.len())?;
        roles.insert(
            role.kind(),
            RoleKeys {
                keyids: allowed.keyids,
                threshold,
                _extra: HashMap::new(),
            },
        );
    }
    Ok(Root {
        spec_version: SPEC_VERSION.to_owned(),
        consistent_snapshot: true,
        version: plan.version,
        expires: to_the_second(plan.expires),
        keys,
        roles,
        _extra: mark(trust),
    })
}

/// Makes a root and signs it with those of `signers` that it names for root.
///
/// A root that names a development key for any role is marked as development for good: whoever holds the
/// file can see it, and devices refuse it unless they were started for it.
///
/// # Errors
/// [`TufError::WrongKeys`] when fewer than the root demands are among the signers, or a role has fewer keys than
/// must sign; [`TufError::Key`] when a key would not sign.
pub fn sign_root(plan: &RootPlan, signers: &[&dyn KeySource]) -> Result<SignedFile, TufError> {
    let root = draw_up(plan, plan.trust())?;
    let allowed = allowed(&root, TufRole::Root)?;
    sign(root, ROLE, &allowed, signers)
}

fn mark(trust: TrustLevel) -> HashMap<String, serde_json::Value> {
    match trust {
        TrustLevel::Development => {
            HashMap::from([(TRUST_FIELD.to_owned(), trust.to_string().into())])
        }
        TrustLevel::Production => HashMap::new(),
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
        let signed = read_unverified(bytes)?;
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
        trust(&self.root)
    }

    /// What it says.
    ///
    /// # Errors
    /// [`TufError::Malformed`] when a role is missing, or a key is not an Ed25519 one.
    pub fn plan(&self) -> Result<RootPlan, TufError> {
        plan(&self.root)
    }

    pub(super) fn allowed(&self, role: TufRole) -> Result<Allowed, TufError> {
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

pub(crate) fn read_unverified(bytes: &[u8]) -> Result<Signed<Root>, TufError> {
    read_signed(MAX_ROOT_BYTES, bytes, ROLE)
}

pub(crate) fn trust(root: &Root) -> TrustLevel {
    match root._extra.contains_key(TRUST_FIELD) {
        true => TrustLevel::Development,
        false => TrustLevel::Production,
    }
}

pub(crate) fn plan(root: &Root) -> Result<RootPlan, TufError> {
    Ok(RootPlan {
        version: root.version,
        expires: root.expires,
        root: holders(root, TufRole::Root)?,
        targets: holders(root, TufRole::Targets)?,
        snapshot: holders(root, TufRole::Snapshot)?,
        timestamp: holders(root, TufRole::Timestamp)?,
    })
}

/// A role's keys. A root says of all its keys together how far they may be trusted, not of each.
fn holders(root: &Root, role: TufRole) -> Result<RoleHolders, TufError> {
    let allowed = allowed(root, role)?;
    let mut keys = Vec::new();
    for id in &allowed.keyids {
        let key: Option<&Key> = root.keys.get(id);
        let key = key.ok_or_else(|| malformed(ROLE, format!("a key of {role} is not in it")))?;
        let key: PublicKey = public_key(key)?;
        keys.push(PublicHalf::new(key, trust(root)));
    }
    Ok(RoleHolders::several(keys, allowed.threshold))
}

fn allowed(root: &Root, role: TufRole) -> Result<Allowed, TufError> {
    let held = root
        .roles
        .get(&role.kind())
        .ok_or_else(|| malformed(ROLE, format!("it names no {role} role")))?;
    Ok(Allowed {
        keyids: held.keyids.clone(),
        threshold: held.threshold,
    })
}
