//! The worker's bundle gets its bill of materials, and with it its final manifest.
//!
//! The supervisor writes both itself, and digests what the build was made from; figures and descriptions are as the
//! worker, who opened the model, reported them.

use std::io::{ErrorKind, Write};
use std::path::Path;

use espalier_protocol::Digest;
use espalier_protocol::manifest::{BOM_FILE, FileEntry, MANIFEST_FILE, Manifest};
use espalier_protocol::proof::Bom;
use espalier_protocol::proof::bom::BomError;

use super::{JobError, verify};

/// Checks the bundle that a worker left in `folder`, adds what `describe` says of it, and gives its digest. A
/// bill of materials that is there already was left by a run that was killed here, or by a worker that makes
/// things up; either way it is written anew.
pub(super) fn bundle(
    folder: &Path,
    describe: impl FnOnce(&Manifest) -> Result<Bom, BomError>,
) -> Result<Digest, JobError> {
    let mut manifest = verify::manifest(folder)?;
    manifest.files.retain(|path, _| path.as_str() != BOM_FILE);
    forget(&folder.join(BOM_FILE))?;
    verify::files(folder, &manifest)?;
    let bom = describe(&manifest)?.to_json()?;
    std::fs::File::create_new(folder.join(BOM_FILE))?.write_all(&bom)?;
    let entry = FileEntry {
        size: bom.len() as u64,
        sha256: Digest::of(&bom),
    };
    let path = BOM_FILE.parse().map_err(verify::VerifyError::from)?;
    manifest.files.insert(path, entry);
    replace_manifest(folder, &manifest)
}

/// The worker's manifest stays until the new one is whole, so that a job killed here can begin this stage again.
fn replace_manifest(folder: &Path, manifest: &Manifest) -> Result<Digest, JobError> {
    let bytes = serde_json::to_vec_pretty(manifest).map_err(std::io::Error::other)?;
    // One file more than the worker had: what a device would refuse must not leave the forge.
    Manifest::parse(&bytes).map_err(verify::VerifyError::from)?;
    // Beside the bundle, where nothing foreign may lie.
    let partial = folder.with_extension("manifest.partial");
    std::fs::write(&partial, &bytes)?;
    std::fs::rename(&partial, folder.join(MANIFEST_FILE))?;
    Ok(Digest::of(&bytes))
}

fn forget(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
