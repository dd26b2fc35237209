//! Execution providers: what may compute a graph, in which order, and which one won.
//!
//! ONNX Runtime answers "available" for providers that cannot start, and drops to the CPU without a
//! word when one fails. Here a provider counts only if it registered and the session opened on it,
//! and the CPU helps only if the policy names it.

use std::fmt;
use std::str::FromStr;

use ort::ep::{self, ExecutionProviderDispatch};
use serde::{Deserialize, Serialize};

/// One execution provider of ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Any processor.
    Cpu,
    /// NVIDIA GPUs.
    Cuda,
    /// NVIDIA GPUs through TensorRT's compiled engines.
    TensorRt,
    /// Intel processors, GPUs and NPUs.
    OpenVino,
    /// Mobile processors' kernels.
    Xnnpack,
    /// Apple's neural engine.
    CoreMl,
}

impl Provider {
    const ALL: [Self; 6] = [
        Self::Cpu,
        Self::Cuda,
        Self::TensorRt,
        Self::OpenVino,
        Self::Xnnpack,
        Self::CoreMl,
    ];

    /// The name in policies and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
            Self::Xnnpack => "xnnpack",
            Self::CoreMl => "coreml",
        }
    }

    pub(crate) fn dispatch(self) -> ExecutionProviderDispatch {
        match self {
            Self::Cpu => ep::CPU::default().build(),
            Self::Cuda => ep::CUDA::default().build(),
            Self::TensorRt => ep::TensorRT::default().build(),
            Self::OpenVino => ep::OpenVINO::default().build(),
            Self::Xnnpack => ep::XNNPACK::default().build(),
            Self::CoreMl => ep::CoreML::default().build(),
        }
        .error_on_failure()
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// No provider at all.
    #[error("name at least one execution provider, for example `cpu`")]
    Empty,
    /// An unknown name.
    #[error(
        "`{0}` is not an execution provider: use cpu, cuda, tensorrt, openvino, xnnpack or coreml"
    )]
    Unknown(String),
    /// The same provider twice.
    #[error("the execution provider {0} is named twice")]
    Twice(Provider),
}

impl FromStr for Provider {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        let known = Self::ALL
            .into_iter()
            .find(|provider| provider.name() == text);
        known.ok_or_else(|| InvalidPolicy::Unknown(text.chars().take(40).collect()))
    }
}

/// Providers in the order in which they are tried; as text, `cuda,cpu`.
///
/// The first that opens the graph wins. Those after it may compute the operators that it does not
/// know. Without `cpu` in the list, a graph that needs the CPU for anything is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderPolicy(Vec<Provider>);

impl ProviderPolicy {
    /// A policy.
    ///
    /// # Errors
    /// When the list is empty or names a provider twice.
    pub fn new(order: impl Into<Vec<Provider>>) -> Result<Self, InvalidPolicy> {
        let order = order.into();
        if order.is_empty() {
            return Err(InvalidPolicy::Empty);
        }
        match order
            .iter()
            .enumerate()
            .find(|(at, provider)| order[..*at].contains(provider))
        {
            Some((_, twice)) => Err(InvalidPolicy::Twice(*twice)),
            None => Ok(Self(order)),
        }
    }

    /// The providers in order; never empty.
    #[must_use]
    pub fn order(&self) -> &[Provider] {
        &self.0
    }

    pub(crate) fn allows_cpu(&self) -> bool {
        self.0.contains(&Provider::Cpu)
    }
}

impl Default for ProviderPolicy {
    fn default() -> Self {
        Self(vec![Provider::Cpu])
    }
}

impl FromStr for ProviderPolicy {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        let names = text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        Self::new(
            names
                .map(Provider::from_str)
                .collect::<Result<Vec<_>, _>>()?,
        )
    }
}

impl TryFrom<String> for ProviderPolicy {
    type Error = InvalidPolicy;

    fn try_from(text: String) -> Result<Self, InvalidPolicy> {
        text.parse()
    }
}

impl From<ProviderPolicy> for String {
    fn from(policy: ProviderPolicy) -> String {
        policy.to_string()
    }
}

impl fmt::Display for ProviderPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|provider| provider.name()).collect();
        f.write_str(&names.join(","))
    }
}

/// A provider that did not work, and what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Which one.
    pub provider: Provider,
    /// ONNX Runtime's words.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.provider, self.reason)
    }
}

/// Who computes a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// The first provider of the policy that worked.
    pub provider: Provider,
    /// Those after it, which may take the operators that it does not know.
    pub helpers: Vec<Provider>,
    /// Those that were asked for and did not work.
    pub refused: Vec<Refusal>,
}
