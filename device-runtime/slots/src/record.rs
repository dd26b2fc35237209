//! Small durable records: each is kept twice, and each copy carries its own digest and generation.
//!
//! A copy is one header line and the body:
//! `espalier-record 1 GENERATION SHA256-OF-BODY\n` followed by the body's bytes. The newest whole copy counts, and
//! mends the other. A record of which no copy is whole is *damage*: it is never taken for one that was not yet written,
//! because a store that forgets its past on a truncated file would accept an older release again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use espalier_protocol::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files::{self, Files};

/// No record is larger: a bigger file is damage, or somebody filling the disk.
const RECORD_LIMIT: u64 = 16 * 1024 * 1024;
const MAGIC: &str = "espalier-record";
const FORMAT: &str = "1";

/// What can go wrong with a durable record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Neither copy can be read. Somebody or something damaged the store.
    #[error(
        "the record {path} is damaged in both copies ({detail}); restore the state folder or enrol the device again"
    )]
    Damaged {
        /// The record's first copy.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The disk refused.
    #[error("cannot {act} the record {path}")]
    Disk {
        /// `read` or `write`.
        act: &'static str,
        /// The record's first copy.
        path: PathBuf,
        /// The disk's own words.
        source: io::Error,
    },
}

/// One durable record of bytes, at `path` and `path.copy`.
#[derive(Debug, Clone)]
pub struct Record {
    files: Arc<dyn Files>,
    path: PathBuf,
}

struct Copy {
    generation: u64,
    body: Vec<u8>,
}

enum CopyState {
    Whole(Copy),
    Absent,
    Broken(String),
}

impl Record {
    /// A record at `path`; nothing is read or written yet.
    pub fn new(files: Arc<dyn Files>, path: impl Into<PathBuf>) -> Self {
        Self {
            files,
            path: path.into(),
        }
    }

    /// Where the first copy lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The record's body, or `None` when it was never written. A broken or missing copy is mended from the other.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] when there is something at its place, and none of it whole.
    pub fn read(&self) -> Result<Option<Vec<u8>>, RecordError> {
        Ok(self.newest()?.map(|copy| copy.body))
    }

    /// Writes a new generation of the record, first copy first.
    ///
    /// # Errors
    /// The disk's; at least one whole copy, old or new, remains.
    pub fn write(&self, body: &[u8]) -> Result<(), RecordError> {
        // A damaged record may be written over only by somebody who has something better: generation then restarts above it.
        let generation = match self.newest() {
            Ok(copy) => copy.map_or(1, |copy| copy.generation.saturating_add(1)),
            Err(RecordError::Damaged { .. }) => 1,
            Err(error) => return Err(error),
        };
        let bytes = encode(generation, body);
        for path in [&self.path, &self.second()] {
            self.put(path, &bytes)?;
        }
        Ok(())
    }

    /// Removes both copies.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove(&self) -> Result<(), RecordError> {
        for path in [&self.path, &self.second()] {
            self.files
                .remove_file(path)
                .map_err(|source| self.disk("write", source))?;
        }
        Ok(())
    }

    fn second(&self) -> PathBuf {
        files::beside(&self.path, ".copy")
    }

    fn newest(&self) -> Result<Option<Copy>, RecordError> {
        let second = self.second();
        let (first, other) = (self.load(&self.path)?, self.load(&second)?);
        let (copy, mend) = match (first, other) {
            (CopyState::Absent, CopyState::Absent) => return Ok(None),
            (CopyState::Whole(a), CopyState::Whole(b)) if a.generation == b.generation => (a, None),
            (CopyState::Whole(a), CopyState::Whole(b)) if a.generation < b.generation => {
                (b, Some(&self.path))
            }
            (CopyState::Whole(a), _) => (a, Some(&second)),
            (_, CopyState::Whole(b)) => (b, Some(&self.path)),
            (CopyState::Broken(detail), _) | (_, CopyState::Broken(detail)) => {
                return Err(RecordError::Damaged {
                    path: self.path.clone(),
                    detail,
                });
            }
        };
        if let Some(path) = mend {
            self.mend(path, &copy);
        }
        Ok(Some(copy))
    }

    /// One whole copy is enough to read by: a disk that is full or may only be read takes nothing away from that.
    fn mend(&self, path: &Path, from: &Copy) {
        match self.put(path, &encode(from.generation, &from.body)) {
            Ok(()) => {
                tracing::warn!(record = %path.display(), "mended a copy of a record from the other copy");
            }
            Err(error) => {
                tracing::warn!(record = %path.display(), %error, "a copy of a record is broken and cannot be mended now");
            }
        }
    }

    fn load(&self, path: &Path) -> Result<CopyState, RecordError> {
        match self.files.read(path, RECORD_LIMIT) {
            Ok(bytes) => Ok(decode(&bytes).map_or_else(CopyState::Broken, CopyState::Whole)),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => Ok(CopyState::Absent),
                io::ErrorKind::FileTooLarge => Ok(CopyState::Broken(error.to_string())),
                _ => Err(self.disk("read", error)),
            },
        }
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
        files::replace(self.files.as_ref(), path, bytes)
            .map_err(|source| self.disk("write", source))
    }

    fn disk(&self, act: &'static str, source: io::Error) -> RecordError {
        RecordError::Disk {
            act,
            path: self.path.clone(),
            source,
        }
    }
}

fn encode(generation: u64, body: &[u8]) -> Vec<u8> {
    let digest = Digest::of(body);
    let mut bytes = format!("{MAGIC} {FORMAT} {generation} {digest}\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn decode(bytes: &[u8]) -> Result<Copy, String> {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or("it has no header")?;
    let header = std::str::from_utf8(&bytes[..end]).map_err(|_| "its header is not text")?;
    let body = &bytes[end + 1..];
    let mut words = header.split(' ');
    if words.next() != Some(MAGIC) {
        return Err("it is not a record".into());
    }
    match words.next() {
        Some(FORMAT) => {}
        other => return Err(format!("its format {other:?} is not known to this version")),
    }
    let generation = words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or("its generation is not a number")?;
    if words.next() != Some(Digest::of(body).to_string().as_str()) {
        return Err("its digest does not match its body".into());
    }
    Ok(Copy {
        generation,
        body: body.to_vec(),
    })
}

/// A record whose body is JSON of `T`.
#[derive(Debug, Clone)]
pub struct Kept<T> {
    record: Record,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Kept<T> {
    /// A typed record at `path`; nothing is read or written yet.
    pub fn new(files: Arc<dyn Files>, path: impl Into<PathBuf>) -> Self {
        Self {
            record: Record::new(files, path),
            kind: std::marker::PhantomData,
        }
    }

    /// The value, or `None` when it was never written.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] also when a whole copy does not hold a `T`.
    pub fn read(&self) -> Result<Option<T>, RecordError> {
        self.record
            .read()?
            .map(|body| {
                serde_json::from_slice(&body).map_err(|error| RecordError::Damaged {
                    path: self.record.path.clone(),
                    detail: error.to_string(),
                })
            })
            .transpose()
    }

    /// The value of a record that was written when the store was made, so that its absence is damage.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`RecordError::Damaged`] when it is absent.
    pub fn require(&self) -> Result<T, RecordError> {
        self.read()?.ok_or_else(|| RecordError::Damaged {
            path: self.record.path.clone(),
            detail: "both copies are missing".into(),
        })
    }

    /// Writes a new value.
    ///
    /// # Errors
    /// The disk's; the old or the new value remains.
    pub fn write(&self, value: &T) -> Result<(), RecordError> {
        let body = serde_json::to_vec(value).map_err(|error| RecordError::Damaged {
            path: self.record.path.clone(),
            detail: format!("the new value cannot be written as JSON: {error}"),
        })?;
        self.record.write(&body)
    }
}
