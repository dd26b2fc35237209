//! The two stages of training, and one step of each.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use espalier_runtime::Tensor as Input;
use rand::distr::weighted::WeightedIndex;
use rand::prelude::*;
use rayon::prelude::*;

use super::batch::{Batch, POINTS, prompt};
use super::cache::{Cache, CacheError};
use super::carry_out::{CarryOut, Leaves};
use super::checkpoint::{self, CheckpointError};
use super::corpus::{Corpus, CorpusError};
use super::frame::Frame;
use super::loss::losses;
use super::network::{Network, Prompt};
use super::optimiser::{Learner, NotFinite};
use super::recipe::{SetRecipe, StageRecipe};
use super::target::Target;
use super::weights::Arrays;

/// Why learning stopped.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The feature cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The pictures.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The numbers.
    #[error("step {step}: {source}")]
    NotFinite {
        /// The step.
        step: usize,
        /// What was not finite.
        source: NotFinite,
    },
    /// Nothing to learn from.
    #[error("no picture of the sets has an object large enough to learn from")]
    Empty,
}

/// What happened in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The step, from 1.
    pub step: usize,
    /// Its loss.
    pub loss: f32,
    /// Mean IoU of the first masks at their own resolution.
    pub iou: f32,
}

/// Pictures of a step, ready for the network, and prompts for each.
pub struct Lesson {
    /// What the network reads: the backbone's taps, or the picture alone.
    pub inputs: Vec<Tensor<4>>,
    /// Prompts and truths, picture by picture.
    pub batch: Batch,
}

/// Where lessons come from.
pub trait Teacher {
    /// The lesson of a step; the same for the same step.
    ///
    /// # Errors
    /// [`LearnError`] when its data cannot be read.
    fn lesson(&self, step: usize, device: &Device) -> Result<Lesson, LearnError>;
}

/// Lessons from cached features, drawn from the sets by their shares.
pub struct Cached<'a> {
    cache: &'a Cache,
    frame: Frame,
    stage: StageRecipe,
    seed: u64,
    members: Vec<Vec<usize>>,
    shares: WeightedIndex<f64>,
}

impl<'a> Cached<'a> {
    /// Lessons from this cache.
    ///
    /// # Errors
    /// [`LearnError::Empty`] when the cache has nothing of the sets.
    pub fn new(
        cache: &'a Cache,
        sets: &[SetRecipe],
        frame: Frame,
        stage: StageRecipe,
        seed: u64,
    ) -> Result<Self, LearnError> {
        let mut members = vec![Vec::new(); sets.len()];
        for (at, &set) in cache.sets().iter().enumerate() {
            if let Some(members) = members.get_mut(usize::from(set)) {
                members.push(at);
            }
        }
        let share = |(set, members): (&SetRecipe, &Vec<usize>)| {
            if members.is_empty() { 0.0 } else { set.share }
        };
        let shares = WeightedIndex::new(sets.iter().zip(&members).map(share))
            .map_err(|_| LearnError::Empty)?;
        Ok(Self {
            cache,
            frame,
            stage,
            seed,
            members,
            shares,
        })
    }
}

impl Teacher for Cached<'_> {
    fn lesson(&self, step: usize, device: &Device) -> Result<Lesson, LearnError> {
        let mut rng = rng(self.seed, step);
        let taps = self.frame.taps();
        let mut features = taps.map(|_| Vec::new());
        let mut batch = Batch::default();
        for _ in 0..self.stage.pictures {
            let record = loop {
                let set = &self.members[self.shares.sample(&mut rng)];
                let record = self.cache.read(set[rng.random_range(0..set.len())])?;
                if !record.targets.is_empty() {
                    break record;
                }
            };
            let mut rest = record.features.as_slice();
            for ((channels, side), features) in taps.into_iter().zip(&mut features) {
                let (tap, later) = rest.split_at(channels * side * side);
                features.extend(tap.iter().map(|value| value.to_f32()));
                rest = later;
            }
            prompts(
                &mut batch,
                &record.targets,
                self.stage.prompts,
                self.frame,
                &mut rng,
            );
        }
        let inputs = features
            .into_iter()
            .zip(taps)
            .map(|(features, (channels, side))| {
                Tensor::from_data(
                    TensorData::new(features, [self.stage.pictures, channels, side, side]),
                    device,
                )
            });
        Ok(Lesson {
            inputs: inputs.collect(),
            batch,
        })
    }
}

/// Lessons from pictures themselves.
pub struct Whole<'a> {
    /// Where the pictures come from.
    pub corpus: &'a Corpus,
    /// The input square.
    pub frame: Frame,
    /// The stage.
    pub stage: StageRecipe,
    /// Seed of the choice.
    pub seed: u64,
}

impl Whole<'_> {
    /// The picture at this place, or the next that has an object.
    fn picture(&self, at: usize) -> Result<(Input, Vec<Target>), LearnError> {
        for at in at..at + self.corpus.len() {
            let (_, tensor, targets) = self.corpus.input(at)?;
            if !targets.is_empty() {
                return Ok((tensor, targets));
            }
        }
        Err(LearnError::Empty)
    }
}

impl Teacher for Whole<'_> {
    fn lesson(&self, step: usize, device: &Device) -> Result<Lesson, LearnError> {
        let mut rng = rng(self.seed, step);
        let mut batch = Batch::default();
        let mut pixels: Vec<f32> = Vec::new();
        let drawn: Vec<usize> = (0..self.stage.pictures)
            .map(|_| rng.random_range(0..self.corpus.len()))
            .collect();
        let pictures: Vec<_> = drawn
            .into_par_iter()
            .map(|at| self.picture(at))
            .collect::<Result<_, _>>()?;
        for (tensor, targets) in &pictures {
            pixels.extend(tensor.as_f32().unwrap_or_default());
            prompts(
                &mut batch,
                targets,
                self.stage.prompts,
                self.frame,
                &mut rng,
            );
        }
        let pictures = pictures.len();
        let data = TensorData::new(pixels, [pictures, 3, self.frame.side(), self.frame.side()]);
        Ok(Lesson {
            inputs: vec![Tensor::from_data(data, device)],
            batch,
        })
    }
}

fn rng(seed: u64, step: usize) -> StdRng {
    StdRng::seed_from_u64(
        seed.wrapping_mul(0xd134_2543_de82_ef95)
            .wrapping_add(step as u64),
    )
}

fn prompts(batch: &mut Batch, targets: &[Target], count: usize, frame: Frame, rng: &mut StdRng) {
    let first = rng.random_range(0..targets.len());
    for at in 0..count {
        batch.push(prompt(&targets[(first + at) % targets.len()], frame, rng));
    }
}

/// Everything that a stage needs.
pub struct Stage<'a> {
    /// The network.
    pub network: &'a Network,
    /// The input square.
    pub frame: Frame,
    /// How long, and how much at once.
    pub recipe: StageRecipe,
    /// Weights that do not learn.
    pub frozen: &'a Arrays,
    /// Where the checkpoint is kept.
    pub checkpoint: &'a Path,
}

/// Steps between checkpoints.
const SAVE_EVERY: usize = 50;

impl Stage<'_> {
    /// Learns from where the checkpoint stopped, or from `begin`, to the stage's end.
    ///
    /// # Errors
    /// [`LearnError`]; the last checkpoint stays good.
    pub fn run(
        &self,
        begin: Arrays,
        teacher: &dyn Teacher,
        device: &Device,
        mut watch: impl FnMut(Progress),
    ) -> Result<Learner, LearnError> {
        let mut learner = checkpoint::load(self.checkpoint)?.unwrap_or_else(|| Learner::new(begin));
        while learner.step < self.recipe.steps {
            watch(self.step(&mut learner, teacher, device)?);
            if learner.step.is_multiple_of(SAVE_EVERY) || learner.step == self.recipe.steps {
                checkpoint::save(&learner, self.checkpoint)?;
            }
        }
        Ok(learner)
    }

    fn step(
        &self,
        learner: &mut Learner,
        teacher: &dyn Teacher,
        device: &Device,
    ) -> Result<Progress, LearnError> {
        let step = learner.step + 1;
        let lesson = teacher.lesson(step, device)?;
        let leaves = Leaves::new(&learner.weights, self.frozen, device);
        let mut algebra = CarryOut::new(device, &leaves, self.recipe.prompts);
        let taps = match <[Tensor<4>; 4]>::try_from(lesson.inputs) {
            Ok(taps) => taps,
            Err(inputs) => self.network.backbone.forward(&mut algebra, &inputs[0]),
        };
        let embedding = self.network.neck.forward(&mut algebra, &taps);
        let (prompt, truths) = self.tensors(&lesson.batch, device);
        let answer = self
            .network
            .decoder
            .forward(&mut algebra, &embedding, &prompt);
        let losses = losses(&answer, &truths);
        let loss: f32 = losses.total.clone().into_scalar();
        let gradients = leaves.gradients(&losses.total.backward());
        learner
            .follow(&gradients, &self.recipe)
            .map_err(|source| LearnError::NotFinite { step, source })?;
        Ok(Progress {
            step,
            loss,
            iou: losses.first_iou,
        })
    }

    fn tensors(&self, batch: &Batch, device: &Device) -> (Prompt<Tensor<4>>, Tensor<4>) {
        let side = self.frame.mask_side();
        let tensor = |values: &Vec<f32>, shape: [usize; 4]| {
            Tensor::from_data(TensorData::new(values.clone(), shape), device)
        };
        let points = |at: usize| tensor(&batch.points[at], [batch.prompts, POINTS, 1, 1]);
        let prompt = Prompt {
            x: points(0),
            y: points(1),
            label: points(2),
            mask: tensor(&batch.masks, [batch.prompts, 1, side, side]),
            has_mask: tensor(&batch.has_mask, [batch.prompts, 1, 1, 1]),
        };
        (
            prompt,
            tensor(&batch.truths, [batch.prompts, 1, side, side]),
        )
    }
}
