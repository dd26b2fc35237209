//! A full model comes into the registry: its files gathered, its graphs inspected by the forge apart
//! from everything else, its version kept.

mod fetch;

use std::path::Path;

use espalier_api::{
    error::ErrorCode,
    model::{CreateModelVersion, ModelVersionView, NamedBlob},
};
use espalier_domain::{
    model::{ModelFile, ModelVersion},
    principal::Principal,
};
use espalier_protocol::{
    BundlePath, Digest, ModelName,
    id::ModelVersionId,
    manifest::{FileEntry, MAX_FILES, MODEL_FILE},
};

use super::{announce, record};
use crate::{
    cloud::Cloud,
    forge::{Inspection, inspect},
    refusal::{Outcome, Refusal},
    view,
};

pub use fetch::import_client;

/// What the folder of an import begins with; jobs have theirs beside it.
const IMPORT_PREFIX: &str = "import-";

/// Imports a model version.
///
/// # Errors
/// `invalid_model` with the forge's reason; `not_found` for a file that was not uploaded;
/// `import_failed` for an address.
pub async fn import_model(
    cloud: &Cloud,
    who: &Principal,
    model: ModelName,
    source: CreateModelVersion,
) -> Outcome<ModelVersionView> {
    let files = match source {
        CreateModelVersion::Files { files } => uploaded(cloud, who, files).await?,
        CreateModelVersion::Url { url } => fetch::fetch(cloud, &url).await?,
    };
    let (description, graphs): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|file| file.path.as_str() == MODEL_FILE);
    let inspection = inspect_apart(cloud, description.first(), &graphs).await?;
    check_name(&model, &inspection)?;
    let description = match description.first() {
        Some(file) => file.entry.sha256,
        None => cloud.blobs.put(written(&model, &inspection)?).await?.digest,
    };
    let version = ModelVersion {
        id: ModelVersionId(cloud.world.id()?),
        tenant: who.tenant.clone(),
        model,
        task: inspection.description.serving.task().to_owned(),
        summary: inspection.description.summary.clone(),
        description,
        files: graphs,
        facts: inspection.facts,
        created_at: cloud.world.now(),
    };
    cloud.store()?.models().import(&version).await?;
    record(
        cloud,
        who,
        "model.import",
        version.id,
        serde_json::json!({ "model": version.model }),
    )
    .await?;
    announce(
        cloud,
        &who.tenant,
        "model.imported",
        version.id,
        serde_json::json!({ "model": version.model }),
    )
    .await;
    Ok(view::model_version(version))
}

/// Files that the tenant sent before, or has in another model, with their sizes.
async fn uploaded(
    cloud: &Cloud,
    who: &Principal,
    files: Vec<NamedBlob>,
) -> Outcome<Vec<ModelFile>> {
    if !(1..=MAX_FILES).contains(&files.len()) {
        return Err(refused(format!(
            "A model has 1 to {MAX_FILES} files, not {}.",
            files.len()
        )));
    }
    let mut found = Vec::with_capacity(files.len());
    for NamedBlob { path, digest } in files {
        if !cloud.store()?.blobs().belongs(&who.tenant, digest).await? {
            return Err(not_uploaded(&path, digest));
        }
        let size = cloud
            .blobs
            .size(digest)
            .await?
            .ok_or_else(|| not_uploaded(&path, digest))?;
        found.push(ModelFile {
            path,
            entry: FileEntry {
                size,
                sha256: digest,
            },
        });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    match found.windows(2).find(|pair| pair[0].path == pair[1].path) {
        Some(pair) => Err(refused(format!(
            "The file `{}` is named twice.",
            pair[0].path
        ))),
        None => Ok(found),
    }
}

fn not_uploaded(path: &BundlePath, digest: Digest) -> Refusal {
    Refusal::new(
        ErrorCode::NotFound,
        format!("The content of `{path}` ({digest}) is not here."),
    )
    .with_hint("upload it to `PUT /api/v1/blobs/{sha256}` first")
}

/// Puts the files into a folder of their own, and lets a sandboxed forge look at them there.
async fn inspect_apart(
    cloud: &Cloud,
    description: Option<&ModelFile>,
    graphs: &[ModelFile],
) -> Outcome<Inspection> {
    std::fs::create_dir_all(&cloud.settings.jobs_folder).map_err(Refusal::internal)?;
    let folder = tempfile::Builder::new()
        .prefix(IMPORT_PREFIX)
        .tempdir_in(&cloud.settings.jobs_folder)
        .map_err(Refusal::internal)?;
    lay_out(cloud, folder.path(), graphs.iter().chain(description)).await?;
    inspect(&cloud.settings.forge, folder.path()).await
}

/// Removes the folders of imports that were cut off with their process. To be called before a door is open.
///
/// # Errors
/// When one cannot be removed.
pub fn sweep_imports(jobs: &Path) -> std::io::Result<()> {
    if !jobs.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(jobs)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(IMPORT_PREFIX)
        {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a model's files below a folder.
///
/// # Errors
/// `not_found`, `storage_full`, or the disk's failure.
pub async fn lay_out(
    cloud: &Cloud,
    folder: &Path,
    files: impl Iterator<Item = &ModelFile>,
) -> Outcome<()> {
    for file in files {
        let path = file.path.under(folder);
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent)
                .await
                .map_err(Refusal::internal)?;
        }
        cloud.blobs.export(file.entry.sha256, &path).await?;
    }
    Ok(())
}

/// The official exports come without a name; any other model says its own.
fn check_name(model: &ModelName, inspection: &Inspection) -> Outcome<()> {
    let said = &inspection.description.model;
    if said == model || !inspection.named {
        return Ok(());
    }
    Err(refused(format!(
        "The description names the model `{said}`; it was to be imported as `{model}`."
    ))
    .with_hint("import it under its own name, or change `model` in model.json"))
}

/// The description of a model that was recognised without one.
fn written(model: &ModelName, inspection: &Inspection) -> Outcome<Vec<u8>> {
    let mut description = inspection.description.clone();
    description.model = model.clone();
    serde_json::to_vec_pretty(&description).map_err(Refusal::internal)
}

fn refused(detail: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidModel, detail)
}
