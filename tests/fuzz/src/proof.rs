//! What lies in a bundle for auditors: its signature and its bill of materials.

use espalier_protocol::manifest::Manifest;
use espalier_protocol::proof::{Bom, BundleKey, BundleSignature};

use crate::fixture;
use crate::word;

/// A bundle's `model.sig`: what verifies names files that can lie in one folder.
pub fn bundle_signature(bytes: &[u8]) {
    let Ok(signature) = BundleSignature::parse(bytes) else {
        return;
    };
    if let Ok(statement) = signature.verify(&fixture::bundle_key().0) {
        statement.files().keys().for_each(word::inside);
        assert_eq!(statement.compare(statement.files()), Ok(()));
    }
}

/// A bill of materials: its serial number fixes its content.
pub fn bill_of_materials(bytes: &[u8]) {
    let Ok(bom) = Bom::parse(bytes) else {
        return;
    };
    let written = bom.to_json().expect("a bill that was read is written");
    let again = Bom::parse(&written).expect("a bill that we wrote is read");
    assert_eq!(bom.serial_number(), again.serial_number());
    let manifest = Manifest::parse(fixture::MANIFEST).expect("the honest manifest is read");
    let _another_bundle = bom.describes(&manifest);
}

/// The public half of a key that signs bundles (PEM).
pub fn bundle_key(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(key) = text.parse::<BundleKey>()
    {
        assert_eq!(key.to_pem().parse(), Ok(key), "a key changed on its way");
        assert!(!key.verifies(b"a message", b"no signature"));
    }
}
