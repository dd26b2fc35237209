//! A server whose release keys were never near it, and whose own keys lie encrypted.

use std::{num::NonZeroU64, path::Path};

use espalier_api::{TrustLevel, claim::CreateClaim, system::VersionView};
use espalier_embedded::postgres::Programs;
use espalier_protocol::enrol::Role;
use espalier_protocol::trust::TrustLevel as Trust;
use espalier_support::skip::skipped;
use espalier_trust::{
    draft::{RootDraft, TargetsDraft},
    keys::{KeyFile, KeySource, PublicHalf},
    tuf::{RoleHolders, RootPlan, TrustedRoot},
};
use ring::rand::SystemRandom;
use tempfile::{TempDir, tempdir};

use crate::{
    ceremony::{Believer, deployer_document, held, next_year, now},
    device::{Device, claim},
    stack::Stack,
};

const PASSPHRASE: &str = "seven quiet pear trees";

fn sealed(path: &Path) -> PublicHalf {
    let file = KeyFile::encrypted(PASSPHRASE, &SystemRandom::new()).unwrap();
    file.create(path).unwrap();
    file.public_half()
}

/// What a key ceremony leaves in the server's state folder: its own keys, the first root, the first targets.
struct Ceremony {
    state: TempDir,
    release_keys: TempDir,
}

impl Ceremony {
    fn held() -> Self {
        let (state, release_keys) = (tempdir().unwrap(), tempdir().unwrap());
        let keys = state.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        let server = |role: &str| sealed(&keys.join(format!("{role}.key.json")));
        let holder = |role: &str| sealed(&release_keys.path().join(format!("{role}.key.json")));
        let plan = RootPlan {
            version: NonZeroU64::MIN,
            expires: next_year(),
            root: RoleHolders::one(holder("root")),
            targets: RoleHolders::one(holder("targets")),
            snapshot: RoleHolders::one(server("snapshot")),
            timestamp: RoleHolders::one(server("timestamp")),
        };
        let deployer = server("deployer");
        server("device-ca");
        let ceremony = Self {
            state,
            release_keys,
        };
        let mut root = RootDraft::first(plan, now()).unwrap();
        root.sign(&ceremony.holder("root")).unwrap();
        let root = root.finished().unwrap().unwrap();
        let documents = vec![deployer_document(&[deployer.key()])];
        let trusted = TrustedRoot::read(&root.bytes).unwrap();
        assert_eq!(trusted.trust(), Trust::Production);
        let mut targets = TargetsDraft::next(trusted, None, None, documents, next_year()).unwrap();
        targets.sign(&ceremony.holder("targets")).unwrap();
        let targets = targets.finished().unwrap().unwrap();
        std::fs::write(keys.join("1.root.json"), root.bytes).unwrap();
        std::fs::write(keys.join("1.targets.json"), targets.bytes).unwrap();
        ceremony
    }

    fn holder(&self, role: &str) -> impl KeySource {
        let file = format!("{role}.key.json");
        held(self.release_keys.path(), &file, Some(PASSPHRASE))
    }
}

/// A file that only its owner may read.
fn secret(folder: &Path, words: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("passphrase");
    std::fs::write(&path, format!("{words}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn production_keys_need_no_release_key_and_no_development_trust() {
    if Programs::find().is_err() {
        return skipped("production", "there is no PostgreSQL here");
    }
    let Ceremony {
        state,
        release_keys,
    } = Ceremony::held();
    let file = secret(release_keys.path(), PASSPHRASE);
    let stack = Stack::launch(state, |flags| flags.key_passphrase_file = Some(file)).await;
    stack.ready().await;

    let url = format!("{}/version", stack.endpoints.api);
    let version: VersionView = stack
        .http
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(version.trust, TrustLevel::Production);
    let claim = claim(&stack, &CreateClaim::default()).await;
    assert_eq!(claim.trust, Trust::Production);
    let root = espalier_slots::trust::root_trust(&claim.tuf_root).unwrap();
    assert_eq!(root, Trust::Production, "devices judge by the root itself");
    let device = Believer::new(Device::enrol(claim, "press-1", Role::Device, None).await);
    let (version, believed) = device.walk().await;
    assert_eq!(version, 1);
    device.report(1, &believed).await;

    let folder = stack.folder.path().join("keys");
    for role in ["root", "targets"] {
        let file = format!("{role}.key.json");
        assert!(!folder.join(file).exists(), "the {role} key is not made");
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_keys_without_their_passphrase_stop_the_start_with_words() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let ceremony = Ceremony::held();
    let wrong = secret(ceremony.release_keys.path(), "seven quiet plum trees");
    for (file, words) in [
        (None, "--key-passphrase-file"),
        (Some(wrong), "does not open the key"),
    ] {
        let ended = Stack::refused(ceremony.state.path(), file).await;
        let said = format!("{ended:#}");
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// A restored state folder without the server's keys: a development stack in their place would be founded for good.
#[tokio::test(flavor = "multi_thread")]
async fn ceremony_whose_keys_are_missing_stops_the_start_and_stays_as_it_is() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Ceremony {
        state,
        release_keys,
    } = Ceremony::held();
    let keys = state.path().join("keys");
    let names = || {
        let entries = std::fs::read_dir(&keys).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    for name in names() {
        if name.to_str().unwrap().ends_with(".key.json") {
            std::fs::remove_file(keys.join(name)).unwrap();
        }
    }
    let (left, root) = (names(), std::fs::read(keys.join("1.root.json")).unwrap());
    let refused = async |folder: &Path, passphrase| {
        let said = format!("{:#}", Stack::refused(folder, passphrase).await);
        assert!(said.contains("there is no snapshot key"), "{said}");
        assert!(said.contains("for a development stack only"), "{said}");
    };
    refused(state.path(), None).await;
    assert_eq!(names(), left, "nothing was made");
    assert_eq!(std::fs::read(keys.join("1.root.json")).unwrap(), root);

    let empty = tempdir().unwrap();
    let file = secret(release_keys.path(), PASSPHRASE);
    refused(empty.path(), Some(file)).await;
}
