//! The keys that the running cloud holds, and what they sign.

use std::{path::Path, sync::Arc};

use espalier_api::{TrustLevel, error::ErrorCode};
use espalier_trust::{
    Deployer, Lifetimes, OfflineKeys, OnlineKeys,
    ca::{DeviceCa, ServerCertificate, Validity},
    keys::{KeyFolder, KeyRole},
};
use jiff::SignedDuration;

use crate::{
    principal::write_private,
    refusal::{Outcome, Refusal},
    world::World,
};

/// The folder of keys in the state folder.
const KEYS: &str = "keys";
/// The device CA's certificate in that folder.
const CA_FILE: &str = "device-ca.pem";
const YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);
/// A CA outlives the devices that are built around it.
const CA_LIFE: SignedDuration = SignedDuration::from_hours(24 * 365 * 10);
/// A door's certificate is made anew at every start.
const DOOR_LIFE: SignedDuration = YEAR;
/// Clocks of devices may be behind.
const BACKDATED: SignedDuration = SignedDuration::from_hours(24);

/// Everything that the cloud signs with.
pub struct Authority {
    /// Signs desired states and acknowledgements.
    pub deployer: Deployer,
    /// Signs certificates.
    pub ca: DeviceCa,
    /// Signs snapshots and timestamps.
    pub online: OnlineKeys,
    /// How long what it signs is good.
    pub lifetimes: Lifetimes,
    folder: KeyFolder,
}

impl Authority {
    /// Opens the keys in the state folder. At the first start of a development stack all of them are
    /// made; a production stack brings its own.
    ///
    /// # Errors
    /// When a key is missing, unreadable or exposed.
    pub fn open(state: &Path, world: &World) -> Outcome<Self> {
        let folder = KeyFolder::new(state.join(KEYS));
        if is_development(&folder) {
            folder
                .complete_for_development(world.random())
                .map_err(Refusal::internal)?;
        }
        let online = OnlineKeys::open(&folder, None).map_err(Refusal::internal)?;
        let ca = open_ca(&folder, &online, world)?;
        let deployer = Deployer::new(Arc::clone(&online.deployer));
        Ok(Self {
            deployer,
            ca,
            online,
            lifetimes: Lifetimes::default(),
            folder,
        })
    }

    /// The release keys, where a development stack has them beside the others.
    ///
    /// # Errors
    /// When they are not here: a production stack signs elsewhere.
    pub fn release_keys(&self) -> Outcome<OfflineKeys> {
        OfflineKeys::open(&self.folder, None).map_err(|error| {
            Refusal::new(
                ErrorCode::Internal,
                "There is no signed metadata yet, and the release keys are not here.",
            )
            .with_hint(
                "run the key ceremony where the release keys are, and bring its first edition",
            )
            .because(error)
        })
    }

    /// Keeps the first root beside the release keys: who signs with them later, perhaps on another
    /// machine, must not ask a server which root to answer to.
    ///
    /// # Errors
    /// When the folder of keys cannot be written.
    pub fn keep_first_root(&self, root: &[u8]) -> Outcome<()> {
        let path = self.folder.first_root();
        write_private(&path, root)
            .map_err(|error| Refusal::internal(format!("{}: {error}", path.display())))
    }

    /// Whether these are development keys.
    #[must_use]
    pub fn trust(&self) -> TrustLevel {
        self.online.deployer.trust().into()
    }

    /// A new certificate for one of the cloud's own doors.
    ///
    /// # Errors
    /// When a name is none, or the CA would not sign.
    pub fn door_certificate(&self, names: &[String], world: &World) -> Outcome<ServerCertificate> {
        self.ca
            .issue_server(names, validity(world, DOOR_LIFE), world.random())
            .map_err(Refusal::internal)
    }

    /// From when to when a device's certificate holds.
    #[must_use]
    pub fn device_validity(world: &World) -> Validity {
        validity(world, YEAR)
    }
}

/// A folder with release keys, or with none at all, is a development stack's. The release keys are
/// made first, so this holds after a start that was cut short, too.
fn is_development(folder: &KeyFolder) -> bool {
    let there = |role| folder.file(role).exists();
    there(KeyRole::Root) || !KeyRole::ONLINE.into_iter().any(there)
}

fn validity(world: &World, life: SignedDuration) -> Validity {
    let now = world.now();
    Validity {
        not_before: now - BACKDATED,
        not_after: now + life,
    }
}

fn open_ca(folder: &KeyFolder, online: &OnlineKeys, world: &World) -> Outcome<DeviceCa> {
    let key = Arc::clone(&online.device_ca);
    let path = folder.path().join(CA_FILE);
    match std::fs::read_to_string(&path) {
        Ok(pem) => DeviceCa::open(&pem, key).map_err(Refusal::internal),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let ca = DeviceCa::create(key, validity(world, CA_LIFE), world.random())
                .map_err(Refusal::internal)?;
            write_private(&path, ca.certificate_pem().as_bytes())
                .map_err(|error| Refusal::internal(format!("{}: {error}", path.display())))?;
            Ok(ca)
        }
        Err(error) => Err(Refusal::internal(format!("{}: {error}", path.display()))),
    }
}
