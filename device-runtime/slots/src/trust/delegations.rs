//! Finding the role that speaks for a target: a search in pre-order, depth first, by the delegations of each role
//! (TUF 1.0.34 §5.6.7).

use std::collections::BTreeSet;
use std::fmt::Write;

use jiff::Timestamp;
use sigstore_tuf::{Delegations, Error as TufError, Targets, TrustedMetadataSet};

use super::{Target, TrustError};

/// Roles that one search looks at, and to which one role hands a target; stops a graph without end.
const MAX_ROLES: usize = 32;

/// The role that the root itself names; every search begins there.
pub(super) const TOP: &str = "targets";

/// The four roles of the root: who takes one of their names for a delegated role would write over it.
const RESERVED: [&str; 4] = ["root", "timestamp", "snapshot", TOP];

/// A delegated role, as it is met on a way through the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegated {
    /// Its name, as its delegator gives it.
    pub(super) role: String,
    /// The role whose keys and threshold it must satisfy.
    pub(super) delegator: String,
    /// Its file below `tuf/`.
    pub(super) file: String,
}

impl Delegated {
    /// The name of its file below `tuf/`, escaped so that it is one segment of a path.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }
}

/// Where a search stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sought {
    /// A role on the way vouches for the target.
    Found(Target),
    /// This role may know, and its metadata are not here.
    Needs(Delegated),
}

/// Looks for a target among the roles that `set` holds.
///
/// # Errors
/// [`TrustError::UnknownTarget`] when no role on the way names it, [`TrustError::Refused`] when one is reached by a
/// delegation that it does not satisfy.
pub(super) fn seek(
    set: &TrustedMetadataSet,
    name: &str,
    now: Timestamp,
) -> Result<Sought, TrustError> {
    if let Some(target) = top(set, name)? {
        return Ok(Sought::Found(target));
    }
    let mut seen = BTreeSet::from([TOP.to_owned()]);
    // The next one to visit is the last.
    let mut ahead = vec![];
    branch(set, TOP, top_role(set)?, name, &mut ahead)?;
    while let Some(next) = ahead.pop() {
        if !seen.insert(next.role.clone()) {
            continue;
        }
        if seen.len() > MAX_ROLES {
            return Err(TrustError::TooManyDelegations(MAX_ROLES));
        }
        let Some(role) = trusted(set, &next, now)? else {
            return Ok(Sought::Needs(next));
        };
        if let Some(target) = named(role, name)? {
            return Ok(Sought::Found(target));
        }
        branch(set, &next.role, role, name, &mut ahead)?;
    }
    Err(TrustError::UnknownTarget(name.to_owned()))
}

/// What the top role says of the target by itself.
pub(super) fn top(set: &TrustedMetadataSet, name: &str) -> Result<Option<Target>, TrustError> {
    named(top_role(set)?, name)
}

fn top_role(set: &TrustedMetadataSet) -> Result<&Targets, TrustError> {
    set.targets_role(TOP).ok_or(TrustError::Incomplete)
}

/// The role's metadata, if they are here and satisfy this very delegation: another one may have led to them first.
fn trusted<'a>(
    set: &'a TrustedMetadataSet,
    next: &Delegated,
    now: Timestamp,
) -> Result<Option<&'a Targets>, TrustError> {
    if set.targets_role(&next.role).is_none() {
        return Ok(None);
    }
    match set.verify_delegated_targets(&next.role, &next.delegator, now) {
        Ok(role) => Ok(Some(role)),
        // There may be a newer one.
        Err(TufError::Expired { .. }) => Ok(None),
        Err(error) => Err(TrustError::refused(&next.file)(error)),
    }
}

/// Puts the roles to which `delegator` hands the target on top of those that wait already.
fn branch(
    set: &TrustedMetadataSet,
    delegator: &str,
    role: &Targets,
    name: &str,
    ahead: &mut Vec<Delegated>,
) -> Result<(), TrustError> {
    let Some(delegations) = &role.delegations else {
        return Ok(());
    };
    let (children, ends) = children(set, delegator, delegations, name)?;
    if ends {
        ahead.clear();
    }
    ahead.extend(children.into_iter().rev());
    Ok(())
}

/// The roles to which the target is handed, in their order, and whether the search ends with them. One that the snapshot
/// does not name is passed over: nothing says which edition of it is current.
fn children(
    set: &TrustedMetadataSet,
    delegator: &str,
    delegations: &Delegations,
    name: &str,
) -> Result<(Vec<Delegated>, bool), TrustError> {
    let mut children = Vec::new();
    for child in &delegations.roles {
        let reserved = RESERVED.contains(&child.name.as_str());
        let matches = || {
            child
                .matches_path(name)
                .map_err(TrustError::refused(delegator))
        };
        if reserved || !matches()? {
            continue;
        }
        if let Some(version) = pinned(set, &child.name) {
            children.push(Delegated {
                role: child.name.clone(),
                delegator: delegator.to_owned(),
                file: file_name(set, version, &child.name),
            });
        }
        if children.len() > MAX_ROLES {
            return Err(TrustError::TooManyDelegations(MAX_ROLES));
        }
        if child.terminating {
            return Ok((children, true));
        }
    }
    Ok((children, false))
}

/// The edition of a role that the trusted snapshot names.
pub(super) fn pinned(set: &TrustedMetadataSet, role: &str) -> Option<u64> {
    let pin = set.snapshot()?.meta.get(&format!("{role}.json"))?;
    Some(pin.version)
}

fn named(role: &Targets, name: &str) -> Result<Option<Target>, TrustError> {
    role.target(name)
        .map(|file| Target::read(file).ok_or_else(|| TrustError::UnknownTarget(name.to_owned())))
        .transpose()
}

fn file_name(set: &TrustedMetadataSet, version: u64, role: &str) -> String {
    let escaped = escape(role);
    if set.root().consistent_snapshot {
        format!("{version}.{escaped}.json")
    } else {
        format!("{escaped}.json")
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters: a role's name is its delegator's choice, and may hold `/`.
pub(super) fn escape(role: &str) -> String {
    let mut escaped = String::with_capacity(role.len());
    for byte in role.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            // Writing to a string does not fail.
            _ => drop(write!(escaped, "%{byte:02X}")),
        }
    }
    escaped
}
