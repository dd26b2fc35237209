//! Fetching a bundle's missing files: resumed where they broke off, capped and digested while they are written.

use bytes::Bytes;
use espalier_slots::content::{ContentError, Intake, Missing, Staging};
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::{Duration, Instant};

use crate::Backoff;
use crate::door::{BlobStream, Door, DoorError};

/// Pieces that wait to be written; they bound the memory of a download.
const QUEUE: usize = 16;

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The other side did not give it, in as many tries as are allowed.
    #[error("the download failed: {0}")]
    Door(#[from] DoorError),
    /// What came is not what was promised, or the disk refused it.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Bytes came more slowly than the pace allows.
    #[error("the download failed: the other side sent less than {} bytes in {} s", .0.bytes, .0.within.as_secs())]
    TooSlow(Pace),
    /// The thread that writes is gone.
    #[error("the thread that writes the download ended")]
    Writer(#[from] JoinError),
}

impl From<espalier_slots::StoreError> for DownloadError {
    fn from(error: espalier_slots::StoreError) -> Self {
        Self::Content(error.into())
    }
}

/// The least that a transfer must bring; stops slow retrieval, where a source keeps an update from ever ending with a
/// byte now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// So many bytes,
    pub bytes: u64,
    /// each time in so long.
    pub within: Duration,
}

impl Default for Pace {
    /// About 1 KiB a second: less than any line over which models are fetched.
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            within: Duration::from_secs(60),
        }
    }
}

/// How a download goes about failures.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Tries in a row that may bring nothing worth mentioning: less than the pace, and than a hundredth of the file.
    pub tries: u32,
    /// The slowest transfer that is not broken off.
    pub slowest: Pace,
    /// Waiting between them.
    pub backoff: Backoff,
}

/// Fetches every missing file of a bundle. `came` is told of each piece's size as it comes in.
///
/// It may be dropped at any await: what is written stays and is resumed.
///
/// # Errors
/// The first failure that trying again does not mend.
pub async fn fetch_missing(
    door: &Door,
    staging: &mut Staging,
    patience: Patience,
    random: &mut StdRng,
    mut came: impl FnMut(u64),
) -> Result<(), DownloadError> {
    for missing in staging.missing().to_vec() {
        fetch(door, staging, &missing, patience, random, &mut came).await?;
        staging.arrived(&missing.path);
    }
    Ok(())
}

async fn fetch(
    door: &Door,
    staging: &Staging,
    missing: &Missing,
    patience: Patience,
    random: &mut StdRng,
    came: &mut impl FnMut(u64),
) -> Result<(), DownloadError> {
    let worth_mentioning = patience.slowest.bytes.min(missing.entry.size.div_ceil(100));
    let mut failures = 0;
    loop {
        let intake = staging.intake(missing)?;
        let resumed = intake.have() > 0;
        let mut brought = 0;
        let result = one_try(door, intake, patience.slowest, |bytes| {
            brought += bytes;
            came(bytes);
        })
        .await;
        let error = match result {
            Ok(()) => return Ok(()),
            // The part of an earlier try may be what is wrong; it is gone now, and one clean try is fair.
            Err(DownloadError::Content(ContentError::FileDigest { .. })) if resumed => continue,
            Err(error) if is_passing(&error) => error,
            Err(error) => return Err(error),
        };
        failures = if brought > 0 && brought >= worth_mentioning {
            1
        } else {
            failures + 1
        };
        if failures >= patience.tries {
            return Err(error);
        }
        tracing::info!(file = %missing.path, %error, "the download broke off and is continued");
        tokio::time::sleep(patience.backoff.delay(failures, random)).await;
    }
}

fn is_passing(error: &DownloadError) -> bool {
    match error {
        DownloadError::Door(error) => error.is_passing(),
        DownloadError::Content(ContentError::Short { .. }) | DownloadError::TooSlow(_) => true,
        DownloadError::Content(_) | DownloadError::Writer(_) => false,
    }
}

async fn one_try(
    door: &Door,
    mut intake: Intake,
    slowest: Pace,
    mut came: impl FnMut(u64),
) -> Result<(), DownloadError> {
    let mut stream = None;
    if intake.have() < intake.size() {
        let (begins, bytes) = door.blob_from(&intake.digest(), intake.have()).await?;
        if begins != intake.have() {
            intake = intake.restarted()?;
        }
        stream = Some(Paced::new(bytes, slowest));
    }
    let (pieces, queue) = mpsc::channel(QUEUE);
    let writer = tokio::task::spawn_blocking(move || write(intake, queue));
    let mut broken = None;
    if let Some(stream) = &mut stream {
        loop {
            match stream.next().await {
                Ok(None) => break,
                Ok(Some(piece)) => {
                    came(piece.len() as u64);
                    // A writer that refuses has ended, and says below why.
                    if pieces.send(piece).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
    }
    drop(pieces);
    match (writer.await?, broken) {
        // A transfer that broke off leaves a short file: the reason is the transfer.
        (Err(ContentError::Short { .. }), Some(error)) => Err(error),
        (result, _) => Ok(result?),
    }
}

/// A stream that must keep a pace. Only waiting for the other side counts, not the own disk.
struct Paced {
    stream: BlobStream,
    pace: Pace,
    came: u64,
    waited: Duration,
}

impl Paced {
    fn new(stream: BlobStream, pace: Pace) -> Self {
        Self {
            stream,
            pace,
            came: 0,
            waited: Duration::ZERO,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, DownloadError> {
        let begun = Instant::now();
        let left = self.pace.within.saturating_sub(self.waited);
        let piece = tokio::time::timeout(left, self.stream.next())
            .await
            .map_err(|_passed| DownloadError::TooSlow(self.pace))??;
        self.waited += begun.elapsed();
        self.came += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if self.came >= self.pace.bytes {
            (self.came, self.waited) = (0, Duration::ZERO);
        }
        Ok(piece)
    }
}

fn write(mut intake: Intake, mut queue: mpsc::Receiver<Bytes>) -> Result<(), ContentError> {
    while let Some(piece) = queue.blocking_recv() {
        intake.write(&piece)?;
    }
    intake.finish()
}
