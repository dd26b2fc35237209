//! Reports that the cloud has not yet acknowledged with its own signature: a broker's PUBACK frees nothing.
//!
//! One file for each report, named by (boot, seq) and its [`Worth`], and a record that counts the agent's starts.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use espalier_protocol::envelope::MAX_ENVELOPE_BYTES;
use espalier_slots::Files;
use espalier_slots::files::replace;
use espalier_slots::record::{Kept, RecordError};

/// The most reports that are kept. When there are more, the oldest of the least [`Worth`] is dropped.
pub const MAX_KEPT: usize = 512;

/// What is lost with a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// The state of the device, which any newer report says too, and what was refused.
    State,
    /// News of an assignment, which no other report says again.
    Progress,
}

impl Worth {
    /// The ending of its files' names.
    fn ending(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Progress => "report",
        }
    }
}

#[derive(Debug)]
struct Waiting {
    worth: Worth,
    report: Bytes,
}

/// What orders reports and makes them idempotent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportId {
    /// Grows with each start of the agent.
    pub boot: u64,
    /// Grows with each report of a boot.
    pub seq: u64,
}

/// Why the outbox does not work.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The count of starts is damaged.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The disk refused.
    #[error("the outbox cannot use {path}")]
    Disk {
        /// Which file or folder.
        path: PathBuf,
        /// The disk's own words.
        source: io::Error,
    },
}

/// The durable outbox of one agent.
#[derive(Debug)]
pub struct Outbox {
    files: Arc<dyn Files>,
    folder: PathBuf,
    boot: u64,
    seq: u64,
    kept: BTreeMap<ReportId, Waiting>,
}

impl Outbox {
    /// Opens the outbox for a new start of the agent, with what earlier starts left.
    ///
    /// # Errors
    /// The disk's, and damage of the count of starts. A report that cannot be read is dropped: its state is in the next
    /// one.
    pub fn open(files: Arc<dyn Files>, folder: &Path) -> Result<Self, OutboxError> {
        files.create_folder(folder).map_err(disk(folder))?;
        let boot = count_start(files.clone(), &folder.join("boot"))?;
        let mut outbox = Self {
            kept: BTreeMap::new(),
            folder: folder.to_owned(),
            files,
            boot,
            seq: 0,
        };
        outbox.load()?;
        Ok(outbox)
    }

    /// This start's number.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// The id of the next report.
    pub fn next_id(&mut self) -> ReportId {
        self.seq += 1;
        ReportId {
            boot: self.boot,
            seq: self.seq,
        }
    }

    /// Keeps a signed report until it is acknowledged.
    ///
    /// # Errors
    /// The disk's; the report is then not kept.
    pub fn keep(&mut self, id: ReportId, report: Bytes, worth: Worth) -> Result<(), OutboxError> {
        let path = self.path(id, worth);
        replace(self.files.as_ref(), &path, &report).map_err(disk(&path))?;
        self.kept.insert(id, Waiting { worth, report });
        self.make_room()
    }

    fn make_room(&mut self) -> Result<(), OutboxError> {
        while self.kept.len() > MAX_KEPT {
            let Some(least) = self.least() else { break };
            tracing::warn!(?least, "the outbox is full; a report is dropped");
            self.forget(least)?;
        }
        Ok(())
    }

    /// The oldest report of the least worth.
    fn least(&self) -> Option<ReportId> {
        let all = self.kept.iter();
        all.min_by_key(|(id, waiting)| (waiting.worth, **id))
            .map(|(id, _)| *id)
    }

    /// Frees the report `id`, and no other: earlier ones may have been lost on their way. Freeing it again, or one that
    /// was never kept, does nothing.
    ///
    /// # Errors
    /// The disk's; the report is then sent again, and freed by the acknowledgement of that.
    pub fn acknowledge(&mut self, id: ReportId) -> Result<(), OutboxError> {
        self.forget(id)
    }

    /// Reports that wait for their acknowledgement, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = (ReportId, &Bytes)> {
        let all = self.kept.iter();
        all.map(|(id, waiting)| (*id, &waiting.report))
    }

    /// How many reports wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    fn load(&mut self) -> Result<(), OutboxError> {
        for name in self.files.list(&self.folder).map_err(disk(&self.folder))? {
            let Some((id, worth)) = parse_name(&name) else {
                continue;
            };
            match self
                .files
                .read(&self.folder.join(&name), MAX_ENVELOPE_BYTES as u64)
            {
                Ok(report) => self.take_in(id, worth, report.into())?,
                Err(error) => {
                    tracing::warn!(%name, %error, "a report in the outbox cannot be read; it is left out")
                }
            }
        }
        self.make_room()
    }

    /// An id has one report. Of two files that both claim to be it one goes: its acknowledgement frees a single file, and
    /// the other one would be sent again for ever.
    fn take_in(&mut self, id: ReportId, worth: Worth, report: Bytes) -> Result<(), OutboxError> {
        self.forget(id)?;
        self.kept.insert(id, Waiting { worth, report });
        Ok(())
    }

    fn forget(&mut self, id: ReportId) -> Result<(), OutboxError> {
        let Some(waiting) = self.kept.get(&id) else {
            return Ok(());
        };
        let path = self.path(id, waiting.worth);
        self.files.remove_file(&path).map_err(disk(&path))?;
        self.kept.remove(&id);
        Ok(())
    }

    fn path(&self, id: ReportId, worth: Worth) -> PathBuf {
        self.folder.join(file_name(id, worth))
    }
}

/// Counts a start of the agent, before any report of it is written.
fn count_start(files: Arc<dyn Files>, path: &Path) -> Result<u64, OutboxError> {
    let starts = Kept::<u64>::new(files, path);
    let no_number_left = || RecordError::Damaged {
        path: path.to_owned(),
        detail: "no number is left for another start".to_owned(),
    };
    let before = starts.read()?.unwrap_or(0);
    let boot = before.checked_add(1).ok_or_else(no_number_left)?;
    starts.write(&boot)?;
    Ok(boot)
}

fn file_name(ReportId { boot, seq }: ReportId, worth: Worth) -> String {
    format!("{boot:016x}-{seq:016x}.{}", worth.ending())
}

/// The report that a file holds. Only our own spelling counts: by any other one the file would not be found again when it is
/// to be freed.
fn parse_name(name: &str) -> Option<(ReportId, Worth)> {
    let (id, ending) = name.split_once('.')?;
    let worth = [Worth::State, Worth::Progress]
        .into_iter()
        .find(|worth| worth.ending() == ending)?;
    let (boot, seq) = id.split_once('-')?;
    let id = ReportId {
        boot: u64::from_str_radix(boot, 16).ok()?,
        seq: u64::from_str_radix(seq, 16).ok()?,
    };
    (file_name(id, worth) == name).then_some((id, worth))
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> OutboxError {
    let path = path.to_owned();
    move |source| OutboxError::Disk { path, source }
}
