//! Other people's programs for `--interop`: a Python environment of its own in the cache, with every package pinned by
//! digest, and the TUF conformance suite, which is on no package index.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::cache::Cache;
use crate::failure::{Failure, Result, While};
use crate::{process, workspace};

/// Tells tests where the interpreter with these packages is.
const PYTHON_VARIABLE: &str = "ESPALIER_INTEROP_PYTHON";

/// Tells tests, and lets a person tell us, where the suite is.
const SUITE_VARIABLE: &str = "TUF_CONFORMANCE_DIR";

/// Where the suite comes from, and the state of it that was looked at.
const SUITE: &str = "https://github.com/theupdateframework/tuf-conformance";
const SUITE_COMMIT: &str = "eec841c186f81f2d9d8d30460c7e7deefa615f9e";

/// What is installed, relative to the root of the checkout.
const REQUIREMENTS: &str = "tests/interop/requirements.txt";

/// The environment, relative to its item in the cache.
const ENVIRONMENT: &str = "environment";

/// The oldest Python 3 that all pinned packages support.
const OLDEST_MINOR: u32 = 11;

/// What was found or installed.
pub struct Interop {
    python: PathBuf,
    /// Not there when it could not be fetched: its test skips itself then.
    suite: Option<PathBuf>,
}

impl Interop {
    /// Finds or installs everything.
    pub fn ensure() -> Result<Self> {
        let python = python()?;
        let suite = suite().inspect_err(|failure| {
            eprintln!("interop: {failure}; check {SUITE} out yourself, and name the folder in {SUITE_VARIABLE}");
        });
        let suite = suite.ok();
        Ok(Self { python, suite })
    }

    /// What tests are told.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let suite = self.suite.as_deref();
        [(PYTHON_VARIABLE, self.python.as_path())]
            .into_iter()
            .chain(suite.map(|suite| (SUITE_VARIABLE, suite)))
    }
}

/// The person's own checkout of the suite, or the pinned one.
fn suite() -> Result<PathBuf> {
    if let Some(own) = std::env::var_os(SUITE_VARIABLE) {
        return Ok(own.into());
    }
    Cache::of_user()?.item_or_make("tuf-conformance", SUITE_COMMIT, |incoming| {
        eprintln!("interop: fetching {SUITE}");
        let git = |arguments: &[&str]| {
            let mut git = process::command("git");
            process::output(git.arg("-C").arg(incoming).args(arguments)).map(drop)
        };
        git(&["init", "--quiet"])?;
        git(&["fetch", "--quiet", "--depth", "1", SUITE, SUITE_COMMIT])?;
        git(&["checkout", "--quiet", "FETCH_HEAD"])
    })
}

/// The interpreter of the environment, which is made when it is not there or was made from other pins.
///
/// Programs are started as its modules (`-m pytest`): the scripts that pip writes name the folder in which
/// they were installed, and the environment is moved into place when it is complete.
fn python() -> Result<PathBuf> {
    let version = python_version()?;
    let requirements = workspace::root().join(REQUIREMENTS);
    let pins = fs::read_to_string(&requirements)
        .while_trying(|| format!("read {}", requirements.display()))?;
    // The pins carry the digest of every package, so they are the integrity of the whole.
    let integrity = format!("{version}\n{pins}");
    let folder = Cache::of_user()?.item_or_make("interop", &integrity, |incoming| {
        install(incoming, &requirements)
    })?;
    Ok(interpreter(&folder))
}

fn install(into: &Path, requirements: &Path) -> Result<()> {
    eprintln!("interop: installing {REQUIREMENTS} through pip");
    let started = Instant::now();
    let mut make = process::command("python3");
    make.args(["-m", "venv"]).arg(into.join(ENVIRONMENT));
    process::output(&mut make).map_err(|failure| {
        Failure::new(format!(
            "{failure}; install your distribution's `python3-venv`"
        ))
    })?;
    let mut pip = process::command(interpreter(into));
    pip.args(["-m", "pip", "install", "--quiet", "--require-hashes"])
        // What a package's own set-up script would do is not pinned.
        .args(["--only-binary", ":all:", "--requirement"])
        .arg(requirements);
    process::output(&mut pip).map_err(|failure| {
        Failure::new(format!(
            "{failure}; check the network and `pip config list`, then run it again"
        ))
    })?;
    eprintln!(
        "interop: installed, {:.1} s",
        started.elapsed().as_secs_f32()
    );
    Ok(())
}

fn interpreter(item: &Path) -> PathBuf {
    item.join(ENVIRONMENT).join("bin/python")
}

/// The version of the machine's Python; says what to do when there is none, or an old one.
fn python_version() -> Result<String> {
    let needed = format!("Python 3.{OLDEST_MINOR} or newer is needed for --interop");
    let said = process::output(process::command("python3").arg("--version"))
        .map_err(|_| Failure::new(format!("{needed}, and `python3` does not run; install it")))?;
    let version = said.trim();
    let minor = version
        .strip_prefix("Python 3.")
        .and_then(|rest| rest.split('.').next())
        .and_then(|minor| minor.parse::<u32>().ok());
    match minor {
        Some(minor) if minor >= OLDEST_MINOR => Ok(version.to_owned()),
        _ => Err(Failure::new(format!("{needed}, and this is {version}"))),
    }
}
