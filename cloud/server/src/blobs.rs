//! Content-addressed bytes, on disk or in an S3-compatible store.
//!
//! A blob is written under a name of its own, counted and digested on the way, and takes its final
//! name (`sha256/ab/ab…`) only when all of it is there: a broken upload leaves nothing that could be
//! read, and two uploads of the same bytes are one blob.

use std::{ops::Range, path::Path, sync::Arc};

use bytes::Bytes;
use espalier_api::error::ErrorCode;
use espalier_protocol::{Digest, digest::Hasher};
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt, WriteMultipart, local::LocalFileSystem,
    path::Path as Key,
};

use crate::{
    refusal::{Outcome, Refusal},
    world::World,
};

/// Where unfinished blobs lie.
const INCOMING: &str = "incoming";
/// Pieces that may be on their way to the store at once: bounds memory for a fast sender.
const CONCURRENT_PARTS: usize = 2;
/// The size of one piece; the least that S3 takes.
const PART_BYTES: usize = 5 << 20;

/// The store of blobs.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
}

/// What was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// SHA-256 of the content.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

impl Blobs {
    /// Blobs in a folder, which is made when it is missing. What a dead process left unfinished is
    /// removed.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn in_folder(folder: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, error))?;
        let local =
            LocalFileSystem::new_with_prefix(folder).map_err(|error| unusable(folder, error))?;
        let blobs = Self {
            store: Arc::new(local.with_fsync(true)),
        };
        let incoming = folder.join(INCOMING);
        if incoming.exists() {
            std::fs::remove_dir_all(&incoming).map_err(|error| unusable(&incoming, error))?;
        }
        Ok(blobs)
    }

    /// Takes a stream of at most `cap` bytes. With `announced`, refuses any other content.
    ///
    /// # Errors
    /// `too_large`, `digest_mismatch`, `storage_full`; `malformed_body` when the stream breaks.
    pub async fn receive<S, E>(
        &self,
        stream: S,
        cap: u64,
        announced: Option<Digest>,
        world: &World,
    ) -> Outcome<Received>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let incoming = Key::from_iter([INCOMING, &world.id()?.simple().to_string()]);
        let upload = self.store.put_multipart(&incoming).await.map_err(storage)?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let received = match drain(stream, &mut writer, cap)
            .await
            .and_then(|got| check(got, announced))
        {
            Ok(received) => received,
            Err(refusal) => {
                // The refusal is the news; a leftover is swept at the next start.
                if let Err(error) = writer.abort().await {
                    tracing::warn!(%error, "an unfinished blob could not be removed");
                }
                return Err(refusal);
            }
        };
        writer.finish().await.map_err(storage)?;
        self.store
            .rename(&incoming, &key(received.digest))
            .await
            .map_err(storage)?;
        Ok(received)
    }

    /// Takes bytes that are in memory.
    ///
    /// # Errors
    /// `storage_full`, or the store's failure.
    pub async fn put(&self, bytes: impl Into<Bytes>) -> Outcome<Received> {
        let bytes = bytes.into();
        let received = Received {
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
        };
        self.store
            .put(&key(received.digest), bytes.into())
            .await
            .map_err(storage)?;
        Ok(received)
    }

    /// The size of a blob, where it is there.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn size(&self, digest: Digest) -> Outcome<Option<u64>> {
        match self.store.head(&key(digest)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(storage(error)),
        }
    }

    /// A piece of a blob as a stream; all of it without `range`.
    ///
    /// # Errors
    /// `not_found`, or the store's failure.
    pub async fn read(
        &self,
        digest: Digest,
        range: Option<Range<u64>>,
    ) -> Outcome<BoxStream<'static, object_store::Result<Bytes>>> {
        let options = GetOptions::default().with_range(range);
        match self.store.get_opts(&key(digest), options).await {
            Ok(found) => Ok(found.into_stream()),
            Err(object_store::Error::NotFound { .. }) => {
                Err(Refusal::absent(format!("blob {digest}")))
            }
            Err(error) => Err(storage(error)),
        }
    }

    /// A whole small blob, digest checked: a bad disk must not become a bad answer.
    ///
    /// # Errors
    /// `not_found`; `too_large` above `cap`; an internal failure when the bytes rotted.
    pub async fn load(&self, digest: Digest, cap: u64) -> Outcome<Bytes> {
        let stream = self.read(digest, None).await?;
        let mut bytes = Vec::new();
        let mut pieces = stream;
        while let Some(piece) = pieces.try_next().await.map_err(storage)? {
            if bytes.len() as u64 + piece.len() as u64 > cap {
                return Err(Refusal::new(
                    ErrorCode::TooLarge,
                    format!("Blob {digest} has more than {cap} bytes."),
                ));
            }
            bytes.extend_from_slice(&piece);
        }
        if Digest::of(&bytes) == digest {
            Ok(bytes.into())
        } else {
            Err(Refusal::internal(format!(
                "blob {digest} is damaged in the store"
            )))
        }
    }

    /// Copies a blob into a new file, digest checked.
    ///
    /// # Errors
    /// As [`Blobs::read`]; an internal failure when the file cannot be written or the bytes rotted.
    pub async fn export(&self, digest: Digest, file: &Path) -> Outcome<()> {
        use tokio::io::AsyncWriteExt;
        let mut stream = self.read(digest, None).await?;
        let mut out = tokio::fs::File::create(file)
            .await
            .map_err(|error| unusable(file, error))?;
        let mut hasher = Hasher::new();
        while let Some(piece) = stream.try_next().await.map_err(storage)? {
            hasher.update(&piece);
            out.write_all(&piece)
                .await
                .map_err(|error| unusable(file, error))?;
        }
        out.flush().await.map_err(|error| unusable(file, error))?;
        if hasher.finish() == digest {
            Ok(())
        } else {
            Err(Refusal::internal(format!(
                "blob {digest} is damaged in the store"
            )))
        }
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// What it says instead.
    pub async fn ping(&self) -> Outcome<()> {
        self.size(Digest::of(b"")).await.map(|_| ())
    }
}

fn key(digest: Digest) -> Key {
    let name = digest.to_string();
    Key::from_iter(["sha256", &name[..2], &name])
}

async fn drain<S, E>(mut stream: S, writer: &mut WriteMultipart, cap: u64) -> Outcome<Received>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    let mut hasher = Hasher::new();
    let mut size = 0_u64;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| {
            Refusal::new(
                ErrorCode::MalformedBody,
                format!("The content broke off after {size} bytes: {error}."),
            )
        })?;
        size += piece.len() as u64;
        if size > cap {
            return Err(Refusal::new(
                ErrorCode::TooLarge,
                format!("The content has more than {cap} bytes."),
            ));
        }
        hasher.update(&piece);
        writer
            .wait_for_capacity(CONCURRENT_PARTS)
            .await
            .map_err(storage)?;
        writer.put(piece);
    }
    Ok(Received {
        digest: hasher.finish(),
        size,
    })
}

fn check(received: Received, announced: Option<Digest>) -> Outcome<Received> {
    match announced {
        Some(digest) if digest != received.digest => Err(Refusal::new(
            ErrorCode::DigestMismatch,
            format!(
                "The content's digest is {}, announced was {digest}.",
                received.digest
            ),
        )
        .with_hint(
            "send the bytes again; if it happens again, the file or the connection is damaged",
        )),
        _ => Ok(received),
    }
}

fn storage(error: object_store::Error) -> Refusal {
    if is_full(&error) {
        Refusal::new(
            ErrorCode::StorageFull,
            "The storage for blobs is full; nothing was kept.",
        )
        .with_hint("free space in the state folder's `blobs`, then repeat the call")
        .because(error)
    } else {
        Refusal::internal(error)
    }
}

fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|io| {
            matches!(
                io.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            )
        })
}

fn unusable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Refusal {
    let refusal = Refusal::internal(format!("{}: {error}", path.display()));
    if is_full(&error) {
        return Refusal::new(
            ErrorCode::StorageFull,
            "The storage is full; nothing was kept.",
        )
        .because(error);
    }
    refusal
}
