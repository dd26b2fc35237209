//! A device's trust, driven by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use espalier_slots::trust::{MAX_METADATA_BYTES, Metadata, Sought, Target};
use espalier_slots::{Anchor, Disk, Store};
use jiff::Timestamp;

use crate::repository::Repository;

/// The device's store lies in this folder below the suite's, which looks at the `*.json` files beside it.
const STORE: &str = "store";

pub struct Client {
    folder: PathBuf,
    metadata: Metadata,
    repository: Repository,
    now: Timestamp,
}

impl Client {
    /// Begins trust with a root, as enrolment does.
    pub fn create(folder: &Path, root: &Path) -> Result<()> {
        let anchor = Anchor {
            identity: "conformance/device".parse()?,
            class: "any".parse()?,
            tuf_root: fs::read_to_string(root).context("the root cannot be read")?,
        };
        let store = Store::create(Arc::new(Disk), &folder.join(STORE), anchor)?;
        show(&store.metadata()?, folder)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the suite sets the clock of the process"
    )]
    pub fn open(folder: &Path, repository: Repository) -> Result<Self> {
        let store = Store::open(Arc::new(Disk), &folder.join(STORE))?;
        Ok(Self {
            folder: folder.to_owned(),
            metadata: store.metadata()?,
            repository,
            now: Timestamp::now(),
        })
    }

    /// Renews the metadata, and shows what is trusted then, also when a part of them was refused.
    pub async fn refresh(&mut self) -> Result<()> {
        let outcome = self.walk().await;
        show(&self.metadata, &self.folder)?;
        outcome
    }

    async fn walk(&mut self) -> Result<()> {
        let mut refresh = self.metadata.refresh(self.now);
        while let Some(wanted) = refresh.wanted() {
            match self.repository.metadata(&wanted.file, wanted.limit).await {
                Ok(bytes) => refresh.supply(bytes.as_deref())?,
                Err(error) => {
                    refresh.break_off()?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Downloads a target that the metadata vouch for, unless its bytes are here already.
    pub async fn download(&mut self, name: &str, into: &Path) -> Result<()> {
        let target = self.find(name).await;
        show(&self.metadata, &self.folder)?;
        let target = target?;
        let file = into.join(flat(name));
        if fs::read(&file).is_ok_and(|bytes| target.is(&bytes)) {
            return Ok(());
        }
        let consistent = self.metadata.consistent_snapshot();
        let prefix = consistent.then(|| target.prefix());
        let bytes = self
            .repository
            .target(name, prefix.as_deref(), target.length())
            .await?
            .with_context(|| format!("`{name}` is not there"))?;
        ensure!(target.is(&bytes), "`{name}` is not what the metadata say");
        fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))
    }

    async fn find(&mut self, name: &str) -> Result<Target> {
        loop {
            match self.metadata.seek(name, self.now)? {
                Sought::Found(target) => return Ok(target),
                Sought::Needs(role) => {
                    let file = role.file();
                    let bytes = self.repository.metadata(file, MAX_METADATA_BYTES).await?;
                    self.metadata.supply(role, bytes.as_deref(), self.now)?;
                }
            }
        }
    }
}

/// Copies what is trusted to where the suite looks.
fn show(metadata: &Metadata, folder: &Path) -> Result<()> {
    for (name, text) in metadata.files() {
        fs::write(folder.join(&name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

/// A target's name as one file name that leaves no folder and has no twin.
fn flat(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}
