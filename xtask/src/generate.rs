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

const QUERIES: &str = ".sqlx";
const OPENAPI: &str = "cloud/api/openapi.json";
const CLIENT: &str = "cloud/console/src/api/generated.ts";
const ARROWS: &str = "docs/arrows.txt";

/// Committed files that this command makes. A folder stands for the files in it.
const DERIVED: [&str; 4] = [QUERIES, OPENAPI, CLIENT, ARROWS];

pub fn command(mut args: Args) -> Result<()> {
    let check = args.flag("--check");
    args.finish("gen")?;
    let staging = Staging::empty()?;
    make(&staging)?;
    let committed = Files::below(&workspace::root())?;
    let made = Files::below(&staging.0)?;
    let differing = committed.differences(&made);
    if !check {
        return made.replace(&differing);
    }
    let names: Vec<_> = differing
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let names = names.join(", ");
    Err(Failure::new(format!(
        "derived files are not up to date: {names}; run `cargo xtask gen`"
    )))
}

fn make(staging: &Staging) -> Result<()> {
    staging.write(ARROWS, &arrows::text()?)?;
    describe_queries(staging)?;
    let cloud = workspace::program("espalier-cloud");
    let document = process::output(process::command(cloud).arg("openapi"))?;
    staging.write(OPENAPI, &document)?;
    make_client(staging)
}

fn make_client(staging: &Staging) -> Result<()> {
    let Some(console) = console::folder() else {
        return Ok(());
    };
    console::install(&console)?;
    let mut generator = process::command(console.join("node_modules/.bin/openapi-typescript"));
    generator
        .arg(staging.path(OPENAPI)?)
        .arg("--output")
        .arg(staging.path(CLIENT)?);
    process::output(&mut generator).map(drop)
}

/// The compiler asks a database with today's tables about every query, and writes down the answers.
fn describe_queries(staging: &Staging) -> Result<()> {
    let setup = Setup::without_console(Choice::Any)?;
    let database = ScratchDatabase::start(&setup)?;
    compile_again("cloud/store/src/lib.rs")?;
    let answers = staging.path(QUERIES)?;
    fs::create_dir_all(&answers).while_trying(|| format!("make {}", answers.display()))?;
    let mut build = process::cargo(["build", "--workspace", "--bins"]);
    build
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &answers);
    process::run(build.env("DATABASE_URL", &database.url))
}

/// Cargo does not know that the answers depend on the database.
fn compile_again(source: &str) -> Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the time of change is what cargo looks at"
    )]
    let now = SystemTime::now();
    let path = workspace::root().join(source);
    let file = fs::File::options().append(true).open(&path);
    let file = file.while_trying(|| format!("open {}", path.display()))?;
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
            let read = BufReader::new(output).read_line(&mut url);
            read.while_trying(|| "read the scratch database's address")?;
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
        // It stops when its input ends. Nothing can be done here about a server that has died.
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}

/// Where files are made before any committed one is touched: a run that fails changes nothing.
struct Staging(PathBuf);

impl Staging {
    fn empty() -> Result<Self> {
        let folder = workspace::target().join("derived");
        if folder.exists() {
            fs::remove_dir_all(&folder).while_trying(|| format!("remove {}", folder.display()))?;
        }
        Ok(Self(folder))
    }

    /// The place of a derived file, in a folder that exists.
    fn path(&self, derived: &str) -> Result<PathBuf> {
        let path = self.0.join(derived);
        make_parent(&path)?;
        Ok(path)
    }

    fn write(&self, derived: &str, text: &str) -> Result<()> {
        fs::write(self.path(derived)?, text).while_trying(|| format!("write {derived}"))
    }
}

/// Derived files and what is in them, by their path in the checkout.
struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    fn below(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for path in DERIVED.map(PathBuf::from) {
            add(&mut files, folder, &path).while_trying(|| format!("read {}", path.display()))?;
        }
        Ok(Self(files))
    }

    fn differences(&self, other: &Self) -> Vec<PathBuf> {
        let all = self.0.keys().chain(other.0.keys());
        let mut paths: Vec<PathBuf> = all
            .filter(|path| self.0.get(*path) != other.0.get(*path))
            .cloned()
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// Puts these files into the checkout.
    fn replace(&self, paths: &[PathBuf]) -> Result<()> {
        for path in paths {
            let place = workspace::root().join(path);
            match self.0.get(path) {
                Some(bytes) => make_parent(&place).and_then(|()| {
                    fs::write(&place, bytes).while_trying(|| format!("write {}", path.display()))
                })?,
                None => {
                    fs::remove_file(&place).while_trying(|| format!("remove {}", path.display()))?
                }
            }
            println!("changed {}", path.display());
        }
        Ok(())
    }
}

fn add(files: &mut BTreeMap<PathBuf, Vec<u8>>, folder: &Path, path: &Path) -> std::io::Result<()> {
    let place = folder.join(path);
    if place.is_dir() {
        for entry in fs::read_dir(&place)? {
            add(files, folder, &path.join(entry?.file_name()))?;
        }
    } else if place.is_file() {
        files.insert(path.to_path_buf(), fs::read(place)?);
    }
    Ok(())
}

fn make_parent(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).while_trying(|| format!("make {}", folder.display()))
}
