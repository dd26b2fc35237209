//! What set-up fetches is kept once per user: complete or not there, and never fetched twice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result, While};
use crate::postgres::locate;

/// Written last into every item: the pinned digest of what it was unpacked from.
const MARKER: &str = "integrity";

/// A folder of fetched items, for instance `~/.cache/espalier`.
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The user's own cache folder.
    pub fn of_user() -> Result<Self> {
        let folder = locate::cache_folder().ok_or_else(|| {
            Failure::new(
                "there is no cache folder: set HOME or XDG_CACHE_HOME to a folder of yours",
            )
        })?;
        Self::at(folder)
    }

    /// The folder that PostgreSQL can be started from, whoever the user is.
    pub fn of_postgres() -> Result<Self> {
        let folder = locate::fetched_folder().ok_or_else(|| {
            Failure::new(
                "there is no safe cache folder: set HOME, or as root remove \
                 /var/tmp/espalier-0, which another user made",
            )
        })?;
        Self::at(folder)
    }

    fn at(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).while_trying(|| format!("make {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// The item's folder, if the item was made from exactly these bytes.
    pub fn item(&self, name: &str, integrity: &str) -> Option<PathBuf> {
        let item = self.folder.join(name);
        let marker = fs::read_to_string(item.join(MARKER)).ok()?;
        (marker == integrity).then_some(item)
    }

    /// The item's folder; `make` fills it in a folder beside it when it is not there yet.
    ///
    /// Two set-ups at once do not disturb each other, and one that is killed leaves nothing that
    /// looks complete.
    pub fn item_or_make(
        &self,
        name: &str,
        integrity: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        if let Some(item) = self.item(name, integrity) {
            return Ok(item);
        }
        let _one_at_a_time = self.lock()?;
        // Another set-up may have made it while this one waited.
        if let Some(item) = self.item(name, integrity) {
            return Ok(item);
        }
        let incoming = self.folder.join(".incoming");
        remove(&incoming)?;
        fs::create_dir(&incoming).while_trying(|| format!("make {}", incoming.display()))?;
        let made = make(&incoming).and_then(|()| {
            fs::write(incoming.join(MARKER), integrity)
                .while_trying(|| format!("write in {}", incoming.display()))
        });
        if let Err(failure) = made {
            // The failure is what matters; what cannot be removed now is removed by the next
            // attempt.
            let _ = remove(&incoming);
            return Err(failure);
        }
        // The marker must not reach the disk before what it vouches for.
        rustix::fs::sync();
        let item = self.folder.join(name);
        remove(&item)?;
        fs::rename(&incoming, &item)
            .while_trying(|| format!("move {} into place", item.display()))?;
        Ok(item)
    }

    fn lock(&self) -> Result<File> {
        let path = self.folder.join(".lock");
        let file = File::create(&path).while_trying(|| format!("open {}", path.display()))?;
        file.lock()
            .while_trying(|| format!("lock {}", path.display()))?;
        Ok(file)
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::new(format!(
            "could not remove {}: {error}",
            folder.display()
        ))),
        _ => Ok(()),
    }
}
