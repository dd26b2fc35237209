//! The bundles' own signatures arrive, made elsewhere. Who may sign is for those to judge who verify a bundle; the
//! cloud makes sure that a signature is whole and of the very bundle that it comes with.

use std::collections::BTreeMap;

use espalier_api::{
    error::ErrorCode,
    release::{BundleSignatures, ReleaseView, SignedBundle},
};
use espalier_domain::principal::Principal;
use espalier_protocol::{
    DeviceClassName, Digest,
    id::ReleaseId,
    manifest::MAX_MANIFEST_BYTES,
    proof::{BundleKey, BundleSignature, SignatureError, Statement},
    release::{ReleaseDocument, ReleasedBuild},
};
use espalier_store::Written;

use super::{record, sentence, show_release};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// Checks and keeps the signatures of a draft's bundles.
///
/// # Errors
/// `not_found`, `invalid_signature`, `too_large`; `action_not_allowed` for a release that is signed.
pub async fn sign_bundles(
    cloud: &Cloud,
    who: &Principal,
    id: ReleaseId,
    signatures: BundleSignatures,
) -> Outcome<ReleaseView> {
    let document = cloud.store()?.releases().document(&who.tenant, id).await?;
    let document = document.ok_or_else(|| Refusal::absent(format!("release {id}")))?;
    let release = ReleaseDocument::parse(&document).map_err(Refusal::internal)?;
    let key: BundleKey = signatures
        .key
        .parse()
        .map_err(|error| refused(format!("The bundles' key is {error}.")))?;
    let mut kept = BTreeMap::new();
    for signed in signatures.bundles {
        let digest = accept(cloud, &release, &key, &signed).await?;
        kept.insert(signed.device_class, digest);
    }
    require_all(&release, &kept)?;
    let written = cloud
        .store()?
        .releases()
        .keep_signatures(&who.tenant, id, &kept)
        .await?;
    judge(written, id)?;
    let fingerprint = key.fingerprint();
    record(
        cloud,
        who,
        "release.sign_bundles",
        id,
        serde_json::json!({ "key": fingerprint }),
    )
    .await?;
    show_release(cloud, who, id).await
}

/// Keeps a signature as a blob, once it is one of the release's bundle for its class.
async fn accept(
    cloud: &Cloud,
    release: &ReleaseDocument,
    key: &BundleKey,
    signed: &SignedBundle,
) -> Outcome<Digest> {
    let class = &signed.device_class;
    let build = release
        .build_for(class)
        .ok_or_else(|| refused(format!("The release has no bundle for class {class}.")))?;
    let expected = statement(cloud, build).await?;
    let bytes = signed.model_sig.as_bytes();
    let signature = BundleSignature::parse(bytes).map_err(unverified)?;
    let found = signature.verify(key).map_err(unverified)?;
    if found.files() != expected.files() {
        return Err(refused(format!(
            "The signature for class {class} is of another bundle."
        )));
    }
    Ok(cloud.blobs.put(bytes.to_vec()).await?.digest)
}

async fn statement(cloud: &Cloud, build: &ReleasedBuild) -> Outcome<Statement> {
    let manifest = cloud
        .blobs
        .load(build.bundle, MAX_MANIFEST_BYTES as u64)
        .await?;
    Statement::of(&manifest).map_err(Refusal::internal)
}

fn require_all(release: &ReleaseDocument, kept: &BTreeMap<DeviceClassName, Digest>) -> Outcome<()> {
    let mut classes = release.builds.iter().map(|build| &build.device_class);
    match classes.find(|class| !kept.contains_key(*class)) {
        None => Ok(()),
        Some(class) => Err(refused(format!(
            "There is no signature of the bundle for class {class}."
        ))),
    }
}

fn judge(written: Written, id: ReleaseId) -> Outcome<()> {
    match written {
        Written::Updated => Ok(()),
        Written::NotUpdated => Err(Refusal::new(
            ErrorCode::ActionNotAllowed,
            format!("Release {id} is signed already."),
        )),
        Written::Absent => Err(Refusal::absent(format!("release {id}"))),
    }
}

fn unverified(error: SignatureError) -> Refusal {
    match error {
        SignatureError::TooLarge(_) => Refusal::new(ErrorCode::TooLarge, sentence(&error)),
        _ => refused(sentence(&error)),
    }
}

fn refused(why: String) -> Refusal {
    Refusal::new(ErrorCode::InvalidSignature, why)
}
