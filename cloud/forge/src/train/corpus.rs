//! What a training run learns from: sets of rows and rendered scenes, varied, shuffled, and seen through the backbone.

use std::path::{Path, PathBuf};

use espalier_runtime::preprocess::to_tensor;
use espalier_runtime::{Graph, GraphError, Tensor};
use half::f16;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

use super::cache::{Cache, CacheError, MOST_TARGETS, Record};
use super::frame::Frame;
use super::recipe::SetRecipe;
use super::target::Target;
use crate::data::{DataError, Example, Row, Split, augment, read_example, read_index};
use crate::scenes::{SceneSpec, alternating_style};

/// Why the corpus could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The index or a file that it names.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The cache on disk.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The backbone.
    #[error("the backbone failed: {0}")]
    Backbone(#[from] GraphError),
    /// The backbone has other outputs than were asked for.
    #[error("the backbone has no float output `{0}`")]
    Tap(String),
    /// Nothing to learn from.
    #[error("no set of the recipe has a row that may be used; check the index and the sets' names")]
    Empty,
}

/// One picture to be: where it comes from, and its set.
#[derive(Clone, Debug)]
struct Entry {
    set: u8,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Row(Box<Row>),
    Scene(u64),
}

/// The corpus of a recipe: every picture that will be learnt from, in a shuffled order that the seed fixes.
#[derive(Debug)]
pub struct Corpus {
    folder: PathBuf,
    entries: Vec<Entry>,
    frame: Frame,
    seed: u64,
}

impl Corpus {
    /// Plans the corpus. Rows count only when they are for training and, where `shipped` is true, when weights that
    /// are given to others may be trained on them.
    ///
    /// # Errors
    /// [`CorpusError::Data`] when the index cannot be read, [`CorpusError::Empty`] when it leaves nothing.
    pub fn plan(
        index: Option<&Path>,
        sets: &[SetRecipe],
        frame: Frame,
        shipped: bool,
        seed: u64,
    ) -> Result<Self, CorpusError> {
        let rows = index.map(read_index).transpose()?.unwrap_or_default();
        let usable = |row: &&Row| {
            row.split == Split::Train
                && (row.may_train_shipped_weights || !shipped)
                && !row.masks.is_empty()
        };
        let mut entries = Vec::new();
        for (set, recipe) in (0..).zip(sets) {
            let entry = |source| Entry { set, source };
            let of_set = rows
                .iter()
                .filter(usable)
                .filter(|row| row.set == recipe.name);
            for row in of_set {
                entries.extend(
                    (0..recipe.variants).map(|_| entry(Source::Row(Box::new(row.clone())))),
                );
            }
            // Scenes that train lie far from the seeds that people, tests and calibration count up from zero.
            entries.extend((0..recipe.scenes).map(|at| entry(Source::Scene((1 << 32) + at))));
        }
        if entries.is_empty() {
            return Err(CorpusError::Empty);
        }
        entries.shuffle(&mut StdRng::seed_from_u64(seed));
        let folder = index
            .and_then(Path::parent)
            .unwrap_or(Path::new("."))
            .to_owned();
        Ok(Self {
            folder,
            entries,
            frame,
            seed,
        })
    }

    /// How many pictures it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none; never true of a planned corpus.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The picture at this place with its objects, varied as the seed says, and its set.
    ///
    /// # Errors
    /// [`CorpusError::Data`] when its files cannot be read.
    pub fn example(&self, at: usize) -> Result<(u8, Example), CorpusError> {
        let entry = &self.entries[at % self.entries.len()];
        let mut rng = StdRng::seed_from_u64(
            self.seed
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(at as u64),
        );
        let whole = match &entry.source {
            Source::Row(row) => read_example(&self.folder, row)?,
            Source::Scene(seed) => Example::from_scene(&scene(*seed, &mut rng)),
        };
        let varied = augment(&whole, &mut rng);
        Ok((
            entry.set,
            if varied.masks.is_empty() {
                whole
            } else {
                varied
            },
        ))
    }

    /// The input tensor and the objects of the picture at this place, and its set.
    ///
    /// # Errors
    /// As [`Corpus::example`].
    pub fn input(&self, at: usize) -> Result<(u8, Tensor, Vec<Target>), CorpusError> {
        let (set, example) = self.example(at)?;
        let (tensor, placing) = to_tensor(&example.picture, &self.frame.preprocessing());
        let mut targets: Vec<Target> = example
            .masks
            .iter()
            .filter_map(|mask| Target::new(mask, &placing, self.frame))
            .collect();
        targets.shuffle(&mut StdRng::seed_from_u64(at as u64));
        targets.truncate(MOST_TARGETS);
        Ok((set, tensor, targets))
    }

    /// Fills the cache up to the corpus, from where it stopped; `done` is told how many records there are.
    ///
    /// # Errors
    /// [`CorpusError`] at the first picture that fails.
    pub fn fill(
        &self,
        cache: &mut Cache,
        backbone: &Graph,
        mut done: impl FnMut(usize),
    ) -> Result<(), CorpusError> {
        const AT_ONCE: usize = 16;
        while cache.sets().len() < self.len() {
            let first = cache.sets().len();
            let last = (first + AT_ONCE).min(self.len());
            let records: Vec<Record> = (first..last)
                .into_par_iter()
                .map(|at| self.record(at, backbone))
                .collect::<Result<_, _>>()?;
            for record in &records {
                cache.append(record)?;
            }
            done(last);
        }
        Ok(())
    }

    fn record(&self, at: usize, backbone: &Graph) -> Result<Record, CorpusError> {
        let (set, tensor, targets) = self.input(at)?;
        Ok(Record {
            set,
            features: features(backbone, &tensor)?,
            targets,
        })
    }
}

/// The backbone's taps for an input tensor, one after the other.
fn features(backbone: &Graph, image: &Tensor) -> Result<Vec<f16>, CorpusError> {
    let outputs = backbone.run(&[("image", image)])?;
    let mut features = Vec::new();
    for name in ["s4", "s8", "s16", "s32"] {
        let tap = outputs
            .iter()
            .find(|(found, _)| found == name)
            .and_then(|(_, tensor)| tensor.as_f32());
        let tap = tap.ok_or_else(|| CorpusError::Tap(name.to_owned()))?;
        features.extend(tap.iter().map(|&value| f16::from_f32(value)));
    }
    Ok(features)
}

/// A scene of one of the usual sizes.
fn scene(seed: u64, rng: &mut StdRng) -> SceneSpec {
    const SIZES: [(u32, u32); 5] = [(640, 480), (480, 360), (512, 512), (480, 640), (640, 360)];
    let (width, height) = SIZES.choose(rng).copied().unwrap_or(SIZES[0]);
    SceneSpec {
        seed: seed ^ rng.random_range(0..2),
        style: alternating_style(seed),
        width,
        height,
    }
}
