//! `espalier-forge train`.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context;
use burn::tensor::Device;
use espalier_forge::train::cache::Cache;
use espalier_forge::train::corpus::Corpus;
use espalier_forge::train::learn::{Cached, Progress, Stage};
use espalier_forge::train::network::Network;
use espalier_forge::train::recipe::TrainRecipe;
use espalier_forge::data::read_index;
use espalier_forge::train::{checkpoint, export, measure, weights};
use espalier_runtime::{Graph, GraphOptions};
use indicatif::{ProgressBar, ProgressStyle};

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
    /// Folder for the finished model.
    #[arg(long)]
    out: PathBuf,
    /// Trains nothing: exports and measures the last checkpoint.
    #[arg(long)]
    as_is: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let recipe = TrainRecipe::read(&args.recipe)?;
    let frame = recipe.frame()?;
    std::fs::create_dir_all(&args.work).with_context(|| format!("could not make {}", args.work.display()))?;
    let corpus = Corpus::plan(args.index.as_deref(), &recipe.sets, frame, recipe.shipped, recipe.seed)?;
    let mut cache = Cache::open(&args.work.join("features.bin"), frame)?;
    if cache.sets().len() < corpus.len() {
        let options = GraphOptions { sessions: NonZeroUsize::MIN.saturating_add(1), ..GraphOptions::default() };
        let backbone = Graph::load(&args.backbone, &options)?;
        corpus.fill(&mut cache, &backbone, |done| eprintln!("{done}/{}", corpus.len()))?;
    }
    let network = Network::new(frame);
    let device = Device::flex().autodiff();
    let head = weights::begin(network.head(), recipe.seed);
    println!("the head has {} weights", weights::count(&head));
    let teacher = Cached::new(&cache, &recipe.sets, frame, recipe.head, recipe.seed)?;
    let frozen = weights::Arrays::new();
    let checkpoint = args.work.join("head.safetensors");
    let stage = Stage { network: &network, frame, recipe: recipe.head, frozen: &frozen, checkpoint: &checkpoint };
    let report = report("head", recipe.head.steps as u64)?;
    let learner = if args.as_is { checkpoint::load(&checkpoint)?.context("there is no checkpoint yet")? } else { stage.run(head, &teacher, &device, report)? };
    let mut all = weights::read_backbone(&args.backbone, &network)?;
    all.extend(learner.mean);
    export::write(&args.out, &recipe.name, &network, &all, frame)?;
    println!("step {}", learner.step);
    println!("scenes: {}", measure::on_scenes(&args.out, 0, 60)?);
    if let Some(index) = &args.index {
        let rows = read_index(index)?;
        let folder = index.parent().unwrap_or(Path::new("."));
        for set in ["coco", "ccp", "tile", "nuclei"] {
            println!("{set}: {}", measure::on_rows(&args.out, folder, &rows, set)?);
        }
    }
    Ok(())
}

/// A bar where someone looks, lines where nobody does.
fn report(stage: &'static str, steps: u64) -> anyhow::Result<impl FnMut(Progress)> {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg} {eta}")?;
    let bar = ProgressBar::new(steps).with_style(style).with_prefix(stage);
    let (mut loss, mut iou) = (None, None);
    let seen = std::io::stderr().is_terminal();
    Ok(move |progress: Progress| {
        let smooth = |old: Option<f32>, new: f32| Some(old.map_or(new, |old| 0.98 * old + 0.02 * new));
        loss = smooth(loss, progress.loss);
        iou = smooth(iou, progress.iou);
        let message = format!("loss {:.4} iou {:.4}", loss.unwrap_or_default(), iou.unwrap_or_default());
        if !seen && progress.step.is_multiple_of(20) {
            println!("{stage} step {}/{steps} {message}", progress.step);
        }
        bar.set_position(progress.step as u64);
        bar.set_message(message);
    })
}
