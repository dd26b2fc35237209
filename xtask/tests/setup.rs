//! Set-up on machines that lack something, and with a registry that lies.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Answers like npm, and packs something else than what was asked for.
const LYING_NPM: &str = "#!/bin/sh\n\
    [ \"$1\" = --version ] && echo 11.0.0 && exit\n\
    while [ \"$1\" != --pack-destination ]; do shift; done\n\
    echo 'something else' > \"$2/package.tgz\"\n";

/// A machine with an empty cache and a checkout without a console.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["bin", "cache", "checkout/xtask"] {
            fs::create_dir_all(folder.path().join(name)).expect("a folder");
        }
        Self { folder }
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.folder.path().join("bin").join(name);
        fs::write(&path, script).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    }

    fn cache(&self) -> std::path::PathBuf {
        self.folder.path().join("cache/espalier")
    }

    fn set_up(&self, path: &OsStr) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .arg("setup")
            .env_clear()
            .env("PATH", path)
            .env("XDG_CACHE_HOME", self.folder.path().join("cache"))
            .env(
                "CARGO_MANIFEST_DIR",
                self.folder.path().join("checkout/xtask"),
            )
            .env("DATABASE_URL", "postgres://elsewhere/")
            .output()
            .expect("xtask")
    }

    /// Only the programs of this machine are there.
    fn set_up_alone(&self) -> Output {
        self.set_up(self.folder.path().join("bin").as_os_str())
    }

    /// The programs of this machine come before the real ones.
    fn set_up_among_real(&self) -> Output {
        let real = std::env::var_os("PATH").unwrap_or_default();
        let all =
            std::iter::once(self.folder.path().join("bin")).chain(std::env::split_paths(&real));
        self.set_up(&std::env::join_paths(all).expect("a path"))
    }
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn no_node() {
    let said = complaint(&Machine::new().set_up_alone());
    assert!(
        said.contains("Node.js is needed to fetch onnxruntime-node"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn node_that_is_too_old() {
    let machine = Machine::new();
    machine.program("node", "#!/bin/sh\necho v18.20.1\n");
    let said = complaint(&machine.set_up_alone());
    assert!(
        said.contains("Node.js 20 or newer is needed") && said.contains("v18.20.1"),
        "{said}"
    );
}

#[test]
fn node_without_npm() {
    let machine = Machine::new();
    machine.program("node", "#!/bin/sh\necho v22.0.0\n");
    let said = complaint(&machine.set_up_alone());
    assert!(said.contains("npm is needed"), "{said}");
}

#[test]
fn registry_with_other_bytes() {
    let machine = Machine::new();
    machine.program("npm", LYING_NPM);
    let said = complaint(&machine.set_up_among_real());
    assert!(
        said.contains("is not the package that was pinned"),
        "{said}"
    );
    assert_eq!(names_in(&machine.cache()), [".lock"]);
}

#[test]
fn second_run_without_a_network() {
    let machine = Machine::new();
    let source = include_str!("../src/onnxruntime.rs");
    let pinned = |field: &str| {
        let (_, rest) = source.split_once(&format!("{field}: \"")).expect("a field");
        rest.split('"').next().expect("its value")
    };
    let item = machine
        .cache()
        .join(format!("onnxruntime-{}", pinned("version")));
    fs::create_dir_all(&item).expect("a folder");
    fs::write(item.join("integrity"), pinned("integrity")).expect("a file");
    let done = machine.set_up_alone();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(String::from_utf8_lossy(&done.stdout).contains(&item.display().to_string()));
}

#[test]
fn library_that_is_not_there() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("setup")
        .env("ESPALIER_ORT", "/nowhere/libonnxruntime.so")
        .output()
        .expect("xtask");
    let said = complaint(&output);
    assert!(
        said.contains("ESPALIER_ORT names /nowhere/libonnxruntime.so"),
        "{said}"
    );
}

#[test]
fn words_that_are_no_command() {
    for (words, about) in [
        (&["frobnicate"][..], "is not a command"),
        (&["setup", "--fast"], "does not know `--fast`"),
        (&["setup", "--postgres", "apt"], "takes `npm`"),
        (&["setup", "--postgres"], "needs a value"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(words)
            .output()
            .expect("xtask");
        let said = complaint(&output);
        assert!(said.contains(about), "{said}");
    }
}
