//! The agent as a person or systemd starts it, and as the devices behind a gateway see it. What needs a whole cloud is in
//! `tests/flows`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops at once, and says where"
)]

mod cloud;
mod gateway;
mod relay;

/// The store's tests have the cloud's keys on paper; what is asked of them here is a first root.
#[expect(dead_code, reason = "the store's own tests ask it for more")]
#[path = "../../../device-runtime/slots/tests/it/mint.rs"]
mod mint;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

struct Agent {
    state: TempDir,
}

impl Agent {
    fn new() -> Self {
        Self {
            state: TempDir::new().unwrap(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_espalier-agent"));
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("ESPALIER_AGENT_") {
                command.env_remove(variable);
            }
        }
        command
            .args(arguments)
            .env("ESPALIER_AGENT_STATE", self.state.path());
        command
    }

    /// Runs a command that must fail; gives its words.
    fn refused(&self, arguments: &[&str]) -> String {
        words(self.command(arguments).output().unwrap())
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.state.path().join(name);
        fs::write(&path, content).unwrap();
        text(&path)
    }
}

fn words(output: Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

const NAMED: [&str; 4] = ["--name", "cell-7", "--class", "any-cpu"];

#[test]
fn a_device_without_identity_is_told_to_enrol() {
    let agent = Agent::new();
    assert!(
        agent
            .refused(&["run"])
            .contains("run `espalier-agent enrol --claim FILE")
    );
    assert!(
        agent
            .refused(&["status"])
            .contains("start it with `espalier-agent run`")
    );
    let picture = agent.file("picture.png", "not a picture");
    assert!(
        agent
            .refused(&["infer", &picture, "--point", "1,1"])
            .contains("neither a JPEG nor a PNG")
    );
    let picture = text(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../device-runtime/runtime/tests/pictures/quadrants.jpg"),
    );
    assert!(
        agent
            .refused(&["infer", &picture, "--point", "1,1"])
            .contains("not enrolled")
    );
    assert!(
        agent
            .refused(&["infer", &picture, "--box", "1,1"])
            .contains("give 4 numbers")
    );
}

#[test]
fn a_second_agent_does_not_touch_the_state() {
    let agent = Agent::new();
    let lock = File::create(agent.state.path().join("lock")).unwrap();
    lock.lock().unwrap();
    assert!(agent.refused(&["run"]).contains("another agent works in"));
    let claim = agent.file("claim.json", "{}");
    let enrol = [&["enrol", "--claim", &claim][..], &NAMED].concat();
    assert!(agent.refused(&enrol).contains("another agent works in"));
    drop(lock);
    assert!(agent.refused(&["run"]).contains("enrol"));
}

#[test]
fn settings_that_cannot_hold_are_refused_by_name() {
    let agent = Agent::new();
    assert!(
        agent
            .refused(&["run", "--listen", "0.0.0.0:8480"])
            .contains("only loopback is allowed")
    );
    assert!(
        agent
            .refused(&["run", "--providers", "gpu"])
            .contains("`gpu` is not an execution provider")
    );
    let misspelt = agent.file("agent.toml", "[serving]\nlisen = \"127.0.0.1:0\"\n");
    let refused = agent.refused(&["run", "--config", &misspelt]);
    assert!(
        refused.contains("agent.toml") && refused.contains("lisen"),
        "{refused}"
    );
    let open = agent.file("agent.toml", "[serving]\nlisten = \"0.0.0.0:1\"\n");
    assert!(
        agent
            .refused(&["run", "--config", &open])
            .contains("only loopback is allowed")
    );
    // The environment wins over the file, and a flag over both.
    let output = agent
        .command(&["run", "--config", &open])
        .env("ESPALIER_AGENT_LISTEN", "127.0.0.1:0")
        .output();
    assert!(words(output.unwrap()).contains("enrol"));
    let missing = text(&agent.state.path().join("none.toml"));
    assert!(
        agent
            .refused(&["run", "--config", &missing])
            .contains("none.toml")
    );
}

#[test]
fn claims_that_cannot_be_used_are_refused_by_name() {
    let agent = Agent::new();
    let enrol = |content: &str| {
        let claim = agent.file("claim.json", content);
        agent.refused(&[&["enrol", "--claim", &claim][..], &NAMED].concat())
    };
    assert!(enrol("{}").contains("the claim file cannot be read"));
    assert!(enrol(&" ".repeat(70_000)).contains("65536 at most"));
    let rootless = serde_json::json!({
        "format": 1, "id": "01890a5d-ac96-774b-bcce-b302099a8057", "tenant": "acme", "token": "secret",
        "expires_at": "2999-01-01T00:00:00Z", "trust": "production", "ca_pem": "", "tuf_root": "{}",
        "uplink": { "via": "cloud", "door": "https://127.0.0.1:1/", "broker": "mqtts://127.0.0.1:1" },
    });
    assert!(enrol(&rootless.to_string()).contains("root is refused"));
}
