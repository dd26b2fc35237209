//! The web console, built once and again when its sources change.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use crate::failure::{Result, While};
use crate::{npm, process, workspace};

/// Made from the sources, or by npm: not part of the sources.
const DERIVED: [&str; 3] = ["node_modules", "dist", "coverage"];

/// The console's folder. `None` in a checkout without one.
pub fn folder() -> Option<PathBuf> {
    Some(workspace::root().join("cloud/console"))
        .filter(|folder| folder.join("package.json").is_file())
}

/// Builds the console where its result is missing, or was made from other sources.
pub fn ensure() -> Result<()> {
    let Some(console) = folder() else {
        return Ok(());
    };
    let sources = digest_of_sources(&console)?;
    // A start page without assets is the server's placeholder for a console that is not built.
    if console.join("dist/assets").is_dir() && recorded("console-built-from") == Some(sources) {
        return Ok(());
    }
    install(&console)?;
    eprintln!("setup: building the web console");
    process::output(
        process::command("npm")
            .args(["run", "build", "--silent"])
            .current_dir(&console),
    )?;
    record("console-built-from", sources)
}

/// Installs the console's packages where that was not done for this lock file.
pub fn install(console: &Path) -> Result<()> {
    npm::require_node("build the web console")?;
    let lock = digest(&[
        console.join("package.json"),
        console.join("package-lock.json"),
    ])?;
    if console.join("node_modules").is_dir() && recorded("console-installed-for") == Some(lock) {
        return Ok(());
    }
    eprintln!("setup: installing the web console's packages");
    let ci = [
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--silent",
    ];
    process::output(process::command("npm").args(ci).current_dir(console))?;
    record("console-installed-for", lock)
}

/// Runs the console's own tests.
pub fn test() -> Result<()> {
    let Some(console) = folder() else {
        return Ok(());
    };
    install(&console)?;
    process::run(
        process::command("npm")
            .args(["run", "test", "--silent"])
            .current_dir(console),
    )
}

fn digest_of_sources(console: &Path) -> Result<u64> {
    let mut files = Vec::new();
    collect(console, &mut files).while_trying(|| format!("read {}", console.display()))?;
    files.sort();
    digest(&files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let derived = DERIVED.iter().any(|name| entry.file_name() == *name);
        match entry.file_type()? {
            kind if kind.is_dir() && !derived => collect(&entry.path(), files)?,
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    Ok(())
}

/// Tells changed from unchanged. Not a defence: who can write here can write the result as well.
fn digest(files: &[PathBuf]) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        fs::read(file)
            .while_trying(|| format!("read {}", file.display()))?
            .hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn recorded(name: &str) -> Option<u64> {
    fs::read_to_string(record_file(name)).ok()?.parse().ok()
}

fn record(name: &str, digest: u64) -> Result<()> {
    let file = record_file(name);
    fs::create_dir_all(workspace::target())
        .while_trying(|| format!("make {}", workspace::target().display()))?;
    fs::write(&file, digest.to_string()).while_trying(|| format!("write {}", file.display()))
}

fn record_file(name: &str) -> PathBuf {
    workspace::target().join(name)
}
