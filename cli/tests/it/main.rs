//! The command as a person or a script meets it: the built program, its output and its exit codes.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod connection;
mod inspect;
mod keys;
mod signing;
mod support;

use support::espalier;

#[test]
fn completions_are_there_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = espalier(["completions", shell]);
        assert_eq!(run.code, 0, "{shell}: {}", run.stderr);
        assert!(
            run.stdout.contains("rollout"),
            "{shell} does not know the command rollout"
        );
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let run = espalier(["--help"]);
    assert_eq!(run.code, 0);
    for code in ["0 ", "7 ", "70", "130"] {
        assert!(
            run.stdout
                .lines()
                .any(|line| line.trim_start().starts_with(code)),
            "{code} is not explained"
        );
    }
}

#[test]
fn wrong_use_is_exit_code_2_and_names_the_argument() {
    let run = espalier(["rollout", "start", "not-an-id"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("not-an-id"), "{}", run.stderr);
}
