//! The file layer under the store: the few operations whose order and durability the store relies on.
//!
//! Everything that the store writes passes through [`Files`], so that a layer that drops un-synced writes,
//! tears the last one or runs out of space can stand in for [`Disk`] without the store knowing.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that is being written. Bytes are durable only after [`sync`](WriteFile::sync) returned.
pub trait WriteFile: Write + Send {
    /// Brings what was written so far to the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// The operations of a file system that the store uses, and no others.
///
/// A rename is durable only after [`sync_folder`](Files::sync_folder) on the folder that holds the new name.
pub trait Files: Debug + Send + Sync {
    /// Reads a whole file of at most `limit` bytes; a longer one is an [`io::ErrorKind::FileTooLarge`] error.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;
    /// Opens a file for reading as a stream.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;
    /// Opens a file for writing: emptied, and made if it is not there. Readable by its owner only.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;
    /// Opens a file for writing at its end, made if it is not there. Readable by its owner only.
    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;
    /// Gives `from` the name `to`, replacing a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder and those above it; one that is there already is fine.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Removes a file; one that is not there is fine.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with all that is in it; one that is not there is fine.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Names in a folder, sorted; none when there is no such folder.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Size of a file in bytes, or `None` when there is no such file.
    fn size(&self, path: &Path) -> io::Result<Option<u64>>;
    /// Whether a folder of that name is there.
    fn is_folder(&self, path: &Path) -> bool;
    /// Bytes that may still be written to the disk that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// The real disk.
#[derive(Debug, Default, Clone, Copy)]
pub struct Disk;

/// Another layer, to be read alone: whatever would change it is refused.
#[derive(Debug, Clone)]
pub struct ReadOnly(pub Arc<dyn Files>);

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Files for ReadOnly {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        self.0.read(path, limit)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        self.0.open(path)
    }

    fn create(&self, _path: &Path) -> io::Result<Box<dyn WriteFile>> {
        read_only()
    }

    fn append(&self, _path: &Path) -> io::Result<Box<dyn WriteFile>> {
        read_only()
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        read_only()
    }

    fn sync_folder(&self, _path: &Path) -> io::Result<()> {
        read_only()
    }

    fn create_folder(&self, _path: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove_folder(&self, _path: &Path) -> io::Result<()> {
        read_only()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.0.list(path)
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        self.0.size(path)
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.0.is_folder(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.free_bytes(path)
    }
}

impl WriteFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Files for Disk {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("more than {limit} bytes"),
            ));
        }
        Ok(bytes)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        Ok(Box::new(owner_only(&mut options).open(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        Ok(Box::new(owner_only(&mut options).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        absent_is_fine(fs::remove_file(path))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        absent_is_fine(fs::remove_dir_all(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = entries
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(path)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// Writes `bytes` to `path` so that after a power cut the file is either the old one or the new one, whole.
///
/// # Errors
/// The disk's own error; the file is then the old one.
pub fn replace(files: &dyn Files, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = beside(path, ".new");
    let mut file = files.create(&fresh)?;
    file.write_all(bytes)?;
    file.sync()?;
    drop(file);
    files.rename(&fresh, path)?;
    files.sync_folder(parent(path))
}

/// `path` with `suffix` added to its last name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
