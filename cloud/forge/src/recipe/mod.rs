//! Recipes: how the forge makes a build for one class of device. Typed, in TOML.
//!
//! A recipe is checked completely before any work starts: an unknown key, a number that cannot be, or a
//! budget that contradicts another is refused with its line.

mod numbers;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};

use espalier_protocol::DeviceClassName;
use espalier_runtime::{GraphOptions, ProviderPolicy};
use serde::{Deserialize, Serialize};

pub use numbers::{Percentile, Ratio};

/// The longest recipe in bytes; stops endless data.
pub const MAX_RECIPE_BYTES: usize = 64 * 1024;

/// Why a recipe is refused.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Longer than [`MAX_RECIPE_BYTES`].
    #[error("the recipe has {0} bytes: at most {MAX_RECIPE_BYTES} are allowed")]
    TooLong(usize),
    /// Not TOML, an unknown key, a missing one, or a value that cannot be; the message shows the line.
    #[error("the recipe is not valid: {0}")]
    Toml(#[from] Box<toml::de::Error>),
    /// Two settings that cannot both hold.
    #[error("the recipe contradicts itself: {0}")]
    Contradiction(&'static str),
}

/// How to make a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// One sentence for people.
    #[serde(default)]
    pub summary: String,
    /// What the build is for.
    pub device: DeviceClass,
    /// Rewriting before anything is quantised.
    #[serde(default)]
    pub optimise: Optimise,
    /// Number formats.
    #[serde(default)]
    pub quantise: Quantise,
    /// Where held-out inputs come from, and how many.
    #[serde(default)]
    pub held_out: HeldOut,
    /// What the build must reach to be released.
    #[serde(default)]
    pub gate: Gate,
    /// How much of this machine the job may use.
    #[serde(default)]
    pub limits: crate::sandbox::Limits,
}

/// What a build is made for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceClass {
    /// Its name, which devices report.
    pub class: DeviceClassName,
    /// Its processors.
    pub arch: Arch,
    /// Execution providers in the order in which a device tries them.
    #[serde(default)]
    pub providers: ProviderPolicy,
    /// Inference threads.
    #[serde(default = "one")]
    pub threads: NonZeroU32,
    /// Whether quantised activations have a sign. By default what the architecture computes fastest.
    #[serde(default)]
    pub activations: Option<Signedness>,
    /// Bits of the weights that integer kernels multiply. By default what every processor of the architecture
    /// multiplies exactly.
    #[serde(default)]
    pub weight_bits: Option<WeightBits>,
}

/// How 8-bit kernels of a device class want their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntegerFormat {
    /// Whether activations have a sign.
    pub activations: Signedness,
    /// Bits of the weights.
    pub weights: WeightBits,
}

/// Bits of quantised weights, sign included; they are stored in 8 either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum WeightBits {
    /// -63 … 63. x86 processors without VNNI add two products in 16 bits, which overflows with larger weights: the
    /// same build would then give other masks there than where it was made.
    Seven,
    /// -127 … 127.
    Eight,
}

impl WeightBits {
    /// The largest quantised weight; the range is symmetric.
    #[must_use]
    pub fn largest(self) -> f32 {
        match self {
            Self::Seven => 63.0,
            Self::Eight => 127.0,
        }
    }
}

impl TryFrom<u8> for WeightBits {
    type Error = String;
    fn try_from(bits: u8) -> Result<Self, String> {
        match bits {
            7 => Ok(Self::Seven),
            8 => Ok(Self::Eight),
            other => Err(format!("weights of {other} bits: 7 or 8 are possible")),
        }
    }
}

impl From<WeightBits> for u8 {
    fn from(bits: WeightBits) -> u8 {
        match bits {
            WeightBits::Seven => 7,
            WeightBits::Eight => 8,
        }
    }
}

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arch {
    /// 64-bit Intel and AMD.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM.
    #[serde(rename = "aarch64")]
    Aarch64,
}

/// Whether 8-bit activations have a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signedness {
    /// 0 … 255. On x86 the dot-product instructions multiply unsigned with signed; signed activations
    /// measured slower there than floating point.
    #[serde(rename = "u8")]
    Unsigned,
    /// -128 … 127, what ARM's instructions take.
    #[serde(rename = "s8")]
    Signed,
}

impl DeviceClass {
    /// How a device of this class loads graphs.
    #[must_use]
    pub fn graph_options(&self) -> GraphOptions {
        // Thread counts fit any pointer width that ONNX Runtime runs on.
        let threads = NonZeroUsize::try_from(self.threads).unwrap_or(NonZeroUsize::MIN);
        GraphOptions {
            providers: self.providers.clone(),
            threads,
            ..GraphOptions::default()
        }
    }

    /// How integer kernels of this class want their numbers.
    #[must_use]
    pub fn integers(&self) -> IntegerFormat {
        let (activations, weights) = match self.arch {
            Arch::X86_64 => (Signedness::Unsigned, WeightBits::Seven),
            Arch::Aarch64 => (Signedness::Signed, WeightBits::Eight),
        };
        IntegerFormat {
            activations: self.activations.unwrap_or(activations),
            weights: self.weight_bits.unwrap_or(weights),
        }
    }
}

/// Rewriting of the graph before it is quantised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optimise {
    /// Fold constants and batch normalisation, remove what nobody reads.
    pub fold: bool,
}

impl Default for Optimise {
    fn default() -> Self {
        Self { fold: true }
    }
}

/// How numbers are stored and computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// As they are: 32-bit floating point.
    Full,
    /// 16-bit floating-point weights, computed in 32 bits: half the size on any processor.
    WeightsFp16,
    /// 16-bit floating point, weights and computation, for devices whose provider computes in it; inputs and
    /// outputs stay 32-bit.
    Fp16,
    /// 8-bit weights by output channel, 8-bit activations with ranges from calibration.
    StaticInt8,
    /// 8-bit weights; the activations of `MatMul` and `Gemm` are quantised while it runs.
    DynamicInt8,
    /// 8-bit weights by output channel, computed in floating point: small, and nearly exact.
    WeightsInt8,
}

/// Number formats of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quantise {
    /// The method for every graph that `graphs` does not name.
    pub method: Method,
    /// The method by graph: its file name without `.onnx`.
    pub graphs: BTreeMap<String, Method>,
    /// Names of nodes that stay in 32-bit floating point, whatever the method.
    pub keep_fp32: Vec<String>,
    /// Where the ranges of activations come from.
    pub calibration: Calibration,
    /// Search for layers that lose too much.
    pub sensitivity: Option<Sensitivity>,
}

impl Default for Quantise {
    fn default() -> Self {
        Self {
            method: Method::Full,
            graphs: BTreeMap::new(),
            keep_fp32: Vec::new(),
            calibration: Calibration::default(),
            sensitivity: None,
        }
    }
}

impl Quantise {
    /// The method for the graph of this name (its file name without `.onnx`).
    #[must_use]
    pub fn method_for(&self, graph: &str) -> Method {
        self.graphs.get(graph).copied().unwrap_or(self.method)
    }
}

/// How the ranges of activations are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calibration {
    /// What is made of the values that were seen.
    pub method: RangeMethod,
    /// Of the values, how many per cent must lie inside (for `percentile`).
    pub percentile: Percentile,
    /// How many pictures.
    pub pictures: NonZeroU32,
    /// Prompts for each picture (where the task has prompts).
    pub prompts: NonZeroU32,
    /// The seed of the rendered scenes; held-out scenes never share it.
    pub seed: u64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            method: RangeMethod::Percentile,
            percentile: Percentile::default(),
            pictures: NonZeroU32::MIN.saturating_add(31),
            prompts: NonZeroU32::MIN.saturating_add(1),
            seed: 1,
        }
    }
}

/// What is made of the values that calibration saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RangeMethod {
    /// The smallest and the largest value: exact for all, coarse where there are outliers.
    MinMax,
    /// Outliers are cut off.
    Percentile,
    /// The cut that changes the distribution least (Kullback-Leibler divergence).
    Entropy,
}

/// The search for layers that lose too much in 8 bits; those get 8-bit weights and floating-point activations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sensitivity {
    /// Layers are freed, worst first, until the agreement on tuning inputs is at least this.
    pub agreement_iou: Ratio,
    /// Pairs of picture and prompt for the search; neither calibration's nor the held-out ones.
    #[serde(default = "forty")]
    pub pairs: NonZeroU32,
    /// The seed of their scenes.
    #[serde(default = "two")]
    pub seed: u64,
}

/// The inputs that a build is judged on, which neither training nor calibration nor tuning saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeldOut {
    /// Pairs of picture and prompt; half of them are one click.
    pub pairs: NonZeroU32,
    /// The seed of the rendered scenes.
    pub seed: u64,
    /// Golden inputs that go into the bundle.
    pub golden: NonZeroU32,
}

impl Default for HeldOut {
    fn default() -> Self {
        Self {
            pairs: NonZeroU32::MIN.saturating_add(239),
            seed: 3,
            golden: NonZeroU32::MIN.saturating_add(7),
        }
    }
}

/// Conditions on the measurements. What is absent is not demanded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// Least mean agreement with the full model (IoU of top masks).
    pub agreement_iou: Option<Ratio>,
    /// Most bytes, as a share of the full model's.
    pub bytes_ratio: Option<Ratio>,
    /// Most bytes.
    pub bytes: Option<u64>,
    /// Most median latency of one whole inference, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Most peak memory in MiB.
    pub memory_mib: Option<u64>,
    /// The build must be at least this many times as fast as the full model.
    pub speed_up: Option<f64>,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn two() -> u64 {
    2
}

fn forty() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(39)
}

impl Recipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// [`RecipeError`], with the line where there is one.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        if text.len() > MAX_RECIPE_BYTES {
            return Err(RecipeError::TooLong(text.len()));
        }
        let recipe: Self = toml::from_str(text).map_err(Box::new)?;
        recipe.check()?;
        Ok(recipe)
    }

    fn check(&self) -> Result<(), RecipeError> {
        let quantise = &self.quantise;
        let mut seeds = vec![quantise.calibration.seed, self.held_out.seed];
        seeds.extend(quantise.sensitivity.as_ref().map(|search| search.seed));
        seeds.sort_unstable();
        if seeds.windows(2).any(|pair| pair[0] == pair[1]) {
            return contradiction(
                "calibration, sensitivity and held_out must have different seeds, or the build is judged on what it was tuned on",
            );
        }
        let mut methods = quantise.graphs.values().chain([&quantise.method]);
        if quantise.sensitivity.is_some() && !methods.any(|method| *method == Method::StaticInt8) {
            return contradiction(
                "[quantise.sensitivity] frees layers from static-int8, and no graph uses it",
            );
        }
        let positive =
            |budget: Option<f64>| budget.is_none_or(|budget| budget.is_finite() && budget > 0.0);
        if !positive(self.gate.latency_ms) || !positive(self.gate.speed_up) {
            return contradiction("gate.latency_ms and gate.speed_up must be positive numbers");
        }
        Ok(())
    }
}

fn contradiction(why: &'static str) -> Result<(), RecipeError> {
    Err(RecipeError::Contradiction(why))
}
