//! One ONNX graph: loaded, described and run with named tensors.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{Outlet, ValueType};

use crate::engine::{Engine, EngineError};
use crate::pool::Pool;
use crate::provider::{Placement, Provider, ProviderPolicy, Refusal};
use crate::tensor::{ElementType, Tensor};

/// How a graph is loaded.
#[derive(Clone, Debug)]
pub struct GraphOptions {
    /// What may compute it.
    pub providers: ProviderPolicy,
    /// Threads that one run uses inside an operator.
    pub threads: NonZeroUsize,
    /// How many runs may go on at once. Each costs memory for activations; prepacked weights are shared.
    pub sessions: NonZeroUsize,
    /// How much ONNX Runtime rewrites the graph before it runs.
    pub optimisation: Optimisation,
    /// Where to write the rewritten graph, for those who want to keep it.
    pub optimised_copy: Option<PathBuf>,
}

impl Default for GraphOptions {
    /// One session on one CPU thread, fully optimised.
    fn default() -> Self {
        Self {
            providers: ProviderPolicy::default(),
            threads: NonZeroUsize::MIN,
            sessions: NonZeroUsize::MIN,
            optimisation: Optimisation::Full,
            optimised_copy: None,
        }
    }
}

/// How much ONNX Runtime rewrites a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimisation {
    /// Not at all.
    Off,
    /// Only what any machine can run afterwards: folded constants, removed no-ops.
    Portable,
    /// Fusions that need ONNX Runtime's own operators, but no layout of this machine.
    Fused,
    /// Everything, for this machine alone.
    Full,
}

impl Optimisation {
    fn level(self) -> GraphOptimizationLevel {
        match self {
            Self::Off => GraphOptimizationLevel::Disable,
            Self::Portable => GraphOptimizationLevel::Level1,
            Self::Fused => GraphOptimizationLevel::Level2,
            Self::Full => GraphOptimizationLevel::All,
        }
    }
}

/// One axis of a graph's input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Always this long.
    Fixed(usize),
    /// As long as the caller likes, within the graph's own logic.
    Free,
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(length) => write!(f, "{length}"),
            Self::Free => f.write_str("?"),
        }
    }
}

/// The name, type and shape of a graph's input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The tensor's name.
    pub name: String,
    /// Its elements' type.
    pub element: ElementType,
    /// Its axes; `None` when the graph leaves even their number open.
    pub axes: Option<Vec<Axis>>,
}

impl Port {
    fn read(outlet: &Outlet) -> Result<Self, GraphError> {
        let unsupported = || GraphError::UnsupportedType {
            tensor: outlet.name().to_owned(),
            found: outlet.dtype().to_string(),
        };
        let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
            return Err(unsupported());
        };
        let element = ElementType::from_ort(*ty).ok_or_else(unsupported)?;
        let axis = |side: &i64| usize::try_from(*side).map_or(Axis::Free, Axis::Fixed);
        let axes = (!shape.is_empty()).then(|| shape.iter().map(axis).collect());
        Ok(Self {
            name: outlet.name().to_owned(),
            element,
            axes,
        })
    }

    fn accepts(&self, tensor: &Tensor) -> bool {
        let fits = |(axis, side): (&Axis, &usize)| {
            matches!(axis, Axis::Free) || *axis == Axis::Fixed(*side)
        };
        let shape_fits = self.axes.as_ref().is_none_or(|axes| {
            axes.len() == tensor.shape().len() && axes.iter().zip(tensor.shape()).all(fits)
        });
        shape_fits && self.element == tensor.element_type()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.element)?;
        match &self.axes {
            None => f.write_str(" of any shape"),
            Some(axes) => {
                let axes: Vec<_> = axes.iter().map(Axis::to_string).collect();
                write!(f, "[{}]", axes.join(", "))
            }
        }
    }
}

/// Why a graph cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// ONNX Runtime itself is not there.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The file cannot be read.
    #[error("the graph {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The graph.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// ONNX Runtime refuses the graph on every provider that was asked for.
    #[error("the graph {} cannot be loaded ({}): check the file, or name another execution provider", path.display(), list(refused))]
    Refused {
        /// The graph.
        path: PathBuf,
        /// What each provider said.
        refused: Vec<Refusal>,
    },
    /// A type of tensor that this runtime does not speak.
    #[error(
        "the tensor `{tensor}` has the type {found}: inputs and outputs must be float32, float64, int8, uint8, int32, int64 or bool tensors"
    )]
    UnsupportedType {
        /// Which tensor.
        tensor: String,
        /// Its type in ONNX Runtime's words.
        found: String,
    },
    /// An input was not given.
    #[error("the input `{0}` is missing")]
    MissingInput(String),
    /// There is no such input.
    #[error("the graph has no input `{0}`")]
    UnknownInput(String),
    /// There is no such output.
    #[error("the graph has no output `{0}`")]
    UnknownOutput(String),
    /// An input has the wrong type or shape.
    #[error("the input `{input}` must be {wanted}: {found} was given")]
    WrongInput {
        /// Which input.
        input: String,
        /// What the graph takes.
        wanted: String,
        /// What was given.
        found: String,
    },
    /// ONNX Runtime failed while it computed.
    #[error("the graph failed while it ran: {0}")]
    FailedRun(String),
}

impl GraphError {
    pub(crate) fn failed_run(error: ort::Error) -> Self {
        Self::FailedRun(error.to_string())
    }
}

fn list(refused: &[Refusal]) -> String {
    refused
        .iter()
        .map(Refusal::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Tensors by name, in the graph's order.
pub type NamedTensors = Vec<(String, Tensor)>;

/// A loaded graph, which any number of threads may run.
#[derive(Debug)]
pub struct Graph {
    sessions: Pool<Session>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    placement: Placement,
}

impl Graph {
    /// Loads a graph from a file on the first provider of the policy that takes it.
    ///
    /// # Errors
    /// When ONNX Runtime is missing, the file is unreadable, every provider refuses it, or it speaks
    /// types that [`Tensor`] does not have.
    pub fn load(path: &Path, options: &GraphOptions) -> Result<Self, GraphError> {
        let engine = Engine::shared()?;
        std::fs::metadata(path).map_err(|source| GraphError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let mut refused = Vec::new();
        for (at, provider) in options.providers.order().iter().enumerate() {
            // ONNX Runtime's binding panics on a few malformed type descriptions; a model file is outside input.
            let opened = catch_unwind(AssertUnwindSafe(|| open(engine, path, options, at)));
            match opened.unwrap_or_else(|_| {
                Err("the graph's description of its types is malformed".to_owned())
            }) {
                Ok(opened) => return Self::describe(opened, *provider, refused),
                Err(reason) => {
                    tracing::warn!(graph = %path.display(), %provider, reason, "execution provider refused");
                    refused.push(Refusal {
                        provider: *provider,
                        reason,
                    });
                }
            }
        }
        Err(GraphError::Refused {
            path: path.to_owned(),
            refused,
        })
    }

    fn describe(
        opened: Opened,
        provider: Provider,
        mut refused: Vec<Refusal>,
    ) -> Result<Self, GraphError> {
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        if let Some(session) = opened.sessions.first() {
            inputs = session
                .inputs()
                .iter()
                .map(Port::read)
                .collect::<Result<_, _>>()?;
            outputs = session
                .outputs()
                .iter()
                .map(Port::read)
                .collect::<Result<_, _>>()?;
        }
        refused.extend(opened.refused_helpers);
        let placement = Placement {
            provider,
            helpers: opened.helpers,
            refused,
        };
        Ok(Self {
            sessions: Pool::new(opened.sessions),
            inputs,
            outputs,
            placement,
        })
    }

    /// The inputs in the graph's order.
    #[must_use]
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs in the graph's order.
    #[must_use]
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The input of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn input(&self, name: &str) -> Result<&Port, GraphError> {
        let found = self.inputs.iter().find(|port| port.name == name);
        found.ok_or_else(|| GraphError::UnknownInput(name.to_owned()))
    }

    /// The output of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn output(&self, name: &str) -> Result<&Port, GraphError> {
        let found = self.outputs.iter().find(|port| port.name == name);
        found.ok_or_else(|| GraphError::UnknownOutput(name.to_owned()))
    }

    /// Who computes this graph.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Computes every output from the named inputs; waits while all sessions are busy.
    ///
    /// # Errors
    /// When an input is missing, unknown, or of the wrong type or shape, or ONNX Runtime fails.
    pub fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<NamedTensors, GraphError> {
        self.check(inputs)?;
        let values = inputs
            .iter()
            .map(|(name, tensor)| tensor.as_input().map(|value| (Cow::Borrowed(*name), value)));
        let values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = values
            .collect::<Result<_, _>>()
            .map_err(GraphError::failed_run)?;
        let mut session = self.sessions.lease();
        let outputs = session.run(values).map_err(GraphError::failed_run)?;
        outputs
            .iter()
            .map(|(name, value)| Ok((name.to_owned(), Tensor::from_output(name, &value)?)))
            .collect()
    }

    fn check(&self, inputs: &[(&str, &Tensor)]) -> Result<(), GraphError> {
        for (name, tensor) in inputs {
            let port = self.input(name)?;
            if !port.accepts(tensor) {
                return Err(GraphError::WrongInput {
                    input: (*name).to_owned(),
                    wanted: port.to_string(),
                    found: format!("{}{:?}", tensor.element_type(), tensor.shape()),
                });
            }
        }
        let given = |port: &&Port| inputs.iter().any(|(name, _)| *name == port.name);
        match self.inputs.iter().find(|port| !given(port)) {
            Some(port) => Err(GraphError::MissingInput(port.name.clone())),
            None => Ok(()),
        }
    }
}

struct Opened {
    sessions: Vec<Session>,
    helpers: Vec<Provider>,
    refused_helpers: Vec<Refusal>,
}

/// Opens the sessions on the policy's provider number `at`, with those after it as helpers.
fn open(engine: &Engine, path: &Path, options: &GraphOptions, at: usize) -> Result<Opened, String> {
    let words = |error: ort::Error| error.to_string();
    let mut builder = configure(engine, options).map_err(words)?;
    let (winner, later) = (
        options.providers.order()[at],
        &options.providers.order()[at + 1..],
    );
    winner.dispatch().register(&mut builder).map_err(words)?;
    let (mut helpers, mut refused_helpers) = (Vec::new(), Vec::new());
    for helper in later {
        match helper.dispatch().register(&mut builder) {
            Ok(()) => helpers.push(*helper),
            Err(error) => refused_helpers.push(Refusal {
                provider: *helper,
                reason: words(error),
            }),
        }
    }
    let mut sessions = Vec::with_capacity(options.sessions.get());
    for _ in 0..options.sessions.get() {
        sessions.push(builder.commit_from_file(path).map_err(words)?);
    }
    Ok(Opened {
        sessions,
        helpers,
        refused_helpers,
    })
}

fn configure(engine: &Engine, options: &GraphOptions) -> Result<SessionBuilder, ort::Error> {
    let mut builder = Session::builder(engine.environment())?
        .with_optimization_level(options.optimisation.level())?
        .with_intra_threads(options.threads.get())?
        // Idle threads must not burn the processor that other work on the device needs.
        .with_intra_op_spinning(false)?;
    if options.sessions.get() > 1 {
        builder = builder.with_prepacked_weights(&PrepackedWeights::new())?;
    }
    if !options.providers.allows_cpu() {
        builder = builder.with_disable_cpu_fallback()?;
    }
    if let Some(copy) = &options.optimised_copy {
        builder = builder.with_optimized_model_path(copy)?;
    }
    Ok(builder)
}
