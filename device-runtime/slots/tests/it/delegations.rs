//! What the release keys hand on to a team, and what a team cannot take.

use std::collections::BTreeMap;

use espalier_protocol::Digest;
use espalier_protocol::report::Attack;
use espalier_protocol::trust::DEPLOYER_TARGET;
use espalier_slots::Store;
use espalier_slots::trust::{Metadata, Sought, Target, TrustError};
use espalier_trust::keys::{KeySource, SoftwareKey};
use espalier_trust::tuf::{SignedFile, sign_timestamp};
use serde_json::{Value, json};
use sigstore_tuf::canonical_json::to_canonical_bytes;
use tempfile::TempDir;

use crate::mint::{Mint, hours, key, noon};
use crate::store::create;
use crate::trust::renewed;

const OURS: &str = "release.sam.one.json";
const THEIRS: &str = "release.tile-defect.one.json";

/// A team by the name of its role, the targets that are handed to it, and its key.
struct Team {
    role: String,
    paths: &'static str,
    key: SoftwareKey,
}

impl Team {
    fn new(role: &str, paths: &'static str) -> Self {
        Self {
            role: role.into(),
            paths,
            key: key(),
        }
    }

    /// What the team says: these targets.
    fn signed(&self, names: &[&str]) -> Vec<u8> {
        let target = |name: &&str| {
            let sha256 = Digest::of(name.as_bytes()).to_string();
            let target = json!({ "length": name.len(), "hashes": { "sha256": sha256 } });
            ((*name).to_owned(), target)
        };
        let targets: BTreeMap<_, _> = names.iter().map(target).collect();
        let signed = json!({
            "_type": "targets", "spec_version": "1.0.0", "version": 1,
            "expires": noon() + hours(24), "targets": targets,
        });
        sign(&signed, &self.key, &self.role)
    }
}

fn sign(signed: &Value, key: &SoftwareKey, id: &str) -> Vec<u8> {
    let message = to_canonical_bytes(signed).unwrap();
    let sig = hex::encode(key.sign(&message).unwrap());
    serde_json::to_vec(&json!({ "signed": signed, "signatures": [{ "keyid": id, "sig": sig }] }))
        .unwrap()
}

/// Has a file say something else, signed by the key that signed it.
fn resign(file: &SignedFile, key: &SoftwareKey, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(&file.bytes).unwrap();
    change(&mut value["signed"]);
    let id = value["signatures"][0]["keyid"].as_str().unwrap().to_owned();
    sign(&value["signed"], key, &id)
}

/// A repository whose targets hand releases to teams, in this order.
fn delegating(teams: &[Team]) -> Mint {
    let mut mint = Mint::new();
    let keys: BTreeMap<_, _> = teams
        .iter()
        .map(|team| {
            let public = hex::encode(team.key.public_key().as_bytes());
            let key = json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": public } });
            (team.role.clone(), key)
        })
        .collect();
    let roles: Vec<_> = teams
        .iter()
        .map(|team| {
            json!({ "name": team.role, "keyids": [team.role], "threshold": 1,
                    "terminating": false, "paths": [team.paths] })
        })
        .collect();
    mint.targets.bytes = resign(&mint.targets, &mint.targets_key, |targets| {
        targets["delegations"] = json!({ "keys": keys, "roles": roles });
    });
    pin(&mut mint, teams);
    mint
}

/// Has snapshot and timestamp name the present targets, and those of the teams.
fn pin(mint: &mut Mint, teams: &[Team]) {
    let (length, sha256) = {
        let targets = &mint.targets.bytes;
        (targets.len(), Digest::of(targets).to_string())
    };
    mint.snapshot.bytes = resign(&mint.snapshot, &mint.snapshot_key, |snapshot| {
        snapshot["meta"]["targets.json"] =
            json!({ "version": 1, "length": length, "hashes": { "sha256": sha256 } });
        for team in teams {
            snapshot["meta"][format!("{}.json", team.role)] = json!({ "version": 1 });
        }
    });
    let (version, expires) = (mint.timestamp.version, mint.timestamp.expires);
    let key = &*mint.timestamp_key;
    mint.timestamp =
        sign_timestamp(&mint.trusted(), &mint.snapshot, version, expires, key).unwrap();
}

fn device(mint: &Mint) -> (TempDir, Store, Metadata) {
    let (folder, store) = create(mint);
    let metadata = renewed(&store, mint);
    (folder, store, metadata)
}

/// Looks for a target, and gives whatever files the search needs; says which those were.
fn find(
    metadata: &mut Metadata,
    name: &str,
    files: &BTreeMap<&str, Vec<u8>>,
) -> (Result<Target, TrustError>, Vec<String>) {
    let mut asked = Vec::new();
    loop {
        match metadata.seek(name, noon()) {
            Ok(Sought::Found(target)) => return (Ok(target), asked),
            Ok(Sought::Needs(role)) => {
                let file = role.file().to_owned();
                let bytes = files.get(file.as_str()).map(Vec::as_slice);
                asked.push(file);
                if let Err(error) = metadata.supply(role, bytes, noon()) {
                    return (Err(error), asked);
                }
            }
            Err(error) => return (Err(error), asked),
        }
    }
}

#[test]
fn team_vouches_for_its_models_releases_and_is_remembered_after_a_restart() {
    let team = Team::new("sam-team", "release.sam.*.json");
    let files = BTreeMap::from([("1.sam-team.json", team.signed(&[OURS]))]);
    let (_folder, store, mut metadata) = device(&delegating(&[team]));
    let (found, asked) = find(&mut metadata, OURS, &files);
    assert_eq!(found.unwrap().digest(), Some(Digest::of(OURS.as_bytes())));
    assert_eq!(asked, ["1.sam-team.json"]);
    drop(metadata);
    store.metadata().unwrap().target(OURS, noon()).unwrap();
}

#[test]
fn team_is_not_asked_about_another_teams_model() {
    let team = Team::new("sam-team", "release.sam.*.json");
    let files = BTreeMap::from([("1.sam-team.json", team.signed(&[OURS, THEIRS]))]);
    let (_folder, _store, mut metadata) = device(&delegating(&[team]));
    find(&mut metadata, OURS, &files).0.unwrap();
    let (found, asked) = find(&mut metadata, THEIRS, &files);
    assert_eq!(found.unwrap_err().attack(), Some(Attack::MixAndMatch));
    assert!(asked.is_empty());
}

#[test]
fn team_does_not_say_who_deploys() {
    let team = Team::new("everything", "*");
    let files = BTreeMap::from([("1.everything.json", team.signed(&["deployer.json"]))]);
    let teams = [team];
    let mut mint = delegating(&teams);
    mint.targets.bytes = resign(&mint.targets, &mint.targets_key, |targets| {
        targets["targets"] = json!({});
    });
    pin(&mut mint, &teams);
    let (_folder, _store, mut metadata) = device(&mint);
    assert!(find(&mut metadata, DEPLOYER_TARGET, &files).0.is_ok());
    let deployer = metadata.undelegated(DEPLOYER_TARGET, noon());
    assert!(matches!(deployer, Err(TrustError::UnknownTarget(_))));
}

#[test]
fn strangers_signature_on_a_teams_targets_is_refused() {
    let team = Team::new("sam-team", "release.sam.*.json");
    let stranger = Team::new("sam-team", "release.sam.*.json");
    let files = BTreeMap::from([("1.sam-team.json", stranger.signed(&[OURS]))]);
    let (_folder, _store, mut metadata) = device(&delegating(&[team]));
    let (found, _) = find(&mut metadata, OURS, &files);
    assert_eq!(found.unwrap_err().attack(), Some(Attack::BadSignature));
}

#[test]
fn endless_targets_of_a_team_are_refused() {
    let team = Team::new("sam-team", "release.sam.*.json");
    let endless = [team.signed(&[OURS]), vec![b' '; 5 << 20]].concat();
    let files = BTreeMap::from([("1.sam-team.json", endless)]);
    let (_folder, _store, mut metadata) = device(&delegating(&[team]));
    let (found, _) = find(&mut metadata, OURS, &files);
    assert_eq!(found.unwrap_err().attack(), Some(Attack::EndlessData));
}

#[test]
fn teams_without_end_are_not_searched_to_the_end() {
    let teams: Vec<_> = (0..40)
        .map(|n| Team::new(&format!("team-{n}"), "*"))
        .collect();
    let names: Vec<_> = teams
        .iter()
        .map(|team| format!("1.{}.json", team.role))
        .collect();
    let files = names
        .iter()
        .map(String::as_str)
        .zip(teams.iter().map(|team| team.signed(&[])))
        .collect();
    let (_folder, _store, mut metadata) = device(&delegating(&teams));
    let (found, asked) = find(&mut metadata, OURS, &files);
    assert!(matches!(found, Err(TrustError::TooManyDelegations(_))));
    assert!(asked.len() < 40, "{}", asked.len());
}

#[test]
fn roles_name_that_would_leave_the_folder_is_escaped() {
    let team = Team::new("../timestamp", "*");
    let (_folder, _store, metadata) = device(&delegating(&[team]));
    let Ok(Sought::Needs(role)) = metadata.seek(OURS, noon()) else {
        panic!("the team is not asked");
    };
    assert_eq!(role.file(), "1...%2Ftimestamp.json");
}
