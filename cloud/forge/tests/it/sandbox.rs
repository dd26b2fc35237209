use std::path::Path;
use std::process::Command;

use espalier_forge::sandbox::doors::{Door, Outcome};
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
        Door::SymbolicLink,
        Door::Program,
        Door::ParentMemory,
        Door::SignalParent,
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
