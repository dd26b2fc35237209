//! How fast a device verifies a bundle's bytes, beside bare SHA-256 over the same bytes.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use espalier_protocol::{
    BundlePath, Digest,
    manifest::{
        FORMAT, FileEntry, Golden, GoldenTolerance, Manifest, Requirements, Serving, TensorGraph,
    },
};
use espalier_slots::{Content, Disk, Store};

use crate::figures::Row;

const MEGABYTE: f64 = 1e6;
const FILE_BYTES: usize = 64 << 20;
const RUNS: u32 = 5;

/// In the store of a device that does not run: digests a staged bundle of 64 MiB as it does before
/// it serves one, and the same bytes bare.
///
/// # Errors
/// When the bundle cannot be staged.
pub fn measure(store: &Path) -> Result<Row> {
    let bytes: Vec<u8> = (0..FILE_BYTES)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let store = Store::open(Arc::new(Disk), store)?;
    let content = store.content();
    let bundle = stage(content, &bytes)?;
    let mut ours = f64::INFINITY;
    let mut bare = f64::INFINITY;
    for _ in 0..RUNS {
        let begun = Instant::now();
        content
            .verify(&bundle)?
            .context("the staged bundle is gone")?;
        ours = ours.min(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        std::hint::black_box(Digest::of(&bytes));
        bare = bare.min(begun.elapsed().as_secs_f64());
    }
    let speed = |seconds: f64| FILE_BYTES as f64 / MEGABYTE / seconds;
    Ok(Row::printed("verify", speed(ours), "MB/s").beside(speed(bare)))
}

fn stage(content: &Content, bytes: &[u8]) -> Result<Digest> {
    let manifest = manifest(bytes)?;
    let text = serde_json::to_vec(&manifest)?;
    let digest = Digest::of(&text);
    let mut staging = content.stage(&digest, &text)?;
    for missing in staging.missing().to_vec() {
        let mut intake = staging.intake(&missing)?;
        let size = usize::try_from(intake.size())?;
        intake.write(&bytes[..size])?;
        intake.finish()?;
        staging.arrived(&missing.path);
    }
    staging.finish()?;
    Ok(digest)
}

/// A bundle with one large graph; its golden files are one byte each.
fn manifest(bytes: &[u8]) -> Result<Manifest> {
    let entry = |bytes: &[u8]| FileEntry {
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    };
    let graph: BundlePath = "model.onnx".parse()?;
    let [input, request, own, full] = ["input", "request", "own", "full"]
        .map(|name| format!("golden/000/{name}").parse::<BundlePath>());
    let golden = Golden {
        input: input?,
        request: request?,
        own: own?,
        full: full?,
    };
    let small = [&golden.input, &golden.request, &golden.own, &golden.full]
        .map(|path| (path.clone(), entry(&bytes[..1])));
    let mut files = BTreeMap::from(small);
    files.insert(graph.clone(), entry(bytes));
    Ok(Manifest {
        format: FORMAT,
        model: "bench".parse()?,
        model_version: "01890000-0000-7000-8000-000000000000".parse()?,
        device_class: "bench".parse()?,
        serving: Serving::Tensor(TensorGraph { graph }),
        requires: Requirements {
            onnxruntime: "1.20".to_owned(),
            opset: 17,
            memory_bytes: 0,
        },
        golden: vec![golden],
        golden_tolerance: GoldenTolerance {
            min_iou: 0.9,
            max_abs: 0.1,
        },
        files,
    })
}
