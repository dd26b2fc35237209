//! Roles that the release keys hand releases on to, as a device searches them.

use std::sync::LazyLock;

use espalier_protocol::Digest;
use espalier_protocol::desired::TufVersions;
use espalier_protocol::trust::DEPLOYER_TARGET;
use espalier_slots::trust::{Metadata, Sought, Target, TrustError};
use serde_json::Value;

use crate::fixture::{cloud, now};
use crate::memory::Memory;
use crate::metadata::{device, walked};
use crate::teams::{self, RELEASED, Repository, TEAM};

/// The most roles that one search may look at.
const MOST_ROLES: usize = 32;

/// The team's file, where a device looks for it.
const TEAMS_FILE: &str = "1.team.json";

/// The disk of a device that knows of the team, and has not seen its file.
static KNOWS_OF_THE_TEAM: LazyLock<Memory> = LazyLock::new(|| {
    let repository = teams::repository(&teams::one_team()).expect("what is handed on is signed");
    disk(&repository).expect("a repository with a team holds")
});

static TEAMS_WORD: LazyLock<Vec<u8>> =
    LazyLock::new(|| teams::signed(&teams::says(None), TEAM, "team").expect("a team signs"));

/// The first byte says what the others are: what a team says, or what the release keys say of teams, with their signature.
/// However far a search goes, it has an end, asks for files of one folder, and finds what the team signed.
pub fn delegated_role(bytes: &[u8]) {
    match bytes.split_first() {
        Some((place, offered)) if place % 2 == 0 => team_says(offered),
        Some((_, offered)) => release_keys_say(offered),
        None => {}
    }
}

fn team_says(offered: &[u8]) {
    let disk = KNOWS_OF_THE_TEAM.copy();
    let mut metadata = device(&disk);
    let before = metadata.versions();
    if let Ok(found) = find(&mut metadata, offered) {
        is_what_the_team_signed(&found);
    }
    nothing_else_changed(&metadata, before, &disk);
    if is_asked(&metadata) {
        let found = find(&mut metadata, &TEAMS_WORD).expect("a refused file blocks no honest one");
        is_what_the_team_signed(&found);
    }
}

fn is_asked(metadata: &Metadata) -> bool {
    matches!(metadata.seek(RELEASED, now()), Ok(Sought::Needs(role)) if role.file() == TEAMS_FILE)
}

fn release_keys_say(offered: &[u8]) {
    let Ok(delegations) = serde_json::from_slice::<Value>(offered) else {
        return;
    };
    let repository = teams::repository(&delegations);
    let Some(Ok(disk)) = repository.as_ref().map(disk) else {
        return;
    };
    let mut metadata = device(&disk);
    let before = metadata.versions();
    if let Ok(found) = find(&mut metadata, &TEAMS_WORD) {
        is_what_the_team_signed(&found);
    }
    let deployer = metadata.undelegated(DEPLOYER_TARGET, now());
    let deployer = deployer.expect("whatever is handed on, the top role says who deploys");
    let named = Digest::of(&cloud().first.deployer_json);
    assert_eq!(deployer.digest(), Some(named));
    nothing_else_changed(&metadata, before, &disk);
}

fn disk(repository: &Repository) -> Result<Memory, TrustError> {
    let Repository {
        timestamp,
        snapshot,
        targets,
    } = repository;
    walked(timestamp, snapshot, targets)
}

/// Looks for the release, and gives these bytes for every role that the search asks for.
fn find(metadata: &mut Metadata, offered: &[u8]) -> Result<Target, TrustError> {
    for _ in 0..=MOST_ROLES {
        match metadata.seek(RELEASED, now())? {
            Sought::Found(target) => return Ok(target),
            Sought::Needs(role) => {
                is_a_file_of_one_folder(role.file());
                metadata.supply(role, Some(offered), now())?;
            }
        }
    }
    panic!("a search has no end")
}

fn is_a_file_of_one_folder(name: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
    assert!(
        name.bytes().all(plain) && name.ends_with(".json") && !name.starts_with('.'),
        "a device would ask for {name}"
    );
}

fn is_what_the_team_signed(found: &Target) {
    let digest = Digest::of(RELEASED.as_bytes());
    assert_eq!(
        found.digest(),
        Some(digest),
        "a release was found that no team signed"
    );
}

/// The four roles stay what they were, in memory and on the disk.
fn nothing_else_changed(metadata: &Metadata, before: TufVersions, disk: &Memory) {
    assert_eq!(metadata.versions(), before);
    assert_eq!(device(disk).versions(), before);
}
