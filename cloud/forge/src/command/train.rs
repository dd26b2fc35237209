//! `espalier-forge train`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context;
use espalier_forge::train::cache::Cache;
use espalier_forge::train::corpus::Corpus;
use espalier_forge::train::recipe::TrainRecipe;
use espalier_runtime::{Graph, GraphOptions};

/// Trains the full model of a recipe.
#[derive(clap::Args)]
pub struct Args {
    /// The recipe.
    #[arg(long)]
    recipe: PathBuf,
    /// The index of pictures; rendered scenes need none.
    #[arg(long)]
    index: Option<PathBuf>,
    /// The backbone's weights (ONNX).
    #[arg(long)]
    backbone: PathBuf,
    /// Folder for the feature cache and the checkpoints.
    #[arg(long)]
    work: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let recipe = TrainRecipe::read(&args.recipe)?;
    let frame = recipe.frame()?;
    std::fs::create_dir_all(&args.work)
        .with_context(|| format!("could not make {}", args.work.display()))?;
    let corpus = Corpus::plan(
        args.index.as_deref(),
        &recipe.sets,
        frame,
        recipe.shipped,
        recipe.seed,
    )?;
    let options = GraphOptions {
        sessions: NonZeroUsize::MIN.saturating_add(1),
        ..GraphOptions::default()
    };
    let backbone = Graph::load(&args.backbone, &options)?;
    let mut cache = Cache::open(&args.work.join("features.bin"), frame)?;
    corpus.fill(&mut cache, &backbone, |done| {
        eprintln!("{done}/{}", corpus.len())
    })?;
    Ok(())
}
