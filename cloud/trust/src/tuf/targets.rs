//! The targets: which releases exist. Signed off line, edition by edition, each naming what the last one named.

use std::collections::HashMap;
use std::num::NonZeroU64;

use espalier_protocol::Digest;
use espalier_protocol::trust::DEPLOYER_TARGET;
use tough::TargetName;
use tough::schema::{Hashes, Signed, Target, Targets};

use super::{
    MAX_METADATA_BYTES, SPEC_VERSION, SignedFile, TrustedRoot, TufError, TufRole, malformed,
    read_signed, sign, to_the_second, version,
};
use crate::keys::KeySource;

const ROLE: &str = "targets";
const MAX_TARGET_NAME: usize = 200;

/// A file that an edition of the targets names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    name: TargetName,
    length: u64,
    digest: Digest,
}

impl TargetFile {
    /// A target by its flat name, from its bytes.
    ///
    /// # Errors
    /// [`TufError::BadName`].
    pub fn new(name: &str, bytes: &[u8]) -> Result<Self, TufError> {
        Ok(Self {
            name: flat_name(name)?,
            length: bytes.len() as u64,
            digest: Digest::of(bytes),
        })
    }

    /// Its flat name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.raw()
    }

    /// The digest of its bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    fn as_target(&self) -> Target {
        let hashes = Hashes {
            sha256: self.digest.as_bytes().to_vec().into(),
            _extra: HashMap::new(),
        };
        Target {
            length: self.length,
            hashes,
            custom: HashMap::new(),
            _extra: HashMap::new(),
        }
    }
}

fn flat_name(name: &str) -> Result<TargetName, TufError> {
    let plain =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    let good = !name.is_empty()
        && name.len() <= MAX_TARGET_NAME
        && !name.starts_with('.')
        && name.chars().all(plain);
    let refused = || TufError::BadName(name.chars().take(MAX_TARGET_NAME).collect());
    if good {
        TargetName::new(name).map_err(|_| refused())
    } else {
        Err(refused())
    }
}

/// An edition of the targets that the root's keys signed.
#[derive(Debug, Clone)]
pub struct TrustedTargets {
    targets: Targets,
    bytes: Vec<u8>,
}

impl TrustedTargets {
    /// The file as it was read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> NonZeroU64 {
        self.targets.version
    }

    /// When devices stop trusting it.
    #[must_use]
    pub fn expires(&self) -> jiff::Timestamp {
        self.targets.expires
    }

    /// Whether it names this very file: name, length and digest.
    #[must_use]
    pub fn names(&self, file: &TargetFile) -> bool {
        self.targets.targets.get(&file.name).is_some_and(|known| {
            known.length == file.length && known.hashes.sha256[..] == file.digest.as_bytes()[..]
        })
    }

    /// The digest of the file that it names so.
    #[must_use]
    pub fn digest(&self, name: &str) -> Option<Digest> {
        let target = self.targets.targets.get(&flat_name(name).ok()?)?;
        <[u8; 32]>::try_from(&target.hashes.sha256[..])
            .ok()
            .map(Digest::from_bytes)
    }

    /// The names of its files, sorted.
    #[must_use]
    pub fn file_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.targets.targets.keys().map(TargetName::raw).collect();
        names.sort_unstable();
        names
    }
}

/// Reads targets and checks their signatures against the root; age and version are not looked at.
///
/// # Errors
/// [`TufError::TooLarge`], [`TufError::Malformed`], [`TufError::BadSignature`].
pub fn read_targets(root: &TrustedRoot, bytes: &[u8]) -> Result<TrustedTargets, TufError> {
    let signed: Signed<Targets> = read_signed(MAX_METADATA_BYTES, bytes, ROLE)?;
    root.verify(&signed, ROLE)?;
    Ok(TrustedTargets {
        targets: signed.signed,
        bytes: bytes.to_vec(),
    })
}

/// Signs the next edition: all that `current` names, and `files`. Runs where the release keys are.
///
/// # Errors
/// [`TufError::WrongKeys`] when the keys at hand are not those that the root names; [`TufError::Key`].
pub fn sign_targets(
    root: &TrustedRoot,
    current: Option<&TrustedTargets>,
    files: &[TargetFile],
    expires: jiff::Timestamp,
    signers: &[&dyn KeySource],
) -> Result<SignedFile, TufError> {
    let targets = draw_up(current, files, expires)?;
    sign(targets, ROLE, &root.allowed(TufRole::Targets)?, signers)
}

/// The next edition, before anybody signed it.
pub(crate) fn draw_up(
    current: Option<&TrustedTargets>,
    files: &[TargetFile],
    expires: jiff::Timestamp,
) -> Result<Targets, TufError> {
    let mut targets = next_edition(current)?;
    targets.expires = to_the_second(expires);
    targets.targets.extend(
        files
            .iter()
            .map(|file| (file.name.clone(), file.as_target())),
    );
    Ok(targets)
}

fn next_edition(current: Option<&TrustedTargets>) -> Result<Targets, TufError> {
    let Some(current) = current else {
        let mut first = Targets::new(
            SPEC_VERSION.to_owned(),
            NonZeroU64::MIN,
            jiff::Timestamp::UNIX_EPOCH,
        );
        // An empty delegation block is legal and says nothing; leaving it out keeps the file readable.
        first.delegations = None;
        return Ok(first);
    };
    let mut next = current.targets.clone();
    // After the last version comes 0, which is none.
    next.version = version(current.version().get().wrapping_add(1))?;
    Ok(next)
}

/// Accepts the next edition that somebody uploads, signed for `files`; with none it says again what is current. The
/// root may be newer than the one under which `current` was read.
///
/// # Errors
/// Whatever [`read_targets`] refuses; [`TufError::WrongVersion`] when it is not the very next edition (somebody
/// else signed meanwhile, or an old one is played again); [`TufError::Expired`] when it would expire before
/// `good_until`; [`TufError::TargetMissing`] and [`TufError::TargetChanged`] when it does not say what it should.
pub fn accept_targets(
    root: &TrustedRoot,
    current: Option<&TrustedTargets>,
    offered: &[u8],
    files: &[TargetFile],
    good_until: jiff::Timestamp,
) -> Result<TrustedTargets, TufError> {
    let offered = read_targets(root, offered)?;
    let expected = current.map_or(Some(1), |current| current.version().get().checked_add(1));
    if Some(offered.version().get()) != expected {
        return Err(TufError::WrongVersion {
            offered: offered.version().get(),
            expected: expected.unwrap_or(u64::MAX),
        });
    }
    if offered.expires() < good_until {
        return Err(TufError::Expired {
            role: ROLE,
            expires: offered.expires(),
        });
    }
    if let Some(file) = files.iter().find(|file| !offered.names(file)) {
        return Err(TufError::TargetMissing(file.name().to_owned()));
    }
    refuse_changes(current, &offered.targets)?;
    refuse_folders(&offered)?;
    Ok(offered)
}

/// A release that was signed once stays what it is.
///
/// # Errors
/// [`TufError::TargetChanged`].
pub(crate) fn refuse_changes(
    current: Option<&TrustedTargets>,
    offered: &Targets,
) -> Result<(), TufError> {
    let known = current
        .into_iter()
        .flat_map(|current| &current.targets.targets);
    for (name, target) in known {
        // The deployer's keys are the one target that rotates under a standing name.
        let may_change = name.raw() == DEPLOYER_TARGET && offered.targets.contains_key(name);
        if !may_change && offered.targets.get(name) != Some(target) {
            return Err(TufError::TargetChanged(name.raw().to_owned()));
        }
    }
    Ok(())
}

fn refuse_folders(offered: &TrustedTargets) -> Result<(), TufError> {
    if offered
        .targets
        .delegations
        .as_ref()
        .is_some_and(|delegations| !delegations.roles.is_empty())
    {
        return Err(malformed(ROLE, "delegations are not used here"));
    }
    offered
        .file_names()
        .into_iter()
        .try_for_each(|name| flat_name(name).map(drop))
}
