//! `espalier release sign`: the release key signs here, never on the server.

use std::path::{Path, PathBuf};

use clap::Args;
use espalier_api::release::{ReleaseSignature, ReleaseView, SigningRequestView};
use espalier_api::tuf::TufTargetsView;
use espalier_protocol::Digest;
use espalier_protocol::id::ReleaseId;
use espalier_protocol::release::ReleaseDocument;
use espalier_protocol::trust::{DEPLOYER_TARGET, DeployerKeys, TrustLevel};
use espalier_trust::draft::{Document, DraftError, TargetsDraft, short};
use espalier_trust::keys::{KeyFile, KeyFolder, KeyRole, KeySource};
use espalier_trust::tuf::{TargetFile, TrustedRoot, TrustedTargets, read_targets};
use espalier_trust::{Lifetimes, newest_root};
use jiff::Timestamp;

use super::bundles;
use crate::client::Client;
use crate::commands::Context;
use crate::commands::keys::{PassphraseArgs, fresh, targets_draft_view, write_draft};
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
///
/// Each bundle also gets a signature of its own, by the key in bundle.key.json of the same folder, which
/// other people's tools verify (see `espalier release export`).
///
/// Where several holders must sign, the first one writes a draft (--draft), the others add their
/// signatures with `espalier keys targets sign`, and the last one hands it in with `espalier keys
/// targets publish`.
#[derive(Debug, Args)]
pub struct Sign {
    /// The release's id
    id: ReleaseId,
    /// The folder that holds targets.key.json [default: keys in the state folder]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// The root that the signature must answer to [default: the newest N.root.json beside the key]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Also accept the deployer keys that the server names, although the current targets name others; says which they
    /// are before it signs
    #[arg(long)]
    accept_new_deployer: bool,
    /// Write what is signed into a draft for the other holders, and hand nothing in
    #[arg(long, value_name = "FILE")]
    draft: Option<PathBuf>,
}

impl Sign {
    /// Checks, signs and hands the signature in.
    ///
    /// # Errors
    /// When something does not verify, the key cannot be used, or the server refuses.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        // Looked at first: a signature that cannot be kept is not made.
        let into = self.draft.clone().map(fresh).transpose()?;
        let keys = self.key_folder(&context);
        let root = self.trusted_root(&keys)?;
        let client = context.client()?;
        let request: SigningRequestView = client
            .get(&format!("/releases/{}/signing-request", self.id))
            .await?;
        let repository: TufTargetsView = client.get("/tuf/targets").await?;
        refuse_older_root(&root, &repository)?;
        let mut draft = self.next(root, &request, &repository, context.output.now())?;
        let key = self.open_key(&keys, draft.root())?;
        announce(context.output, &request, key.trust());
        announce_deployer(context.output, &draft)?;
        draft.sign(key.as_ref()).map_err(wrong_key)?;
        self.sign_bundles(&context, &client, &keys, &request)
            .await?;
        if let Some(file) = into {
            write_draft(&file, &draft)?;
            let view = targets_draft_view(&draft)?.written(file);
            return context.output.show(&view);
        }
        let path = format!("/releases/{}/signature", self.id);
        let release: ReleaseView = client.post(&path, &signature(&draft)?).await?;
        context.output.show(&release)
    }

    /// The bundles' own signatures come first: a release is not taken without them.
    async fn sign_bundles(
        &self,
        context: &Context,
        client: &Client,
        keys: &KeyFolder,
        request: &SigningRequestView,
    ) -> Result<(), Failure> {
        let key = self.passphrase.open_bundle_key(keys, &context.random)?;
        let signatures = bundles::sign(request, &key, &context.random)?;
        let path = format!("/releases/{}/bundle-signatures", self.id);
        client.post::<ReleaseView>(&path, &signatures).await?;
        Ok(())
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
        let advice = "take the root from a claim, and name it with --root";
        let Some(path) = &self.root else {
            let newest = newest_root(keys.path());
            let newest = newest.map_err(|err| Failure::untrusted(err.to_string(), advice))?;
            return newest.ok_or_else(|| no_root(&keys.root(1)));
        };
        let bytes = std::fs::read(path).map_err(Failure::reading(path))?;
        TrustedRoot::read(&bytes).map_err(|err| {
            let what = format!("the root in {} does not verify: {err}", path.display());
            Failure::untrusted(what, advice)
        })
    }

    /// The targets that name the release beside all that is named already, before anybody signed them.
    fn next(
        &self,
        root: TrustedRoot,
        request: &SigningRequestView,
        repository: &TufTargetsView,
        now: Timestamp,
    ) -> Result<TargetsDraft, Failure> {
        let current = current_targets(&root, repository)?;
        let documents = self.documents(request, current.as_ref())?;
        let current = current.as_ref().map(TrustedTargets::bytes);
        let expires = now + Lifetimes::default().targets;
        TargetsDraft::next(root, None, current, documents, expires)
            .map_err(|err| unverified("the next targets", err))
    }

    /// The files that the next targets name beside the current ones.
    fn documents(
        &self,
        request: &SigningRequestView,
        current: Option<&TrustedTargets>,
    ) -> Result<Vec<Document>, Failure> {
        let release = release_document(request)?;
        let deployer = TargetFile::new(DEPLOYER_TARGET, request.deployer_json.as_bytes())
            .map_err(|err| unverified("the target", err))?;
        let known = current.is_some_and(|current| current.names(&deployer));
        if !known && !self.accept_new_deployer {
            return Err(Failure::untrusted(
                "the server names deployer keys that the current targets do not name",
                "if you rotate the deployer's keys on purpose, say --accept-new-deployer; else the server may be taken over",
            ));
        }
        let deployer = Document {
            name: DEPLOYER_TARGET.to_owned(),
            text: request.deployer_json.clone(),
        };
        Ok(vec![release, deployer])
    }

    /// The key of the folder that the root names for targets; several may lie there while one replaces another.
    fn open_key(
        &self,
        keys: &KeyFolder,
        root: &TrustedRoot,
    ) -> Result<Box<dyn KeySource>, Failure> {
        let advice = "name the folder with the key that the root names for targets (--keys)";
        let unusable = |err: String| Failure::usage(err, advice);
        let holders = root
            .plan()
            .map_err(|err| unusable(err.to_string()))?
            .targets;
        let files = keys.files(KeyRole::Targets);
        for path in files.map_err(|err| unusable(err.to_string()))? {
            let file = KeyFile::read(&path).map_err(|err| unusable(err.of(&path).to_string()))?;
            if holders.contain(file.public_key().id()) {
                return Ok(Box::new(self.passphrase.open(&path)?));
            }
        }
        Err(unusable(format!(
            "no key in {} is one that root version {} names for targets",
            keys.path().display(),
            root.version()
        )))
    }
}

/// Signatures under a root that devices have left behind would be refused.
fn refuse_older_root(root: &TrustedRoot, repository: &TufTargetsView) -> Result<(), Failure> {
    let (here, there) = (root.version().get(), repository.root_version);
    if here >= there {
        return Ok(());
    }
    Err(Failure::untrusted(
        format!("the server speaks of root version {there}, and the newest one here is {here}"),
        format!("put {there}.root.json, and those before it, from the key ceremony beside the key"),
    ))
}

/// The signed targets, when one signature was enough.
fn signature(draft: &TargetsDraft) -> Result<ReleaseSignature, Failure> {
    let Some(made) = draft.finished().map_err(wrong_key)? else {
        let missing = draft.requirement().map_err(wrong_key)?.missing();
        return Err(Failure::usage(
            format!("{missing} more must sign, so nothing was handed in"),
            "write a draft for the other holders with --draft FILE",
        ));
    };
    Ok(ReleaseSignature {
        targets_json: String::from_utf8_lossy(&made.bytes).into_owned(),
    })
}

fn wrong_key(err: DraftError) -> Failure {
    Failure::untrusted(
        err.to_string(),
        "sign with the key that the root names for targets (--keys)",
    )
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
fn release_document(request: &SigningRequestView) -> Result<Document, Failure> {
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
    Ok(Document {
        name: ReleaseDocument::target_name(&document.model, &digest),
        text: request.release_json.clone(),
    })
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

fn unverified(what: &str, err: impl std::fmt::Display) -> Failure {
    Failure::untrusted(
        format!("{what} does not verify: {err}"),
        "do not sign; look into what answers at the server's address",
    )
}

/// Says who may deploy from now on, where that changes: a key that the signer does not expect there may be stolen.
fn announce_deployer(output: Output, draft: &TargetsDraft) -> Result<(), Failure> {
    let Some(json) = draft.deployer_json() else {
        return Ok(());
    };
    let list: DeployerKeys =
        serde_json::from_str(json).map_err(|err| unverified("the list of deployer keys", err))?;
    output.remark(format_args!("deployer keys from now on:"));
    for key in &list.keys {
        output.remark(format_args!(
            "  {}  {}",
            short(key.id()),
            String::from(*key)
        ));
    }
    Ok(())
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
