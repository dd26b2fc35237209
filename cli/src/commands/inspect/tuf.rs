//! TUF metadata: roots, targets, snapshots and timestamps.

use espalier_trust::tuf::{Timestamp as TufTimestamp, TrustedRoot, read_targets};
use jiff::Timestamp;
use serde_json::Value;

use super::{Check, Found, TrustedArgs, Verdict, still_valid};
use crate::failure::Failure;

/// Looks at JSON with a `signed` part as TUF metadata.
///
/// # Errors
/// When the root that was named cannot be read.
pub fn look(
    bytes: &[u8],
    json: Value,
    trusted: &TrustedArgs,
    now: Timestamp,
) -> Result<Found, Failure> {
    let role = json["signed"]["_type"]
        .as_str()
        .unwrap_or("unknown")
        .to_owned();
    let mut checks = vec![signature(&role, bytes, trusted.root()?.as_ref())];
    let expires = json["signed"]["expires"]
        .as_str()
        .and_then(|text| text.parse().ok());
    checks.push(match expires {
        Some(expires) => still_valid("expiry", expires, now),
        None => Check::new(
            "expiry",
            Verdict::Failed("it states none that can be read".into()),
        ),
    });
    Ok(Found {
        kind: format!("TUF {role}"),
        checks,
        content: json,
    })
}

fn signature(role: &str, bytes: &[u8], root: Option<&TrustedRoot>) -> Check {
    if role == "root" {
        return root_signature(bytes, root);
    }
    let Some(root) = root else {
        return Check::new(
            "signature",
            Verdict::NotVerified("name the root that you trust with --root".into()),
        );
    };
    let holds = format!("by the keys that root version {} names", root.version());
    match role {
        "targets" => Check::of("signature", &read_targets(root, bytes), holds),
        "timestamp" => Check::of("signature", &TufTimestamp::read(root, bytes), holds),
        _ => Check::new(
            "signature",
            Verdict::NotVerified(format!("this command does not verify a {role}")),
        ),
    }
}

/// A root must sign itself; it is only worth trust when it came by hand or is the one that is trusted.
fn root_signature(bytes: &[u8], trusted: Option<&TrustedRoot>) -> Check {
    let root = TrustedRoot::read(bytes);
    let holds = match (&root, trusted) {
        (Ok(root), Some(trusted)) if root.bytes() == trusted.bytes() => {
            "it is the root that you trust".into()
        }
        (Ok(root), _) => format!(
            "by its own keys ({} keys); whether they are the right ones only you can know",
            root.trust()
        ),
        (Err(_), _) => String::new(),
    };
    Check::of("signature", &root, holds)
}

impl TrustedArgs {
    /// The root that the operator named.
    fn root(&self) -> Result<Option<TrustedRoot>, Failure> {
        let Some(path) = &self.root else {
            return Ok(None);
        };
        let bytes = std::fs::read(path).map_err(Failure::reading(path))?;
        TrustedRoot::read(&bytes).map(Some).map_err(|err| {
            Failure::untrusted(
                format!("{} is no root that could be trusted: {err}", path.display()),
                "name the root that came with the claim, or that you made in the key ceremony",
            )
        })
    }
}
