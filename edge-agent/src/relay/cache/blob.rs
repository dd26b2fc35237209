//! A blob as a child reads it: from the disk, at the pace of what is still on its way.

use std::{fs::File, io, os::unix::fs::FileExt as _, sync::Arc};

use actix_web::web::Bytes;
use futures::{Stream, stream};
use tokio::sync::watch;

use super::{CacheError, blocking};

/// Bytes that a child gets at a time.
const PIECE: u64 = 128 * 1024;

/// Where a blob's bytes lie. The file stays readable when it is renamed, or removed to make room.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) file: Arc<File>,
    /// Bytes that the blob has when it is whole.
    pub(super) size: u64,
}

/// How far a blob has come.
pub(super) enum Progress {
    /// It is looked for on the disk, then asked for.
    Sought,
    /// So many of its first bytes may be read; they have not shown their digest.
    Coming { source: Source, have: u64 },
    /// All of it, as its name says.
    Whole(Source),
    /// It does not come.
    Failed(Arc<CacheError>),
}

impl From<Result<Source, CacheError>> for Progress {
    fn from(outcome: Result<Source, CacheError>) -> Self {
        match outcome {
            Ok(source) => Self::Whole(source),
            Err(error) => Self::Failed(Arc::new(error)),
        }
    }
}

/// A blob that can be read from, whole or on its way.
pub struct Blob {
    source: Source,
    /// Where the next bytes are read.
    at: u64,
    progress: watch::Receiver<Progress>,
}

impl Blob {
    /// Waits until there is something to read.
    pub(super) async fn once_begun(
        mut progress: watch::Receiver<Progress>,
    ) -> Result<Self, Arc<CacheError>> {
        let begun = |progress: &Progress| match progress {
            Progress::Sought => None,
            Progress::Coming { source, .. } | Progress::Whole(source) => Some(Ok(source.clone())),
            Progress::Failed(error) => Some(Err(Arc::clone(error))),
        };
        let source = until(&mut progress, begun).await?;
        Ok(Self {
            source,
            at: 0,
            progress,
        })
    }

    /// Bytes that it has when it is whole.
    pub fn size(&self) -> u64 {
        self.source.size
    }

    /// Its bytes from `at` on. The stream ends with an error when the rest does not come.
    pub fn read_from(self, at: u64) -> impl Stream<Item = Result<Bytes, Arc<CacheError>>> {
        stream::try_unfold(Self { at, ..self }, |mut blob| async {
            Ok(blob.next().await?.map(|bytes| (bytes, blob)))
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Arc<CacheError>> {
        let at = self.at;
        if at >= self.source.size {
            return Ok(None);
        }
        let readable = |progress: &Progress| match progress {
            Progress::Coming { have, .. } if *have > at => Some(Ok(*have)),
            Progress::Sought | Progress::Coming { .. } => None,
            Progress::Whole(source) => Some(Ok(source.size)),
            Progress::Failed(error) => Some(Err(Arc::clone(error))),
        };
        let until = until(&mut self.progress, readable).await?;
        let file = Arc::clone(&self.source.file);
        let bytes = blocking(move || read(&file, at, (until - at).min(PIECE))).await?;
        self.at += bytes.len() as u64;
        Ok(Some(bytes))
    }
}

/// Waits until `look` finds what it looks for.
async fn until<T>(
    progress: &mut watch::Receiver<Progress>,
    look: impl Fn(&Progress) -> Option<Result<T, Arc<CacheError>>>,
) -> Result<T, Arc<CacheError>> {
    loop {
        if let Some(found) = look(&progress.borrow_and_update()) {
            return found;
        }
        progress.changed().await.map_err(|_| CacheError::Lost)?;
    }
}

fn read(file: &File, at: u64, length: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece.into())
}
