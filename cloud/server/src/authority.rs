//! The keys that the running cloud holds, and what they sign.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use espalier_api::{TrustLevel, error::ErrorCode};
use espalier_protocol::{DeviceIdentity, trust::PublicKey};
use espalier_store::CertificateRecord;
use espalier_trust::{
    KeyRing, Lifetimes, NotHeld, OfflineKeys, OnlineKeys,
    ca::{DeviceCa, Serial, ServerCertificate, Validity},
    keys::{KeyError, KeyFolder, KeyRole, KeySource},
    tuf::TrustedRoot,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    deployers::Deployers,
    passphrase::Passphrase,
    principal::write_private,
    refusal::{Outcome, Refusal, sentence},
    world::World,
};

/// The folder of keys in the state folder.
const KEYS: &str = "keys";
/// The device CA's certificate in that folder.
const CA_FILE: &str = "device-ca.pem";
const HOW_TO_GIVE_A_PASSPHRASE: &str = "give it with --key-passphrase-file, as the systemd credential espalier-keys, or in ESPALIER_PASSPHRASE";
const WHO_MAKES_KEYS: &str = "the server makes keys for a development stack only, which has neither a passphrase nor files of a key ceremony";
const YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);
/// A CA outlives the devices that are built around it.
const CA_LIFE: SignedDuration = SignedDuration::from_hours(24 * 365 * 10);
/// A door's certificate is made anew at every start.
const DOOR_LIFE: SignedDuration = YEAR;
/// Clocks of devices may be behind.
const BACKDATED: SignedDuration = SignedDuration::from_hours(24);

/// Everything that the cloud signs with.
pub struct Authority {
    /// Signs certificates.
    pub ca: DeviceCa,
    /// Who speaks to devices.
    pub deployers: Deployers,
    /// How long what it signs is good.
    pub lifetimes: Lifetimes,
    folder: KeyFolder,
    passphrase: Option<Passphrase>,
    keys: RwLock<Arc<KeyRing>>,
    /// Of the root, once it is known; a chain keeps it.
    trust: OnceLock<TrustLevel>,
}

/// A root and targets that were signed where the release keys are.
pub struct MadeElsewhere {
    /// `1.root.json`.
    pub root: Vec<u8>,
    /// `1.targets.json`.
    pub targets: Vec<u8>,
}

impl Authority {
    /// Opens the keys in the state folder. At the first start of a development stack all of them are
    /// made; a production stack brings its own.
    ///
    /// # Errors
    /// When a key is missing, unreadable or exposed, or its passphrase is wrong.
    pub fn open(state: &Path, passphrase: Option<Passphrase>, world: &World) -> Outcome<Self> {
        let folder = KeyFolder::new(state.join(KEYS));
        if is_development(&folder, passphrase.as_ref()) {
            folder
                .complete_for_development(world.random())
                .map_err(Refusal::internal)?;
        }
        let keys = open_keys(&folder, passphrase.as_ref())?;
        Ok(Self {
            ca: open_ca(&folder, keys.device_ca(), world)?,
            deployers: Deployers::default(),
            lifetimes: Lifetimes::default(),
            folder,
            passphrase,
            keys: RwLock::new(Arc::new(keys)),
            trust: OnceLock::new(),
        })
    }

    /// The keys that are here.
    #[must_use]
    pub fn keys(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks into the folder again: somebody may have put a key there that is to replace another one.
    ///
    /// # Errors
    /// `key_missing` when a file there is no key, or the passphrase does not open it.
    pub async fn look_again(&self) -> Outcome<()> {
        let (folder, passphrase) = (self.folder.clone(), self.passphrase.clone());
        // Deriving the keys of encrypted files takes its time on purpose.
        let opened =
            tokio::task::spawn_blocking(move || open_keys(&folder, passphrase.as_ref())).await;
        let keys = opened.map_err(Refusal::internal)?.map_err(|refusal| {
            Refusal::new(
                ErrorCode::KeyMissing,
                "A file in the server's folder of keys cannot be opened.",
            )
            .with_hint("the log says which and why; all keys of the server have one passphrase")
            .because(refusal)
        })?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// The keys by which the cloud speaks under a root.
    ///
    /// # Errors
    /// `key_missing`, with how to make what is missing.
    pub fn under(&self, root: &TrustedRoot) -> Outcome<OnlineKeys> {
        self.keys().under(root).map_err(|error| match &error {
            NotHeld::Named { role, .. } => {
                let file = self.folder.path().join(format!("{role}.NAME.key.json"));
                Refusal::new(ErrorCode::KeyMissing, sentence(&error)).with_hint(format!(
                    "make the key on the server with `espalier keys generate {}` and have the root name its public half; or put the key that it names there",
                    file.display()
                ))
            }
            NotHeld::InTheClear { role, .. } => {
                let file = self.folder.path().join(format!("{role}.NAME.key.json"));
                Refusal::new(ErrorCode::KeyMissing, sentence(&error)).with_hint(format!(
                    "make another one on the server with `espalier keys generate {}`, which asks for a passphrase, and have the root name that one",
                    file.display()
                ))
            }
            NotHeld::NotListed | NotHeld::Root(_) => Refusal::internal(error),
        })
    }

    /// The release keys for a first edition, where a development stack has them beside the others; none once a root was
    /// made, here or in a key ceremony: another one beside it would found another installation.
    ///
    /// # Errors
    /// When they cannot be opened.
    pub fn release_keys(&self) -> Outcome<Option<OfflineKeys>> {
        if !self.folder.file(KeyRole::Root).exists() || self.folder.root(1).exists() {
            return Ok(None);
        }
        let opened = OfflineKeys::open(&self.folder, self.words());
        opened.map(Some).map_err(Refusal::internal)
    }

    /// What a key ceremony made for this installation.
    ///
    /// # Errors
    /// When it is not here.
    pub fn made_elsewhere(&self) -> Outcome<MadeElsewhere> {
        let read = |path: PathBuf| {
            std::fs::read(&path).map_err(|error| {
                Refusal::new(
                    ErrorCode::Internal,
                    "There is no signed metadata in the database, and no whole first edition in the folder of keys.",
                )
                .with_hint("bring 1.root.json and 1.targets.json from the key ceremony into the folder of keys, and restart; a development stack begins anew in an empty state folder")
                .because(format!("{}: {error}", path.display()))
            })
        };
        Ok(MadeElsewhere {
            root: read(self.folder.root(1))?,
            targets: read(first_targets(&self.folder))?,
        })
    }

    /// Keeps a root beside the keys: who signs with release keys later, perhaps on another machine, must not ask a
    /// server which root to answer to. A file that is there is never replaced.
    ///
    /// # Errors
    /// When another root of that version lies there, or the folder of keys cannot be written.
    pub fn keep_root(&self, root: &TrustedRoot) -> Outcome<()> {
        let path = self.folder.root(root.version().get());
        let at =
            |why: &dyn std::fmt::Display| Refusal::internal(format!("{}: {why}", path.display()));
        match std::fs::read(&path) {
            Ok(kept) if kept == root.bytes() => Ok(()),
            Ok(_) => Err(at(&"it is another root than the one that devices follow")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                write_private(&path, root.bytes()).map_err(|error| at(&error))
            }
            Err(error) => Err(at(&error)),
        }
    }

    /// This is the root that devices follow.
    pub fn speaks_under(&self, root: &TrustedRoot) {
        // A chain keeps the trust that it began with, so the first answer stays right.
        let _ = self.trust.set(root.trust().into());
    }

    /// How far all of it may be trusted: as the root says, or, before there is one, as the keys are kept.
    #[must_use]
    pub fn trust(&self) -> TrustLevel {
        let of_keys = || self.keys().trust().into();
        self.trust.get().copied().unwrap_or_else(of_keys)
    }

    fn words(&self) -> Option<&str> {
        self.passphrase.as_ref().map(Passphrase::as_str)
    }

    /// A new certificate for one of the cloud's own doors.
    ///
    /// # Errors
    /// When a name is none, or the CA would not sign.
    pub fn door_certificate(&self, names: &[String], world: &World) -> Outcome<ServerCertificate> {
        self.ca
            .issue_server(names, validity(world.now(), DOOR_LIFE), world.random())
            .map_err(Refusal::internal)
    }

    /// From when to when the certificate holds that a device gets at `issued_at`.
    #[must_use]
    pub fn device_validity(issued_at: Timestamp) -> Validity {
        validity(issued_at, YEAR)
    }

    /// What the record of a device's next certificate says. There is no such certificate before it is on record.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn next_certificate(world: &World) -> Outcome<CertificateRecord> {
        let issued_at = world.now();
        let serial = Serial::random(world.random()).map_err(Refusal::internal)?;
        Ok(CertificateRecord {
            serial: serial.to_string(),
            issued_at,
            expires_at: Self::device_validity(issued_at).not_after,
        })
    }

    /// The certificate of a record, then the chain (PEM): the same bytes whenever it is asked for.
    ///
    /// # Errors
    /// When the record is none of a certificate, or the CA would not sign.
    pub fn certificate(
        &self,
        device: &DeviceIdentity,
        key: &PublicKey,
        record: &CertificateRecord,
    ) -> Outcome<String> {
        let serial = Serial::parse(&record.serial).map_err(Refusal::internal)?;
        let validity = Validity {
            not_after: record.expires_at,
            ..Self::device_validity(record.issued_at)
        };
        let certified = self.ca.certify(device, key, &serial, validity);
        Ok(certified.map_err(Refusal::internal)? + self.ca.certificate_pem())
    }
}

/// A folder with release keys, or with nothing at all, is a development stack's. The release keys are made first, so this
/// holds after a start that was cut short, too. What a key ceremony left there, or a passphrase, says that keys are
/// missing: none are made in their place.
fn is_development(folder: &KeyFolder, passphrase: Option<&Passphrase>) -> bool {
    let there = |role| folder.file(role).exists();
    let begun = folder.root(1).exists() || first_targets(folder).exists();
    let own = KeyRole::ONLINE.into_iter().any(there);
    there(KeyRole::Root) || !(own || begun || passphrase.is_some())
}

fn first_targets(folder: &KeyFolder) -> PathBuf {
    folder.path().join("1.targets.json")
}

fn validity(issued_at: Timestamp, life: SignedDuration) -> Validity {
    Validity {
        not_before: issued_at - BACKDATED,
        not_after: issued_at + life,
    }
}

fn open_keys(folder: &KeyFolder, passphrase: Option<&Passphrase>) -> Outcome<KeyRing> {
    let opened = KeyRing::open(folder, passphrase.map(Passphrase::as_str));
    opened.map_err(|error| match &error {
        KeyError::In { why, .. } if matches!(**why, KeyError::PassphraseNeeded) => {
            Refusal::internal(format!("{error}: {HOW_TO_GIVE_A_PASSPHRASE}"))
        }
        KeyError::None { .. } => Refusal::internal(format!("{error}: {WHO_MAKES_KEYS}")),
        _ => Refusal::internal(error),
    })
}

fn open_ca(folder: &KeyFolder, key: Arc<dyn KeySource>, world: &World) -> Outcome<DeviceCa> {
    let path = folder.path().join(CA_FILE);
    match std::fs::read_to_string(&path) {
        Ok(pem) => DeviceCa::open(&pem, key).map_err(Refusal::internal),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let ca = DeviceCa::create(key, validity(world.now(), CA_LIFE), world.random())
                .map_err(Refusal::internal)?;
            write_private(&path, ca.certificate_pem().as_bytes())
                .map_err(|error| Refusal::internal(format!("{}: {error}", path.display())))?;
            Ok(ca)
        }
        Err(error) => Err(Refusal::internal(format!("{}: {error}", path.display()))),
    }
}
