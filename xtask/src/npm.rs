//! Node.js and its package manager: the one way by which set-up fetches programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::failure::{Failure, Result, While};
use crate::process;

const OLDEST_NODE: u32 = 20;

/// A package, pinned to the bytes that were looked at.
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    /// Subresource integrity of the tarball: `sha512-` and base64.
    pub integrity: &'static str,
}

impl Package {
    /// Fetches the tarball into a folder, and refuses any other bytes than the pinned ones.
    ///
    /// The package's install scripts do not run: some of them reach for other hosts.
    pub fn fetch(&self, into: &Path) -> Result<PathBuf> {
        require_node(&format!("fetch {}", self.name))?;
        let specification = format!("{}@{}", self.name, self.version);
        eprintln!("setup: fetching {specification} through npm");
        let started = Instant::now();
        let mut pack = Command::new("npm");
        pack.args(["pack", "--silent", "--ignore-scripts", "--pack-destination"])
            .arg(into)
            .arg(&specification);
        process::output(&mut pack).map_err(|failure| {
            Failure::new(format!(
                "{failure}; check the network and `npm config get registry`, then run \
                 `cargo xtask setup` again"
            ))
        })?;
        let tarball = only_tarball(into)?;
        self.check(&tarball)?;
        eprintln!(
            "setup: fetched {specification}, {}, {:.1} s",
            size(&tarball),
            started.elapsed().as_secs_f32()
        );
        Ok(tarball)
    }

    /// Node computes the digest, so that xtask needs no crate for it.
    fn check(&self, tarball: &Path) -> Result<()> {
        const SCRIPT: &str = "const hash = require('crypto').createHash('sha512');\
            require('fs').createReadStream(process.argv[1]).pipe(hash)\
            .on('finish', () => process.stdout.write('sha512-' + hash.digest('base64')));";
        let found = process::output(Command::new("node").args(["-e", SCRIPT, "--"]).arg(tarball))?;
        if found == self.integrity {
            return Ok(());
        }
        Err(Failure::new(format!(
            "{}@{} is not the package that was pinned: its digest is {found}, \
             not {}; do not use this registry",
            self.name, self.version, self.integrity
        )))
    }
}

/// Says what to do when Node.js or npm is missing or too old.
pub fn require_node(purpose: &str) -> Result<()> {
    let version = process::output(Command::new("node").arg("--version")).map_err(|_| {
        Failure::new(format!(
            "Node.js is needed to {purpose}, and is not installed; {}",
            advice()
        ))
    })?;
    let version = version.trim();
    let major: Option<u32> = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    if major.is_none_or(|major| major < OLDEST_NODE) {
        return Err(Failure::new(format!(
            "Node.js {OLDEST_NODE} or newer is needed to {purpose}, and this is {version}; {}",
            advice()
        )));
    }
    process::output(Command::new("npm").arg("--version"))
        .map(drop)
        .map_err(|_| {
            Failure::new(format!(
                "npm is needed to {purpose}, and does not run; {}",
                advice()
            ))
        })
}

fn advice() -> &'static str {
    if cfg!(target_os = "macos") {
        "run `brew install node`"
    } else {
        "run `nvm install 22`, or install your distribution's `nodejs` and `npm` where recent enough"
    }
}

fn only_tarball(folder: &Path) -> Result<PathBuf> {
    std::fs::read_dir(folder)
        .while_trying(|| format!("read {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or_else(|| Failure::new("npm said that it fetched a package, but left none"))
}

fn size(file: &Path) -> String {
    let bytes = std::fs::metadata(file).map_or(0, |found| found.len());
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Unpacks some members of a tarball, without the `package/` that every npm tarball starts with.
pub fn unpack(tarball: &Path, into: &Path, members: &[&str]) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("-xzf")
        .arg(tarball)
        .arg("-C")
        .arg(into)
        .args(["--strip-components=1", "--no-same-owner"]);
    tar.args(members.iter().map(|member| format!("package/{member}")));
    process::output(&mut tar).map(drop)
}
