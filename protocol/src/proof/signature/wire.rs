//! The three layers of JSON in a `model.sig`. Fields that we do not know are passed over, as each of the three
//! specifications asks; values that we do not know are refused.

use std::collections::{BTreeMap, btree_map::Entry};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BundleSignature, PAYLOAD_TYPE, SignatureError, Statement, shortened};
use crate::{BundlePath, Digest, manifest::SIGNATURE_FILE, proof::BundleKey};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";
const METHOD: &str = "files";
const ALGORITHM: &str = "sha256";

/// The Sigstore bundle.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SigstoreBundle {
    media_type: String,
    verification_material: VerificationMaterial,
    dsse_envelope: DsseEnvelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerificationMaterial {
    public_key: PublicKeyIdentifier,
    /// Empty with the method `key`, which needs no log; some verifiers insist on the field.
    #[serde(default)]
    tlog_entries: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct PublicKeyIdentifier {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DsseEnvelope {
    payload: String,
    payload_type: String,
    signatures: Vec<DsseSignature>,
}

#[derive(Serialize, Deserialize)]
struct DsseSignature {
    sig: String,
    /// Without meaning here; some verifiers insist on the field.
    #[serde(default)]
    keyid: Option<String>,
}

/// The in-toto statement.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InTotoStatement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

#[derive(Serialize, Deserialize)]
struct SubjectDigest {
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct Predicate {
    resources: Vec<Resource>,
    serialization: Serialization,
}

#[derive(Serialize, Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

#[derive(Serialize, Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
    allow_symlinks: bool,
    /// Written for others; we refuse whatever was not signed.
    #[serde(default)]
    ignore_paths: Vec<String>,
}

pub(super) fn statement(says: &Statement) -> Result<Vec<u8>, SignatureError> {
    let resource = |(path, digest): (&BundlePath, &Digest)| Resource {
        name: path.to_string(),
        algorithm: ALGORITHM.to_owned(),
        digest: digest.to_string(),
    };
    let statement = InTotoStatement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: vec![Subject {
            name: says.subject.clone(),
            digest: SubjectDigest {
                sha256: says.root().to_string(),
            },
        }],
        predicate_type: PREDICATE_TYPE.to_owned(),
        predicate: Predicate {
            resources: says.files.iter().map(resource).collect(),
            serialization: Serialization {
                method: METHOD.to_owned(),
                hash_type: ALGORITHM.to_owned(),
                allow_symlinks: false,
                ignore_paths: vec![SIGNATURE_FILE.to_owned()],
            },
        },
    };
    Ok(serde_json::to_vec(&statement)?)
}

pub(super) fn bundle(
    key: &BundleKey,
    payload: &[u8],
    signature: &[u8],
) -> Result<Vec<u8>, SignatureError> {
    let bundle = SigstoreBundle {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: VerificationMaterial {
            public_key: PublicKeyIdentifier {
                hint: key.fingerprint().to_string(),
            },
            tlog_entries: Vec::new(),
        },
        dsse_envelope: DsseEnvelope {
            payload: BASE64.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![DsseSignature {
                sig: BASE64.encode(signature),
                keyid: Some(String::new()),
            }],
        },
    };
    Ok(serde_json::to_vec_pretty(&bundle)?)
}

pub(super) fn read_bundle(bytes: &[u8]) -> Result<BundleSignature, SignatureError> {
    let bundle: SigstoreBundle = serde_json::from_slice(bytes)?;
    let envelope = bundle.dsse_envelope;
    demand("media type", MEDIA_TYPE, &bundle.media_type)?;
    demand("payload type", PAYLOAD_TYPE, &envelope.payload_type)?;
    let signature = only(&envelope.signatures, "signatures")?;
    let decode = |text: &str, what| {
        BASE64
            .decode(text)
            .map_err(|_| SignatureError::Base64(what))
    };
    Ok(BundleSignature {
        hint: bundle.verification_material.public_key.hint,
        payload: decode(&envelope.payload, "payload")?,
        signature: decode(&signature.sig, "signature")?,
    })
}

pub(super) fn read_statement(payload: &[u8]) -> Result<Statement, SignatureError> {
    let statement: InTotoStatement = serde_json::from_slice(payload)?;
    demand("statement type", STATEMENT_TYPE, &statement.kind)?;
    demand("predicate type", PREDICATE_TYPE, &statement.predicate_type)?;
    let serialization = &statement.predicate.serialization;
    demand("method", METHOD, &serialization.method)?;
    demand("hash type", ALGORITHM, &serialization.hash_type)?;
    let subject = only(&statement.subject, "subjects")?;
    let says = Statement {
        subject: shortened(&subject.name),
        files: files(&statement.predicate.resources)?,
    };
    match says.root().to_string() == subject.digest.sha256 {
        true => Ok(says),
        false => Err(SignatureError::Subject),
    }
}

fn files(resources: &[Resource]) -> Result<BTreeMap<BundlePath, Digest>, SignatureError> {
    let mut files = BTreeMap::new();
    for resource in resources {
        let path: BundlePath = resource.name.parse()?;
        demand("algorithm", ALGORITHM, &resource.algorithm)?;
        let Ok(digest) = resource.digest.parse() else {
            return Err(SignatureError::NoDigest(path));
        };
        match files.entry(path) {
            Entry::Vacant(place) => place.insert(digest),
            Entry::Occupied(first) => return Err(SignatureError::Twice(first.key().clone())),
        };
    }
    Ok(files)
}

fn demand(what: &'static str, expected: &'static str, found: &str) -> Result<(), SignatureError> {
    if found == expected {
        return Ok(());
    }
    Err(SignatureError::Form {
        what,
        expected,
        found: shortened(found),
    })
}

fn only<'a, T>(all: &'a [T], what: &'static str) -> Result<&'a T, SignatureError> {
    match all {
        [one] => Ok(one),
        _ => Err(SignatureError::NotOne(all.len(), what)),
    }
}
