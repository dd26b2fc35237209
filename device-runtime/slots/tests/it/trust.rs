//! What a device believes: metadata by TUF, orders by the deployer, and nothing that the two do not agree on.

use std::fs;

use espalier_protocol::DeviceClassName;
use espalier_protocol::desired::DesiredState;
use espalier_protocol::envelope::Envelope;
use espalier_protocol::report::{Ack, Attack, FailureKind};
use espalier_protocol::trust::{DEPLOYER_TARGET, DeployerKeys, TrustLevel};
use espalier_slots::Store;
use espalier_slots::trust::{
    Accepted, Floors, Metadata, News, PlanRefusal, Recipient, TrustError, VerifiedPlan, agree,
    open_ack, root_trust, verify_desired,
};
use espalier_trust::Deployer;
use jiff::Timestamp;
use std::sync::Arc;

use crate::mint::{Bundle, Mint, class, hours, key, model, name, noon, order};
use crate::store::{at, create};

/// Walks a refresh with the mint's files, each passed through `tamper`.
fn walk(
    metadata: &mut Metadata,
    mint: &Mint,
    now: Timestamp,
    tamper: impl Fn(&str, Vec<u8>) -> Vec<u8>,
) -> Result<(), TrustError> {
    let mut refresh = metadata.refresh(now);
    while let Some(wanted) = refresh.wanted() {
        let bytes = mint
            .file(&wanted.file)
            .map(|bytes| tamper(&wanted.file, bytes));
        refresh.supply(bytes.as_deref())?;
    }
    Ok(())
}

fn honest(metadata: &mut Metadata, mint: &Mint) -> Result<(), TrustError> {
    walk(metadata, mint, noon(), |_, bytes| bytes)
}

fn renewed(store: &Store, mint: &Mint) -> Metadata {
    let mut metadata = store.metadata().unwrap();
    honest(&mut metadata, mint).unwrap();
    metadata
}

fn attack(result: Result<(), TrustError>) -> Option<Attack> {
    result.unwrap_err().attack()
}

#[test]
fn honest_repository_is_trusted_and_remembered() {
    let mut mint = Mint::new();
    let release = mint.release(1, &Bundle::new(1, &class(), 10));
    let (_folder, store) = create(&mint);
    drop(renewed(&store, &mint));
    let metadata = store.metadata().unwrap();
    assert_eq!(metadata.versions(), mint.versions());
    let target = metadata
        .target(&format!("release-{}.json", release.digest), noon())
        .unwrap();
    assert_eq!(target.digest, release.digest);
}

#[test]
fn one_flipped_byte_in_any_file_is_refused() {
    let mut mint = Mint::new();
    mint.release(1, &Bundle::new(1, &class(), 10));
    mint.rotate_timestamp_key();
    for tampered in [
        "2.root.json",
        "timestamp.json",
        "3.snapshot.json",
        "2.targets.json",
    ] {
        let (_folder, store) = create(&mint);
        let mut metadata = store.metadata().unwrap();
        let refused = walk(&mut metadata, &mint, noon(), |file, mut bytes| {
            if file == tampered {
                // A digit of the expiry: still well-formed, no longer signed.
                let at = bytes
                    .windows(8)
                    .position(|part| part == b"expires\"")
                    .unwrap()
                    + 12;
                bytes[at] ^= 1;
            }
            bytes
        });
        assert!(attack(refused).is_some(), "{tampered}");
    }
}

#[test]
fn timestamp_by_another_key_is_refused() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    let stranger = Mint::new();
    mint.timestamp = stranger.timestamp;
    assert_eq!(
        attack(honest(&mut store.metadata().unwrap(), &mint)),
        Some(Attack::BadSignature)
    );
}

#[test]
fn older_edition_is_a_rollback_also_after_a_restart() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    let old = (
        mint.timestamp.clone(),
        mint.snapshot.clone(),
        mint.targets.clone(),
    );
    mint.release(1, &Bundle::new(1, &class(), 10));
    drop(renewed(&store, &mint));
    (mint.timestamp, mint.snapshot, mint.targets) = old;
    assert_eq!(
        attack(honest(&mut store.metadata().unwrap(), &mint)),
        Some(Attack::Rollback)
    );
}

#[test]
fn truncated_store_file_does_not_forget_the_rollback_floor() {
    let mut mint = Mint::new();
    let (folder, store) = create(&mint);
    let old = (
        mint.timestamp.clone(),
        mint.snapshot.clone(),
        mint.targets.clone(),
    );
    mint.release(1, &Bundle::new(1, &class(), 10));
    drop(renewed(&store, &mint));
    (mint.timestamp, mint.snapshot, mint.targets) = old;
    fs::write(at(&folder).join("metadata"), b"").unwrap();
    assert_eq!(
        attack(honest(&mut store.metadata().unwrap(), &mint)),
        Some(Attack::Rollback)
    );
    // With both copies gone the store is damaged; it does not begin anew.
    for name in ["metadata", "metadata.copy"] {
        fs::write(at(&folder).join(name), b"").unwrap();
    }
    assert!(store.metadata().is_err());
}

#[test]
fn expired_metadata_authorise_nothing_and_do_not_block_newer() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    let mut metadata = renewed(&store, &mint);
    let later = noon() + hours(24 * 30);
    let vouched = metadata.target(DEPLOYER_TARGET, later).unwrap_err();
    assert_eq!(vouched.attack(), Some(Attack::Expired));
    assert_eq!(
        attack(walk(&mut metadata, &mint, later, |_, bytes| bytes)),
        Some(Attack::Expired)
    );
    mint.now = later;
    mint.release(1, &Bundle::new(1, &class(), 10));
    walk(&mut store.metadata().unwrap(), &mint, later, |_, bytes| {
        bytes
    })
    .unwrap();
}

#[test]
fn rotated_root_carries_a_device_over() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    drop(renewed(&store, &mint));
    mint.rotate_timestamp_key();
    mint.rotate_timestamp_key();
    drop(renewed(&store, &mint));
    assert_eq!(store.metadata().unwrap().versions().root, 3);
}

#[test]
fn root_that_the_old_root_did_not_sign_is_refused() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    let mut stranger = Mint::new();
    stranger.rotate_timestamp_key();
    mint.roots.push(stranger.roots[1].clone());
    assert_eq!(
        attack(honest(&mut store.metadata().unwrap(), &mint)),
        Some(Attack::BadSignature)
    );
}

#[test]
fn endless_metadata_are_refused() {
    let mint = Mint::new();
    let (_folder, store) = create(&mint);
    let refused = walk(&mut store.metadata().unwrap(), &mint, noon(), |_, bytes| {
        [bytes, vec![b' '; 1 << 20]].concat()
    });
    assert_eq!(attack(refused), Some(Attack::EndlessData));
}

#[test]
fn mixed_editions_are_refused() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    let mut other = Mint::new();
    std::mem::swap(&mut mint.snapshot, &mut other.snapshot);
    assert_eq!(
        attack(honest(&mut store.metadata().unwrap(), &mint)),
        Some(Attack::MixAndMatch)
    );
}

#[test]
fn development_root_says_so_itself() {
    assert_eq!(
        root_trust(&Mint::new().first_root()).unwrap(),
        TrustLevel::Development
    );
}

/// A device that knows the mint's deployer.
struct Device {
    _folder: tempfile::TempDir,
    store: Store,
    keys: DeployerKeys,
    clock: Timestamp,
}

impl Device {
    fn new(mint: &Mint) -> Self {
        let (folder, store) = create(mint);
        Self {
            _folder: folder,
            store,
            keys: DeployerKeys {
                format: 1,
                keys: vec![mint.deployer.public_key()],
            },
            clock: noon(),
        }
    }

    fn hear(&self, envelope: &[u8]) -> Result<Accepted, Attack> {
        let floors = self.store.floors().unwrap();
        let accepted =
            verify_desired(envelope, &self.recipient(&floors)).map_err(|refusal| refusal.attack)?;
        self.store.raise_floors(&accepted.floors()).unwrap();
        Ok(accepted)
    }

    fn recipient<'a>(&'a self, floors: &'a Floors) -> Recipient<'a> {
        Recipient {
            anchor: self.store.anchor(),
            keys: &self.keys,
            floors,
            clock: self.clock,
        }
    }
}

#[test]
fn desired_state_is_accepted_once_and_known_again() {
    let mint = Mint::new();
    let device = Device::new(&mint);
    let letter = mint.sign(&mint.desired(1, vec![]));
    assert_eq!(device.hear(&letter).unwrap().news, News::Fresh);
    assert_eq!(device.hear(&letter).unwrap().news, News::Known);
}

#[test]
fn replayed_and_reordered_desired_states_are_told_from_redelivery() {
    let mint = Mint::new();
    let device = Device::new(&mint);
    let first = mint.sign(&mint.desired(1, vec![]));
    device.hear(&first).unwrap();
    device.hear(&mint.sign(&mint.desired(2, vec![]))).unwrap();
    assert_eq!(device.hear(&first), Err(Attack::Replay));
    let twin = DesiredState {
        traceparent: Some("other".into()),
        ..mint.desired(2, vec![])
    };
    assert_eq!(device.hear(&mint.sign(&twin)), Err(Attack::Replay));
}

#[test]
fn desired_state_by_another_key_is_refused() {
    let mint = Mint::new();
    let device = Device::new(&mint);
    let forged = Deployer::new(Arc::new(key()))
        .sign_desired(&mint.desired(1, vec![]))
        .unwrap();
    assert_eq!(device.hear(&forged), Err(Attack::WrongKey));
}

#[test]
fn any_flipped_bit_in_a_desired_state_is_refused() {
    let mint = Mint::new();
    let device = Device::new(&mint);
    let letter = mint.sign(&mint.desired(1, vec![]));
    for at in 0..letter.len() {
        let mut altered = letter.clone();
        altered[at] ^= 1;
        assert!(device.hear(&altered).is_err(), "byte {at}");
    }
    device.hear(&letter).unwrap();
}

#[test]
fn signature_over_another_kind_of_message_is_refused() {
    let mint = Mint::new();
    let device = Device::new(&mint);
    let ack = mint.sign_ack(&Ack {
        device: crate::mint::device(),
        boot: 1,
        seq: 1,
    });
    assert_eq!(device.hear(&ack), Err(Attack::Malformed));
    let mut dressed = Envelope::parse(&ack).unwrap();
    dressed.payload_type = "application/vnd.espalier.desired.v1+cbor".into();
    let mut bytes = Vec::new();
    ciborium::into_writer(&dressed, &mut bytes).unwrap();
    assert_eq!(device.hear(&bytes), Err(Attack::BadSignature));
}

#[test]
fn desired_state_for_another_device_or_class_is_refused() {
    let mint = Mint::new();
    let device = Device::new(&mint);
    let mut other = mint.desired(1, vec![]);
    other.device = name("acme/press-8");
    assert_eq!(device.hear(&mint.sign(&other)), Err(Attack::WrongDevice));
    let mut other = mint.desired(1, vec![]);
    other.class = name("arm-fp16");
    assert_eq!(device.hear(&mint.sign(&other)), Err(Attack::WrongClass));
}

#[test]
fn expired_desired_state_is_refused_but_a_known_one_is_no_attack() {
    let mint = Mint::new();
    let mut device = Device::new(&mint);
    let letter = mint.sign(&mint.desired(1, vec![]));
    device.hear(&letter).unwrap();
    device.clock = noon() + hours(48);
    let known = device.hear(&letter).unwrap();
    assert!(known.is_expired(device.clock));
    assert_eq!(
        device.hear(&mint.sign(&mint.desired(2, vec![]))),
        Err(Attack::Expired)
    );
}

#[test]
fn clock_that_runs_behind_is_held_up_by_signed_time() {
    let mut mint = Mint::new();
    let mut device = Device::new(&mint);
    let old = mint.sign(&mint.desired(2, vec![]));
    mint.now = noon() + hours(72);
    device.hear(&mint.sign(&mint.desired(1, vec![]))).unwrap();
    device.clock = Timestamp::UNIX_EPOCH;
    assert_eq!(device.hear(&old), Err(Attack::Expired));
    // And one that ran ahead heals.
    device.clock = noon() + hours(24 * 3650);
    let letter = mint.sign(&mint.desired(3, vec![]));
    assert_eq!(device.hear(&letter), Err(Attack::Expired));
    device.clock = mint.now;
    device.hear(&letter).unwrap();
}

#[test]
fn acknowledgement_for_another_device_frees_nothing() {
    let mint = Mint::new();
    let device = Device::new(&mint);
    let ack = |device| Ack {
        device,
        boot: 1,
        seq: 1,
    };
    let floors = Floors::default();
    assert!(
        open_ack(
            &mint.sign_ack(&ack(crate::mint::device())),
            &device.recipient(&floors)
        )
        .is_ok()
    );
    let refused = open_ack(
        &mint.sign_ack(&ack(name("acme/press-8"))),
        &device.recipient(&floors),
    );
    assert_eq!(refused.unwrap_err().attack, Attack::WrongDevice);
}

/// What the two signers agree on for one order.
fn plan(
    mint: &Mint,
    wanted: &espalier_protocol::desired::DesiredModel,
    floors: &Floors,
) -> Result<VerifiedPlan, PlanRefusal> {
    let (_folder, store) = create(mint);
    let metadata = renewed(&store, mint);
    let document = &mint.blobs[&wanted.release.digest];
    agree(wanted, document, &metadata, store.anchor(), floors, noon())
}

fn refusal(result: Result<VerifiedPlan, PlanRefusal>) -> (FailureKind, Option<Attack>) {
    let refusal = result.unwrap_err();
    (refusal.failure.kind, refusal.attack)
}

#[test]
fn both_signers_agree() {
    let mut mint = Mint::new();
    let bundle = Bundle::new(1, &class(), 10);
    let release = mint.release(1, &bundle);
    let plan = plan(&mint, &order(1, 1, release, &bundle), &Floors::default()).unwrap();
    plan.check_manifest(&bundle.manifest).unwrap();
}

#[test]
fn order_for_a_release_that_only_the_deployer_knows_is_refused() {
    let mut mint = Mint::new();
    let bundle = Bundle::new(1, &class(), 10);
    let mut release = mint.release(1, &bundle);
    release.digest = mint.keep(b"{}".to_vec());
    let refused = refusal(plan(
        &mint,
        &order(1, 1, release, &bundle),
        &Floors::default(),
    ));
    assert_eq!(refused, (FailureKind::Untrusted, Some(Attack::MixAndMatch)));
}

#[test]
fn order_for_a_bundle_that_the_release_does_not_name_is_refused() {
    let mut mint = Mint::new();
    let release = mint.release(1, &Bundle::new(1, &class(), 10));
    let refused = refusal(plan(
        &mint,
        &order(1, 1, release, &Bundle::new(2, &class(), 10)),
        &Floors::default(),
    ));
    assert_eq!(refused, (FailureKind::Untrusted, Some(Attack::MixAndMatch)));
}

#[test]
fn release_without_a_build_for_this_class_is_refused() {
    let mut mint = Mint::new();
    let other: DeviceClassName = name("arm-fp16");
    let bundle = Bundle::new(1, &other, 10);
    let release = mint.release(1, &bundle);
    let refused = refusal(plan(
        &mint,
        &order(1, 1, release, &bundle),
        &Floors::default(),
    ));
    assert_eq!(refused, (FailureKind::WrongClass, Some(Attack::WrongClass)));
}

#[test]
fn altered_release_document_is_refused() {
    let mut mint = Mint::new();
    let bundle = Bundle::new(1, &class(), 10);
    let release = mint.release(1, &bundle);
    mint.blobs.get_mut(&release.digest).unwrap()[20] ^= 1;
    let refused = refusal(plan(
        &mint,
        &order(1, 1, release, &bundle),
        &Floors::default(),
    ));
    assert_eq!(
        refused,
        (FailureKind::Corrupt, Some(Attack::ArbitrarySoftware))
    );
}

#[test]
fn lower_release_counter_is_a_rollback() {
    let mut mint = Mint::new();
    let bundle = Bundle::new(1, &class(), 10);
    let release = mint.release(3, &bundle);
    let mut floors = Floors::default();
    floors.counters.insert(model(), 4);
    let refused = refusal(plan(&mint, &order(1, 1, release, &bundle), &floors));
    assert_eq!(refused, (FailureKind::Untrusted, Some(Attack::Rollback)));
    floors.counters.insert(model(), 3);
    assert!(plan(&mint, &order(1, 1, release, &bundle), &Floors::default()).is_ok());
}

#[test]
fn release_of_another_tenant_is_refused() {
    let mut mint = Mint::new();
    let bundle = Bundle::new(1, &class(), 10);
    let ours = mint.release(1, &bundle);
    let mut document: espalier_protocol::release::ReleaseDocument =
        serde_json::from_slice(&mint.blobs[&ours.digest]).unwrap();
    document.tenant = name("globex");
    let release = mint.publish(&document);
    assert_ne!(release.digest, ours.digest);
    let refused = refusal(plan(
        &mint,
        &order(1, 1, release, &bundle),
        &Floors::default(),
    ));
    assert_eq!(refused, (FailureKind::Untrusted, Some(Attack::MixAndMatch)));
}

#[test]
fn manifest_that_is_not_what_the_release_promised_is_refused() {
    let mut mint = Mint::new();
    let bundle = Bundle::new(1, &class(), 10);
    let release = mint.release(1, &bundle);
    let plan = plan(&mint, &order(1, 1, release, &bundle), &Floors::default()).unwrap();
    let mut other = bundle.manifest.clone();
    other.device_class = name("arm-fp16");
    assert_eq!(
        plan.check_manifest(&other).unwrap_err().failure.kind,
        FailureKind::WrongClass
    );
    let mut other = bundle.manifest;
    other.files.remove(&"golden/000/own.json".parse().unwrap());
    assert!(plan.check_manifest(&other).is_err());
}
