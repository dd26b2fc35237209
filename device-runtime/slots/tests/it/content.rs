//! Bundles' bytes: resumed, capped, digested, and collected only when nobody holds them.

use std::fs;

use espalier_protocol::Digest;
use espalier_slots::content::{ContentError, Missing};
use espalier_slots::{Content, Staging, Store};

use crate::mint::{Bundle, Mint, class};
use crate::store::{at, create};

/// Feeds every missing file of a staging area from the bundle.
pub fn feed(staging: &mut Staging, bundle: &Bundle) {
    for missing in staging.missing().to_vec() {
        let mut intake = staging.intake(&missing).unwrap();
        let have = intake.have() as usize;
        intake.write(&bundle.files[&missing.path][have..]).unwrap();
        intake.finish().unwrap();
        staging.arrived(&missing.path);
    }
}

fn bundle() -> Bundle {
    Bundle::new(1, &class(), 100_000)
}

fn graph(staging: &Staging) -> Missing {
    staging
        .missing()
        .iter()
        .find(|missing| missing.path.as_str() == "graph.onnx")
        .unwrap()
        .clone()
}

fn stage(store: &Store, bundle: &Bundle) -> Staging {
    store
        .content()
        .stage(&bundle.digest(), &bundle.manifest_bytes())
        .unwrap()
}

fn complete(content: &Content, bundle: &Bundle) {
    let mut staging = content
        .stage(&bundle.digest(), &bundle.manifest_bytes())
        .unwrap();
    feed(&mut staging, bundle);
    staging.finish().unwrap();
}

#[test]
fn complete_bundle_verifies_to_the_last_byte() {
    let (folder, store) = create(&Mint::new());
    let bundle = bundle();
    complete(store.content(), &bundle);
    let verified = store.content().verify(&bundle.digest()).unwrap().unwrap();
    assert_eq!(verified.manifest(), &bundle.manifest);

    let path = at(&folder)
        .join("bundles")
        .join(bundle.digest().to_string())
        .join("graph.onnx");
    let mut bytes = fs::read(&path).unwrap();
    bytes[50_000] ^= 0x10;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(
        store.content().verify(&bundle.digest()),
        Err(ContentError::FileDigest { .. })
    ));
}

#[test]
fn manifest_with_another_digest_is_refused() {
    let (_folder, store) = create(&Mint::new());
    let refused = store
        .content()
        .stage(&Digest::of(b"another"), &bundle().manifest_bytes());
    assert!(matches!(refused, Err(ContentError::ManifestDigest(_))));
}

#[test]
fn power_cut_while_staging_keeps_whole_files_and_the_part() {
    let (_folder, store) = create(&Mint::new());
    let bundle = bundle();
    let mut staging = stage(&store, &bundle);
    let small = staging.missing()[0].clone();
    let mut intake = staging.intake(&small).unwrap();
    intake.write(&bundle.files[&small.path]).unwrap();
    intake.finish().unwrap();
    let mut intake = staging.intake(&graph(&staging)).unwrap();
    intake
        .write(&bundle.files[&graph(&staging).path][..70_000])
        .unwrap();
    drop((intake, staging));

    staging = stage(&store, &bundle);
    assert!(!staging.missing().contains(&small));
    assert_eq!(staging.intake(&graph(&staging)).unwrap().have(), 70_000);
    feed(&mut staging, &bundle);
    staging.finish().unwrap();
    assert!(store.content().verify(&bundle.digest()).unwrap().is_some());
}

#[test]
fn altered_staged_file_is_fetched_again() {
    let (folder, store) = create(&Mint::new());
    let bundle = bundle();
    let mut staging = stage(&store, &bundle);
    feed(&mut staging, &bundle);
    drop(staging);
    let path = at(&folder)
        .join("staging")
        .join(bundle.digest().to_string())
        .join("files/graph.onnx");
    fs::write(path, vec![0; 100_000]).unwrap();
    let staging = stage(&store, &bundle);
    assert_eq!(staging.missing(), [graph(&staging)]);
    assert!(matches!(staging.finish(), Err(ContentError::Short { .. })));
}

#[test]
fn endless_data_is_cut_at_the_promised_size() {
    let (_folder, store) = create(&Mint::new());
    let bundle = bundle();
    let staging = stage(&store, &bundle);
    let mut intake = staging.intake(&graph(&staging)).unwrap();
    intake.write(&vec![0; 100_000]).unwrap();
    assert!(matches!(
        intake.write(&[0]),
        Err(ContentError::TooLong { .. })
    ));
}

#[test]
fn one_flipped_bit_leaves_nothing_behind() {
    let (_folder, store) = create(&Mint::new());
    let bundle = bundle();
    let staging = stage(&store, &bundle);
    let missing = graph(&staging);
    let mut bytes = bundle.files[&missing.path].clone();
    bytes[99_999] ^= 1;
    let mut intake = staging.intake(&missing).unwrap();
    intake.write(&bytes).unwrap();
    assert!(matches!(
        intake.finish(),
        Err(ContentError::FileDigest { .. })
    ));
    assert_eq!(staging.intake(&missing).unwrap().have(), 0);
}

#[test]
fn short_file_waits_for_its_rest() {
    let (_folder, store) = create(&Mint::new());
    let bundle = bundle();
    let staging = stage(&store, &bundle);
    let missing = graph(&staging);
    let mut intake = staging.intake(&missing).unwrap();
    intake.write(&bundle.files[&missing.path][..10]).unwrap();
    assert!(matches!(
        intake.finish(),
        Err(ContentError::Short { have: 10, .. })
    ));
    assert_eq!(staging.intake(&missing).unwrap().have(), 10);
}

#[test]
fn files_of_installed_bundles_are_not_fetched_again() {
    let (_folder, store) = create(&Mint::new());
    complete(store.content(), &bundle());
    let mut next = Bundle::new(2, &class(), 10);
    let shared = bundle().files["graph.onnx"
        .parse::<espalier_protocol::BundlePath>()
        .as_ref()
        .unwrap()]
    .clone();
    next.manifest
        .files
        .insert("graph.onnx".parse().unwrap(), crate::mint::entry(&shared));
    let mut staging = stage(&store, &next);
    let before = staging.bytes_to_fetch().unwrap();
    staging.take_from_bundles().unwrap();
    assert_eq!(before - staging.bytes_to_fetch().unwrap(), 100_000 + 2 + 2);
}

#[test]
fn garbage_is_collected_and_what_trust_needs_is_kept() {
    let (folder, store) = create(&Mint::new());
    let content = store.content();
    complete(content, &bundle());
    stage(&store, &Bundle::new(2, &class(), 10));
    content.keep_document(b"release").unwrap();
    content.keep_document(b"deployer").unwrap();
    store.collect_garbage(&Digest::of(b"deployer")).unwrap();
    content.empty_trash().unwrap();
    assert!(content.verify(&bundle().digest()).unwrap().is_none());
    assert_eq!(
        fs::read_dir(at(&folder).join("staging")).unwrap().count(),
        0
    );
    assert!(!at(&folder).join("trash").exists());
    let kept = |name: &[u8]| content.document(&Digest::of(name)).unwrap().is_some();
    assert!(kept(b"deployer"));
    assert!(!kept(b"release"), "a release that no slot holds was kept");
}
