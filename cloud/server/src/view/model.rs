use espalier_api::model::{FileView, ModelVersionView, ModelView};
use espalier_domain::model::ModelVersion;

/// A model by its newest version.
#[must_use]
pub fn model(newest: &ModelVersion) -> ModelView {
    ModelView {
        name: newest.model.clone(),
        task: newest.task.clone(),
        latest_version: newest.id,
        latest_at: newest.created_at,
    }
}

/// A model version as clients see it.
#[must_use]
pub fn model_version(version: ModelVersion) -> ModelVersionView {
    ModelVersionView {
        id: version.id,
        total_bytes: version.total_bytes(),
        description: version.description,
        files: version
            .files
            .into_iter()
            .map(|file| FileView {
                path: file.path,
                size: file.entry.size,
                digest: file.entry.sha256,
            })
            .collect(),
        model: version.model,
        created_at: version.created_at,
        task: version.task,
        summary: version.summary,
        facts: version.facts,
    }
}
