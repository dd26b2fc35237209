//! What the forge knows of a build, as a bill of materials.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use espalier_protocol::job::{Evaluation, GateVerdict};
use espalier_protocol::manifest::{MODEL_FILE, Manifest};
use espalier_protocol::proof::Bom;
use espalier_protocol::proof::bom::{
    BomError, Component, ComponentKind, Dependency, License, Metadata, Pedigree, Property, Tools,
};
use espalier_protocol::{BundlePath, Digest};
use jiff::{Timestamp, Unit};

use super::verify::digest_of;
use crate::inspect::Inspection;
use crate::recipe::Recipe;

mod card;

/// The build's name within its bill of materials.
const BUILD: &str = "build";
/// ONNX Runtime's name within it, and its own.
const RUNTIME: &str = "onnxruntime";

/// Where a build comes from.
pub(super) struct Origin<'a> {
    /// What the full model is.
    pub full: &'a Inspection,
    /// Its files with their digests.
    pub full_files: &'a BTreeMap<String, Digest>,
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The recipe as it was written.
    pub recipe_text: &'a str,
    /// What was measured.
    pub evaluation: &'a Evaluation,
}

/// The bill of materials of the build with this manifest, written `now`.
pub(super) fn write(
    manifest: &Manifest,
    origin: &Origin<'_>,
    now: Timestamp,
) -> Result<Bom, BomError> {
    let mut forge = Component::new(ComponentKind::Application, "espalier-forge");
    forge.version = env!("CARGO_PKG_VERSION").to_owned();
    let metadata = Metadata {
        // Fractions of a second would say nothing here. Rounding ends at the year 9999.
        timestamp: now.round(Unit::Second).unwrap_or(now),
        tools: Tools {
            components: vec![forge],
        },
        component: build(manifest, origin),
    };
    let needs = Dependency {
        who: BUILD.to_owned(),
        depends_on: vec![RUNTIME.to_owned()],
    };
    Bom::new(metadata, vec![runtime(manifest)], vec![needs])
}

/// The files of the full model with their digests: its graphs, the weights outside of them, and its description.
pub(super) fn full_files(
    input: &Path,
    full: &Inspection,
) -> std::io::Result<BTreeMap<String, Digest>> {
    let graphs = full.graphs.iter().map(|graph| graph.file.to_string());
    let weights = full.graphs.iter().flat_map(|graph| graph.external.keys());
    let described = input.join(MODEL_FILE).is_file();
    let names = graphs
        .chain(weights.cloned())
        .chain(described.then(|| MODEL_FILE.to_owned()));
    names
        .map(|name| {
            let digest = digest_of(plain_file(input, &name)?)?;
            Ok((name, digest))
        })
        .collect()
}

/// Opens a file of the input. The names are a worker's, who may have been taken over: none of them leads out of the folder,
/// or to anything but a file.
fn plain_file(input: &Path, name: &str) -> std::io::Result<File> {
    let path: BundlePath = name.parse().map_err(|_| no_file_of_the_model(name))?;
    let path = path.under(input);
    match std::fs::symlink_metadata(&path)?.is_file() {
        true => File::open(path),
        false => Err(no_file_of_the_model(name)),
    }
}

fn no_file_of_the_model(name: &str) -> std::io::Error {
    let name = name.escape_debug();
    std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        format!("the worker speaks of `{name}`, which is no file of the model"),
    )
}

fn build(manifest: &Manifest, origin: &Origin<'_>) -> Component {
    let files = manifest.files.iter();
    Component {
        reference: BUILD.to_owned(),
        version: manifest.model_version.to_string(),
        description: format!(
            "Edge build of the model {} for devices of class {}",
            manifest.model, manifest.device_class
        ),
        pedigree: Some(pedigree(manifest, origin)),
        components: files
            .map(|(path, entry)| Component::file(path.as_str(), entry.sha256))
            .collect(),
        model_card: Some(Box::new(card::write(manifest, origin))),
        properties: properties(manifest, origin),
        ..Component::new(
            ComponentKind::MachineLearningModel,
            manifest.model.to_string(),
        )
    }
}

fn properties(manifest: &Manifest, origin: &Origin<'_>) -> Vec<Property> {
    let gate = match &origin.evaluation.gate {
        GateVerdict::Passed => "passed".to_owned(),
        GateVerdict::Failed { reasons } => format!("failed: {}", reasons.join("; ")),
    };
    vec![
        Property::new("device-class", &manifest.device_class),
        Property::new("memory-bytes", manifest.requires.memory_bytes),
        Property::new("opset", manifest.requires.opset),
        Property::new("gate", gate),
        Property::new("recipe", origin.recipe_text),
        Property::new("recipe:sha256", Digest::of(origin.recipe_text.as_bytes())),
    ]
}

fn pedigree(manifest: &Manifest, origin: &Origin<'_>) -> Pedigree {
    let producers: BTreeSet<&str> = origin
        .full
        .graphs
        .iter()
        .map(|graph| graph.producer.as_str())
        .collect();
    let producers: Vec<&str> = producers.into_iter().collect();
    let full = Component {
        version: manifest.model_version.to_string(),
        description: origin.full.description.summary.clone(),
        components: origin
            .full_files
            .iter()
            .map(|(name, digest)| Component::file(name, *digest))
            .collect(),
        properties: vec![
            Property::new("role", "the full model"),
            Property::new("parameters", origin.full.params()),
            Property::new("producer", producers.join(", ")),
            Property::new(
                "training-data",
                "not known to the forge; see the full model's own card",
            ),
        ],
        ..Component::new(
            ComponentKind::MachineLearningModel,
            origin.full.description.model.to_string(),
        )
    };
    Pedigree {
        ancestors: vec![full],
        notes: "Made from the full model by the recipe in the property espalier:recipe; \
                no weights were trained"
            .to_owned(),
    }
}

/// Devices bring it themselves; the bundle only says how old it may be.
fn runtime(manifest: &Manifest) -> Component {
    Component {
        reference: RUNTIME.to_owned(),
        description: "ONNX Runtime, which the device brings".to_owned(),
        licenses: vec![License::spdx("MIT")],
        properties: vec![Property::new(
            "least-version",
            &manifest.requires.onnxruntime,
        )],
        ..Component::new(ComponentKind::Library, RUNTIME)
    }
}

#[cfg(test)]
mod tests {
    use super::plain_file;

    #[test]
    fn names_that_lead_out_of_the_model_are_not_opened() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let input = folder.path().join("input");
        std::fs::create_dir(&input).expect("a folder");
        std::fs::write(folder.path().join("secret"), "s").expect("a file");
        std::fs::write(input.join("model.onnx"), "m").expect("a file");
        std::os::unix::fs::symlink("../secret", input.join("link.onnx")).expect("a link");
        for name in [
            "../secret",
            "/dev/zero",
            "/etc/hostname",
            "link.onnx",
            ".",
            "",
        ] {
            assert!(plain_file(&input, name).is_err(), "{name}");
        }
        assert!(plain_file(&input, "model.onnx").is_ok());
    }
}
