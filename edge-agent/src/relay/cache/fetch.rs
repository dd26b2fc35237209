//! Bringing one blob: from the disk if it is whole there, else from the cloud, for everybody who waits for it.

use std::sync::Arc;

use actix_web::web::Bytes;
use espalier_link::Door;
use espalier_protocol::Digest;
use tokio::{
    sync::{mpsc, watch},
    task,
};

use super::{
    CacheError, Turn,
    blob::{Progress, Source},
    blocking,
    shelf::{Part, Shelf},
};

/// Pieces that wait to be written; they bound the memory of a fetch.
const QUEUE: usize = 16;

/// One blob that is being brought.
pub(super) struct Fetch {
    shelf: Arc<Shelf>,
    digest: Digest,
    tell: watch::Sender<Progress>,
}

impl Fetch {
    pub(super) fn new(shelf: Arc<Shelf>, digest: Digest, tell: watch::Sender<Progress>) -> Self {
        Self {
            shelf,
            digest,
            tell,
        }
    }

    /// Brings it and tells how that goes.
    pub(super) async fn run(self, upstream: Door, turn: Turn) {
        let outcome = self.bring(&upstream).await;
        // Whoever asks from now on finds it on the disk, or tries anew.
        drop(turn);
        self.tell.send_replace(outcome.into());
    }

    async fn bring(&self, upstream: &Door) -> Result<Source, CacheError> {
        let (shelf, digest) = (Arc::clone(&self.shelf), self.digest);
        if let Some(source) = blocking(move || shelf.whole(digest)).await? {
            return Ok(source);
        }
        let outcome = self.transfer(upstream).await;
        if let Err(error) = &outcome {
            tracing::info!(%digest, %error, "a blob did not come");
            let (shelf, resumable) = (Arc::clone(&self.shelf), error.leaves_a_part());
            blocking(move || shelf.tidy(digest, resumable)).await?;
        }
        outcome
    }

    /// Asks for what is missing and writes it down. Nothing is made on the disk before the cloud has answered.
    async fn transfer(&self, upstream: &Door) -> Result<Source, CacheError> {
        let (shelf, digest) = (Arc::clone(&self.shelf), self.digest);
        let have = blocking(move || shelf.begun(digest)).await?;
        let (begins, mut stream) = upstream.blob_from(&digest, have).await?;
        let announced = stream.announced().ok_or(CacheError::NoSize(digest))?;
        let size = begins.saturating_add(announced);

        let (pieces, queue) = mpsc::channel(QUEUE);
        let (shelf, tell) = (Arc::clone(&self.shelf), self.tell.clone());
        let writer =
            task::spawn_blocking(move || write(shelf.part(digest, begins, size)?, queue, &tell));
        let broken = loop {
            let piece = match stream.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break None,
                Err(error) => break Some(error),
            };
            // A writer that refuses has ended, and says below why.
            if pieces.send(piece).await.is_err() {
                break None;
            }
        };
        drop(pieces);
        match (writer.await.map_err(|_| CacheError::Lost)?, broken) {
            // A transfer that broke off leaves a short part: the reason is the transfer.
            (Err(CacheError::Short(_)), Some(error)) => Err(error.into()),
            (outcome, _) => outcome,
        }
    }
}

/// Writes what comes in. Readers get the last byte only of a blob that has shown its digest: no child ever holds all of a
/// wrong one as if it were right.
fn write(
    mut part: Part,
    mut queue: mpsc::Receiver<Bytes>,
    tell: &watch::Sender<Progress>,
) -> Result<Source, CacheError> {
    while let Some(piece) = queue.blocking_recv() {
        part.write(&piece)?;
        let source = part.source();
        let have = part.have().min(source.size.saturating_sub(1));
        tell.send_replace(Progress::Coming { source, have });
    }
    part.finish()
}

impl CacheError {
    /// Whether the bytes that came are worth going on from.
    fn leaves_a_part(&self) -> bool {
        match self {
            Self::Upstream(error) => error.is_passing(),
            Self::Short(_) | Self::Full => true,
            Self::NoSize(_)
            | Self::Digest(_)
            | Self::TooLarge(_)
            | Self::Busy
            | Self::NoSpace { .. }
            | Self::Disk(_)
            | Self::Lost => false,
        }
    }
}
