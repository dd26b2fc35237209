//! A disk without room: the update is refused by name, what serves goes on serving, and nothing half-written is left.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use espalier_protocol::Digest;
use espalier_protocol::report::{Attack, Failure, FailureKind};
use espalier_slots::content::DISK_RESERVE;
use espalier_slots::files::WriteFile;
use espalier_slots::{Disk, Files};

use crate::agent::Agent;
use crate::engine::{Fleet, bundle};
use crate::mint::{Bundle, model, name, order};

/// A disk that holds so many bytes below a folder, and no more.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
    holds: AtomicU64,
    /// What it says of its room beyond that: another program will have taken it meanwhile.
    promises: u64,
    /// The least room that there was when a file took its name.
    least: AtomicU64,
}

impl SmallDisk {
    pub fn of(fleet: &Fleet, promises: u64) -> Arc<Self> {
        Arc::new(Self {
            folder: fleet.device.folder.path().to_owned(),
            holds: AtomicU64::new(u64::MAX),
            promises,
            least: AtomicU64::new(u64::MAX),
        })
    }

    /// Leaves room for so many bytes more.
    pub fn leave(&self, bytes: u64) {
        self.holds
            .store(size(&self.folder).saturating_add(bytes), Ordering::Relaxed);
    }

    fn room(&self) -> u64 {
        let holds = self.holds.load(Ordering::Relaxed);
        holds.saturating_sub(size(&self.folder))
    }
}

fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return fs::metadata(path).map_or(0, |file| file.len());
    };
    entries.map(|entry| size(&entry.unwrap().path())).sum()
}

struct SmallFile(Box<dyn WriteFile>, u64);

impl Write for SmallFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.1 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let room = usize::try_from(self.1).unwrap_or(usize::MAX);
        let written = self.0.write(&bytes[..bytes.len().min(room)])?;
        self.1 -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl WriteFile for SmallFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

impl Files for SmallDisk {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        Disk.read(path, limit)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Disk.open(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let file = Disk.create(path)?;
        Ok(Box::new(SmallFile(file, self.room())))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let file = Disk.append(path)?;
        Ok(Box::new(SmallFile(file, self.room())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.least.fetch_min(self.room(), Ordering::Relaxed);
        Disk.rename(from, to)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        Disk.sync_folder(path)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        Disk.create_folder(path)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        Disk.remove_file(path)
    }
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        Disk.remove_folder(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        Disk.list(path)
    }
    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        Disk.size(path)
    }
    fn is_folder(&self, path: &Path) -> bool {
        Disk.is_folder(path)
    }
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.room().saturating_add(self.promises))
    }
}

/// Lets the first bundle serve, and orders a second one on a disk that has `room` left.
async fn second_without_room(fleet: &Fleet, disk: &Arc<SmallDisk>, room: u64) -> (Agent, Failure) {
    let agent = fleet.device.start_on(disk.clone());
    let first = fleet.release(1, &bundle(1));
    fleet.order(order(1, 1, first, &bundle(1)));
    fleet.active(1).await;
    let second = fleet.release(2, &bundle(2));
    disk.leave(room);
    fleet.order(order(2, 1, second, &bundle(2)));
    let failure = fleet.failed(2).await;
    assert_eq!(agent.bench.serves(&model()), Some(bundle(1).digest()));
    (agent, failure)
}

fn graph(bundle: &Bundle) -> Digest {
    bundle.manifest.files[&name("graph.onnx")].sha256
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_that_would_not_fit_is_refused_before_its_first_byte() {
    let fleet = Fleet::new().await;
    let disk = SmallDisk::of(&fleet, 0);
    let (_agent, failure) = second_without_room(&fleet, &disk, DISK_RESERVE + 100_000).await;
    assert_eq!(failure.kind, FailureKind::NoSpace, "{failure:?}");
    let asked = &fleet.cloud.world().asked;
    assert!(
        asked.iter().all(|(blob, _)| *blob != graph(&bundle(2))),
        "bytes were fetched for nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_files_that_are_here_need_room_too() {
    let fleet = Fleet::new().await;
    let disk = SmallDisk::of(&fleet, 0);
    let _agent = fleet.device.start_on(disk.clone());
    let first = fleet.release(1, &bundle(1));
    fleet.order(order(1, 1, first, &bundle(1)));
    fleet.active(1).await;
    let mut sibling = bundle(1);
    sibling.manifest.requires.memory_bytes += 1;
    let second = fleet.release(2, &sibling);
    disk.leave(DISK_RESERVE + 100_000);
    fleet.order(order(2, 1, second, &sibling));
    assert_eq!(fleet.failed(2).await.kind, FailureKind::NoSpace);
    let least = disk.least.load(Ordering::Relaxed);
    assert!(
        least >= DISK_RESERVE,
        "copies left {least} bytes of the reserve"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_silences_nobody_and_keeps_no_order_for_ever() {
    let fleet = Fleet::new().await;
    let disk = SmallDisk::of(&fleet, u64::MAX);
    let agent = fleet.device.start_on(disk.clone());
    let first = fleet.release(1, &bundle(1));
    fleet.order(order(1, 1, first, &bundle(1)));
    fleet.active(1).await;
    // What cannot be kept until it is acknowledged is still said once.
    disk.leave(0);
    fleet.cloud.send_desired(vec![0xff; 100]);
    fleet.refused(Attack::Malformed).await;
    let second = fleet.release(2, &bundle(2));
    fleet.order(order(2, 1, second, &bundle(2)));
    agent.status(|status| status.held_up.is_some()).await;
    disk.leave(u64::MAX);
    fleet.active(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_that_fills_during_a_download_is_named_and_given_back() {
    let fleet = Fleet::new().await;
    let disk = SmallDisk::of(&fleet, u64::MAX);
    let (agent, failure) = second_without_room(&fleet, &disk, 100_000).await;
    assert_eq!(failure.kind, FailureKind::NoSpace, "{failure:?}");
    let staging = fleet.device.folder.path().join("store/staging");
    assert_eq!(size(&staging), 0, "something half-written was left");

    disk.leave(DISK_RESERVE);
    let again = fleet.release(3, &bundle(2));
    fleet.order(order(3, 1, again, &bundle(2)));
    fleet.active(3).await;
    assert_eq!(agent.bench.serves(&model()), Some(bundle(2).digest()));
}
