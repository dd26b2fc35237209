//! The bundles' own signatures, for other people's tools: made here from the manifests, without a byte of a model.

use espalier_api::release::{BundleSignatures, SignedBundle, SigningRequestView};
use espalier_protocol::Digest;
use espalier_protocol::manifest::Manifest;
use espalier_protocol::release::{ReleaseDocument, ReleasedBuild};
use espalier_trust::keys::BundleSigner;
use ring::rand::SecureRandom;

use crate::failure::Failure;

/// Signs every bundle of the release, once the manifest that the server shows is the one that the release names.
///
/// # Errors
/// When it is not, or the key does not sign.
pub fn sign(
    request: &SigningRequestView,
    key: &BundleSigner,
    random: &dyn SecureRandom,
) -> Result<BundleSignatures, Failure> {
    let release = ReleaseDocument::parse(request.release_json.as_bytes())
        .map_err(|err| unverified("the release document", err))?;
    let mut bundles = Vec::with_capacity(release.builds.len());
    for build in &release.builds {
        let manifest = manifest(request, &release, build)?;
        let signed = key
            .sign(manifest.as_bytes(), random)
            .map_err(|err| unverified(&format!("the bundle for {}", build.device_class), err))?;
        bundles.push(SignedBundle {
            device_class: build.device_class.clone(),
            // JSON, which we have just written.
            model_sig: String::from_utf8_lossy(&signed).into_owned(),
        });
    }
    Ok(BundleSignatures {
        key: key.public_key().to_pem(),
        bundles,
    })
}

/// The manifest of a build, byte by byte as the release names it.
fn manifest<'a>(
    request: &'a SigningRequestView,
    release: &ReleaseDocument,
    build: &ReleasedBuild,
) -> Result<&'a str, Failure> {
    let class = &build.device_class;
    let what = format!("the bundle for {class}");
    let shown = request.bundles.iter().find(|b| b.device_class == *class);
    let text = shown
        .map(|bundle| bundle.manifest_json.as_str())
        .ok_or_else(|| unverified(&what, "the server shows no manifest of it"))?;
    if Digest::of(text.as_bytes()) != build.bundle {
        return Err(unverified(&what, "its manifest has another digest"));
    }
    let manifest = Manifest::parse(text.as_bytes()).map_err(|err| unverified(&what, err))?;
    let says = (
        &manifest.model,
        manifest.model_version,
        &manifest.device_class,
    );
    match says == (&release.model, release.model_version, class) {
        true => Ok(text),
        false => Err(unverified(
            &what,
            "its manifest is of another model, version or class",
        )),
    }
}

fn unverified(what: &str, err: impl std::fmt::Display) -> Failure {
    Failure::untrusted(
        format!("{what} does not verify: {err}"),
        "do not sign; look into what answers at the server's address",
    )
}
