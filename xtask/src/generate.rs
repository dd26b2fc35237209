//! `cargo xtask gen`: every file that is made from other files and committed all the same.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::SystemTime;

use crate::args::Args;
use crate::failure::{Failure, Result, While};
use crate::postgres::Choice;
use crate::setup::Setup;
use crate::{arrows, console, process, workspace};

pub const HELP: &str = "\
Makes the derived files again: the description of every SQL query (.sqlx), the OpenAPI document, the
console's TypeScript client, and the list of arrows between crates.

Usage: cargo xtask gen [--check]

Options:
  --check   change nothing, and fail when a committed file differs from what would be made";

/// Committed files that this command makes. A folder stands for the files in it.
const DERIVED: [&str; 4] = [
    ".sqlx",
    "cloud/api/openapi.json",
    "cloud/console/src/api/generated.ts",
    "docs/arrows.txt",
];

pub fn command(mut args: Args) -> Result<()> {
    let check = args.flag("--check");
    args.finish("gen")?;
    let setup = Setup::without_console(Choice::Any)?;
    let before = Snapshot::take()?;
    let made = make(&setup);
    if made.is_err() {
        before.restore()?;
    }
    made?;
    let after = Snapshot::take()?;
    let differing = before.differences(&after);
    if !check {
        differing
            .iter()
            .for_each(|path| println!("changed {}", path.display()));
        return Ok(());
    }
    before.restore()?;
    let names: Vec<_> = differing
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "derived files are not up to date: {}; run `cargo xtask gen`",
        names.join(", ")
    )))
}

fn make(setup: &Setup) -> Result<()> {
    write("docs/arrows.txt", &arrows::text()?)?;
    describe_queries(setup)?;
    let cloud = workspace::program("espalier-cloud");
    let document = process::output(process::command(cloud).arg("openapi"))?;
    write("cloud/api/openapi.json", &document)?;
    let Some(console) = console::folder() else {
        return Ok(());
    };
    console::install(&console)?;
    let npm = ["run", "gen", "--silent"];
    process::output(process::command("npm").args(npm).current_dir(console)).map(drop)
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(workspace::root().join(path), text).while_trying(|| format!("write {path}"))
}

/// The compiler asks a database with today's tables about every query, and writes the answers to
/// `.sqlx`.
fn describe_queries(setup: &Setup) -> Result<()> {
    let descriptions = workspace::root().join(".sqlx");
    if descriptions.is_dir() {
        fs::remove_dir_all(&descriptions)
            .while_trying(|| format!("remove {}", descriptions.display()))?;
    }
    fs::create_dir(&descriptions).while_trying(|| format!("make {}", descriptions.display()))?;
    let database = ScratchDatabase::start(setup)?;
    compile_again("cloud/store/src/lib.rs")?;
    let mut build = process::cargo(["build", "--workspace", "--bins"]);
    build
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &descriptions)
        .env("DATABASE_URL", &database.url);
    process::run(&mut build)
}

/// Cargo does not know that the answers depend on the database.
fn compile_again(source: &str) -> Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a file's time of change is the one thing that cargo looks at"
    )]
    let now = SystemTime::now();
    let path = workspace::root().join(source);
    let file = fs::File::options()
        .append(true)
        .open(&path)
        .while_trying(|| format!("open {}", path.display()))?;
    file.set_modified(now)
        .while_trying(|| format!("touch {}", path.display()))
}

/// A server with all migrations applied, for as long as this value lives.
struct ScratchDatabase {
    server: Child,
    url: String,
}

impl ScratchDatabase {
    fn start(setup: &Setup) -> Result<Self> {
        process::run(&mut process::cargo(["build", "--workspace", "--examples"]))?;
        let mut command = process::command(workspace::program("examples/scratch_database"));
        setup
            .apply(&mut command)
            .arg("migrations")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut server = command
            .spawn()
            .while_trying(|| "start the scratch database")?;
        let mut url = String::new();
        if let Some(output) = server.stdout.take() {
            BufReader::new(output)
                .read_line(&mut url)
                .while_trying(|| "read the scratch database's address")?;
        }
        let database = Self {
            server,
            url: url.trim().to_owned(),
        };
        if database.url.is_empty() {
            return Err(Failure::new(
                "the scratch database did not start; its own message is above",
            ));
        }
        Ok(database)
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        // It stops when its input ends. Nothing can be done here about a server that has died
        // already.
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}

/// The derived files as they are.
struct Snapshot(BTreeMap<PathBuf, Vec<u8>>);

impl Snapshot {
    fn take() -> Result<Self> {
        let mut files = BTreeMap::new();
        for path in DERIVED.map(PathBuf::from) {
            add(&mut files, &path).while_trying(|| format!("read {}", path.display()))?;
        }
        Ok(Self(files))
    }

    fn differences<'a>(&'a self, other: &'a Self) -> Vec<&'a Path> {
        let mut paths: Vec<&Path> = self
            .0
            .keys()
            .chain(other.0.keys())
            .map(PathBuf::as_path)
            .collect();
        paths.sort();
        paths.dedup();
        paths.retain(|path| self.0.get(*path) != other.0.get(*path));
        paths
    }

    fn restore(&self) -> Result<()> {
        for path in Self::take()?
            .0
            .keys()
            .filter(|path| !self.0.contains_key(*path))
        {
            fs::remove_file(workspace::root().join(path))
                .while_trying(|| format!("remove {}", path.display()))?;
        }
        for (path, bytes) in &self.0 {
            let place = workspace::root().join(path);
            let folder = place.parent().unwrap_or(&place);
            fs::create_dir_all(folder).while_trying(|| format!("make {}", folder.display()))?;
            fs::write(&place, bytes).while_trying(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

fn add(files: &mut BTreeMap<PathBuf, Vec<u8>>, path: &Path) -> std::io::Result<()> {
    let place = workspace::root().join(path);
    if place.is_dir() {
        for entry in fs::read_dir(&place)? {
            add(files, &path.join(entry?.file_name()))?;
        }
    } else if place.is_file() {
        files.insert(path.to_path_buf(), fs::read(place)?);
    }
    Ok(())
}
