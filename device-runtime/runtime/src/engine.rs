//! ONNX Runtime itself: found on the machine, loaded once, never linked.
//!
//! The library is looked for in this order: `ESPALIER_ORT`, then `ORT_DYLIB_PATH`, then the user's
//! cache, where `cargo xtask setup` keeps it as `espalier/onnxruntime-VERSION`. A variable that names
//! a missing file is an error, not a reason to look further: a person who set it meant it.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;

/// Names the library's file; wins over everything else.
pub const LIBRARY_VARIABLE: &str = "ESPALIER_ORT";
/// The name under which ONNX Runtime's other users know the same thing.
pub const FALLBACK_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Why ONNX Runtime could not be started.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// Neither variable is set and set-up has not run.
    #[error(
        "there is no ONNX Runtime in {}: run `cargo xtask setup`, or set {LIBRARY_VARIABLE} to the path of its library",
        looked_at.display()
    )]
    Missing {
        /// The user's cache, the last place that was looked at.
        looked_at: PathBuf,
    },
    /// A variable points at nothing.
    #[error(
        "{variable} names {}, where there is no file: correct it, or unset it and run `cargo xtask setup`",
        path.display()
    )]
    WrongVariable {
        /// The variable that was set.
        variable: &'static str,
        /// What it was set to.
        path: PathBuf,
    },
    /// The file is there, but it is not a library this machine and this build can use.
    #[error("ONNX Runtime at {} cannot be used: {reason}; run `cargo xtask setup` for one that can", path.display())]
    Unusable {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
}

/// ONNX Runtime, loaded and started. There is one in a process.
#[derive(Debug)]
pub struct Engine {
    environment: Environment,
    library: PathBuf,
}

impl Engine {
    /// The process's engine; the first call finds and starts it, the others share it.
    ///
    /// # Errors
    /// When the library is missing or unusable. The answer does not change while the process lives,
    /// because a half-loaded library cannot be taken back.
    pub fn shared() -> Result<&'static Engine, EngineError> {
        static ENGINE: OnceLock<Result<Engine, EngineError>> = OnceLock::new();
        ENGINE
            .get_or_init(Engine::start)
            .as_ref()
            .map_err(Clone::clone)
    }

    fn start() -> Result<Engine, EngineError> {
        let library = find_library()?;
        let unusable = |reason: String| EngineError::Unusable {
            path: library.clone(),
            reason,
        };
        let environment = ort::init_from(&library)
            .map_err(|error| unusable(error.to_string()))?
            .with_name("espalier")
            .with_telemetry(false)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        tracing::debug!(library = %library.display(), "ONNX Runtime started");
        Ok(Engine {
            environment,
            library,
        })
    }

    /// The library's file.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// The file that [`Engine::shared`] would load, without loading it.
///
/// # Errors
/// When a variable names a missing file, or nothing is set and set-up has not run.
pub fn find_library() -> Result<PathBuf, EngineError> {
    for variable in [LIBRARY_VARIABLE, FALLBACK_VARIABLE] {
        let Some(path) = env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
        else {
            continue;
        };
        return if path.is_file() {
            Ok(path)
        } else {
            Err(EngineError::WrongVariable { variable, path })
        };
    }
    let cache = cache_folder();
    newest_library(&cache).ok_or(EngineError::Missing { looked_at: cache })
}

/// This user's cache of what set-up fetched.
fn cache_folder() -> PathBuf {
    let absolute = |variable: &str| {
        env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(env::temp_dir).join("espalier")
}

/// Set-up moves a folder into place only when it is whole, so the newest version is a good one.
fn newest_library(cache: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(cache)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    let versioned =
        folders.filter_map(|folder| Some((version(&folder)?, folder.join(library_file_name()))));
    let newest = versioned.filter(|(_, library)| library.is_file()).max();
    newest.map(|(_, library)| library)
}

/// The numbers in a folder name `onnxruntime-1.30.0`.
fn version(folder: &Path) -> Option<Vec<u32>> {
    let version = folder.file_name()?.to_str()?.strip_prefix("onnxruntime-")?;
    version
        .split('.')
        .map(|number| number.parse().ok())
        .collect()
}

fn library_file_name() -> &'static str {
    match env::consts::OS {
        "macos" => "libonnxruntime.dylib",
        "windows" => "onnxruntime.dll",
        _ => "libonnxruntime.so",
    }
}
