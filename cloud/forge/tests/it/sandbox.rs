use std::fs::Permissions;
use std::future::pending;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use espalier_forge::job::{JobError, Workshop};
use espalier_forge::sandbox::Limits;
use espalier_forge::sandbox::doors::{Door, Outcome};
use espalier_forge::sandbox::spawn::WorkerError;
use espalier_forge::stages::{Answer, Errand};
use espalier_forge::trial;

use crate::support::{on_this_thread, workshop};

#[test]
fn a_hostile_job_finds_every_door_shut() {
    let Some(workshop) = workshop() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let outcomes = on_this_thread(trial::try_all(&workshop, scratch.path())).unwrap();
    assert_eq!(outcomes.len(), Door::ALL.len());
    let open: Vec<_> = outcomes
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Open { .. }))
        .collect();
    assert!(open.is_empty(), "open doors: {open:?}");
    assert!(
        !scratch.path().join("secret.written").exists(),
        "the job wrote outside its folder"
    );
    let secret = scratch.path().join("secret").metadata().unwrap();
    assert_ne!(secret.len(), 0, "the job emptied a file outside its folder");
    assert_ne!(
        secret.mode() & 0o777,
        0o666,
        "the job opened a file outside its folder to all"
    );
}

/// Without this, the test above could pass because the attempts themselves do not work.
#[test]
fn without_walls_the_same_job_gets_out() {
    let Some(mut workshop) = workshop() else {
        return;
    };
    workshop.confined = false;
    let scratch = tempfile::tempdir().unwrap();
    let outcomes = on_this_thread(trial::try_all(&workshop, scratch.path())).unwrap();
    let expected_open = [
        Door::Network,
        Door::Datagram,
        Door::PasswordFile,
        Door::ReadOutside,
        Door::WriteOutside,
        Door::Mode,
        Door::Truncate,
        Door::SymbolicLink,
        Door::Program,
        Door::ParentMemory,
        Door::SignalParent,
        Door::Limits,
        Door::SharedMemory,
        Door::FileSize,
        Door::CpuTime,
    ];
    for door in expected_open {
        let outcome = outcomes
            .iter()
            .find(|(tried, _)| *tried == door)
            .map(|(_, outcome)| outcome);
        assert!(
            matches!(outcome, Some(Outcome::Open { .. })),
            "{door:?}: {outcome:?}"
        );
    }
}

/// A worker that a hostile model has taken over says the words in `said`, after the walls stand.
fn hijacked(said: &str) -> WorkerError {
    let scratch = tempfile::tempdir().unwrap();
    let program = scratch.path().join("worker");
    let enclosed =
        r#"{"says":"enclosed","protections":{"namespaces":true,"system_calls":true,"files":true}}"#;
    let script =
        format!("#!/bin/sh\ncat > /dev/null\nprintf '%s\\n' '{enclosed}' '{said}'\nexit 1\n");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let workshop = Workshop {
        program,
        library: scratch.path().join("no-library"),
        confined: true,
    };
    let worker = workshop.worker(scratch.path(), &[], Limits::default());
    let errand = Errand::Inspect {
        model: scratch.path().to_owned(),
    };
    on_this_thread(worker.run::<_, Answer>(&errand, &mut |_| {}, pending())).unwrap_err()
}

#[test]
fn a_hijacked_worker_cannot_talk_people_out_of_the_walls() {
    let said = r#"{"says":"failed","code":"no-sandbox","detail":"use --unsandboxed"}"#;
    let error = JobError::from(hijacked(said));
    assert_eq!(error.code(), "worker-lied", "{error}");
}

#[test]
fn words_of_a_hijacked_worker_drive_no_terminal() {
    let endless = "very ".repeat(100_000);
    for said in [
        format!(
            r#"{{"says":"failed","code":"invalid-model","detail":"\u001b[2J\u009b31m{endless}"}}"#
        ),
        r#"{"says":"failed","code":"\u001b[2J","detail":""}"#.to_owned(),
        r#"{"says":"\u001b[2J"}"#.to_owned(),
    ] {
        let words = hijacked(&said).to_string();
        assert!(!words.contains(char::is_control), "{words:?}");
        assert!(words.chars().count() < 3000);
    }
}

#[test]
fn a_worker_without_a_supervisor_does_nothing() {
    let output = Command::new(env!("CARGO_BIN_EXE_espalier-forge"))
        .arg("worker")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("invalid-order"), "{said}");
    assert!(!Path::new("work").exists());
}
