//! `espalier release sign`: the release key signs here, never on the server.

use std::path::{Path, PathBuf};

use clap::Args;
use espalier_api::release::{ReleaseSignature, ReleaseView, SigningRequestView};
use espalier_api::tuf::TufTargetsView;
use espalier_protocol::Digest;
use espalier_protocol::id::ReleaseId;
use espalier_protocol::release::ReleaseDocument;
use espalier_protocol::trust::{DEPLOYER_TARGET, TrustLevel};
use espalier_trust::Lifetimes;
use espalier_trust::keys::{KeyFolder, KeyRole, KeySource};
use espalier_trust::tuf::{
    SignedFile, TargetFile, TrustedRoot, TrustedTargets, read_targets, sign_targets,
};
use jiff::Timestamp;

use crate::commands::Context;
use crate::commands::status::DEVELOPMENT_KEYS;
use crate::failure::Failure;
use crate::format::bytes;
use crate::output::Output;

/// The folder of keys within a state folder.
const KEYS_FOLDER: &str = "keys";

/// Sign a release with the release key on this machine.
///
/// What the server asks to be signed is checked first: the release document must be what its digest
/// says, the current targets must be signed under the root, and the deployer's keys must be those
/// that are named already. The root is this machine's own, never the server's: whoever chooses the
/// root chooses whose targets are taken as the current ones, and signed again. The private key never
/// leaves this machine.
#[derive(Debug, Args)]
pub struct Sign {
    /// The release's id
    id: ReleaseId,
    /// The folder that holds targets.key.json [default: keys in the state folder]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// A file with the passphrase of the key, if it has one
    #[arg(long, value_name = "FILE", env = "ESPALIER_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
    /// The root that the signature must answer to [default: 1.root.json beside the key]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Also accept the deployer keys that the server names, although the current targets name others
    #[arg(long)]
    accept_new_deployer: bool,
}

impl Sign {
    /// Checks, signs and hands the signature in.
    ///
    /// # Errors
    /// When something does not verify, the key cannot be used, or the server refuses.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let keys = self.key_folder(&context);
        let root = self.trusted_root(&keys)?;
        let client = context.client()?;
        let request: SigningRequestView = client
            .get(&format!("/releases/{}/signing-request", self.id))
            .await?;
        let repository: TufTargetsView = client.get("/tuf/targets").await?;
        let current = current_targets(&root, &repository)?;
        let files = self.files(&request, current.as_ref())?;
        let key = self.open_key(&keys)?;
        announce(context.output, &request, key.trust());
        let signed = sign(
            &root,
            current.as_ref(),
            &files,
            key.as_ref(),
            context.output.now(),
        )?;
        let targets_json = String::from_utf8_lossy(&signed.bytes).into_owned();
        let path = format!("/releases/{}/signature", self.id);
        let release: ReleaseView = client
            .post(&path, &ReleaseSignature { targets_json })
            .await?;
        context.output.show(&release)
    }

    fn key_folder(&self, context: &Context) -> KeyFolder {
        let folder = self
            .keys
            .clone()
            .unwrap_or_else(|| context.connection.state_folder().join(KEYS_FOLDER));
        KeyFolder::new(folder)
    }

    /// The root of the operator's own disk. Under a root of its choice, a server that is taken over could
    /// show targets of its own as the current ones, and have them signed with the operator's key.
    fn trusted_root(&self, keys: &KeyFolder) -> Result<TrustedRoot, Failure> {
        let beside_the_key = keys.first_root();
        let path = match &self.root {
            Some(path) => path,
            None if beside_the_key.is_file() => &beside_the_key,
            None => return Err(no_root(&beside_the_key)),
        };
        let bytes = std::fs::read(path).map_err(Failure::reading(path))?;
        TrustedRoot::read(&bytes).map_err(|err| {
            Failure::untrusted(
                format!("the root in {} does not verify: {err}", path.display()),
                "take the root from a claim, and name it with --root",
            )
        })
    }

    /// The files that the next targets name beside the current ones.
    fn files(
        &self,
        request: &SigningRequestView,
        current: Option<&TrustedTargets>,
    ) -> Result<Vec<TargetFile>, Failure> {
        let release = release_target(request)?;
        let deployer = target(DEPLOYER_TARGET, request.deployer_json.as_bytes())?;
        let known = current.is_some_and(|current| current.names(&deployer));
        if !known && !self.accept_new_deployer {
            return Err(Failure::untrusted(
                "the server names deployer keys that the current targets do not name",
                "if you rotate the deployer's keys on purpose, say --accept-new-deployer; else the server may be taken over",
            ));
        }
        Ok(vec![release, deployer])
    }

    fn open_key(&self, keys: &KeyFolder) -> Result<Box<dyn KeySource>, Failure> {
        let passphrase = match &self.passphrase_file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(Failure::reading(path))?),
            None => None,
        };
        let passphrase = passphrase
            .as_deref()
            .map(|text| text.trim_end_matches(['\r', '\n']));
        let key = keys.open(KeyRole::Targets, passphrase).map_err(|err| {
            Failure::usage(
                err.to_string(),
                "name the folder with --keys; an encrypted key also needs --passphrase-file",
            )
        })?;
        Ok(Box::new(key))
    }
}

fn no_root(expected: &Path) -> Failure {
    Failure::usage(
        format!(
            "there is no root to sign under: {} does not exist",
            expected.display()
        ),
        "name one with --root: every claim holds it (`jq -j .tuf_root FILE.claim > 1.root.json`); the server is not asked for it",
    )
}

/// The release document as a target, once it is what the server says it is.
fn release_target(request: &SigningRequestView) -> Result<TargetFile, Failure> {
    let bytes = request.release_json.as_bytes();
    let document =
        ReleaseDocument::parse(bytes).map_err(|err| unverified("the release document", err))?;
    let digest = Digest::of(bytes);
    if digest != request.digest || document.id != request.release {
        return Err(Failure::untrusted(
            "the release document is not the one that the server announces",
            "do not sign it; look into what answers at the server's address",
        ));
    }
    target(&ReleaseDocument::target_name(&digest), bytes)
}

fn target(name: &str, bytes: &[u8]) -> Result<TargetFile, Failure> {
    TargetFile::new(name, bytes).map_err(|err| unverified("the target", err))
}

fn current_targets(
    root: &TrustedRoot,
    repository: &TufTargetsView,
) -> Result<Option<TrustedTargets>, Failure> {
    let read = |json: &String| {
        read_targets(root, json.as_bytes()).map_err(|err| unverified("the current targets", err))
    };
    repository.targets_json.as_ref().map(read).transpose()
}

fn sign(
    root: &TrustedRoot,
    current: Option<&TrustedTargets>,
    files: &[TargetFile],
    key: &dyn KeySource,
    now: Timestamp,
) -> Result<SignedFile, Failure> {
    let expires = now + Lifetimes::default().targets;
    sign_targets(root, current, files, expires, &[key]).map_err(|err| {
        Failure::untrusted(
            err.to_string(),
            "sign with the key that the root names for targets (--keys)",
        )
    })
}

fn unverified(what: &str, err: impl std::fmt::Display) -> Failure {
    Failure::untrusted(
        format!("{what} does not verify: {err}"),
        "do not sign; look into what answers at the server's address",
    )
}

/// Says what is about to be signed: a signer should never sign blindly.
fn announce(output: Output, request: &SigningRequestView, trust: TrustLevel) {
    output.remark(format_args!(
        "signing release {} (digest {})",
        request.release, request.digest
    ));
    // Read once already, so it parses.
    for build in ReleaseDocument::parse(request.release_json.as_bytes())
        .map(|d| d.builds)
        .unwrap_or_default()
    {
        output.remark(format_args!(
            "  {}  bundle {}  {}",
            build.device_class,
            build.bundle,
            bytes(build.files_bytes)
        ));
    }
    if trust == TrustLevel::Development {
        output.remark(format_args!("note: {DEVELOPMENT_KEYS}"));
    }
}
