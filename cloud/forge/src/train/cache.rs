//! Features of the frozen backbone, computed once by ONNX Runtime and kept on disk as float16.
//!
//! While the backbone is frozen, most of a training step would be spent on computing the same features again. A
//! cache is a file of records of one size, so that a record is one read, and an interrupted fill goes on where it
//! stopped.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use half::f16;

use super::frame::Frame;
use super::target::Target;

/// The most objects that a record holds.
pub const MOST_TARGETS: usize = 12;

/// Features and objects of one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Which of the recipe's sets it belongs to.
    pub set: u8,
    /// The taps, one after the other, each channel by channel, row by row.
    pub features: Vec<f16>,
    /// Its objects: at least one, at most [`MOST_TARGETS`].
    pub targets: Vec<Target>,
}

/// Why a cache could not be used.
#[derive(Debug, thiserror::Error)]
#[error("the feature cache {path}: {source}; delete it to have it made again")]
pub struct CacheError {
    path: PathBuf,
    source: std::io::Error,
}

/// A cache open for reading and for adding to.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    file: File,
    frame: Frame,
    sets: Vec<u8>,
}

const HEAD: usize = 2;
const NUMBERS: usize = 6;

impl Cache {
    /// Opens the cache at `path`, or makes an empty one. A record that was cut off is dropped.
    ///
    /// # Errors
    /// [`CacheError`] when the file cannot be opened or read.
    pub fn open(path: &Path, frame: Frame) -> Result<Self, CacheError> {
        let failed = |source| CacheError {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(failed)?;
        let size = record_size(frame) as u64;
        let whole = file.metadata().map_err(failed)?.len() / size;
        file.set_len(whole * size).map_err(failed)?;
        let mut sets = vec![0; whole as usize];
        for (at, set) in (0..).zip(&mut sets) {
            file.read_exact_at(std::slice::from_mut(set), at * size)
                .map_err(failed)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            frame,
            sets,
        })
    }

    /// The set of each record.
    #[must_use]
    pub fn sets(&self) -> &[u8] {
        &self.sets
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`CacheError`] when the disk is full or the record is of another frame.
    pub fn append(&mut self, record: &Record) -> Result<(), CacheError> {
        let bytes = encode(record, self.frame);
        if bytes.len() != record_size(self.frame) {
            return Err(self.failed(std::io::Error::other("a record of another input size")));
        }
        self.file
            .write_all(&bytes)
            .map_err(|source| self.failed(source))?;
        self.sets.push(record.set);
        Ok(())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`CacheError`] when there is no such record or the disk fails.
    pub fn read(&self, at: usize) -> Result<Record, CacheError> {
        let mut bytes = vec![0; record_size(self.frame)];
        let offset = at as u64 * bytes.len() as u64;
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|source| self.failed(source))?;
        Ok(decode(&bytes, self.frame))
    }

    fn failed(&self, source: std::io::Error) -> CacheError {
        CacheError {
            path: self.path.clone(),
            source,
        }
    }
}

fn feature_count(frame: Frame) -> usize {
    frame
        .taps()
        .iter()
        .map(|(channels, side)| channels * side * side)
        .sum()
}

fn target_size(frame: Frame) -> usize {
    NUMBERS * 4 + frame.mask_side() * frame.mask_side()
}

fn record_size(frame: Frame) -> usize {
    HEAD + feature_count(frame) * 2 + MOST_TARGETS * target_size(frame)
}

fn encode(record: &Record, frame: Frame) -> Vec<u8> {
    let targets = &record.targets[..record.targets.len().min(MOST_TARGETS)];
    let mut bytes = Vec::with_capacity(record_size(frame));
    bytes.extend([record.set, targets.len() as u8]);
    bytes.extend(record.features.iter().flat_map(|value| value.to_le_bytes()));
    for target in targets {
        let numbers = target.bounds.iter().chain(&target.deepest);
        bytes.extend(numbers.flat_map(|number| number.to_le_bytes()));
        bytes.extend(&target.coverage);
    }
    let unused = (MOST_TARGETS - targets.len()) * target_size(frame);
    bytes.resize(bytes.len() + unused, 0);
    bytes
}

fn decode(bytes: &[u8], frame: Frame) -> Record {
    let (head, rest) = bytes.split_at(HEAD);
    let (features, targets) = rest.split_at(feature_count(frame) * 2);
    let target = |bytes: &[u8]| {
        let (numbers, coverage) = bytes.split_at(NUMBERS * 4);
        let numbers: Vec<f32> = numbers
            .as_chunks::<4>()
            .0
            .iter()
            .map(|word| f32::from_le_bytes(*word))
            .collect();
        Target {
            bounds: [numbers[0], numbers[1], numbers[2], numbers[3]],
            deepest: [numbers[4], numbers[5]],
            coverage: coverage.to_vec(),
        }
    };
    Record {
        set: head[0],
        features: features
            .as_chunks::<2>()
            .0
            .iter()
            .map(|word| f16::from_le_bytes(*word))
            .collect(),
        targets: targets
            .chunks_exact(target_size(frame))
            .take(usize::from(head[1]))
            .map(target)
            .collect(),
    }
}
