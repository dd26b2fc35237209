//! The cache's folder: whole blobs under their digests, parts of others beside them. Everything here blocks.
//!
//! What lies here and what is promised to blobs on their way never has more than the budget, and never takes the disk's
//! last bytes. What was not asked for the longest makes room; parts that nobody continues go before any blob that was
//! asked for in this run.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use espalier_protocol::{Digest, digest::Hasher};
use espalier_slots::{Disk, Files as _, content::DISK_RESERVE};

use super::{CacheError, blob::Source};

/// What the name of a part ends with.
const PART: &str = ".part";
/// Bytes read at a time when a file is digested.
const CHUNK: usize = 256 * 1024;

pub(super) struct Shelf {
    folder: PathBuf,
    budget: u64,
    /// Files are renamed and removed only by who holds this.
    books: Mutex<Books>,
}

/// What the folder does not say by itself.
#[derive(Default)]
struct Books {
    /// Blobs that have shown their digest in this run, and which ask was the last for them.
    verified: HashMap<Digest, u64>,
    /// Asks so far.
    asks: u64,
    /// Blobs on their way, and the bytes that they will have.
    promised: HashMap<Digest, u64>,
}

impl Books {
    fn note_ask(&mut self, digest: Digest) {
        self.asks += 1;
        self.verified.insert(digest, self.asks);
    }
}

impl Shelf {
    pub(super) fn open(folder: PathBuf, budget: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            budget,
            books: Mutex::default(),
        })
    }

    /// A blob that is here and is what its name says. One that has rotted is removed.
    pub(super) fn whole(&self, digest: Digest) -> io::Result<Option<Source>> {
        let Some(file) = present(File::open(self.path(digest)))? else {
            return Ok(None);
        };
        let known = self.books().verified.contains_key(&digest);
        if !known && hash(&file)?.finish() != digest {
            tracing::warn!(%digest, "a cached blob has rotted; it is fetched again");
            let _books = self.books();
            present(fs::remove_file(self.path(digest)))?;
            return Ok(None);
        }
        self.books().note_ask(digest);
        let size = file.metadata()?.len();
        Ok(Some(Source {
            file: Arc::new(file),
            size,
        }))
    }

    /// Bytes of a blob that an earlier try left here.
    pub(super) fn begun(&self, digest: Digest) -> io::Result<u64> {
        let facts = present(fs::metadata(self.part_path(digest)))?;
        Ok(facts.map_or(0, |facts| facts.len()))
    }

    /// Opens a part that has its first `begins` bytes of `size`, and keeps room for the rest.
    pub(super) fn part(
        self: Arc<Self>,
        digest: Digest,
        begins: u64,
        size: u64,
    ) -> Result<Part, CacheError> {
        let path = self.part_path(digest);
        let promise = Promise::of(self, digest, size)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        if file.metadata()?.len() < begins {
            // It made room for another blob since the cloud was asked for the rest.
            return Err(CacheError::Short(digest));
        }
        file.set_len(begins)?;
        Ok(Part {
            promise,
            hasher: hash(&file)?,
            have: begins,
            source: Source {
                file: Arc::new(file),
                size,
            },
        })
    }

    /// After a fetch that failed: only a part that has bytes to go on from may stay.
    pub(super) fn tidy(&self, digest: Digest, resumable: bool) -> io::Result<()> {
        if resumable && self.begun(digest)? > 0 {
            return Ok(());
        }
        let _books = self.books();
        present(fs::remove_file(self.part_path(digest))).map(drop)
    }

    /// Removes what was not asked for the longest, until all that is promised fits.
    fn make_room(&self, books: &mut Books) -> Result<(), CacheError> {
        let (coming, mut idle): (Vec<_>, Vec<_>) = self
            .items()?
            .into_iter()
            .partition(|item| books.promised.contains_key(&item.digest));
        let promised = books
            .promised
            .values()
            .copied()
            .fold(0, u64::saturating_add);
        let needed = promised.saturating_sub(bytes_of(&coming));
        let mut free = Disk.free_bytes(&self.folder)?;
        let mut kept = bytes_of(&idle);
        if promised > self.budget {
            return Err(CacheError::Full);
        }
        let wanted = needed.saturating_add(DISK_RESERVE);
        if wanted > free.saturating_add(kept) {
            return Err(CacheError::NoSpace { needed, free });
        }
        idle.sort_by_key(|item| (books.verified.get(&item.digest).copied(), item.modified));
        for item in idle {
            if promised.saturating_add(kept) <= self.budget && wanted <= free {
                break;
            }
            fs::remove_file(&item.path)?;
            books.verified.remove(&item.digest);
            kept -= item.bytes;
            free += item.bytes;
        }
        Ok(())
    }

    fn items(&self) -> io::Result<Vec<Item>> {
        let mut items = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let Ok(digest) = name.strip_suffix(PART).unwrap_or(name).parse() else {
                continue;
            };
            let facts = entry.metadata()?;
            items.push(Item {
                digest,
                path: entry.path(),
                bytes: facts.len(),
                modified: facts.modified()?,
            });
        }
        Ok(items)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }

    fn part_path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}{PART}"))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file of the folder.
struct Item {
    digest: Digest,
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

fn bytes_of(items: &[Item]) -> u64 {
    items.iter().map(|item| item.bytes).sum()
}

/// Room that is kept for a blob while it is on its way.
struct Promise {
    shelf: Arc<Shelf>,
    digest: Digest,
}

impl Promise {
    fn of(shelf: Arc<Shelf>, digest: Digest, size: u64) -> Result<Self, CacheError> {
        if size > shelf.budget {
            return Err(CacheError::TooLarge(digest));
        }
        let mut books = shelf.books();
        books.promised.insert(digest, size);
        let roomy = shelf.make_room(&mut books);
        drop(books);
        // Made before the outcome is known, so that a promise that cannot be kept is taken back.
        let promise = Self { shelf, digest };
        roomy.map(|()| promise)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.shelf.books().promised.remove(&self.digest);
    }
}

/// A blob while its bytes come in.
pub(super) struct Part {
    promise: Promise,
    source: Source,
    hasher: Hasher,
    have: u64,
}

impl Part {
    pub(super) fn source(&self) -> Source {
        self.source.clone()
    }

    /// Bytes that are written.
    pub(super) fn have(&self) -> u64 {
        self.have
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.source.file.write_all_at(piece, self.have)?;
        self.hasher.update(piece);
        self.have += piece.len() as u64;
        Ok(())
    }

    /// Puts it under its digest if it is what that says.
    pub(super) fn finish(self) -> Result<Source, CacheError> {
        let Promise { shelf, digest } = &self.promise;
        if self.have < self.source.size {
            return Err(CacheError::Short(*digest));
        }
        if self.hasher.finish() != *digest {
            return Err(CacheError::Digest(*digest));
        }
        let mut books = shelf.books();
        fs::rename(shelf.part_path(*digest), shelf.path(*digest))?;
        books.note_ask(*digest);
        drop(books);
        Ok(self.source)
    }
}

fn hash(mut file: &File) -> io::Result<Hasher> {
    let (mut hasher, mut buffer) = (Hasher::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// A file that is not there is no failure.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
