//! A cloud whose keys everybody knows, so that the same bytes are made again every time.

use std::num::NonZeroU64;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use espalier_protocol::Digest;
use espalier_protocol::id::{ModelVersionId, ReleaseId};
use espalier_protocol::proof::BundleKey;
use espalier_protocol::release::{ReleaseDocument, ReleasedBuild};
use espalier_protocol::trust::SigningKey;
use espalier_trust::keys::{KeyFile, KeySource};
use espalier_trust::tuf::{
    SignedFile, TargetFile, TrustedRoot, read_targets, sign_snapshot, sign_targets, sign_timestamp,
};
use espalier_trust::{FirstEdition, Lifetimes, OfflineKeys, OnlineKeys, first_edition};
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use uuid::Uuid;

/// The seed of the key that signs messages.
pub const DEPLOYER: u8 = 1;
/// The seed of a key that nobody trusts.
pub const STRANGER: u8 = 2;
/// The seeds of root, targets, snapshot and timestamp.
pub const RELEASE: [u8; 4] = [3, 4, 5, 6];
/// The seed of the device CA.
pub const DEVICE_CA: u8 = 7;
/// The seed of a device's own key.
pub const DEVICE: u8 = 8;

/// What opens the encrypted files of the fixture's keys.
pub const PASSPHRASE: &str = "seven quiet pear trees";

/// A PKCS#8 document of an Ed25519 key without randomness (RFC 8410 §7).
#[must_use]
pub fn pkcs8(seed: u8) -> Vec<u8> {
    const HEAD: [u8; 16] = [
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    [&HEAD[..], &[seed; 32]].concat()
}

/// A key that signs messages.
#[must_use]
pub fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_pkcs8(&pkcs8(seed)).expect("a key that we wrote is read")
}

/// The file of a development key.
#[must_use]
pub fn key_file(seed: u8) -> Vec<u8> {
    let json = serde_json::json!({
        "version": 1,
        "public_key": signing_key(seed).public(),
        "protection": "development",
        "pkcs8": STANDARD.encode(pkcs8(seed)),
    });
    json.to_string().into_bytes()
}

/// A key that signs releases.
#[must_use]
pub fn key(seed: u8) -> Arc<dyn KeySource> {
    let file = KeyFile::from_json(&key_file(seed)).expect("a key file that we wrote is read");
    Arc::new(file.open(None).expect("a development key is open"))
}

/// An honest manifest.
pub const MANIFEST: &[u8] = include_bytes!("../corpus/manifest/of-a-graph");

/// The private half of the key that signs bundles (PKCS#8).
pub const BUNDLE_PKCS8: &[u8] = include_bytes!("bundle-key.p8");

/// The key that signs bundles: its public half, and the pair.
#[must_use]
pub fn bundle_key() -> (BundleKey, EcdsaKeyPair) {
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, BUNDLE_PKCS8, &SystemRandom::new())
        .expect("a recorded key is read");
    let public = BundleKey::from_point(pair.public_key().as_ref()).expect("its point is one");
    (public, pair)
}

/// When all of it takes place.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 57)
}

/// Two editions of a repository.
#[derive(Debug)]
pub struct Cloud {
    /// The first.
    pub first: FirstEdition,
    /// The root that all is signed under.
    pub root: TrustedRoot,
    /// A release document, which the second edition names.
    pub release: Vec<u8>,
    /// The target that it is.
    pub release_target: TargetFile,
    /// The second edition's targets.
    pub targets: SignedFile,
    /// The second edition's snapshot.
    pub snapshot: SignedFile,
    /// The second edition's timestamp.
    pub timestamp: SignedFile,
}

/// The one cloud of this process.
#[must_use]
pub fn cloud() -> &'static Cloud {
    static CLOUD: LazyLock<Cloud> = LazyLock::new(Cloud::found);
    &CLOUD
}

impl Cloud {
    fn found() -> Self {
        let [root, targets, snapshot, timestamp] = RELEASE.map(key);
        let offline = OfflineKeys { root, targets };
        let online = OnlineKeys {
            snapshot,
            timestamp,
            deployer: key(DEPLOYER),
            device_ca: key(DEVICE_CA),
        };
        let lifetimes = Lifetimes::default();
        let first = first_edition(&offline, &online, &lifetimes, now())
            .expect("the keys at hand sign a first edition");
        Self::second(first, &offline, &online, &lifetimes)
    }

    fn second(
        first: FirstEdition,
        offline: &OfflineKeys,
        online: &OnlineKeys,
        lifetimes: &Lifetimes,
    ) -> Self {
        const SIGNS: &str = "the same keys sign a second edition";
        let root = TrustedRoot::read(&first.root.bytes).expect(SIGNS);
        let current = read_targets(&root, &first.targets.bytes).expect(SIGNS);
        let (release, release_target) = release();
        let files = std::slice::from_ref(&release_target);
        let expires = now() + lifetimes.targets;
        let signers: [&dyn KeySource; 1] = [&*offline.targets];
        let targets = sign_targets(&root, Some(&current), files, expires, &signers).expect(SIGNS);
        let named = read_targets(&root, &targets.bytes).expect(SIGNS);
        let expires = now() + lifetimes.snapshot;
        let next = NonZeroU64::MIN.saturating_add(1);
        let snapshot = sign_snapshot(&root, &named, next, expires, &*online.snapshot).expect(SIGNS);
        let timestamp =
            sign_timestamp(&root, &snapshot, next, expires, &*online.timestamp).expect(SIGNS);
        Self {
            first,
            root,
            release,
            release_target,
            targets,
            snapshot,
            timestamp,
        }
    }
}

fn release() -> (Vec<u8>, TargetFile) {
    const NAMED: &str = "a constant is a name";
    let document = ReleaseDocument {
        format: 1,
        id: ReleaseId(Uuid::from_u128(1)),
        tenant: "acme".parse().expect(NAMED),
        model: "tile-defect".parse().expect(NAMED),
        model_version: ModelVersionId(Uuid::from_u128(2)),
        counter: 1,
        builds: vec![ReleasedBuild {
            device_class: "x86-int8".parse().expect(NAMED),
            bundle: Digest::of(b"manifest"),
            manifest_bytes: 8,
            files_bytes: 0,
        }],
    };
    let bytes = serde_json::to_vec(&document).expect("a document is written");
    let name = ReleaseDocument::target_name(&document.model, &Digest::of(&bytes));
    let target = TargetFile::new(&name, &bytes).expect("a release document's name is a target's");
    (bytes, target)
}
