//! The answers of finished stages, so that a killed job goes on where it stopped.

use std::path::{Path, PathBuf};

use espalier_protocol::Digest;
use serde::{Deserialize, Serialize};

use crate::stages::Answer;

/// A folder with one file for each finished stage.
#[derive(Debug)]
pub(super) struct Records {
    folder: PathBuf,
    job: Digest,
}

/// An answer is only good for the job that it was given to.
#[derive(Serialize, Deserialize)]
struct Record {
    job: Digest,
    answer: Answer,
}

impl Records {
    pub(super) fn new(folder: PathBuf, job: Digest) -> Self {
        Self { folder, job }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The answer of an earlier run; `None` when there is none, or when it is not readable or another job's: then
    /// the stage simply runs again.
    pub(super) fn read(&self, stage: &str) -> Option<Answer> {
        let record: Record = serde_json::from_slice(&std::fs::read(self.file(stage)).ok()?).ok()?;
        (record.job == self.job).then_some(record.answer)
    }

    pub(super) fn write(&self, stage: &str, answer: &Answer) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let record = Record {
            job: self.job,
            answer: answer.clone(),
        };
        let partial = self.folder.join(format!("{stage}.partial"));
        std::fs::write(
            &partial,
            serde_json::to_vec(&record).map_err(std::io::Error::other)?,
        )?;
        std::fs::rename(partial, self.file(stage))
    }

    fn file(&self, stage: &str) -> PathBuf {
        self.folder.join(format!("{stage}.json"))
    }
}
