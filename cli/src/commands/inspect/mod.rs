//! `espalier inspect`: prints and verifies any bundle, signed message, manifest, release, claim or TUF file.

mod bundle;
mod document;
mod message;
mod proof;
mod tuf;

pub use proof::read_bundle_key;

use std::path::{Path, PathBuf};

use clap::Args;
use espalier_protocol::Digest;
use espalier_protocol::trust::PublicKey;
use jiff::Timestamp;
use serde::Serialize;

use super::Context;
use crate::failure::Failure;
use crate::output::{Shown, facts};

/// The largest file that is inspected: everything signed here is far smaller.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// Print and verify a bundle, signed message, manifest, release, claim or TUF file
///
/// What the file is is found from its content; a folder is a bundle. Signed messages and bundles need the signer's
/// key to be verified; TUF files need the root. Without them the content is printed and marked as not verified.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 7 means that something did not verify.\n\n\
    Examples:\n  \
    espalier inspect report.cbor --certificate device.pem\n  \
    espalier inspect desired.cbor --deployer deployer.json\n  \
    espalier inspect 3.targets.json --root 1.root.json\n  \
    espalier inspect bundle --key bundle.pub.pem   (a folder: every file, signature, bill of materials)\n  \
    espalier inspect bundle/manifest.json          (also checks the files beside it)\n  \
    espalier inspect bundle/bom.cdx.json")]
pub struct Inspect {
    /// The file, or a bundle's folder
    file: PathBuf,
    #[command(flatten)]
    trusted: TrustedArgs,
}

/// What the operator trusts, to verify against.
#[derive(Debug, Default, Args)]
pub struct TrustedArgs {
    /// deployer.json: the keys that may sign desired states and acknowledgements
    #[arg(long, value_name = "FILE")]
    deployer: Option<PathBuf>,
    /// A device's certificate (PEM): the key that may sign its reports
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// A public key: 64 hexadecimal digits for messages, a PEM file for bundles; may be given several times
    #[arg(long = "key", value_name = "HEX|FILE", value_parser = trusted_key)]
    keys: Vec<TrustedKey>,
    /// The TUF root that signatures must answer to
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

/// A public key that the operator named.
#[derive(Debug, Clone)]
enum TrustedKey {
    /// Of signed messages.
    Envelope(PublicKey),
    /// Of bundles: the file that holds it.
    Bundle(PathBuf),
}

fn trusted_key(text: &str) -> Result<TrustedKey, std::convert::Infallible> {
    Ok(text
        .parse()
        .map_or_else(|_| TrustedKey::Bundle(text.into()), TrustedKey::Envelope))
}

/// What was found in a file.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// What the file is, in words.
    kind: String,
    /// SHA-256 of the file.
    digest: Digest,
    /// Bytes of the file.
    bytes: usize,
    /// What was verified, and how that went.
    checks: Vec<Check>,
    /// What the file says, unknown fields included.
    content: serde_json::Value,
}

/// One thing that was verified, or could not be.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    what: String,
    /// How it went.
    #[serde(flatten)]
    verdict: Verdict,
}

/// How a check went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "detail", rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds.
    Verified(String),
    /// It does not hold.
    Failed(String),
    /// It could not be looked at; this says what is missing.
    NotVerified(String),
}

impl Check {
    fn new(what: &str, verdict: Verdict) -> Self {
        Self {
            what: what.to_owned(),
            verdict,
        }
    }

    /// A check that holds or says why not.
    fn of<T>(
        what: &str,
        result: &Result<T, impl std::fmt::Display>,
        holds: impl Into<String>,
    ) -> Self {
        Self::new(
            what,
            match result {
                Ok(_) => Verdict::Verified(holds.into()),
                Err(err) => Verdict::Failed(err.to_string()),
            },
        )
    }

    fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Failed(_))
    }
}

/// What a kind of file turned out to hold, before digest and size are put beside it.
struct Found {
    kind: String,
    checks: Vec<Check>,
    content: serde_json::Value,
}

impl Inspect {
    /// Reads, verifies and shows.
    ///
    /// # Errors
    /// When the file cannot be read or is nothing of ours, or something in it does not verify.
    pub fn run(self, context: Context) -> Result<(), Failure> {
        let (bytes, found) = if self.file.is_dir() {
            bundle::folder(&self.file, &self.trusted)?
        } else {
            let bytes = read(&self.file)?;
            let found = self.look(&bytes, context.output.now())?;
            (bytes, found)
        };
        let inspection = Inspection {
            kind: found.kind,
            digest: Digest::of(&bytes),
            bytes: bytes.len(),
            checks: found.checks,
            content: found.content,
        };
        context.output.show(&inspection)?;
        match inspection.checks.iter().find(|check| check.failed()) {
            None => Ok(()),
            Some(check) => Err(Failure::untrusted(
                format!("{}: {} does not verify", self.file.display(), check.what),
                "do not use it; fetch it anew, or find out who changed it",
            )),
        }
    }

    /// Text that is JSON is a document or a TUF file; everything else can only be a message.
    fn look(&self, bytes: &[u8], now: Timestamp) -> Result<Found, Failure> {
        match serde_json::from_slice::<serde_json::Value>(bytes) {
            Ok(json) if json.get("signed").is_some() => tuf::look(bytes, json, &self.trusted, now),
            Ok(json) if json.get("dsseEnvelope").is_some() => {
                proof::signature(&self.file, bytes, &self.trusted)
            }
            Ok(json) if json.get("bomFormat").is_some() => proof::bom(&self.file, bytes, json),
            Ok(json) => document::look(&self.file, bytes, json, now)
                .ok_or_else(|| unknown(&self.file, "it is JSON, but neither a manifest, signature, bill of materials, model, release, claim, deployer list nor TUF file")),
            Err(_) => message::look(bytes, &self.trusted, now)?
                .ok_or_else(|| unknown(&self.file, "it is neither JSON nor a signed message")),
        }
    }
}

/// Reads a file whole, if it is not too large to be one of ours.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let size = std::fs::metadata(file)
        .map_err(Failure::reading(file))?
        .len();
    if size > MAX_FILE_BYTES {
        let why = format!("it has {size} bytes, and nothing that is signed here is that large");
        return Err(unknown(file, &why));
    }
    std::fs::read(file).map_err(Failure::reading(file))
}

fn unknown(file: &Path, why: &str) -> Failure {
    Failure::usage(
        format!("{} is nothing that can be inspected: {why}", file.display()),
        "name a bundle, a signed message, or a manifest, model, release, claim, deployer or TUF file",
    )
}

impl Shown for Inspection {
    fn text(&self, _now: Timestamp) -> String {
        let mut about = vec![
            ("kind", self.kind.clone()),
            ("digest", self.digest.to_string()),
            ("size", format!("{} bytes", self.bytes)),
        ];
        about.extend(
            self.checks
                .iter()
                .map(|check| (check.what.as_str(), words(&check.verdict))),
        );
        let content = serde_json::to_string_pretty(&self.content).unwrap_or_default();
        format!("{}\n\n{content}", facts(about))
    }
}

fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Verified(detail) => format!("verified: {detail}"),
        Verdict::Failed(detail) => format!("FAILED: {detail}"),
        Verdict::NotVerified(detail) => format!("NOT VERIFIED: {detail}"),
    }
}

/// Whether a moment has come.
fn still_valid(what: &str, expires: Timestamp, now: Timestamp) -> Check {
    let verdict = if now < expires {
        Verdict::Verified(format!("until {expires}"))
    } else {
        Verdict::Failed(format!("ended at {expires}"))
    };
    Check::new(what, verdict)
}
