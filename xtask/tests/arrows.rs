//! The arrows of the house: none is new without a reviewed diff, and some can never be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Crates that reach over a network or wait for it.
const NETWORK: &[&str] = &["tokio", "reqwest", "rumqttc", "rmqtt", "actix-web", "hyper"];
/// Crates that reach outside in any way, or do not return at once.
const INPUT_AND_OUTPUT: &[&str] = &[
    "tokio",
    "reqwest",
    "rumqttc",
    "rmqtt",
    "actix-web",
    "sqlx",
    "object_store",
    "futures",
    "tempfile",
    "ort",
];
const CLOUD: &[&str] = &[
    "espalier-domain",
    "espalier-store",
    "espalier-trust",
    "espalier-api",
    "espalier-embedded",
    "espalier-server",
    "espalier-host",
    "espalier-forge",
];

/// Whoever the first names must never depend on the second, directly or over other rooms.
const NEVER: &[(&str, &[&str])] = &[
    ("espalier-protocol", INPUT_AND_OUTPUT),
    ("espalier-domain", INPUT_AND_OUTPUT),
    ("espalier-slots", NETWORK),
    ("espalier-slots", &["ort"]),
    ("espalier-runtime", NETWORK),
    ("espalier-link", &["ort", "espalier-runtime"]),
    ("espalier-agent", CLOUD),
    ("espalier-agent", &["sqlx", "rmqtt", "tough", "burn"]),
    ("espalier-api", &["actix-web", "sqlx", "espalier-domain"]),
    (
        "espalier-trust",
        &["sqlx", "reqwest", "rumqttc", "actix-web"],
    ),
    (
        "espalier-embedded",
        &[
            "sqlx",
            "espalier-store",
            "espalier-domain",
            "espalier-server",
        ],
    ),
    (
        "espalier-server",
        &[
            "burn",
            "ort",
            "espalier-runtime",
            "espalier-forge",
            "espalier-host",
        ],
    ),
    (
        "espalier-forge",
        &[
            "sqlx",
            "tough",
            "espalier-trust",
            "espalier-store",
            "espalier-server",
        ],
    ),
    (
        "espalier-host",
        &["sqlx", "burn", "espalier-server", "espalier-trust"],
    ),
    (
        "espalier",
        &["sqlx", "ort", "burn", "rmqtt", "espalier-server"],
    ),
];

/// Crates that only these rooms may name.
const ONLY: &[(&str, &[&str])] = &[
    ("sqlx", &["espalier-store"]),
    ("ort", &["espalier-runtime", "espalier-forge"]),
    ("burn", &["espalier-forge"]),
    ("rmqtt", &["espalier-embedded"]),
    ("tough", &["espalier-trust"]),
    // The fuzz targets write what slots read, in its canonical form.
    ("sigstore-tuf", &["espalier-slots", "espalier-fuzz-targets"]),
];

type Dependencies = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .to_path_buf()
}

/// What each room names among its ordinary dependencies.
fn dependencies() -> Dependencies {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root());
    let metadata: Value =
        serde_json::from_slice(&cargo.output().expect("cargo").stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let named = |room: &Value| {
        let all = room["dependencies"].as_array().expect("dependencies");
        all.iter()
            .filter(|to| to["kind"].is_null())
            .map(name)
            .collect()
    };
    packages
        .iter()
        .map(|room| (name(room), named(room)))
        .collect()
}

fn reached_from(room: &str, dependencies: &Dependencies) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![room.to_owned()];
    while let Some(next) = open.pop() {
        for to in dependencies.get(&next).into_iter().flatten() {
            if reached.insert(to.clone()) {
                open.push(to.clone());
            }
        }
    }
    reached
}

#[test]
fn new_arrow() {
    let printed = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("arrows")
        .output()
        .expect("xtask");
    let printed = String::from_utf8(printed.stdout).expect("text");
    let committed =
        std::fs::read_to_string(root().join("docs/arrows.txt")).expect("docs/arrows.txt");
    let (printed, committed): (BTreeSet<&str>, BTreeSet<&str>) =
        (printed.lines().collect(), committed.lines().collect());
    let new: Vec<_> = printed.difference(&committed).collect();
    let gone: Vec<_> = committed.difference(&printed).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "arrows changed; new: {new:?}, gone: {gone:?}. \
         If that is meant: cargo xtask arrows > docs/arrows.txt"
    );
}

#[test]
fn forbidden_arrow() {
    let dependencies = dependencies();
    let mut forbidden = Vec::new();
    for (room, never) in NEVER {
        assert!(dependencies.contains_key(*room), "there is no room {room}");
        let reached = reached_from(room, &dependencies);
        forbidden.extend(
            never
                .iter()
                .filter(|to| reached.contains(**to))
                .map(|to| format!("{room} -> {to}")),
        );
    }
    for (name, only) in ONLY {
        let naming = dependencies
            .iter()
            .filter(|(_, named)| named.contains(*name))
            .map(|(room, _)| room.as_str());
        forbidden.extend(
            naming
                .filter(|room| !only.contains(room))
                .map(|room| format!("{room} -> {name}")),
        );
    }
    assert!(forbidden.is_empty(), "never: {forbidden:?}");
}
