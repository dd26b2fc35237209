//! Rendered pictures with exact masks, from the forge's own seeded generator.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use espalier_runtime::Mask;
use serde::Deserialize;

use crate::programs::Program;

/// A rendered picture.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The picture's file (PNG).
    pub image: PathBuf,
    /// The file with the exact masks (PNG): 0 is none, k > 0 is the k-th object.
    pub masks: PathBuf,
}

#[derive(Deserialize)]
struct Row {
    image: PathBuf,
    masks: Vec<PathBuf>,
}

/// Renders `count` pictures into `folder`.
///
/// # Errors
/// When the forge cannot.
pub async fn render(folder: &Path, count: u32, seed: u64) -> Result<Vec<Scene>> {
    let mut command = tokio::process::Command::new(Program::Forge.path()?);
    command.arg("scenes").arg("--out").arg(folder);
    command
        .args(["--count", &count.to_string(), "--seed", &seed.to_string()])
        .kill_on_drop(true);
    let said = command
        .output()
        .await
        .context("cannot run espalier-forge")?;
    if !said.status.success() {
        bail!("no scenes: {}", String::from_utf8_lossy(&said.stderr));
    }
    let index =
        std::fs::read_to_string(folder.join("index.jsonl")).context("the forge wrote no index")?;
    index.lines().map(|line| scene(folder, line)).collect()
}

fn scene(folder: &Path, line: &str) -> Result<Scene> {
    let row: Row = serde_json::from_str(line).context("an index row that is not understood")?;
    let masks = row.masks.first().context("a scene without masks")?;
    Ok(Scene {
        image: folder.join(&row.image),
        masks: folder.join(masks),
    })
}

impl Scene {
    /// The exact mask of the largest object.
    ///
    /// # Errors
    /// When the masks' file cannot be used.
    pub fn largest_object(&self) -> Result<Mask> {
        let masks = image::open(&self.masks)
            .context("a scene's masks cannot be read")?
            .into_luma16();
        let (width, height) = masks.dimensions();
        let mut areas = std::collections::BTreeMap::<u16, u32>::new();
        for pixel in masks.pixels().filter(|pixel| pixel.0[0] > 0) {
            *areas.entry(pixel.0[0]).or_default() += 1;
        }
        let (&largest, _) = areas
            .iter()
            .max_by_key(|(_, area)| **area)
            .context("a scene without objects")?;
        let inside = masks.pixels().map(|pixel| pixel.0[0] == largest).collect();
        Mask::from_pixels(width, height, inside).context("masks of an impossible size")
    }
}

/// A point well inside a mask: the one that the most rounds of erosion leave.
#[must_use]
pub fn inner_point(mask: &Mask) -> Option<(u32, u32)> {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let mut inside = mask.pixels().to_vec();
    let mut last = None;
    while let Some(at) = inside.iter().position(|inside| *inside) {
        last = Some(((at % width) as u32, (at / width) as u32));
        inside = eroded(&inside, width, height);
    }
    last
}

fn eroded(inside: &[bool], width: usize, height: usize) -> Vec<bool> {
    let at = |x: usize, y: usize| inside[y * width + x];
    let survives = |x: usize, y: usize| {
        (1..width - 1).contains(&x)
            && (1..height - 1).contains(&y)
            && at(x, y)
            && at(x - 1, y)
            && at(x + 1, y)
            && at(x, y - 1)
            && at(x, y + 1)
    };
    (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .map(|(x, y)| survives(x, y))
        .collect()
}
