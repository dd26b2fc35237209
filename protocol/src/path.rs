//! File names inside a bundle: a newtype that refuses every way out of the bundle's folder.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest path in bytes.
pub const MAX_PATH_LEN: usize = 200;

/// A relative path of plain components, joined by `/`.
///
/// Stops path escape (`..`, absolute paths, drive letters, backslashes), hidden files, and names
/// that differ only by encoding or by a last dot, which some systems drop: components are
/// `[A-Za-z0-9_][A-Za-z0-9._-]*` and do not end with a dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BundlePath(String);

/// Why a text is not a path inside a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a path inside a bundle: use plain names of letters, digits, `_`, `-` and inner `.`, \
     joined by `/`, 200 characters at most"
)]
pub struct InvalidPath(String);

impl BundlePath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below a folder.
    #[must_use]
    pub fn under(&self, folder: &std::path::Path) -> PathBuf {
        self.0
            .split('/')
            .fold(folder.to_owned(), |path, part| path.join(part))
    }
}

fn plain(component: &str) -> bool {
    let first = component.bytes().next();
    first.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && component
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !component.ends_with('.')
}

impl FromStr for BundlePath {
    type Err = InvalidPath;
    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        if text.len() <= MAX_PATH_LEN && text.split('/').all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPath(text.chars().take(MAX_PATH_LEN).collect()))
        }
    }
}

impl TryFrom<String> for BundlePath {
    type Error = InvalidPath;
    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<BundlePath> for String {
    fn from(path: BundlePath) -> String {
        path.0
    }
}

impl fmt::Display for BundlePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BundlePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
