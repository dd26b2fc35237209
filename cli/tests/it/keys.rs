//! The key ceremony as holders hold it: files that go from hand to hand, on machines without a server.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{Run, espalier_in};

/// A table around which the holders sit; each has a key on it, and all keys are development keys but where a test is
/// about passphrases.
struct Table(tempfile::TempDir);

impl Table {
    fn laid(keys: &[&str]) -> Self {
        let table = Self(tempfile::tempdir().unwrap());
        let files: Vec<_> = keys.iter().map(|key| format!("{key}.key.json")).collect();
        table.does(
            ["keys", "generate", "--development"]
                .into_iter()
                .chain(files.iter().map(String::as_str)),
        );
        for key in keys {
            let public = table.does(["keys", "public", &format!("{key}.key.json")]);
            std::fs::write(table.at(&format!("{key}.pub.json")), public.stdout).unwrap();
        }
        table
    }

    fn at(&self, file: &str) -> std::path::PathBuf {
        self.0.path().join(file)
    }

    fn tries<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Run {
        espalier_in(self.0.path(), words)
    }

    fn does<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Run {
        let run = self.tries(words);
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
        run
    }

    fn says(&self, line: &str) -> Run {
        self.does(line.split_whitespace())
    }

    fn fails(&self, line: &str, code: i32, words: &str) {
        let run = self.tries(line.split_whitespace());
        assert_eq!(run.code, code, "{}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }

    fn id(&self, key: &str) -> String {
        let listed = self.says(&format!("keys list {key}.pub.json --json"));
        let keys: Value = serde_json::from_str(&listed.stdout).unwrap();
        keys[0]["key_id"].as_str().unwrap().to_owned()
    }
}

const HOLDERS: [&str; 7] = [
    "alice",
    "bob",
    "carol",
    "targets",
    "snapshot",
    "timestamp",
    "later",
];

const FIRST: &str = "keys root new --root alice.pub.json --root bob.pub.json --root carol.pub.json --root-threshold 2 \
    --targets targets.pub.json --snapshot snapshot.pub.json --timestamp timestamp.pub.json";

fn first_root() -> Table {
    let table = Table::laid(&HOLDERS);
    table.says(FIRST);
    table.says("keys root sign 1.root.draft.json --key alice.key.json");
    assert!(
        !table.at("1.root.json").exists(),
        "one of two is not enough"
    );
    let run = table.says("keys root sign 1.root.draft.json --key carol.key.json");
    assert!(
        run.stdout.contains("finished: 1.root.json"),
        "{}",
        run.stdout
    );
    table
}

#[test]
fn two_of_three_holders_make_a_root_and_the_next_one() {
    let table = first_root();
    let shown = table.says("keys root show 1.root.json").stdout;
    assert!(shown.contains("root: 2 of 3 must sign"), "{shown}");

    let old = &table.id("timestamp")[..8];
    table.says(&format!(
        "keys root next 1.root.json --add timestamp later.pub.json --revoke timestamp {old}"
    ));
    let said =
        table.says("keys root sign 2.root.draft.json --key bob.key.json --current 1.root.json");
    for words in ["root version 2, after version 1", "revokes", "fingerprint"] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    let shown = table.says("keys root show 2.root.draft.json").stdout;
    assert!(
        shown.contains("still to sign: 1 of root version 1"),
        "{shown}"
    );
    table.says("keys root sign 2.root.draft.json --key alice.key.json --current 1.root.json");
    let shown = table.says("keys root show 2.root.json --json").stdout;
    let root: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(root["version"], 2);
    assert_eq!(
        root["roles"]["timestamp"]["keys"][0],
        table.id("later").as_str()
    );
}

/// The table of a thief who knows the holders' public halves: on it lies a root version 1 of the thief's making, which
/// names them all beside keys of the thief, is signed by the thief alone, and looks to the next root like the real one.
fn thieves_table(honest: &Table) -> Table {
    let table = Table::laid(&["thief", "fence", "mole"]);
    for public in ["alice", "bob", "carol", "targets", "snapshot", "timestamp"] {
        let file = format!("{public}.pub.json");
        std::fs::copy(honest.at(&file), table.at(&file)).unwrap();
    }
    let all = FIRST.replace("--root-threshold 2", "--root thief.pub.json");
    table.says(&format!("{all} --targets fence.pub.json"));
    table.says("keys root sign 1.root.draft.json --key thief.key.json");
    table
}

#[test]
fn root_over_a_forged_current_one_gets_no_signature() {
    let table = first_root();
    let thieves = thieves_table(&table);
    thieves.says("keys root next 1.root.json --threshold root 2");
    let draft = "2.root.draft.json";
    std::fs::copy(thieves.at(draft), table.at(draft)).unwrap();
    let shown = table.says("keys root show 2.root.draft.json").stdout;
    let thief = &thieves.id("thief")[..16];
    assert!(!shown.contains(&format!("adds {thief}")), "{shown}");

    let sign = "keys root sign 2.root.draft.json --key alice.key.json";
    table.fails(sign, 2, "follows root version 1");
    let known = format!("{sign} --current 1.root.json");
    table.fails(&known, 7, "does not stand on the root");
}

/// From version 2 on a root carries signatures of real holders, so that it follows a forged one before it, too.
#[test]
fn targets_over_a_forged_root_before_get_no_signature() {
    let table = first_root();
    table.says("keys targets next --root 1.root.json --first --deployer later.pub.json");
    table.says("keys targets sign 1.targets.draft.json --key targets.key.json --root 1.root.json");
    table.says("keys root next 1.root.json");
    for holder in ["alice", "bob"] {
        table.says(&format!(
            "keys root sign 2.root.draft.json --key {holder}.key.json --current 1.root.json"
        ));
    }
    let thieves = thieves_table(&table);
    std::fs::copy(table.at("2.root.json"), thieves.at("2.root.json")).unwrap();
    let next =
        "keys targets next --root 2.root.json --previous-root 1.root.json --current 1.targets.json";
    thieves.says("keys targets next --root 1.root.json --first --deployer mole.pub.json");
    thieves.says("keys targets sign 1.targets.draft.json --key fence.key.json --root 1.root.json");
    thieves.says(next);
    let draft = "2.targets.draft.json";
    std::fs::copy(thieves.at(draft), table.at(draft)).unwrap();
    let shown = table.says("keys targets show 2.targets.draft.json").stdout;
    assert!(shown.contains("keeps the deployer's keys"), "{shown}");

    let sign = "keys targets sign 2.targets.draft.json --key targets.key.json --root 2.root.json";
    table.fails(sign, 2, "signed under root version 1");
    let known = format!("{sign} --previous-root 1.root.json");
    table.fails(&known, 7, "does not answer to the root");

    std::fs::remove_file(table.at(draft)).unwrap();
    table.says(next);
    let said = table.says(&known);
    let words = "the current targets are signed under root version 1";
    assert!(said.stderr.contains(words), "{}", said.stderr);
}

#[test]
fn finished_file_of_another_draft_is_not_overwritten() {
    let table = first_root();
    let finished = std::fs::read(table.at("1.root.json")).unwrap();
    table.says(&format!("{FIRST} --into again.json --expires 2090-01-01"));
    table.says("keys root sign again.json --key alice.key.json");
    let last = "keys root sign again.json --key bob.key.json";
    table.fails(last, 2, "1.root.json is already there");
    assert_eq!(std::fs::read(table.at("1.root.json")).unwrap(), finished);
    std::fs::remove_file(table.at("1.root.json")).unwrap();
    table.says(last);

    table.says("keys targets next --root 1.root.json --first --deployer later.pub.json");
    std::fs::write(table.at("1.targets.json"), "another's").unwrap();
    let sign = "keys targets sign 1.targets.draft.json --key targets.key.json --root 1.root.json";
    table.fails(sign, 2, "1.targets.json is already there");
}

#[test]
fn draft_that_was_changed_on_its_way_gets_no_signature() {
    let table = first_root();
    table.says("keys root next 1.root.json");
    let draft = table.at("2.root.draft.json");
    let change = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&draft).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&draft, text.replace(from, to)).unwrap();
        text
    };
    let sign = "keys root sign 2.root.draft.json --key bob.key.json --current 1.root.json";
    let honest = change("holds", "keeps");
    table.fails(sign, 7, "its words are not");
    std::fs::write(&draft, honest).unwrap();
    table.says("keys root sign 2.root.draft.json --key alice.key.json --current 1.root.json");
    let honest = change("\"threshold\": 2", "\"threshold\": 1");
    table.fails(sign, 7, "was changed after");
    std::fs::write(&draft, honest).unwrap();
    table.says(sign);
    assert!(table.at("2.root.json").exists());
}

#[test]
fn what_makes_no_root_is_refused_in_its_own_words() {
    let table = first_root();
    let next = |what: &str| format!("keys root next 1.root.json {what}");
    let targets = &table.id("targets")[..8];
    for (line, words) in [
        (
            next(&format!("--revoke targets {targets}")),
            "would have 0 keys",
        ),
        (next("--threshold root 4"), "would have 3 keys"),
        (next("--threshold timestamp 2"), "would have 1 keys"),
        (
            next("--add root targets.pub.json"),
            "make a key for each role",
        ),
        (next("--add deployer later.pub.json"), "is no role"),
        (
            next(&format!("--revoke root {targets}")),
            "is no key of root",
        ),
        (next("--revoke root 12"), "names no single key"),
        (next("--add root alice.key.json"), "no public half of a key"),
    ] {
        table.fails(&line, 2, words);
    }
    table.fails(&next("--expires 2020-01-01"), 7, "too soon");
    table.says(&next(""));
    table.fails(&next(""), 2, "already there");
    table.fails(
        "keys root sign 2.root.draft.json --key targets.key.json --current 1.root.json",
        2,
        "is not one of those that may sign",
    );
    table.says("keys root sign 2.root.draft.json --key alice.key.json --current 1.root.json");
    table.fails(
        "keys root sign 2.root.draft.json --key alice.key.json --current 1.root.json",
        2,
        "has signed this draft already",
    );
}

#[test]
fn encrypted_key_opens_with_its_passphrase_only_and_is_never_overwritten() {
    let table = Table::laid(&["snapshot", "timestamp"]);
    for (file, words) in [
        ("right", "seven quiet pear trees"),
        ("wrong", "seven quiet plum trees"),
        ("short", "pear"),
    ] {
        let file = table.at(file);
        std::fs::write(&file, format!("{words}\n")).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    }
    let make = "keys generate root.key.json targets.key.json --passphrase-file";
    table.fails(&format!("{make} short"), 2, "at least 12 characters");
    table.says(&format!("{make} right"));
    table.fails(&format!("{make} right"), 2, "already there");
    let shown = table.says("keys list .").stdout;
    assert!(shown.contains("encrypted"), "{shown}");
    for key in ["root", "targets"] {
        let public = table.says(&format!("keys public {key}.key.json")).stdout;
        std::fs::write(table.at(&format!("{key}.pub.json")), public).unwrap();
    }
    table.says(
        "keys root new --root root.pub.json --targets targets.pub.json --snapshot snapshot.pub.json --timestamp timestamp.pub.json",
    );
    let sign = "keys root sign 1.root.draft.json --key root.key.json --passphrase-file";
    std::fs::copy(table.at("right"), table.at("shown")).unwrap();
    std::fs::set_permissions(table.at("shown"), Permissions::from_mode(0o640)).unwrap();
    table.fails(&format!("{sign} shown"), 2, "may be read by others");
    table.fails(&format!("{sign} wrong"), 2, "does not open the key");
    table.says(&format!("{sign} right"));
    assert!(table.at("1.root.json").exists());
}

#[test]
fn first_targets_name_the_deployer_and_answer_to_the_signers_own_root() {
    let table = first_root();
    table.says("keys targets next --root 1.root.json --first --deployer later.pub.json");
    let other = first_root();
    std::fs::copy(other.at("1.root.json"), table.at("other.root.json")).unwrap();
    let sign = "keys targets sign 1.targets.draft.json --key targets.key.json --root";
    table.fails(
        &format!("{sign} other.root.json"),
        7,
        "does not answer to the root",
    );
    table.fails(
        "keys targets sign 1.targets.draft.json --key bob.key.json --root 1.root.json",
        2,
        "is not one of those that may sign",
    );
    let said = table.says(&format!("{sign} 1.root.json"));
    let deployer = &table.id("later")[..16];
    assert!(said.stderr.contains(deployer), "{}", said.stderr);
    assert!(table.at("1.targets.json").exists());
}
