//! Bundles: a manifest with the files beside it, or the whole folder with its signature and bill of materials.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use espalier_protocol::manifest::{
    BOM_FILE, FileEntry, MANIFEST_FILE, Manifest, ManifestError, SIGNATURE_FILE,
};
use espalier_protocol::proof::Statement;
use espalier_protocol::{BundlePath, Digest};
use serde_json::Value;

use super::proof::{self, Verified};
use super::{Check, Found, TrustedArgs, Verdict};
use crate::digest;
use crate::failure::Failure;

/// The files of a folder, as far as a bundle could have them.
#[derive(Default)]
struct Contents {
    /// Plain files with their digests.
    files: BTreeMap<BundlePath, Digest>,
    /// Links, and names that no bundle can have.
    foreign: Vec<PathBuf>,
}

/// Looks at a manifest, and at the files that it lists.
pub fn manifest(path: &Path, bytes: &[u8], json: Value) -> Found {
    let manifest = Manifest::parse(bytes);
    let mut checks = vec![
        schema(&manifest),
        super::document::unsigned("the release document"),
    ];
    if let (Ok(manifest), Some(folder)) = (&manifest, path.parent()) {
        checks.push(listed(folder, manifest));
    }
    Found {
        kind: "bundle manifest".to_owned(),
        checks,
        content: json,
    }
}

/// Looks at a folder as a bundle: every file in it, its signature, and its bill of materials. Gives the manifest's
/// bytes with what was found.
///
/// # Errors
/// When the folder or a file that was named as trusted cannot be read.
pub fn folder(folder: &Path, trusted: &TrustedArgs) -> Result<(Vec<u8>, Found), Failure> {
    let file = folder.join(MANIFEST_FILE);
    let bytes = super::read(&file)?;
    let contents = contents(folder)?;
    let parsed = Manifest::parse(&bytes);
    let mut checks = vec![schema(&parsed)];
    if let Ok(manifest) = &parsed {
        checks.push(listed(folder, manifest));
        checks.push(nothing_else(&contents, manifest));
        checks.push(signature(folder, &contents, trusted)?);
        checks.push(bom(folder, manifest)?);
    }
    let found = Found {
        kind: "bundle (digest and size of its manifest)".to_owned(),
        checks,
        content: serde_json::from_slice(&bytes).unwrap_or_default(),
    };
    Ok((bytes, found))
}

/// Whether the files beside a signature are those that were signed; not verified where there is no bundle.
///
/// # Errors
/// When the folder cannot be read.
pub fn signed_files(folder: &Path, signature: &Verified) -> Result<Check, Failure> {
    let verdict = match (folder.join(MANIFEST_FILE).is_file(), signature) {
        (true, Verified::Signed(statement)) => compared(statement, &contents(folder)?),
        (true, Verified::Not) => Verdict::NotVerified("the signature was not verified".into()),
        (false, _) => Verdict::NotVerified("no bundle lies beside it".into()),
    };
    Ok(Check::new("files", verdict))
}

/// A link, or a name that no bundle can have, is no file that was signed.
fn compared(statement: &Statement, contents: &Contents) -> Verdict {
    match contents.foreign.as_slice() {
        [] => proof::compare(statement, &contents.files),
        [first, ..] => Verdict::Failed(format!(
            "{} lies beside them and cannot be part of a bundle",
            first.display()
        )),
    }
}

fn schema(manifest: &Result<Manifest, ManifestError>) -> Check {
    Check::of("schema", manifest, "a bundle's manifest")
}

/// The files beside the manifest, if they are there at all.
fn listed(folder: &Path, manifest: &Manifest) -> Check {
    if manifest
        .files
        .keys()
        .all(|path| !path.under(folder).exists())
    {
        let missing = Verdict::NotVerified("none of them lies beside it".into());
        return Check::new("files", missing);
    }
    let wrong: Vec<_> = manifest
        .files
        .iter()
        .filter_map(|(path, entry)| mistake(folder, path, entry))
        .collect();
    let count = manifest.files.len();
    let verdict = match wrong.as_slice() {
        [] => Verdict::Verified(format!("all {count}, {} bytes", manifest.total_bytes())),
        wrong => Verdict::Failed(wrong.join("; ")),
    };
    Check::new("files", verdict)
}

fn mistake(folder: &Path, path: &BundlePath, entry: &FileEntry) -> Option<String> {
    match digest::of_file(&path.under(folder)) {
        Ok((size, digest)) if size == entry.size && digest == entry.sha256 => None,
        Ok((size, _)) if size != entry.size => {
            Some(format!("{path} has {size} bytes, not {}", entry.size))
        }
        Ok(_) => Some(format!("{path} has another digest")),
        Err(err) => Some(format!("{path}: {err}")),
    }
}

fn nothing_else(contents: &Contents, manifest: &Manifest) -> Check {
    let known =
        |path: &BundlePath| path.as_str() == MANIFEST_FILE || manifest.files.contains_key(path);
    let unlisted = contents.files.keys().filter(|path| !known(path));
    let extra: Vec<String> = unlisted
        .map(ToString::to_string)
        .chain(
            contents
                .foreign
                .iter()
                .map(|path| path.display().to_string()),
        )
        .collect();
    let verdict = match extra.as_slice() {
        [] => Verdict::Verified("every file is listed".into()),
        extra => Verdict::Failed(format!("not in the manifest: {}", extra.join(", "))),
    };
    Check::new("nothing else", verdict)
}

fn signature(folder: &Path, contents: &Contents, trusted: &TrustedArgs) -> Result<Check, Failure> {
    let file = folder.join(SIGNATURE_FILE);
    if !file.is_file() {
        let none = Verdict::NotVerified(format!("{SIGNATURE_FILE} is missing"));
        return Ok(Check::new("signature", none));
    }
    let (check, signature) = proof::verify(&super::read(&file)?, trusted)?;
    let Verified::Signed(statement) = signature else {
        return Ok(check);
    };
    match proof::compare(&statement, &contents.files) {
        Verdict::Verified(_) => Ok(check),
        differs => Ok(Check::new("signature", differs)),
    }
}

fn bom(folder: &Path, manifest: &Manifest) -> Result<Check, Failure> {
    let listed = manifest.files.keys().any(|path| path.as_str() == BOM_FILE);
    let file = folder.join(BOM_FILE);
    match listed && file.is_file() {
        true => Ok(proof::bom_of(&super::read(&file)?, manifest)),
        false => Ok(Check::new(
            "bill of materials",
            Verdict::NotVerified(format!("{BOM_FILE} is missing")),
        )),
    }
}

/// Every file below a folder but the signature, not following links.
fn contents(folder: &Path) -> Result<Contents, Failure> {
    let mut contents = Contents::default();
    gather(folder, folder, &mut contents)?;
    Ok(contents)
}

fn gather(root: &Path, folder: &Path, contents: &mut Contents) -> Result<(), Failure> {
    for entry in std::fs::read_dir(folder).map_err(Failure::reading(folder))? {
        let entry = entry.map_err(Failure::reading(folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(Failure::reading(&path))?;
        if kind.is_dir() {
            gather(root, &path, contents)?;
            continue;
        }
        let below = path.strip_prefix(root).unwrap_or(&path);
        match name(below).filter(|_| kind.is_file()) {
            Some(name) if name.as_str() == SIGNATURE_FILE => {}
            Some(name) => {
                let (_, digest) = digest::of_file(&path).map_err(Failure::reading(&path))?;
                contents.files.insert(name, digest);
            }
            None => contents.foreign.push(below.to_owned()),
        }
    }
    Ok(())
}

/// A path as a bundle would write it.
fn name(below: &Path) -> Option<BundlePath> {
    let parts: Option<Vec<&str>> = below.iter().map(|part| part.to_str()).collect();
    parts?.join("/").parse().ok()
}
