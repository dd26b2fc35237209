//! JSON documents: manifests, model descriptions, releases, claims, lists of deployer keys.

use std::path::Path;

use espalier_protocol::claim::Claim;
use espalier_protocol::manifest::ModelDescription;
use espalier_protocol::release::ReleaseDocument;
use espalier_protocol::trust::DeployerKeys;
use espalier_trust::tuf::TrustedRoot;
use jiff::Timestamp;
use serde_json::Value;

use super::{Check, Found, Verdict, bundle, still_valid};

/// What stands in place of a secret.
const HIDDEN: &str = "(hidden)";

/// Looks at JSON as one of our documents; none when it is none of them. The fields that only one kind
/// has tell them apart, so that a document with a mistake is still named and its mistake shown.
pub fn look(path: &Path, bytes: &[u8], json: Value, now: Timestamp) -> Option<Found> {
    let has = |name: &str| json.get(name).is_some();
    if has("golden") && has("files") {
        Some(bundle::manifest(path, bytes, json))
    } else if has("serving") {
        let check = Check::of(
            "schema",
            &ModelDescription::parse(bytes),
            "a full model's description",
        );
        Some(found("model description", vec![check], json))
    } else if has("builds") && has("counter") {
        let check = Check::of(
            "schema",
            &ReleaseDocument::parse(bytes),
            "a release document",
        );
        Some(found(
            "release document",
            vec![check, unsigned("the targets")],
            json,
        ))
    } else if has("token") && has("tuf_root") {
        Some(claim(bytes, json, now))
    } else if has("keys") && has("format") {
        let check = Check::of(
            "schema",
            &serde_json::from_slice::<DeployerKeys>(bytes),
            "a list of deployer keys",
        );
        Some(found(
            "deployer keys",
            vec![check, unsigned("the targets")],
            json,
        ))
    } else {
        None
    }
}

fn found(kind: &str, checks: Vec<Check>, content: Value) -> Found {
    Found {
        kind: kind.to_owned(),
        checks,
        content,
    }
}

/// These documents carry no signature: somebody else's signed file names their digest.
pub fn unsigned(by: &str) -> Check {
    Check::new(
        "signature",
        Verdict::NotVerified(format!("it carries none; {by} must name its digest")),
    )
}

fn claim(bytes: &[u8], mut json: Value, now: Timestamp) -> Found {
    let claim = Claim::parse(bytes);
    let mut checks = vec![Check::of("schema", &claim, "a claim")];
    if let Ok(claim) = &claim {
        let root = TrustedRoot::read(claim.tuf_root.as_bytes());
        let says = root
            .as_ref()
            .map(|root| format!("version {}, {} keys", root.version(), root.trust()));
        checks.push(Check::of("root", &root, says.unwrap_or_default()));
        checks.push(agreement(claim, root.ok().as_ref()));
        checks.push(still_valid("expiry", claim.expires_at, now));
    }
    // What is printed ends up in terminals, logs and tickets; the secret must not.
    if let Some(token) = json.get_mut("token") {
        *token = HIDDEN.into();
    }
    found("claim", checks, json)
}

/// A claim that calls itself production with a development root would fool a person, not a device.
fn agreement(claim: &Claim, root: Option<&TrustedRoot>) -> Check {
    let verdict = match root {
        Some(root) if root.trust() == claim.trust => {
            Verdict::Verified(format!("{} keys, as the root says", claim.trust))
        }
        Some(root) => Verdict::Failed(format!(
            "the claim says {}, its root says {}",
            claim.trust,
            root.trust()
        )),
        None => Verdict::NotVerified("the root cannot be read".into()),
    };
    Check::new("trust", verdict)
}
