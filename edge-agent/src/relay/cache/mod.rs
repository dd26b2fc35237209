//! Blobs on the gateway's disk, fetched once for all children.
//!
//! A blob is called whole only after its bytes have shown their digest in this run of the agent, so neither a lying cloud
//! nor a rotten disk is passed on as a whole. One that is not here is fetched, and children read it while it comes in: all
//! but its last byte, which they get once the digest holds. Children digest again.

mod blob;
mod fetch;
mod shelf;

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use espalier_link::{Door, DoorError};
use espalier_protocol::Digest;
use espalier_slots::content::DISK_RESERVE;
use tokio::{sync::watch, task};

pub use blob::Blob;
use blob::Progress;
use fetch::Fetch;
use shelf::Shelf;

/// Blobs on their way at once; stops children that ask for made-up digests from filling memory and connections.
const MAX_FETCHES: usize = 64;

/// Why there is no blob.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The cloud gave nothing usable, or broke off.
    #[error(transparent)]
    Upstream(#[from] DoorError),
    /// Without its size no room can be kept for it.
    #[error("the cloud did not say how large the blob {0} is")]
    NoSize(Digest),
    /// Fewer bytes came than were announced.
    #[error("the blob {0} ended too early")]
    Short(Digest),
    /// What came is not what its name says.
    #[error("the cloud sent other bytes than {0} names")]
    Digest(Digest),
    /// More than the cache may hold.
    #[error("the blob {0} is larger than the gateway's cache")]
    TooLarge(Digest),
    /// Other blobs are on their way and need all that the cache may hold.
    #[error("the gateway's cache is needed for blobs that are on their way")]
    Full,
    /// [`MAX_FETCHES`] are on their way.
    #[error("{MAX_FETCHES} blobs are on their way to the gateway already")]
    Busy,
    /// More than the disk has left, also when the cache were emptied.
    #[error(
        "the gateway's disk has {free} bytes free, and {needed} are to come; {DISK_RESERVE} of the free ones stay reserved"
    )]
    NoSpace {
        /// Bytes that are still to come, of all blobs on their way.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The gateway's disk.
    #[error("the gateway's cache failed: {0}")]
    Disk(#[from] io::Error),
    /// Whoever fetched it is gone.
    #[error("the fetch ended without a word")]
    Lost,
}

/// The cache: what is on its shelf, and what is on its way there.
pub struct BlobCache {
    shelf: Arc<Shelf>,
    upstream: Door,
    coming: Arc<Coming>,
}

impl BlobCache {
    /// A cache in `folder` of at most `budget` bytes, filled through `upstream`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: PathBuf, budget: u64, upstream: Door) -> io::Result<Self> {
        Ok(Self {
            shelf: Arc::new(Shelf::open(folder, budget)?),
            upstream,
            coming: Arc::default(),
        })
    }

    /// A blob, as soon as its first bytes can be read. It is fetched if it is not here; somebody who asks for one that
    /// is on its way joins those who wait for it.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn get(&self, digest: Digest) -> Result<Blob, Arc<CacheError>> {
        Blob::once_begun(self.join(digest)?).await
    }

    fn join(&self, digest: Digest) -> Result<watch::Receiver<Progress>, CacheError> {
        let mut coming = self.coming.lock();
        if let Some(progress) = coming.get(&digest) {
            return Ok(progress.clone());
        }
        if coming.len() >= MAX_FETCHES {
            return Err(CacheError::Busy);
        }
        let (tell, progress) = watch::channel(Progress::Sought);
        coming.insert(digest, progress.clone());
        drop(coming);
        let turn = Turn {
            digest,
            coming: Arc::clone(&self.coming),
        };
        let fetch = Fetch::new(Arc::clone(&self.shelf), digest, tell);
        // It belongs to no child: one that leaves must not take the blob from the others.
        task::spawn(fetch.run(self.upstream.clone(), turn));
        Ok(progress)
    }
}

/// The blobs that somebody seeks or fetches: one turn at a time for each.
#[derive(Default)]
struct Coming(Mutex<HashMap<Digest, watch::Receiver<Progress>>>);

impl Coming {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, watch::Receiver<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to bring one blob; it ends however the work ends.
struct Turn {
    digest: Digest,
    coming: Arc<Coming>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.coming.lock().remove(&self.digest);
    }
}

/// Disks make everybody wait who shares a thread with them.
async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, CacheError>
where
    T: Send + 'static,
    E: Into<CacheError> + Send + 'static,
{
    match task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_panicked) => Err(CacheError::Lost),
    }
}
