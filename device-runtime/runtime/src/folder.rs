//! A folder that can be served: an edge build with `manifest.json`, or a full model with `model.json`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use espalier_protocol::digest::Hasher;
use espalier_protocol::id::ModelVersionId;
use espalier_protocol::manifest::{
    Golden, GoldenTolerance, MANIFEST_FILE, MAX_MANIFEST_BYTES, MODEL_FILE, Manifest,
    ManifestError, ModelDescription, Serving,
};
use espalier_protocol::{BundlePath, Digest, ModelName};

/// Why a folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It has neither description.
    #[error("{} holds neither {MANIFEST_FILE} nor {MODEL_FILE}: name the folder of a bundle or a full model", .0.display())]
    NotAModel(PathBuf),
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A file is larger than its kind may be.
    #[error("{} has more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes that are read of it.
        limit: usize,
    },
    /// The description is refused.
    #[error("{} is refused: {source}", path.display())]
    Refused {
        /// The description.
        path: PathBuf,
        /// The reason.
        source: ManifestError,
    },
}

/// What the folder holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Description {
    /// An edge build.
    Build(Box<Manifest>),
    /// A full model.
    FullModel(Box<ModelDescription>),
}

/// A bundle or a full model on disk, with its description read and checked.
///
/// The other files are read when they are needed. Whoever put them there has compared them with
/// their digests: on devices the slot store.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFolder {
    path: PathBuf,
    digest: Digest,
    description: Description,
}

impl ModelFolder {
    /// Opens a folder by its `manifest.json`, else by its `model.json`.
    ///
    /// # Errors
    /// When neither is there, or the one that is cannot be read or is refused.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let manifest = path.join(MANIFEST_FILE);
        if manifest.is_file() {
            return Self::read(path, &manifest, |bytes| {
                Manifest::parse(bytes).map(|m| Description::Build(m.into()))
            });
        }
        let model = path.join(MODEL_FILE);
        if model.is_file() {
            let parse = |bytes: &[u8]| {
                ModelDescription::parse(bytes).map(|d| Description::FullModel(d.into()))
            };
            let read = Self::read(path, &model, parse)?;
            let digest = digest_of_files(path)?;
            return Ok(Self { digest, ..read });
        }
        Err(FolderError::NotAModel(path.to_owned()))
    }

    fn read(
        path: &Path,
        file: &Path,
        parse: impl Fn(&[u8]) -> Result<Description, ManifestError>,
    ) -> Result<Self, FolderError> {
        let bytes = read_at_most(file, MAX_MANIFEST_BYTES)?;
        let refused = |source| FolderError::Refused {
            path: file.to_owned(),
            source,
        };
        Ok(Self {
            path: path.to_owned(),
            digest: Digest::of(&bytes),
            description: parse(&bytes).map_err(refused)?,
        })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells its bytes from any others. Of a bundle it is the digest of `manifest.json`, which names all files by
    /// their digests; a full model's `model.json` does not, so there it is a digest over all of its files.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What the folder holds.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The line of work.
    #[must_use]
    pub fn model(&self) -> &ModelName {
        match &self.description {
            Description::Build(manifest) => &manifest.model,
            Description::FullModel(model) => &model.model,
        }
    }

    /// The full model that a build was made from; a folder with a full model does not know its own version.
    #[must_use]
    pub fn model_version(&self) -> Option<ModelVersionId> {
        match &self.description {
            Description::Build(manifest) => Some(manifest.model_version),
            Description::FullModel(_) => None,
        }
    }

    /// The graphs and how they are served.
    #[must_use]
    pub fn serving(&self) -> &Serving {
        match &self.description {
            Description::Build(manifest) => &manifest.serving,
            Description::FullModel(model) => &model.serving,
        }
    }

    /// The golden inputs and how near their answers must be; a full model has none.
    #[must_use]
    pub fn golden(&self) -> Option<(&[Golden], GoldenTolerance)> {
        match &self.description {
            Description::Build(manifest) => Some((&manifest.golden, manifest.golden_tolerance)),
            Description::FullModel(_) => None,
        }
    }

    /// Reads a file of the folder into memory.
    ///
    /// # Errors
    /// When it cannot be read or has more bytes than `limit`.
    pub fn bytes(&self, file: &BundlePath, limit: usize) -> Result<Vec<u8>, FolderError> {
        read_at_most(&file.under(&self.path), limit)
    }
}

/// One digest over the names and digests of all files in a folder and below it, in the order of their paths. Links
/// are not followed.
fn digest_of_files(folder: &Path) -> Result<Digest, FolderError> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort_unstable();
    let mut all = Hasher::new();
    for file in files {
        let name = file.strip_prefix(folder).unwrap_or(&file);
        all.update(Digest::of(name.as_os_str().as_encoded_bytes()).as_bytes());
        all.update(digest_of_file(&file)?.as_bytes());
    }
    Ok(all.finish())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), FolderError> {
    let unreadable = |source| unreadable(folder, source);
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn digest_of_file(path: &Path) -> Result<Digest, FolderError> {
    let unreadable = |source| unreadable(path, source);
    let mut file = File::open(path).map_err(unreadable)?;
    let mut hasher = Hasher::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk).map_err(unreadable)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&chunk[..read]),
        }
    }
}

fn unreadable(path: &Path, source: io::Error) -> FolderError {
    FolderError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

fn read_at_most(path: &Path, limit: usize) -> Result<Vec<u8>, FolderError> {
    let unreadable = |source| unreadable(path, source);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > limit {
        return Err(FolderError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}
