//! Other people's judgement: every case of the TUF conformance suite, none excused.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use espalier_support::skip::skipped;

/// Where the suite is checked out.
const SUITE: &str = "TUF_CONFORMANCE_DIR";
/// The Python that has what the suite imports.
const PYTHON: &str = "ESPALIER_INTEROP_PYTHON";
/// Cases of the suite's edition that the figures in the documentation are of.
const CASES: &str = "113 passed";

#[test]
fn tuf_conformance_suite_passes_without_an_excuse() {
    let test = "tuf_conformance_suite_passes_without_an_excuse";
    let (Some(suite), Some(python)) = (env::var_os(SUITE), env::var_os(PYTHON)) else {
        return skipped(test, "runs with `cargo xtask test --interop`");
    };
    let output = Command::new(&python)
        .args([
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--entrypoint",
        ])
        .arg(env!("CARGO_BIN_EXE_espalier-tuf-client"))
        .arg("tuf_conformance")
        .current_dir(PathBuf::from(suite))
        .env("PATH", with_faketime())
        .env("ESPALIER_INTEROP_FAKETIME", faketime(&python))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("Python starts");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with(CASES), "{last}");
    assert!(!last.contains("xfail") && !last.contains("skip"), "{last}");
}

/// The library by which `bin/faketime` sets a clock.
fn faketime(python: &OsStr) -> String {
    let folder = "import importlib.util as u; print(u.find_spec('libfaketime').submodule_search_locations[0])";
    let said = Command::new(python)
        .args(["-c", folder])
        .output()
        .expect("Python starts");
    let folder = String::from_utf8(said.stdout).expect("a path");
    format!("{}/vendor/libfaketime/src/libfaketime.so.1", folder.trim())
}

/// The suite sets the client's clock by a command of this name.
fn with_faketime() -> OsString {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("bin");
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths([ours].into_iter().chain(env::split_paths(&path))).expect("folders of PATH")
}
