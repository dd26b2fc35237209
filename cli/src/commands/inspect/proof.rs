//! A bundle's own signature and its bill of materials: what other people's tools read too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use espalier_protocol::manifest::{MANIFEST_FILE, Manifest};
use espalier_protocol::proof::{Bom, BundleKey, BundleSignature, Statement};
use espalier_protocol::{BundlePath, Digest};
use serde_json::Value;

use super::{Check, Found, TrustedArgs, Verdict, bundle};
use crate::failure::Failure;

/// What became of a signature.
pub enum Verified {
    /// It is the trusted key's, and says this.
    Signed(Statement),
    /// It is not, or no key was named.
    Not,
}

/// Looks at JSON as a bundle's signature; the files beside it are compared.
///
/// # Errors
/// When a file that was named as trusted, or one of the bundle, cannot be read.
pub fn signature(path: &Path, bytes: &[u8], trusted: &TrustedArgs) -> Result<Found, Failure> {
    let (check, verified) = verify(bytes, trusted)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let files = bundle::signed_files(folder, &verified)?;
    let content = BundleSignature::parse(bytes)
        .ok()
        .and_then(|signature| serde_json::from_slice(signature.payload()).ok());
    Ok(Found {
        kind: "bundle signature (OpenSSF Model Signing)".to_owned(),
        checks: vec![check, files],
        content: content.unwrap_or_default(),
    })
}

/// Verifies a signature with the bundle keys that the operator named.
///
/// # Errors
/// When such a key cannot be read.
pub fn verify(bytes: &[u8], trusted: &TrustedArgs) -> Result<(Check, Verified), Failure> {
    let keys = trusted.bundle_keys()?;
    let signature = match BundleSignature::parse(bytes) {
        Ok(signature) => signature,
        Err(err) => return Ok(failed(&err)),
    };
    let named = |key: &&BundleKey| key.fingerprint().to_string() == signature.hint();
    let Some(key) = keys.iter().find(named).or(keys.first()) else {
        let missing = Verdict::NotVerified(format!(
            "signed by key {}; name the signer's public key (PEM) with --key",
            signature.hint()
        ));
        return Ok((Check::new("signature", missing), Verified::Not));
    };
    match signature.verify(key) {
        Ok(statement) => {
            let holds = format!(
                "{} files, signed by key {}",
                statement.files().len(),
                key.fingerprint()
            );
            let check = Check::new("signature", Verdict::Verified(holds));
            Ok((check, Verified::Signed(statement)))
        }
        Err(err) => Ok(failed(&err)),
    }
}

fn failed(err: &impl std::fmt::Display) -> (Check, Verified) {
    let check = Check::new("signature", Verdict::Failed(err.to_string()));
    (check, Verified::Not)
}

/// Whether exactly the signed files were found.
pub fn compare(statement: &Statement, found: &BTreeMap<BundlePath, Digest>) -> Verdict {
    match statement.compare(found) {
        Ok(()) => Verdict::Verified(format!("all {} are those that were signed", found.len())),
        Err(difference) => Verdict::Failed(difference.to_string()),
    }
}

/// Looks at JSON as a bill of materials; the manifest beside it is compared.
///
/// # Errors
/// When the manifest beside it cannot be read.
pub fn bom(path: &Path, bytes: &[u8], json: Value) -> Result<Found, Failure> {
    let bom = Bom::parse(bytes);
    let serial = bom.as_ref().map(|bom| bom.serial_number().to_owned());
    let mut checks = vec![Check::of("schema", &bom, serial.unwrap_or_default())];
    let beside = path.with_file_name(MANIFEST_FILE);
    checks.push(match beside.is_file() {
        true => match Manifest::parse(&super::read(&beside)?) {
            Ok(manifest) => bom_of(bytes, &manifest),
            Err(err) => Check::new("bundle", Verdict::Failed(err.to_string())),
        },
        false => Check::new(
            "bundle",
            Verdict::NotVerified("no manifest lies beside it".into()),
        ),
    });
    Ok(Found {
        kind: "bill of materials (CycloneDX)".to_owned(),
        checks,
        content: json,
    })
}

/// Whether a bill of materials is the one that a manifest lists, and describes its bundle.
pub fn bom_of(bytes: &[u8], manifest: &Manifest) -> Check {
    let digest = Digest::of(bytes);
    let listed = manifest.files.values().any(|entry| entry.sha256 == digest);
    let verdict = match Bom::parse(bytes).and_then(|bom| bom.describes(manifest)) {
        Ok(()) if listed => Verdict::Verified("it describes this very bundle".into()),
        Ok(()) => Verdict::Failed("the manifest lists another one".into()),
        Err(err) => Verdict::Failed(err.to_string()),
    };
    Check::new("bill of materials", verdict)
}

/// Reads the public key of whoever signs bundles.
///
/// # Errors
/// When the file cannot be read, or is no such key.
pub fn read_bundle_key(path: &Path) -> Result<BundleKey, Failure> {
    let text = super::read(path)?;
    String::from_utf8_lossy(&text).parse().map_err(|err| {
        Failure::usage(
            format!("{} cannot be used: {err}", path.display()),
            "name the signer's bundle.pub.pem",
        )
    })
}

impl TrustedArgs {
    /// The keys that may sign bundles, of all that the operator named.
    fn bundle_keys(&self) -> Result<Vec<BundleKey>, Failure> {
        let files = self.keys.iter().filter_map(|key| match key {
            super::TrustedKey::Bundle(path) => Some(path),
            super::TrustedKey::Envelope(_) => None,
        });
        files.map(PathBuf::as_path).map(read_bundle_key).collect()
    }
}
