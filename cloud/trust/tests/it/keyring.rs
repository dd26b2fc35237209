//! The keys of the running cloud, and the root that they speak under.

use std::num::NonZeroU64;

use espalier_protocol::trust::{DeployerKeys, TrustLevel};
use espalier_trust::keys::{KeyFile, KeyFolder, KeyRole, KeySource, PublicHalf};
use espalier_trust::tuf::{RoleHolders, RootPlan, TrustedRoot, sign_root};
use espalier_trust::{KeyRing, NotHeld};
use ring::rand::SystemRandom;

use crate::fixture::{cloud, now};

const PASSPHRASE: &str = "seven quiet pear trees";

/// Whoever hands out a public half says for himself how the key lies; the server sees how it does.
#[test]
fn key_in_the_clear_does_not_speak_under_a_production_root() {
    let cloud = cloud();
    let folder = KeyFolder::new(cloud.scratch.path().join("keys"));
    let ring = KeyRing::open(&folder, None).unwrap();
    let random = SystemRandom::new();
    let sealed = || {
        let file = KeyFile::encrypted(PASSPHRASE, &random).unwrap();
        file.open(Some(PASSPHRASE)).unwrap()
    };
    let (root, targets) = (sealed(), sealed());
    let claimed = |key: &dyn KeySource| {
        let half = PublicHalf::new(key.public_key(), TrustLevel::Production);
        RoleHolders::one(half)
    };
    let plan = RootPlan {
        version: NonZeroU64::MIN,
        expires: now(),
        root: claimed(&root),
        targets: claimed(&targets),
        snapshot: claimed(&*cloud.online.snapshot),
        timestamp: claimed(&*cloud.online.timestamp),
    };
    let production = TrustedRoot::read(&sign_root(&plan, &[&root]).unwrap().bytes).unwrap();
    assert_eq!(production.trust(), TrustLevel::Production);
    let refused = ring.under(&production).unwrap_err();
    assert!(
        matches!(
            refused,
            NotHeld::InTheClear {
                role: KeyRole::Snapshot,
                ..
            }
        ),
        "{refused}"
    );
    assert!(ring.under(&cloud.root).is_ok());

    let list = DeployerKeys {
        format: 1,
        keys: ring.deployer_keys(),
    };
    assert!(ring.deployer(&list, TrustLevel::Development).is_ok());
    let refused = ring.deployer(&list, production.trust()).unwrap_err();
    assert!(matches!(refused, NotHeld::InTheClear { .. }), "{refused}");
}
