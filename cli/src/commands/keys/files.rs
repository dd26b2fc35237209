//! Small files that holders exchange: read whole, written whole.

use std::path::{Path, PathBuf};

use espalier_trust::draft::DraftError;
use espalier_trust::keys::PublicHalf;
use espalier_trust::tuf::{TrustedRoot, TufError};
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil::Date};

use crate::failure::Failure;

/// Where a new draft goes: it must not replace one that others have signed already.
///
/// # Errors
/// When something is there.
pub fn fresh(path: PathBuf) -> Result<PathBuf, Failure> {
    if path.exists() {
        return Err(Failure::usage(
            format!("{} is already there", path.display()),
            "name another file, or remove that one if nobody needs it any more",
        ));
    }
    Ok(path)
}

/// Writes beside the old file and renames over it: no holder finds half a draft.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let unfinished = path.with_extension("new");
    std::fs::write(&unfinished, bytes)
        .and_then(|()| std::fs::File::open(&unfinished)?.sync_all())
        .and_then(|()| std::fs::rename(&unfinished, path))
        .map_err(Failure::writing(path))
}

/// The place of a finished file beside its draft: no other finished file may be there.
///
/// # Errors
/// When one is, or it cannot be read.
pub fn beside(draft: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let path = draft.parent().unwrap_or(Path::new("")).join(name);
    if path.exists() && read(&path)? != bytes {
        return Err(Failure::usage(
            format!(
                "{} is already there and is not what this draft makes; nothing was signed",
                path.display()
            ),
            "see what it is, then move it away, or sign in another folder",
        ));
    }
    Ok(path)
}

/// Reads a file's bytes.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(Failure::reading(path))
}

/// Reads a holder's public half.
///
/// # Errors
/// When it is none.
pub fn public_half(path: &Path) -> Result<PublicHalf, Failure> {
    PublicHalf::from_json(&read(path)?).map_err(|error| {
        Failure::usage(
            format!("{}: {error}", path.display()),
            "ask its holder for the output of `espalier keys public FILE`",
        )
    })
}

/// Reads a root of this machine.
///
/// # Errors
/// When it does not sign itself.
pub fn root(path: &Path) -> Result<TrustedRoot, Failure> {
    TrustedRoot::read(&read(path)?).map_err(|error: TufError| {
        Failure::untrusted(
            format!("{}: {error}", path.display()),
            "take the root from the ceremony before, or from a claim",
        )
    })
}

/// What is wrong with a draft.
pub fn refused(error: DraftError) -> Failure {
    match error {
        DraftError::OtherWords
        | DraftError::ChangedAfter { .. }
        | DraftError::Stranger
        | DraftError::Tuf(_)
        | DraftError::Chain(_) => Failure::untrusted(
            error.to_string(),
            "do not sign; ask whoever gave you the file, and begin again with a new draft if need be",
        ),
        DraftError::NotAsked { .. } | DraftError::SignedAlready { .. } => Failure::usage(
            error.to_string(),
            "`espalier keys root show` and `espalier keys targets show` say who must sign and who has",
        ),
        error => Failure::usage(
            error.to_string(),
            "`espalier keys root show` says who holds what now",
        ),
    }
}

/// `2028-01-01`, or a moment with its time.
///
/// # Errors
/// What would be right.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    let day = || {
        let date: Date = text.parse().ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    text.parse()
        .ok()
        .or_else(day)
        .ok_or_else(|| "write it like 2028-01-01 or 2028-01-01T12:00:00Z".to_owned())
}
