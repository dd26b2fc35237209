//! The store: one folder with everything that a device may not lose, written so that a power cut loses at most the last step.
//!
//! ```text
//! STORE/anchor      who the device is and the first TUF root: what enrolment left      (record)
//! STORE/slots       the slots of every model                                            (record)
//! STORE/floors      sequences, counters and time under which nothing is accepted        (record)
//! STORE/metadata    the TUF metadata that are trusted now                               (record)
//! STORE/desired     the last accepted desired state, as signed                          (record)
//! STORE/bundles/    one folder for each verified bundle, by digest
//! STORE/staging/    bundles on their way
//! STORE/documents/  release documents and deployer keys, by digest
//! STORE/trash/      what was collected and is about to be removed
//! ```
//!
//! The folder is made under another name and renamed when it is complete, so a store that is there is whole, and a record
//! that is missing from it is damage. Anchor and slots are all that serving needs, and all that opening reads: with damaged
//! floors or metadata a device keeps serving and takes no update. A damaged desired state is had again from the cloud.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use espalier_protocol::{DeviceClassName, DeviceIdentity, Digest, ModelName};
use serde::{Deserialize, Serialize};

use crate::content::{Content, Needed};
use crate::files::{self, Files};
use crate::record::{Kept, Record, RecordError};
use crate::slots::{ModelSlots, WrongState};
use crate::trust::{Floors, Metadata, TrustError};

/// The version of the store's layout that this code writes.
const FORMAT: u32 = 1;

/// What enrolment left: it never changes while the store lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Who the device is.
    pub identity: DeviceIdentity,
    /// What builds are made for it.
    pub class: DeviceClassName,
    /// The first TUF root, exactly as it came with the claim.
    pub tuf_root: String,
}

#[derive(Serialize, Deserialize)]
struct AnchorFile {
    format: u32,
    #[serde(flatten)]
    anchor: Anchor,
}

/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store in this folder.
    #[error("there is no store in {0}: enrol the device first")]
    Absent(PathBuf),
    /// There is one already.
    #[error(
        "there is a store in {0} already: remove it by hand if the device is to be enrolled anew"
    )]
    Present(PathBuf),
    /// The layout is of a newer version.
    #[error(
        "the store in {folder} has format {found}, and this version knows {FORMAT}: update the agent"
    )]
    Format {
        /// The store's folder.
        folder: PathBuf,
        /// The format found.
        found: u32,
    },
    /// A record is damaged, or cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The trust metadata in it do not hold.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The disk refused something.
    #[error("cannot {act} {path}")]
    Disk {
        /// What was being done.
        act: &'static str,
        /// To what.
        path: PathBuf,
        /// The disk's own words.
        source: io::Error,
    },
    /// The slots do not allow the step.
    #[error(transparent)]
    WrongState(#[from] WrongState),
}

impl StoreError {
    pub(crate) fn disk(
        act: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { act, path, source }
    }

    /// Whether the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.disk_error() == Some(io::ErrorKind::StorageFull)
    }

    /// Whether something is not there that should be.
    pub(crate) fn is_absence(&self) -> bool {
        self.disk_error() == Some(io::ErrorKind::NotFound)
    }

    /// What the disk said, whatever it was doing.
    fn disk_error(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Disk { source, .. }
            | Self::Record(RecordError::Disk { source, .. })
            | Self::Trust(TrustError::Record(RecordError::Disk { source, .. })) => {
                Some(source.kind())
            }
            _ => None,
        }
    }
}

/// An open store. One process has it open at a time; the caller sees to that.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    files: Arc<dyn Files>,
    anchor: Anchor,
    slots: Kept<BTreeMap<ModelName, ModelSlots>>,
    current: BTreeMap<ModelName, ModelSlots>,
    floors: Kept<Floors>,
    desired: Record,
    content: Content,
}

impl Store {
    /// Makes a store for a device that was just enrolled.
    ///
    /// # Errors
    /// [`StoreError::Present`] when there is one, [`StoreError::Trust`] when the first root does not sign itself.
    pub fn create(
        files: Arc<dyn Files>,
        folder: &Path,
        anchor: Anchor,
    ) -> Result<Self, StoreError> {
        if files.is_folder(folder) {
            return Err(StoreError::Present(folder.to_owned()));
        }
        let fresh = files::beside(folder, ".new");
        files
            .remove_folder(&fresh)
            .map_err(StoreError::disk("empty", &fresh))?;
        files
            .create_folder(&fresh)
            .map_err(StoreError::disk("make", &fresh))?;
        Metadata::create(files.clone(), &fresh.join("metadata"), &anchor.tuf_root)?;
        Kept::new(files.clone(), fresh.join("slots"))
            .write(&BTreeMap::<ModelName, ModelSlots>::new())?;
        Kept::new(files.clone(), fresh.join("floors")).write(&Floors::default())?;
        Kept::new(files.clone(), fresh.join("anchor")).write(&AnchorFile {
            format: FORMAT,
            anchor,
        })?;
        files
            .rename(&fresh, folder)
            .map_err(StoreError::disk("make", folder))?;
        files
            .sync_folder(files::parent(folder))
            .map_err(StoreError::disk("make", folder))?;
        Self::open(files, folder)
    }

    /// Opens the store in `folder`. Whoever only looks at it, beside the process that has it open, does so through
    /// [`ReadOnly`](crate::ReadOnly) files: nothing is then written, not even to mend.
    ///
    /// # Errors
    /// [`StoreError::Absent`] only when there is no such folder; an unreadable anchor, and unreadable slots, are damage.
    pub fn open(files: Arc<dyn Files>, folder: &Path) -> Result<Self, StoreError> {
        if !files.is_folder(folder) {
            return Err(StoreError::Absent(folder.to_owned()));
        }
        let AnchorFile { format, anchor } =
            Kept::new(files.clone(), folder.join("anchor")).require()?;
        if format != FORMAT {
            return Err(StoreError::Format {
                folder: folder.to_owned(),
                found: format,
            });
        }
        let slots = Kept::new(files.clone(), folder.join("slots"));
        Ok(Self {
            current: slots.require()?,
            slots,
            floors: Kept::new(files.clone(), folder.join("floors")),
            desired: Record::new(files.clone(), folder.join("desired")),
            content: Content::new(files.clone(), folder),
            folder: folder.to_owned(),
            files,
            anchor,
        })
    }

    /// What enrolment left.
    #[must_use]
    pub fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// The bundles' bytes.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The TUF metadata that are trusted now.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn metadata(&self) -> Result<Metadata, StoreError> {
        Ok(Metadata::open(
            self.files.clone(),
            &self.folder.join("metadata"),
        )?)
    }

    /// What is not accepted any more.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn floors(&self) -> Result<Floors, StoreError> {
        Ok(self.floors.require()?)
    }

    /// Makes new floors durable.
    ///
    /// # Errors
    /// The disk's; the old floors then still hold.
    pub fn raise_floors(&self, raise: impl FnOnce(Floors) -> Floors) -> Result<(), StoreError> {
        let old = self.floors.require()?;
        let new = raise(old.clone());
        if new != old {
            self.floors.write(&new)?;
        }
        Ok(())
    }

    /// The last accepted desired state, as signed.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn desired(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.desired.read()?)
    }

    /// Keeps an accepted desired state, before anything is done for it. One that is kept already is left as it is, and a
    /// damaged one is written over.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep_desired(&self, envelope: &[u8]) -> Result<(), StoreError> {
        if matches!(self.desired.read(), Ok(Some(kept)) if kept == envelope) {
            return Ok(());
        }
        Ok(self.desired.write(envelope)?)
    }

    /// The slots of every model.
    #[must_use]
    pub fn slots(&self) -> &BTreeMap<ModelName, ModelSlots> {
        &self.current
    }

    /// The slots of one model; empty ones when nothing was ever ordered for it.
    #[must_use]
    pub fn slots_of(&self, model: &ModelName) -> ModelSlots {
        self.current.get(model).cloned().unwrap_or_default()
    }

    /// Makes one transition durable; only then it counts.
    ///
    /// # Errors
    /// [`StoreError::WrongState`] when the state does not allow it, or the disk's; the old state then still holds.
    pub fn change(
        &mut self,
        model: &ModelName,
        transition: impl FnOnce(ModelSlots) -> Result<ModelSlots, WrongState>,
    ) -> Result<&ModelSlots, StoreError> {
        let next = transition(self.slots_of(model))?;
        let mut all = self.current.clone();
        all.insert(model.clone(), next);
        self.slots.write(&all)?;
        self.current = all;
        Ok(&self.current[model])
    }

    /// Sets aside what no slot holds: bundles, staging areas, and documents other than the deployer's. It cannot take
    /// active, previous, or what is on its way. [`Content::empty_trash`] then gives the room back.
    ///
    /// # Errors
    /// The disk's; what is left is taken the next time.
    pub fn collect_garbage(&self, deployer: &Digest) -> Result<(), StoreError> {
        let held = || self.current.values().flat_map(ModelSlots::held);
        let releases = held().map(|held| held.release.digest);
        self.content.retain(&Needed {
            bundles: held().map(|held| held.bundle).collect(),
            documents: releases.chain([*deployer]).collect(),
        })
    }
}
