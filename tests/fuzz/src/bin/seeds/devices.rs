//! What a device finds on its disk, hears from its gateway, and is told of teams; and how operators choose devices.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use espalier_fuzz_targets::fixture::{DEPLOYER, DEVICE, STRANGER, cloud, now, pkcs8};
use espalier_fuzz_targets::teams::{self, BELOW, TEAM};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::certified::Certified;
use super::{Corpus, hazards};

pub fn write(corpus: &Corpus) -> io::Result<()> {
    teams_say(corpus)?;
    release_keys_say(corpus)?;
    identities(corpus)?;
    outboxes(corpus)?;
    downs(corpus)?;
    selectors(corpus)
}

fn teams_say(corpus: &Corpus) -> io::Result<()> {
    let put = |name: &str, file: &[u8]| {
        corpus.put(
            "delegated-role",
            &format!("team-{name}"),
            [&[0], file].concat(),
        )
    };
    let below: Vec<_> = (0..BELOW).map(|number| format!("below-{number}")).collect();
    let handed_on = |roles: &[String]| teams::says(Some(teams::handed_to(roles, "*")));
    let mut old = teams::says(None);
    old["expires"] = json!(now() - SignedDuration::from_hours(1));
    let mut newer = teams::says(None);
    newer["version"] = json!(2);
    for (name, says, signer) in [
        ("honest", teams::says(None), TEAM),
        ("by-a-stranger", teams::says(None), STRANGER),
        ("that-has-ended", old, TEAM),
        ("of-another-edition", newer, TEAM),
        (
            "that-hands-on-to-itself",
            handed_on(&["team".to_owned()]),
            TEAM,
        ),
        (
            "that-hands-on-to-the-top",
            handed_on(&["targets".to_owned()]),
            TEAM,
        ),
        ("that-hands-on-without-end", handed_on(&below), TEAM),
    ] {
        let signed = teams::signed(&says, signer, "team");
        put(
            name,
            &signed.ok_or_else(|| io::Error::other("a team signs"))?,
        )?;
    }
    put("that-is-a-root", &cloud().first.root.bytes)
}

fn release_keys_say(corpus: &Corpus) -> io::Result<()> {
    let put = |name: &str, says: &Value| {
        let file = [&[1], says.to_string().as_bytes()].concat();
        corpus.put("delegated-role", &format!("release-keys-{name}"), file)
    };
    let named = |name: &str| teams::handed_to(&[name.to_owned()], "*");
    let mut nobody_signs = teams::one_team();
    nobody_signs["roles"][0]["threshold"] = json!(0);
    let mut by_digest = teams::one_team();
    by_digest["roles"][0]["path_hash_prefixes"] = json!(["", "0", "ff"]);
    let below: Vec<_> = (0..BELOW).map(|number| format!("below-{number}")).collect();
    for (name, says) in [
        ("of-one-team", teams::one_team()),
        ("of-a-team-that-leaves-its-folder", named("../timestamp")),
        ("of-a-team-with-a-roles-name", named("timestamp")),
        ("of-a-team-without-a-name", named("")),
        ("of-a-team-that-nobody-signs-for", nobody_signs),
        ("of-teams-by-digest", by_digest),
        ("of-teams-without-end", teams::handed_to(&below, "*")),
        (
            "of-a-broken-pattern",
            teams::handed_to(&["team".to_owned()], "["),
        ),
        (
            "of-many-stars",
            teams::handed_to(&["team".to_owned()], &"*e".repeat(200)),
        ),
    ] {
        put(name, &says)?;
    }
    Ok(())
}

fn identities(corpus: &Corpus) -> io::Result<()> {
    let device = Certified::device()?;
    let private = STANDARD.encode(pkcs8(DEVICE));
    let enrolled = json!({
        "state": "enrolled", "key": private,
        "facts": {
            "identity": device.identity, "class": "x86-int8", "role": "gateway", "trust": "development", "gateway": null,
            "certificate_pem": device.certificate, "ca_pem": device.authority,
            "uplink": {"via": "cloud", "door": "https://cloud:7443/", "broker": "mqtts://cloud:8883"},
        },
    });
    hazards::json(corpus, "identity", "enrolled", &enrolled.to_string())?;
    let mut other = enrolled;
    other["key"] = json!(STANDARD.encode(pkcs8(STRANGER)));
    corpus.put("identity", "with-another-key", other.to_string())?;
    let pending = json!({"state": "pending", "key": private});
    corpus.put("identity", "pending", pending.to_string())
}

fn outboxes(corpus: &Corpus) -> io::Result<()> {
    let put = |name, starts: u64, files: &[String]| {
        let names = files.join("\n");
        corpus.put(
            "outbox",
            name,
            [&starts.to_be_bytes()[..], names.as_bytes()].concat(),
        )
    };
    let file = |boot: u64, seq: u64, ending| format!("{boot:016x}-{seq:016x}.{ending}");
    let honest = [
        file(1, 1, "report"),
        file(1, 2, "state"),
        file(2, 1, "report"),
    ];
    put("of-three-reports", 2, &honest)?;
    put("of-the-last-start", u64::MAX, &honest)?;
    let spellings = [
        "1-1.report",
        "+1-2.state",
        "000000000000000A-1.report",
        "1-1.report.copy",
    ];
    put("of-other-spellings", 1, &spellings.map(str::to_owned))?;
    put(
        "of-two-files-for-one-report",
        1,
        &["report", "state"].map(|ending| file(1, 1, ending)),
    )?;
    let many: Vec<_> = (0..600).map(|seq| file(1, seq, "state")).collect();
    put("of-too-many-reports", 1, &many)?;
    put(
        "with-a-broken-count",
        1,
        &["boot", "boot.copy"].map(str::to_owned),
    )
}

fn downs(corpus: &Corpus) -> io::Result<()> {
    let message = STANDARD.encode([DEPLOYER; 90]);
    let whole = json!({"at": 12_884_901_888_u64, "desired": message, "acks": [message, "AAAA"]});
    hazards::json(corpus, "relay-down", "whole", &whole.to_string())?;
    corpus.put("relay-down", "of-nothing-new", r#"{"at":1}"#)?;
    corpus.put("relay-down", "of-no-base64", r#"{"at":1,"desired":"="}"#)
}

fn selectors(corpus: &Corpus) -> io::Result<()> {
    for (name, text) in [
        ("all", "all".to_owned()),
        (
            "conditions",
            "site=berlin, tier!=lab,!old,line in (a, b.c)".to_owned(),
        ),
        ("of-the-grammars-words", "in in (in),all=1".to_owned()),
        ("without-an-end", "site in (a,".to_owned()),
        ("of-cyrillic", "а=1".to_owned()),
        // Written out, each condition has a space more.
        ("that-grows-when-it-is-kept", ["a in(b)"; 255].join(",")),
        ("label", "berlin-2.line_1".to_owned()),
        ("share", "2.5%".to_owned()),
        ("share-of-no-number", "NaN".to_owned()),
    ] {
        corpus.put("selector", name, text)?;
    }
    Ok(())
}
