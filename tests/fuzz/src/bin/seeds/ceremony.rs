//! What travels between the holders of keys: drafts, roots, and the files of keys.

use std::io;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use espalier_fuzz_targets::drafts::{self, ROOT_HOLDERS, TARGETS_HOLDER};
use espalier_fuzz_targets::fixture::{
    self, DEVICE, PASSPHRASE, STRANGER, cloud, key, pkcs8, signing_key,
};
use espalier_protocol::Digest;
use espalier_protocol::trust::PublicKey;
use espalier_trust::draft::{Document, DraftError, RootDraft, TargetsDraft};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::pbkdf2;
use serde_json::{Value, json};
use sigstore_tuf::canonical_json::to_canonical_bytes;

use super::{Corpus, hazards};

/// Fewer rounds of key derivation than any real file has: a target opens thousands of files in a second.
const ROUNDS: u32 = 10;

pub fn write(corpus: &Corpus) -> io::Result<()> {
    root_drafts(corpus).map_err(io::Error::other)?;
    targets_drafts(corpus).map_err(io::Error::other)?;
    next_roots(corpus)?;
    key_files(corpus)?;
    bundle_key_files(corpus)
}

/// An error of either side.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Canonical(#[from] sigstore_tuf::Error),
}

fn root_drafts(corpus: &Corpus) -> Result<(), Failed> {
    let first = drafts::first_root()?.to_bytes()?;
    corpus.put("root-draft", "first", first)?;
    let mut second = drafts::second_root()?;
    corpus.put("root-draft", "with-a-field-untold", untold(&second)?)?;
    second.sign(&*key(ROOT_HOLDERS[0]))?;
    hazards::json(corpus, "root-draft", "second", &text(&second.to_bytes()?))?;
    second.sign(&*key(ROOT_HOLDERS[1]))?;
    corpus.put("root-draft", "finished", second.to_bytes()?)?;
    Ok(())
}

/// A root that says more than its draft's words do.
fn untold(draft: &RootDraft) -> Result<String, Failed> {
    let mut file: Value = serde_json::from_slice(&draft.to_bytes()?)?;
    file["next"]["signed"]["x-untold"] = json!("a field that no word tells");
    told_anew(file)
}

/// With the fingerprint of what it holds now.
fn told_anew(mut draft: Value) -> Result<String, Failed> {
    let message = to_canonical_bytes(&draft["next"]["signed"])?;
    draft["fingerprint"] = json!(Digest::of(&message));
    Ok(draft.to_string())
}

fn targets_drafts(corpus: &Corpus) -> Result<(), Failed> {
    let put = |name, draft: &TargetsDraft| -> Result<(), Failed> {
        corpus.put("targets-draft", name, draft.to_bytes()?)?;
        Ok(())
    };
    put("first", &drafts::first_targets()?)?;
    let mut third = drafts::third_targets()?;
    third.sign(&*key(TARGETS_HOLDER))?;
    put("third-under-the-second-root", &third)?;
    let mut second = drafts::second_targets()?;
    second.sign(&*key(TARGETS_HOLDER))?;
    hazards::json(
        corpus,
        "targets-draft",
        "second",
        &text(&second.to_bytes()?),
    )?;
    corpus.put("targets-draft", "that-changes-a-release", changing()?)?;
    Ok(())
}

/// Targets that name other bytes under a release's standing name, with words that say so.
fn changing() -> Result<String, Failed> {
    let cloud = cloud();
    let (old, new) = (cloud.release_target.name(), "release.tile-defect.new.json");
    let document = Document {
        name: new.to_owned(),
        text: "other bytes".to_owned(),
    };
    let expires = cloud.targets.expires;
    let current = Some(&cloud.targets.bytes[..]);
    let honest = TargetsDraft::next(cloud.root.clone(), None, current, vec![document], expires)?
        .to_bytes()?;
    let mut draft: Value = serde_json::from_slice(&honest)?;
    let bytes = draft["documents"][new].take();
    draft["documents"] = json!({ old: bytes });
    let target = draft["next"]["signed"]["targets"][new].take();
    draft["next"]["signed"]["targets"][old] = target;
    if let Some(targets) = draft["next"]["signed"]["targets"].as_object_mut() {
        targets.remove(new);
    }
    for line in draft["says"].as_array_mut().into_iter().flatten() {
        *line = json!(line.as_str().unwrap_or_default().replace(new, old));
    }
    told_anew(draft)
}

fn next_roots(corpus: &Corpus) -> io::Result<()> {
    let root = text(&drafts::signed_second_root().bytes);
    hazards::json(corpus, "next-root", "second", &root)?;
    corpus.put("next-root", "first-again", &cloud().first.root.bytes)?;
    for (name, holder) in [
        ("by-the-first-holder-only", 0),
        ("by-the-new-holder-only", 1),
    ] {
        let mut file: Value = serde_json::from_str(&root)?;
        file["signatures"] = json!([file["signatures"][holder]]);
        corpus.put("next-root", name, file.to_string())?;
    }
    let mark = "\"x-espalier-trust\":";
    let twice = root.replacen(mark, &format!("{mark} \"production\", {mark}"), 1);
    corpus.put("next-root", "with-its-mark-twice", twice)
}

/// The private half under [`PASSPHRASE`], for the public half that `label` names.
fn sealed(pkcs8: &[u8], label: &[u8]) -> io::Result<Value> {
    let (salt, nonce) = ([7; 16], [9; 12]);
    let (mut derived, rounds) = ([0; 32], NonZeroU32::MIN.saturating_add(ROUNDS - 1));
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::derive(
        algorithm,
        rounds,
        &salt,
        PASSPHRASE.as_bytes(),
        &mut derived,
    );
    let mut secret = pkcs8.to_vec();
    UnboundKey::new(&AES_256_GCM, &derived)
        .map(LessSafeKey::new)
        .and_then(|key| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            key.seal_in_place_append_tag(nonce, Aad::from(label), &mut secret)
        })
        .map_err(|_| io::Error::other("the key is not sealed"))?;
    Ok(json!({
        "version": 1, "protection": "passphrase",
        "kdf": {"name": "pbkdf2-hmac-sha256", "rounds": rounds, "salt": STANDARD.encode(salt)},
        "cipher": {
            "name": "aes-256-gcm", "nonce": STANDARD.encode(nonce), "ciphertext": STANDARD.encode(secret),
        },
    }))
}

fn key_files(corpus: &Corpus) -> io::Result<()> {
    let public = |seed: u8| -> PublicKey { signing_key(seed).public() };
    let mut file = sealed(&pkcs8(DEVICE), public(DEVICE).as_bytes())?;
    file["public_key"] = json!(public(DEVICE));
    hazards::json(corpus, "key-file", "sealed", &file.to_string())?;
    corpus.put("key-file", "of-endless-rounds", endless(&file))?;
    file["public_key"] = json!(public(STRANGER));
    corpus.put("key-file", "sealed-and-relabelled", file.to_string())
}

fn endless(file: &Value) -> String {
    let mut file = file.clone();
    file["kdf"]["rounds"] = json!(u32::MAX);
    file.to_string()
}

fn bundle_key_files(corpus: &Corpus) -> io::Result<()> {
    let (public, _) = fixture::bundle_key();
    let mut file = sealed(fixture::BUNDLE_PKCS8, public.to_pem().as_bytes())?;
    file["public_key"] = json!(public);
    let target = "bundle-key-file";
    hazards::json(corpus, target, "sealed", &file.to_string())?;
    corpus.put(target, "of-endless-rounds", endless(&file))?;
    let development = json!({
        "version": 1, "public_key": public, "protection": "development",
        "pkcs8": STANDARD.encode(fixture::BUNDLE_PKCS8),
    });
    let padded = format!("{}{development}", " ".repeat(16 * 1024));
    corpus.put(target, "past-its-limit", padded)?;
    corpus.put(target, "development", development.to_string())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
