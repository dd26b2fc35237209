//! What the forge reads of strangers: ONNX graphs and recipes.

use espalier_forge::inspect::inspect;
use espalier_forge::onnx::{Limits, read, write};
use espalier_forge::recipe::Recipe;

/// Little, so that a bomb is one here before it is one for the machine.
const LIMITS: Limits = Limits {
    bytes: 1 << 20,
    nodes: 1000,
    elements: 1 << 20,
    depth: 8,
};

/// A model file, through the import check of its folder.
pub fn onnx(bytes: &[u8]) {
    let Ok(model) = read(bytes, &LIMITS) else {
        return;
    };
    let written = write(&model);
    let again = read(&written, &LIMITS).expect("a model that we wrote is read");
    assert_eq!(written, write(&again), "a model changed on its way");
    let folder = tempfile::tempdir().expect("there is a scratch folder");
    let file = folder.path().join("model.onnx");
    std::fs::write(&file, bytes).expect("a scratch file is written");
    if let Ok(found) = inspect(&file, &LIMITS) {
        assert_eq!(found.graphs.len(), 1);
        assert!(found.inspection.bytes() >= bytes.len() as u64);
        serde_json::to_vec(&found.inspection).expect("a report is written");
    }
}

/// A recipe in TOML.
pub fn recipe(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(recipe) = Recipe::parse(text)
    {
        serde_json::to_vec(&recipe).expect("a recipe is written");
    }
}
