//! `espalier-forge train`.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context;
use burn::tensor::Device;
use espalier_forge::data::read_index;
use espalier_forge::train::cache::Cache;
use espalier_forge::train::corpus::Corpus;
use espalier_forge::train::frame::Frame;
use espalier_forge::train::learn::{Cached, Progress, Stage, Teacher, Whole};
use espalier_forge::train::network::Network;
use espalier_forge::train::optimiser::Learner;
use espalier_forge::train::recipe::{StageRecipe, TrainRecipe};
use espalier_forge::train::weights::Arrays;
use espalier_forge::train::{checkpoint, cut, export, measure, weights};
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

/// Runs the command: the head on cached features, then every layer on the pictures themselves, then export, the
/// masks' cut, and measurement. A killed run goes on from its last checkpoint.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let recipe = TrainRecipe::read(&args.recipe)?;
    let frame = recipe.frame()?;
    std::fs::create_dir_all(&args.work)
        .with_context(|| format!("could not make {}", args.work.display()))?;
    let run = Run {
        args,
        corpus: Corpus::plan(
            args.index.as_deref(),
            &recipe.sets,
            frame,
            recipe.shipped,
            recipe.seed,
        )?,
        network: Network::new(frame),
        device: Device::flex().autodiff(),
        recipe: &recipe,
        frame,
    };
    let weights = if args.as_is {
        run.last_weights()?
    } else {
        run.tune(run.head()?)?
    };
    export::write(&args.out, &recipe.name, &run.network, &weights, frame)?;
    let cut = cut::find(&args.out, &run.corpus)?;
    println!("masks are cut at a logit of {cut}");
    run.measure()
}

/// One run of a recipe.
struct Run<'a> {
    args: &'a Args,
    recipe: &'a TrainRecipe,
    frame: Frame,
    corpus: Corpus,
    network: Network,
    device: Device,
}

impl Run<'_> {
    /// The first stage. The backbone's features are computed once; what comes out is every layer's weights.
    fn head(&self) -> anyhow::Result<Arrays> {
        let recipe = self.recipe.head;
        let begin = weights::begin(self.network.head(), self.recipe.seed);
        println!("the head has {} weights", weights::count(&begin));
        let cache = self.features()?;
        let teacher = Cached::new(
            &cache,
            &self.recipe.sets,
            self.frame,
            recipe,
            self.recipe.seed,
        )?;
        let learner = self.stage("head", recipe, begin, &teacher)?;
        self.with_backbone(learner)
    }

    /// The second stage: nothing is frozen.
    fn tune(&self, begin: Arrays) -> anyhow::Result<Arrays> {
        println!("the network has {} weights", weights::count(&begin));
        let teacher = Whole {
            corpus: &self.corpus,
            frame: self.frame,
            stage: self.recipe.tune,
            seed: self.recipe.seed,
        };
        let learner = self.stage("tune", self.recipe.tune, begin, &teacher)?;
        Ok(learner.mean)
    }

    fn stage(
        &self,
        name: &'static str,
        recipe: StageRecipe,
        begin: Arrays,
        teacher: &dyn Teacher,
    ) -> anyhow::Result<Learner> {
        let stage = Stage {
            network: &self.network,
            frame: self.frame,
            recipe,
            frozen: &Arrays::new(),
            checkpoint: &self.checkpoint(name),
        };
        Ok(stage.run(
            begin,
            teacher,
            &self.device,
            report(name, recipe.steps as u64)?,
        )?)
    }

    fn features(&self) -> anyhow::Result<Cache> {
        // Records of other sizes would be read as nonsense.
        let name = format!(
            "features-{}-{}.bin",
            self.frame.side(),
            self.frame.mask_side()
        );
        let mut cache = Cache::open(&self.args.work.join(name), self.frame)?;
        let needed = self.corpus.len();
        if cache.sets().len() < needed {
            let options = GraphOptions {
                sessions: NonZeroUsize::MIN.saturating_add(1),
                ..GraphOptions::default()
            };
            let backbone = Graph::load(&self.args.backbone, &options)?;
            self.corpus.fill(&mut cache, &backbone, |done| {
                eprintln!("features of {done}/{needed} pictures");
            })?;
        }
        Ok(cache)
    }

    /// The furthest checkpoint's weights.
    fn last_weights(&self) -> anyhow::Result<Arrays> {
        if let Some(tuned) = checkpoint::load(&self.checkpoint("tune"))? {
            println!("tuned for {} steps", tuned.step);
            return Ok(tuned.mean);
        }
        let head = checkpoint::load(&self.checkpoint("head"))?;
        self.with_backbone(head.context("there is no checkpoint yet")?)
    }

    fn with_backbone(&self, head: Learner) -> anyhow::Result<Arrays> {
        let mut all = weights::read_backbone(&self.args.backbone, &self.network)?;
        all.extend(head.mean);
        Ok(all)
    }

    fn checkpoint(&self, stage: &str) -> PathBuf {
        self.args.work.join(format!("{stage}.safetensors"))
    }

    fn measure(&self) -> anyhow::Result<()> {
        let out = &self.args.out;
        println!("scenes: {}", measure::on_scenes(out, 0, 60)?);
        let Some(index) = &self.args.index else {
            return Ok(());
        };
        let rows = read_index(index)?;
        let folder = index.parent().unwrap_or(Path::new("."));
        for set in self.recipe.sets.iter().filter(|set| set.variants > 0) {
            let figures = measure::on_rows(out, folder, &rows, &set.name)?;
            println!("{}: {figures}", set.name);
        }
        Ok(())
    }
}

/// A bar where someone looks, lines where nobody does.
fn report(stage: &'static str, steps: u64) -> anyhow::Result<impl FnMut(Progress)> {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg} {eta}")?;
    let bar = ProgressBar::new(steps).with_style(style).with_prefix(stage);
    let (mut loss, mut iou) = (None, None);
    let seen = std::io::stderr().is_terminal();
    Ok(move |progress: Progress| {
        let smooth =
            |old: Option<f32>, new: f32| Some(old.map_or(new, |old| 0.98 * old + 0.02 * new));
        loss = smooth(loss, progress.loss);
        iou = smooth(iou, progress.iou);
        let message = format!(
            "loss {:.4} iou {:.4}",
            loss.unwrap_or_default(),
            iou.unwrap_or_default()
        );
        if !seen && progress.step.is_multiple_of(20) {
            println!("{stage} step {}/{steps} {message}", progress.step);
        }
        bar.set_position(progress.step as u64);
        bar.set_message(message);
    })
}
