//! What a device obeys: orders by the deployer, and nothing that the release's signers do not agree to.

use espalier_protocol::DeviceClassName;
use espalier_protocol::desired::DesiredState;
use espalier_protocol::envelope::Envelope;
use espalier_protocol::report::{Ack, Attack, FailureKind};
use espalier_protocol::trust::DeployerKeys;
use espalier_slots::Store;
use espalier_slots::trust::{
    Accepted, Floors, News, PlanRefusal, Recipient, VerifiedPlan, agree, open_ack, verify_desired,
};
use espalier_trust::Deployer;
use jiff::Timestamp;
use std::sync::Arc;

use crate::mint::{Bundle, Mint, class, hours, key, model, name, noon, order};
use crate::store::create;
use crate::trust::renewed;

/// A device that knows the mint's deployer.
struct Device {
    _folder: tempfile::TempDir,
    store: Store,
    keys: DeployerKeys,
    clock: Timestamp,
    fresh_until: Timestamp,
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
            fresh_until: mint.timestamp.expires,
        }
    }

    fn hear(&self, envelope: &[u8]) -> Result<Accepted, Attack> {
        let floors = self.store.floors().unwrap();
        let accepted =
            verify_desired(envelope, &self.recipient(&floors)).map_err(|refusal| refusal.attack)?;
        self.store
            .raise_floors(|floors| floors.accept(&accepted, self.fresh_until))
            .unwrap();
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
    assert_eq!(device.hear(&mint.sign(&twin)), Err(Attack::Reordered));
}

#[test]
fn two_orders_for_one_model_are_refused() {
    let mut mint = Mint::new();
    let device = Device::new(&mint);
    let orders = [1, 2].map(|seed| {
        let bundle = Bundle::new(seed, &class(), 10);
        let release = mint.release(u64::from(seed), &bundle);
        order(u128::from(seed), 1, release, &bundle)
    });
    let letter = mint.sign(&mint.desired(1, orders.to_vec()));
    assert_eq!(device.hear(&letter), Err(Attack::Malformed));
}

#[test]
fn thief_who_used_up_all_sequences_is_answered_by_a_new_deployer_key() {
    let mint = Mint::new();
    let mut device = Device::new(&mint);
    device
        .hear(&mint.sign(&mint.desired(u64::MAX, vec![])))
        .unwrap();
    let honest = Deployer::new(Arc::new(key()));
    let letter = honest.sign_desired(&mint.desired(7, vec![])).unwrap();
    device.keys.keys.push(honest.public_key());
    assert_eq!(device.hear(&letter), Err(Attack::Reordered));
    device.keys.keys.remove(0);
    device.hear(&letter).unwrap();
    assert_eq!(device.store.floors().unwrap().desired_sequence(), 7);
}

#[test]
fn thief_who_signs_in_a_far_future_makes_no_honest_word_expire() {
    let mut mint = Mint::new();
    let device = Device::new(&mint);
    mint.now = noon() + hours(24 * 365 * 100);
    device.hear(&mint.sign(&mint.desired(1, vec![]))).unwrap();
    mint.now = device.fresh_until;
    device.hear(&mint.sign(&mint.desired(2, vec![]))).unwrap();
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
        Err(Attack::Stale)
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
    assert_eq!(device.hear(&old), Err(Attack::Stale));
    // And one that ran ahead heals.
    device.clock = noon() + hours(24 * 3650);
    let letter = mint.sign(&mint.desired(3, vec![]));
    assert_eq!(device.hear(&letter), Err(Attack::Stale));
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
    let at = |counter| Floors::default().with_counter(model(), counter);
    let refused = refusal(plan(&mint, &order(1, 1, release, &bundle), &at(4)));
    assert_eq!(refused, (FailureKind::Untrusted, Some(Attack::Rollback)));
    assert!(plan(&mint, &order(1, 1, release, &bundle), &at(3)).is_ok());
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
