//! A disk in memory: a device's store without a real one, so that thousands of them live a second.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use espalier_slots::files::{Files, WriteFile};

/// What lies on the disk.
#[derive(Debug, Clone, Default)]
struct Content {
    files: BTreeMap<PathBuf, Arc<Vec<u8>>>,
    folders: BTreeSet<PathBuf>,
}

/// A disk. A clone is the same disk; [`Memory::copy`] is another one.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Content>>);

struct Written {
    disk: Memory,
    path: PathBuf,
}

impl Memory {
    /// Another disk that holds the same.
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.content().clone())))
    }

    /// Puts a file in its place, whole.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        self.content()
            .files
            .insert(path.to_owned(), Arc::new(bytes.to_vec()));
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, path: &Path) -> io::Result<Arc<Vec<u8>>> {
        let found = self.content().files.get(path).cloned();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, path: &Path) -> Box<dyn WriteFile> {
        Box::new(Written {
            disk: self.clone(),
            path: path.to_owned(),
        })
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut content = self.disk.content();
        let file = content.files.entry(self.path.clone()).or_default();
        Arc::make_mut(file).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteFile for Written {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.file(path)?;
        if file.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(file.to_vec())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.file(path)?.to_vec())))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.put(path, &[]);
        Ok(self.write(path))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(self.write(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut content = self.content();
        let Content { files, folders } = std::mem::take(&mut *content);
        let place = |path: PathBuf| match path.strip_prefix(from) {
            // Joined with nothing, a name would end in a slash.
            Ok(rest) if rest.as_os_str().is_empty() => to.to_owned(),
            Ok(rest) => to.join(rest),
            Err(_) => path,
        };
        let renamed = files.into_iter().map(|(path, file)| (place(path), file));
        content.files = renamed.collect();
        content.folders = folders.into_iter().map(place).collect();
        Ok(())
    }

    fn sync_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let above = path.ancestors().map(Path::to_owned);
        self.content().folders.extend(above);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.content().files.remove(path);
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut content = self.content();
        content.files.retain(|file, _| !file.starts_with(path));
        content.folders.retain(|folder| !folder.starts_with(path));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let content = self.content();
        let all = content.files.keys().chain(&content.folders);
        let names = all
            .filter(|entry| entry.parent() == Some(path))
            .filter_map(|entry| Some(entry.file_name()?.to_string_lossy().into_owned()));
        Ok(names.collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        let content = self.content();
        Ok(content.files.get(path).map(|file| file.len() as u64))
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.content().folders.contains(path)
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}
