//! Blobs on the gateway's disk, fetched once for all children.
//!
//! A blob is served only after its bytes have shown their digest in this run of the agent, so
//! neither a lying cloud nor a rotten disk is passed on. Children digest again: this only saves them
//! the trouble of fetching rubbish.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use espalier_link::{Door, DoorError};
use espalier_protocol::{Digest, digest::Hasher};

/// Why there is no blob.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The cloud gave nothing usable.
    #[error("the blob could not be fetched")]
    Upstream(#[from] DoorError),
    /// What came is not what its name says.
    #[error("the cloud sent other bytes than {0} names")]
    Digest(Digest),
    /// More than the cache may hold.
    #[error("the blob {0} is larger than the gateway's cache")]
    TooLarge(Digest),
    /// The gateway's disk.
    #[error("the gateway's cache failed")]
    Disk(#[from] io::Error),
}

/// The cache's folder and what is known about its content.
pub struct BlobCache {
    folder: PathBuf,
    budget: u64,
    /// Shown their digest in this run.
    verified: Mutex<HashSet<Digest>>,
    /// One fetch at a time for each digest: the first child fetches, the others wait for it.
    fetching: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl BlobCache {
    /// A cache in `folder` of at most `budget` bytes.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: PathBuf, budget: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let cache = Self {
            folder,
            budget,
            verified: Mutex::default(),
            fetching: Mutex::default(),
        };
        cache.drop_leftovers()?;
        Ok(cache)
    }

    /// The path of a verified blob, fetched through `upstream` if it is not here.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn get(&self, digest: Digest, upstream: &Door) -> Result<PathBuf, CacheError> {
        let turn = self.turn(digest);
        let _mine = turn.lock().await;
        let path = self.folder.join(digest.to_string());
        if !self.is_good(digest, &path)? {
            self.fetch(digest, &path, upstream).await?;
            self.verified().insert(digest);
            self.make_room(digest)?;
        }
        self.end_turn(digest);
        Ok(path)
    }

    fn is_good(&self, digest: Digest, path: &Path) -> io::Result<bool> {
        if !path.is_file() {
            return Ok(false);
        }
        if self.verified().contains(&digest) || digest_of(path)? == digest {
            self.verified().insert(digest);
            return Ok(true);
        }
        tracing::warn!(%digest, "a cached blob has rotted; it is fetched again");
        fs::remove_file(path)?;
        Ok(false)
    }

    async fn fetch(&self, digest: Digest, path: &Path, upstream: &Door) -> Result<(), CacheError> {
        let part = self.folder.join(format!("{digest}.part"));
        let mut file = File::create(&part)?;
        let (mut hasher, mut bytes) = (Hasher::new(), 0);
        let (_, mut stream) = upstream.blob_from(&digest, 0).await?;
        while let Some(chunk) = stream.next().await? {
            bytes += chunk.len() as u64;
            if bytes > self.budget {
                fs::remove_file(&part)?;
                return Err(CacheError::TooLarge(digest));
            }
            hasher.update(&chunk);
            file.write_all(&chunk)?;
        }
        if hasher.finish() != digest {
            fs::remove_file(&part)?;
            return Err(CacheError::Digest(digest));
        }
        Ok(fs::rename(&part, path)?)
    }

    /// Removes the blobs that were not asked for the longest, but never `newest`.
    fn make_room(&self, newest: Digest) -> io::Result<()> {
        let mut blobs: Vec<Blob> = Blob::all_in(&self.folder)?;
        blobs.sort_by_key(|blob| blob.used);
        let mut total: u64 = blobs.iter().map(|blob| blob.bytes).sum();
        for blob in blobs.iter().filter(|blob| blob.digest != newest) {
            if total <= self.budget {
                break;
            }
            fs::remove_file(self.folder.join(blob.digest.to_string()))?;
            self.verified().remove(&blob.digest);
            total -= blob.bytes;
        }
        Ok(())
    }

    fn drop_leftovers(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "part")
            {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn turn(&self, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        fetching.entry(digest).or_default().clone()
    }

    fn end_turn(&self, digest: Digest) {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        // Two owners are this call and the map; a third one waits for its turn.
        if fetching
            .get(&digest)
            .is_some_and(|turn| Arc::strong_count(turn) <= 2)
        {
            fetching.remove(&digest);
        }
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Blob {
    digest: Digest,
    bytes: u64,
    used: SystemTime,
}

impl Blob {
    fn all_in(folder: &Path) -> io::Result<Vec<Self>> {
        let mut blobs = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let digest = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            let (Some(digest), facts) = (digest, entry.metadata()?) else {
                continue;
            };
            let used = facts.accessed().or_else(|_| facts.modified())?;
            blobs.push(Self {
                digest,
                bytes: facts.len(),
                used,
            });
        }
        Ok(blobs)
    }
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let (mut hasher, mut buffer) = (Hasher::new(), vec![0; 128 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}
