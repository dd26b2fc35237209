//! The draft of a root: the first one, or the one that follows.

use std::num::NonZeroU64;

use espalier_protocol::Digest;
use espalier_protocol::trust::{KeyId, TrustLevel};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tough::schema::{Root, Signed};

use super::{
    DraftError, FORMAT, MIN_KEY_DIGITS, Requirement, fingerprint, must_sign, short, sign, signers,
};
use crate::keys::{KeySource, PublicHalf};
use crate::tuf::chain::{is_served, may_follow};
use crate::tuf::root::{draw_up, plan as read_plan, trust};
use crate::tuf::{
    ChainError, RoleHolders, RootPlan, SignedFile, TrustedRoot, TufRole, lay_out, malformed, parse,
};

/// The word by which the file says what it is.
const KIND: &str = "root";

/// One change from a root to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootChange {
    /// One more key for a role.
    Add {
        /// Which role.
        role: TufRole,
        /// The key.
        key: PublicHalf,
    },
    /// A key holds a role no longer.
    Revoke {
        /// Which role.
        role: TufRole,
        /// The first digits of the key's id.
        key: String,
    },
    /// Another number of holders must sign.
    Threshold {
        /// Which role.
        role: TufRole,
        /// How many.
        threshold: NonZeroU64,
    },
}

/// A root that is being signed.
#[derive(Debug, Clone)]
pub struct RootDraft {
    current: Option<TrustedRoot>,
    next: Signed<Root>,
    plan: RootPlan,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftFile {
    format: u32,
    draft: String,
    says: Vec<String>,
    fingerprint: Digest,
    /// The root that devices follow now, exactly as signed; none for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    next: Value,
}

impl RootDraft {
    /// The first root of a chain.
    ///
    /// # Errors
    /// [`DraftError::Plan`], [`DraftError::Chain`] when it would have ended at `now`.
    pub fn first(plan: RootPlan, now: Timestamp) -> Result<Self, DraftError> {
        plan.check()?;
        let level = plan.trust();
        Self::new(None, plan, level, now)
    }

    /// The root after `current`, with these changes; without any it renews the time until which devices follow it.
    ///
    /// # Errors
    /// [`DraftError::UnknownKey`], [`DraftError::Ambiguous`], [`DraftError::DevelopmentKey`]; as [`RootDraft::first`].
    pub fn next(
        current: TrustedRoot,
        changes: &[RootChange],
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<Self, DraftError> {
        let mut plan = current.plan()?;
        plan.version = plan.version.saturating_add(1);
        plan.expires = expires;
        // A chain that began with keys in the clear stays a development chain, whatever holds its roles later.
        let level = current.trust();
        for change in changes {
            apply(&mut plan, change, level)?;
        }
        plan.check()?;
        Self::new(Some(current), plan, level, now)
    }

    fn new(
        current: Option<TrustedRoot>,
        plan: RootPlan,
        level: TrustLevel,
        now: Timestamp,
    ) -> Result<Self, DraftError> {
        if plan.expires <= now {
            let expires = plan.expires;
            return Err(ChainError::Expired { expires }.into());
        }
        let signed = draw_up(&plan, level)?;
        Ok(Self {
            current,
            // As the next holder reads it.
            plan: read_plan(&signed)?,
            next: Signed {
                signed,
                signatures: Vec::new(),
            },
        })
    }

    /// Reads a draft that came from somebody else, and checks all that can be checked of it.
    ///
    /// # Errors
    /// [`DraftError::NoDraft`], [`DraftError::OtherWords`], [`DraftError::ChangedAfter`], [`DraftError::Stranger`];
    /// [`DraftError::Chain`] and [`DraftError::Plan`] for a root that no device would follow.
    pub fn read(bytes: &[u8]) -> Result<Self, DraftError> {
        let no_draft = |reason: String| DraftError::NoDraft { kind: KIND, reason };
        let file: DraftFile = parse(bytes, KIND).map_err(|error| no_draft(error.to_string()))?;
        if file.format != FORMAT || file.draft != KIND {
            let reason = format!("format {}, draft of a `{}`", file.format, file.draft);
            return Err(no_draft(reason));
        }
        let next: Signed<Root> =
            serde_json::from_value(file.next).map_err(|error| no_draft(error.to_string()))?;
        let current = file
            .current
            .map(|text| TrustedRoot::read(text.as_bytes()))
            .transpose()?;
        match &current {
            Some(current) => may_follow(current, &next.signed)?,
            None if next.signed.version == NonZeroU64::MIN => is_served(&next.signed)?,
            None => {
                return Err(no_draft(
                    "it has no current root, and is not the first".into(),
                ));
            }
        }
        let draft = Self {
            current,
            plan: read_plan(&next.signed)?,
            next,
        };
        draft.signers()?;
        let told = draft.says() == file.says && draft.fingerprint()? == file.fingerprint;
        match told && draft.is_told_whole()? {
            true => Ok(draft),
            false => Err(DraftError::OtherWords),
        }
    }

    /// Whether the root holds nothing beyond what the words say: a field that they pass over would be signed unseen.
    fn is_told_whole(&self) -> Result<bool, DraftError> {
        Ok(draw_up(&self.plan, self.trust())? == self.next.signed)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`DraftError::Tuf`] when they cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DraftError> {
        let text = |root: &TrustedRoot| String::from_utf8_lossy(root.bytes()).into_owned();
        let file = DraftFile {
            format: FORMAT,
            draft: KIND.to_owned(),
            says: self.says(),
            fingerprint: self.fingerprint()?,
            current: self.current.as_ref().map(text),
            next: serde_json::to_value(&self.next).map_err(|error| malformed(KIND, error))?,
        };
        let mut bytes = serde_json::to_vec_pretty(&file).map_err(|error| malformed(KIND, error))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Adds one holder's signature.
    ///
    /// # Errors
    /// [`DraftError::NotAsked`], [`DraftError::SignedAlready`], [`DraftError::Key`].
    pub fn sign(&mut self, key: &dyn KeySource) -> Result<(), DraftError> {
        let holders = self.holders()?;
        sign(&mut self.next, &holders, key)
    }

    /// The finished root, once the holders of the old and of the new one have signed; none before.
    ///
    /// # Errors
    /// As [`RootDraft::requirements`].
    pub fn finished(&self) -> Result<Option<SignedFile>, DraftError> {
        if self.requirements()?.iter().any(|side| side.missing() > 0) {
            return Ok(None);
        }
        Ok(Some(SignedFile {
            version: self.plan.version,
            expires: self.plan.expires,
            bytes: lay_out(&self.next, KIND)?,
        }))
    }

    /// The thresholds that have to be reached: that of the current root, where there is one, and its own.
    ///
    /// # Errors
    /// [`DraftError::Tuf`].
    pub fn requirements(&self) -> Result<Vec<Requirement>, DraftError> {
        let signed = self.signers()?;
        let sides = self.sides()?;
        let requirement = |(version, holders): &(NonZeroU64, RoleHolders)| {
            Requirement::new(of(*version), holders, &signed)
        };
        Ok(sides.iter().map(requirement).collect())
    }

    /// The digest of what is signed: what holders compare by voice before they sign.
    ///
    /// # Errors
    /// [`DraftError::Tuf`].
    pub fn fingerprint(&self) -> Result<Digest, DraftError> {
        Ok(fingerprint(&self.next.signed)?)
    }

    /// What it would say.
    #[must_use]
    pub fn plan(&self) -> &RootPlan {
        &self.plan
    }

    /// The root that devices follow now; none for the first one.
    #[must_use]
    pub fn current(&self) -> Option<&TrustedRoot> {
        self.current.as_ref()
    }

    /// How far it may be trusted.
    #[must_use]
    pub fn trust(&self) -> TrustLevel {
        trust(&self.next.signed)
    }

    /// What changes and who must sign, in plain words, a line each.
    #[must_use]
    pub fn says(&self) -> Vec<String> {
        // A root that was read or made has a plan.
        let before = self.current.as_ref().and_then(|root| root.plan().ok());
        let mut lines = vec![match &before {
            Some(before) => format!(
                "root version {}, after version {}",
                self.plan.version, before.version
            ),
            None => "root version 1, the first: devices get it with their claims".to_owned(),
        }];
        for role in TufRole::ALL {
            let old = before.as_ref().map(|before| before.holders(role));
            lines.extend(role_says(role, old, self.plan.holders(role)));
        }
        lines.push(format!("ends: {}", self.plan.expires));
        lines.push(format!("trust: {} keys", self.trust()));
        for (version, holders) in self.sides().unwrap_or_default() {
            lines.push(must_sign(&of(version), &holders));
        }
        lines
    }

    fn signers(&self) -> Result<Vec<KeyId>, DraftError> {
        signers(&self.next, &self.holders()?)
    }

    /// Whose signatures are asked for: root's holders before and after.
    fn sides(&self) -> Result<Vec<(NonZeroU64, RoleHolders)>, DraftError> {
        let mut sides = Vec::new();
        if let Some(current) = &self.current {
            sides.push((current.version(), current.plan()?.root));
        }
        sides.push((self.plan.version, self.plan.root.clone()));
        Ok(sides)
    }

    fn holders(&self) -> Result<Vec<PublicHalf>, DraftError> {
        let mut all: Vec<PublicHalf> = Vec::new();
        for half in self.sides()?.into_iter().flat_map(|(_, side)| side.keys) {
            if !all.iter().any(|known| known.key() == half.key()) {
                all.push(half);
            }
        }
        Ok(all)
    }
}

fn of(version: NonZeroU64) -> String {
    format!("root version {version}")
}

fn apply(plan: &mut RootPlan, change: &RootChange, level: TrustLevel) -> Result<(), DraftError> {
    match change {
        RootChange::Add { role, key } => {
            if level == TrustLevel::Production && key.trust() == TrustLevel::Development {
                return Err(DraftError::DevelopmentKey { key: key.id() });
            }
            plan.holders_mut(*role).keys.push(*key);
        }
        RootChange::Revoke { role, key } => {
            let held = &mut plan.holders_mut(*role).keys;
            let revoked = find(*role, held, key)?;
            held.retain(|half| half.id() != revoked);
        }
        RootChange::Threshold { role, threshold } => {
            plan.holders_mut(*role).threshold = *threshold;
        }
    }
    Ok(())
}

/// The one key of a role whose id begins with these digits.
fn find(role: TufRole, held: &[PublicHalf], digits: &str) -> Result<KeyId, DraftError> {
    let key = || digits.to_owned();
    if digits.len() < MIN_KEY_DIGITS {
        return Err(DraftError::Ambiguous { role, key: key() });
    }
    let ids: Vec<_> = held.iter().map(PublicHalf::id).collect();
    let mut fitting = ids.iter().filter(|id| id.to_string().starts_with(digits));
    match (fitting.next(), fitting.next()) {
        (Some(id), None) => Ok(*id),
        (Some(_), Some(_)) => Err(DraftError::Ambiguous { role, key: key() }),
        (None, _) => Err(DraftError::UnknownKey {
            role,
            key: key(),
            held: ids,
        }),
    }
}

fn role_says(role: TufRole, old: Option<&RoleHolders>, new: &RoleHolders) -> Vec<String> {
    let count = |held: &RoleHolders| format!("{} of {}", held.threshold, held.keys.len());
    let before = old
        .filter(|old| count(old) != count(new))
        .map(|old| format!(" (before: {})", count(old)))
        .unwrap_or_default();
    let mut lines = vec![format!("{role}: {} must sign{before}", count(new))];
    for half in &new.keys {
        let verb = match old.is_some_and(|old| !old.contain(half.id())) {
            true => "adds",
            false => "holds",
        };
        lines.push(format!("  {verb} {}", short(half.id())));
    }
    let gone = old.into_iter().flat_map(|old| &old.keys);
    for half in gone.filter(|half| !new.contain(half.id())) {
        lines.push(format!("  revokes {}", short(half.id())));
    }
    lines
}
