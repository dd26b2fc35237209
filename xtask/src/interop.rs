//! Other people's Python programs for `--interop`: an environment of its own in the cache, with every package
//! pinned by digest.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::cache::Cache;
use crate::failure::{Failure, Result, While};
use crate::{process, workspace};

/// Tells tests where the interpreter with these packages is.
pub const VARIABLE: &str = "ESPALIER_INTEROP_PYTHON";

/// What is installed, relative to the root of the checkout.
const REQUIREMENTS: &str = "tests/interop/requirements.txt";

/// The environment, relative to its item in the cache.
const ENVIRONMENT: &str = "environment";

/// The oldest Python 3 that all pinned packages support.
const OLDEST_MINOR: u32 = 11;

/// The interpreter of the environment, which is made when it is not there or was made from other pins.
///
/// Programs are started as its modules (`-m pytest`): the scripts that pip writes name the folder in which
/// they were installed, and the environment is moved into place when it is complete.
pub fn ensure() -> Result<PathBuf> {
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
