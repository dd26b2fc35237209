//! What must hold of a graph before any of our code, or ONNX Runtime, works on it.

use std::collections::HashSet;
use std::path::{Component, Path};

use super::proto::{FunctionProto, GraphProto, ModelProto, TensorProto};
use super::read::{Limits, at_most};
use super::{DataType, OnnxError};

/// IR versions whose files we can keep whole.
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 3..=13;

/// Refuses a model that contradicts itself or passes the limits.
///
/// # Errors
/// [`OnnxError::Invalid`] for the graph, [`OnnxError::Tensor`] for one of its constants, [`OnnxError::TooLarge`] past a limit.
pub fn check(model: &ModelProto, limits: &Limits) -> Result<(), OnnxError> {
    let ir = model.ir_version.unwrap_or(0);
    if !IR_VERSIONS.contains(&ir) {
        return invalid(format!(
            "its IR version is {ir}; versions {} to {} are read",
            IR_VERSIONS.start(),
            IR_VERSIONS.end()
        ));
    }
    if model.opset_import.is_empty() {
        return invalid("it names no operator set");
    }
    let graph = model
        .graph
        .as_ref()
        .ok_or_else(|| OnnxError::Invalid("it has no graph".into()))?;
    if graph.output.is_empty() {
        return invalid("it has no output");
    }
    check_graph(graph, &HashSet::new(), limits, limits.depth)?;
    model
        .functions
        .iter()
        .try_for_each(|function| check_function(function, limits))
}

fn check_graph(
    graph: &GraphProto,
    outer: &HashSet<&str>,
    limits: &Limits,
    depth: u32,
) -> Result<(), OnnxError> {
    let Some(deeper) = depth.checked_sub(1) else {
        return invalid("its subgraphs are nested too deeply");
    };
    for tensor in &graph.initializer {
        check_tensor(tensor, limits)?;
    }
    let mut known = outer.clone();
    known.extend(graph.input.iter().map(|value| value.name()));
    known.extend(graph.initializer.iter().map(|tensor| tensor.name()));
    known.extend(
        graph
            .sparse_initializer
            .iter()
            .filter_map(|t| t.values.as_ref())
            .map(|t| t.name()),
    );
    for node in &graph.node {
        let operator = node.op_type();
        if let Some(missing) = node
            .input
            .iter()
            .find(|name| !name.is_empty() && !known.contains(name.as_str()))
        {
            return invalid(format!(
                "{operator} reads `{missing}`, which nothing before it makes"
            ));
        }
        for tensor in node
            .attribute
            .iter()
            .flat_map(|a| a.t.iter().chain(&a.tensors))
        {
            check_tensor(tensor, limits)?;
        }
        for subgraph in node.subgraphs() {
            check_graph(subgraph, &known, limits, deeper)?;
        }
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if !known.insert(output) {
                return invalid(format!("`{output}` is made twice"));
            }
        }
    }
    match graph
        .output
        .iter()
        .find(|value| !known.contains(value.name()))
    {
        Some(missing) => invalid(format!("its output `{}` is never made", missing.name())),
        None => Ok(()),
    }
}

fn check_function(function: &FunctionProto, limits: &Limits) -> Result<(), OnnxError> {
    at_most(
        "nodes in a function",
        function.node.len() as u64,
        limits.nodes,
    )
}

fn check_tensor(tensor: &TensorProto, limits: &Limits) -> Result<(), OnnxError> {
    let elements = tensor.elements()?;
    at_most("elements in one constant", elements, limits.elements)?;
    if tensor.is_external() {
        return tensor.external_location().map(drop);
    }
    let data_type = tensor.element_type()?;
    let (held, needed) = match (&tensor.raw_data, data_type.bits()) {
        (Some(raw), Some(bits)) => (raw.len() as u64, (elements * bits).div_ceil(8)),
        (Some(_), None) => return tensor.refuse("strings cannot be raw bytes"),
        (None, _) => (
            tensor.typed_fields(data_type) as u64,
            typed_length(data_type, elements),
        ),
    };
    if held == needed {
        Ok(())
    } else {
        tensor.refuse(format!(
            "its shape needs {needed} units of data, it has {held}"
        ))
    }
}

/// How many entries of its typed field a tensor without raw bytes must have.
fn typed_length(data_type: DataType, elements: u64) -> u64 {
    match data_type {
        DataType::Complex64 | DataType::Complex128 => elements * 2,
        DataType::Uint4 | DataType::Int4 | DataType::Float4E2m1 => elements.div_ceil(2),
        _ => elements,
    }
}

impl TensorProto {
    fn typed_fields(&self, data_type: DataType) -> usize {
        match data_type {
            DataType::Float | DataType::Complex64 => self.float_data.len(),
            DataType::Double | DataType::Complex128 => self.double_data.len(),
            DataType::Int64 => self.int64_data.len(),
            DataType::Uint32 | DataType::Uint64 => self.uint64_data.len(),
            DataType::String => self.string_data.len(),
            _ => self.int32_data.len(),
        }
    }

    /// The file that holds this tensor's elements, relative to the model's folder.
    ///
    /// # Errors
    /// When there is none, or when it would lie outside the folder: a model must not read its host's files.
    pub fn external_location(&self) -> Result<&Path, OnnxError> {
        let entry = self
            .external_data
            .iter()
            .find(|entry| entry.key() == "location");
        let Some(location) = entry.map(|entry| Path::new(entry.value())) else {
            return self.refuse("its data lies in another file, which is not named");
        };
        let inside = location
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if inside && location.components().next().is_some() {
            Ok(location)
        } else {
            self.refuse(format!(
                "its data lies at `{}`, outside the model's folder",
                location.display()
            ))
        }
    }
}

fn invalid<T>(problem: impl Into<String>) -> Result<T, OnnxError> {
    Err(OnnxError::Invalid(problem.into()))
}
