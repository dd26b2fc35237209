//! A team that the fixture's release keys hand releases on to.

use espalier_protocol::Digest;
use espalier_trust::tuf::SignedFile;
use jiff::SignedDuration;
use serde_json::{Value, json};
use sigstore_tuf::canonical_json::to_canonical_bytes;

use crate::fixture::{RELEASE, cloud, now, signing_key};

/// The seed of the team's key.
pub const TEAM: u8 = 10;

/// The one target that the team vouches for.
pub const RELEASED: &str = "release.sam.one.json";

/// So many roles below the team are named by the snapshot: more than one search looks at.
pub const BELOW: usize = 40;

/// A repository that hands releases on.
#[derive(Debug)]
pub struct Repository {
    /// Its timestamp.
    pub timestamp: Vec<u8>,
    /// Its snapshot.
    pub snapshot: Vec<u8>,
    /// Its targets.
    pub targets: Vec<u8>,
}

/// The first edition, with targets that hand on as `delegations` say: all signed by the right keys. None for what no signed
/// file can say.
#[must_use]
pub fn repository(delegations: &Value) -> Option<Repository> {
    let first = &cloud().first;
    let [_, targets, snapshot, timestamp] = RELEASE;
    Some(Repository {
        targets: anew(&first.targets, targets, "delegations", delegations.clone())?,
        snapshot: anew(&first.snapshot, snapshot, "meta", pins(delegations))?,
        timestamp: anew(
            &first.timestamp,
            timestamp,
            "meta",
            json!({"snapshot.json": {"version": 1}}),
        )?,
    })
}

/// What the release keys say of one team.
#[must_use]
pub fn one_team() -> Value {
    handed_to(&["team".to_owned()], "release.sam.*.json")
}

/// Targets of these names are handed on to roles that the team's key speaks for.
#[must_use]
pub fn handed_to(roles: &[String], paths: &str) -> Value {
    let public = hex::encode(signing_key(TEAM).public().as_bytes());
    let roles: Vec<_> = roles
        .iter()
        .map(|role| {
            json!({"name": role, "keyids": ["team"], "threshold": 1, "terminating": false, "paths": [paths]})
        })
        .collect();
    json!({
        "keys": {"team": {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}}},
        "roles": roles,
    })
}

/// What the team says: its release, and whom it hands releases on to.
#[must_use]
pub fn says(delegations: Option<Value>) -> Value {
    let sha256 = Digest::of(RELEASED.as_bytes());
    let mut says = json!({
        "_type": "targets", "spec_version": "1.0.0", "version": 1,
        "expires": now() + SignedDuration::from_hours(24),
        "targets": {RELEASED: {"length": RELEASED.len(), "hashes": {"sha256": sha256}}},
    });
    if let Some(delegations) = delegations {
        says["delegations"] = delegations;
    }
    says
}

/// A file that says this, signed under the key's name for it; none for what cannot be signed.
#[must_use]
pub fn signed(says: &Value, seed: u8, keyid: &str) -> Option<Vec<u8>> {
    let message = to_canonical_bytes(says).ok()?;
    let sig = hex::encode(signing_key(seed).sign(&message));
    let signature = json!({"keyid": keyid, "sig": sig});
    serde_json::to_vec(&json!({"signed": says, "signatures": [signature]})).ok()
}

/// Has a file say something else, signed by the key that signed it.
fn anew(file: &SignedFile, seed: u8, field: &str, value: Value) -> Option<Vec<u8>> {
    let mut file: Value = serde_json::from_slice(&file.bytes).ok()?;
    file["signed"][field] = value;
    let keyid = file["signatures"][0]["keyid"].as_str()?;
    signed(&file["signed"], seed, keyid)
}

/// A snapshot's editions of the targets, of the team's, of those below it, and of all roles that are handed something.
fn pins(delegations: &Value) -> Value {
    let roles = delegations["roles"].as_array().into_iter().flatten();
    let named = roles.filter_map(|role| role["name"].as_str().map(str::to_owned));
    let below = (0..BELOW).map(|number| format!("below-{number}"));
    let standing = ["targets", "team"].map(str::to_owned);
    named
        .chain(below)
        .chain(standing)
        .map(|role| (format!("{role}.json"), json!({"version": 1})))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
