//! What must hold of a graph before any of our code, or ONNX Runtime, works on it.

use std::collections::HashSet;
use std::path::{Component, Path};

use super::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto};
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
    let rules = Rules {
        limits,
        outside: Outside::Allowed,
    };
    rules.check_graph(graph, &HashSet::new(), limits.depth)?;
    model
        .functions
        .iter()
        .try_for_each(|function| check_function(function, limits))
}

/// Functions are never made whole, so all of their constants must be here.
fn check_function(function: &FunctionProto, limits: &Limits) -> Result<(), OnnxError> {
    let rules = Rules {
        limits,
        outside: Outside::Refused,
    };
    for default in &function.attribute_proto {
        rules.check_attribute(default, function.name(), &HashSet::new(), limits.depth)?;
    }
    let mut known = function.input.iter().map(String::as_str).collect();
    rules.check_nodes(&function.node, &mut known, limits.depth)?;
    match function
        .output
        .iter()
        .find(|name| !known.contains(name.as_str()))
    {
        Some(missing) => invalid(format!(
            "the output `{missing}` of function `{}` is never made",
            function.name()
        )),
        None => Ok(()),
    }
}

/// Whether the data of a constant may lie in a file beside the model.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outside {
    /// The inspection brings it in, or refuses it.
    Allowed,
    /// Nobody would look at that file before a runtime does.
    Refused,
}

/// What holds for every node and constant of one body.
struct Rules<'a> {
    limits: &'a Limits,
    outside: Outside,
}

impl Rules<'_> {
    fn check_graph(
        &self,
        graph: &GraphProto,
        outer: &HashSet<&str>,
        depth: u32,
    ) -> Result<(), OnnxError> {
        let Some(deeper) = depth.checked_sub(1) else {
            return invalid("its subgraphs are nested too deeply");
        };
        if !graph.sparse_initializer.is_empty() {
            return sparse(graph.name());
        }
        for tensor in &graph.initializer {
            self.check_tensor(tensor)?;
        }
        let mut known = outer.clone();
        known.extend(graph.input.iter().map(|value| value.name()));
        known.extend(graph.initializer.iter().map(|tensor| tensor.name()));
        self.check_nodes(&graph.node, &mut known, deeper)?;
        match graph
            .output
            .iter()
            .find(|value| !known.contains(value.name()))
        {
            Some(missing) => invalid(format!("its output `{}` is never made", missing.name())),
            None => Ok(()),
        }
    }

    /// Each node after those it reads from; `known` learns what they make.
    fn check_nodes<'g>(
        &self,
        nodes: &'g [NodeProto],
        known: &mut HashSet<&'g str>,
        depth: u32,
    ) -> Result<(), OnnxError> {
        for node in nodes {
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
            for attribute in &node.attribute {
                self.check_attribute(attribute, operator, known, depth)?;
            }
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                if !known.insert(output) {
                    return invalid(format!("`{output}` is made twice"));
                }
            }
        }
        Ok(())
    }

    fn check_attribute(
        &self,
        attribute: &AttributeProto,
        owner: &str,
        known: &HashSet<&str>,
        depth: u32,
    ) -> Result<(), OnnxError> {
        if attribute.sparse_tensor.is_some() || !attribute.sparse_tensors.is_empty() {
            return sparse(owner);
        }
        for tensor in attribute.t.iter().chain(&attribute.tensors) {
            self.check_tensor(tensor)?;
        }
        for subgraph in attribute.subgraphs() {
            self.check_graph(subgraph, known, depth)?;
        }
        Ok(())
    }

    fn check_tensor(&self, tensor: &TensorProto) -> Result<(), OnnxError> {
        let elements = tensor.elements()?;
        at_most("elements in one constant", elements, self.limits.elements)?;
        match (tensor.is_external(), self.outside) {
            (false, _) => tensor.check_data(elements),
            (true, Outside::Allowed) => tensor.external_location().map(drop),
            (true, Outside::Refused) => {
                tensor.refuse("it belongs to a function, and its data lies in another file")
            }
        }
    }
}

fn sparse<T>(owner: &str) -> Result<T, OnnxError> {
    invalid(format!(
        "`{owner}` has sparse constants; export it with dense ones"
    ))
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
    /// Its data is as long as its shape and type say.
    fn check_data(&self, elements: u64) -> Result<(), OnnxError> {
        let data_type = self.element_type()?;
        let (held, needed) = match (&self.raw_data, data_type.bits()) {
            (Some(raw), Some(bits)) => (raw.len() as u64, (elements * bits).div_ceil(8)),
            (Some(_), None) => return self.refuse("strings cannot be raw bytes"),
            (None, _) => (
                self.typed_fields(data_type) as u64,
                typed_length(data_type, elements),
            ),
        };
        if held == needed {
            Ok(())
        } else {
            self.refuse(format!(
                "its shape needs {needed} units of data, it has {held}"
            ))
        }
    }

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
