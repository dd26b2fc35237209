//! Forbids a parser of bytes from outside that nothing hostile was ever given.
//!
//! There is one function for each, and it checks more than that nothing panics: what was read can be written and read
//! again, no accepted path leaves its folder, a refused file blocks no honest one.
//!
//! [`TARGETS`] is the only list of them. `cargo fuzz` runs them through the workspace in `cargo-fuzz/`, a test of this
//! crate replays `corpus/NAME/` and mutations of it, and a file that ever broke a parser stays there under the hazard's
//! name.

mod ceremony;
mod delegation;
mod document;
pub mod drafts;
pub mod fixture;
mod identity;
mod keys;
mod memory;
mod message;
mod metadata;
mod model;
mod picture;
mod proof;
mod request;
mod same;
mod signing;
mod state;
pub mod teams;
mod word;

/// A parser of bytes from outside, and what must hold of whatever it is given.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of its folder below `corpus/`, too.
    pub name: &'static str,
    /// The most bytes that are worth trying: a little more than the parser's own limit, where that is small.
    pub longest: usize,
    /// Reads the bytes. Panics when something that must hold does not.
    pub check: fn(&[u8]),
}

const fn target(name: &'static str, longest: usize, check: fn(&[u8])) -> Target {
    Target {
        name,
        longest,
        check,
    }
}

const KIB: usize = 1024;

/// Every parser of outside bytes.
pub const TARGETS: &[Target] = &[
    target("envelope", 66 * KIB, message::envelope),
    target("desired", 65 * KIB, message::desired),
    target("report", 65 * KIB, message::report),
    target("ack", 65 * KIB, message::ack),
    target("renewal", 65 * KIB, message::renewal),
    target("topic", 256, word::topic),
    target("name", 256, word::name),
    target("path", 256, word::path),
    target("selector", 3 * KIB, word::selector),
    target("manifest", 64 * KIB, document::manifest),
    target("model-description", 64 * KIB, document::model_description),
    target("release", 64 * KIB, document::release),
    target("claim", 64 * KIB, document::claim),
    target("enrolment", 32 * KIB, document::enrolment),
    target("relay-down", 64 * KIB, document::down),
    target("job", 32 * KIB, document::job),
    target("deployer-keys", 16 * KIB, document::deployer_keys),
    target("bundle-signature", 64 * KIB, proof::bundle_signature),
    target("bill-of-materials", 64 * KIB, proof::bill_of_materials),
    target("bundle-key", 5 * KIB, proof::bundle_key),
    target("tuf-on-a-device", 32 * KIB, metadata::on_a_device),
    target("delegated-role", 32 * KIB, delegation::delegated_role),
    target("record", 32 * KIB, metadata::record),
    target("identity", 32 * KIB, state::identity),
    target("outbox", 32 * KIB, state::outbox),
    target("tuf-root", 32 * KIB, signing::root),
    target("tuf-targets", 32 * KIB, signing::targets),
    target("next-root", 32 * KIB, signing::next_root),
    target("root-draft", 48 * KIB, ceremony::root_draft),
    target("targets-draft", 48 * KIB, ceremony::targets_draft),
    target("key-file", 17 * KIB, keys::key_file),
    target("bundle-key-file", 17 * KIB, keys::bundle_key_file),
    target(
        "certificate-request",
        17 * KIB,
        identity::certificate_request,
    ),
    target("peer-certificate", 16 * KIB, identity::peer_certificate),
    target("onnx", 64 * KIB, model::onnx),
    target("recipe", 16 * KIB, model::recipe),
    target("picture", 64 * KIB, picture::picture),
    target("mask", 16 * KIB, picture::mask),
    target("question", 64 * KIB, request::question),
];

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
