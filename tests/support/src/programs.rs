//! Where the product's programs are.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The programs that make up the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The operators' command.
    Cli,
    /// The control plane.
    Cloud,
    /// Full models.
    Host,
    /// Builds.
    Forge,
    /// The daemon on gateways and devices.
    Agent,
}

impl Program {
    fn file_name(self) -> &'static str {
        match self {
            Self::Cli => "espalier",
            Self::Cloud => "espalier-cloud",
            Self::Host => "espalier-host",
            Self::Forge => "espalier-forge",
            Self::Agent => "espalier-agent",
        }
    }

    /// The program's path: beside this executable, or in the folder above (tests run in `deps/`).
    ///
    /// # Errors
    /// When it was not built.
    pub fn path(self) -> Result<PathBuf> {
        let here = std::env::current_exe().context("this process has no executable path")?;
        let folders = here.ancestors().skip(1).take(2);
        let found = folders
            .map(|folder| folder.join(self.file_name()))
            .find(|path| path.is_file());
        match found {
            Some(path) => Ok(path),
            None => bail!(
                "`{}` was not built: run `cargo build --workspace --bins`",
                self.file_name()
            ),
        }
    }
}

/// The checkout that this was compiled from: recipes and models are read from it.
#[must_use]
pub fn checkout() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
