//! Reading model files from strangers.

use std::io::Read;
use std::path::Path;

use prost::Message;

use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto};
use super::{OnnxError, check};

/// How much of a stranger's model is taken. Each limit names the attack that it stops.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the file: an endless upload. Protobuf itself ends at 2 GiB.
    pub bytes: u64,
    /// Nodes, subgraphs and functions included: a file of empty nodes costs a hundred times its size once decoded.
    pub nodes: u64,
    /// Elements of one constant: a few bytes that announce billions of elements.
    pub elements: u64,
    /// Graphs inside graphs: a stack overflow in whoever walks them.
    pub depth: u32,
}

impl Default for Limits {
    /// Room for a full model of a few hundred million parameters.
    fn default() -> Self {
        Self {
            bytes: 2 << 30,
            nodes: 200_000,
            elements: 1 << 31,
            depth: 8,
        }
    }
}

/// Decodes and checks a model.
///
/// # Errors
/// [`OnnxError::TooLarge`] past a limit, [`OnnxError::Malformed`] when the bytes are no model,
/// [`OnnxError::Invalid`] or [`OnnxError::Tensor`] when the graph contradicts itself.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<ModelProto, OnnxError> {
    at_most("bytes", bytes.len() as u64, limits.bytes)?;
    at_most("nodes", top_level_nodes(bytes), limits.nodes)?;
    let model = ModelProto::decode(bytes).map_err(|e| OnnxError::Malformed(e.to_string()))?;
    let graph = model
        .graph
        .as_ref()
        .ok_or_else(|| OnnxError::Malformed("it has no graph".into()))?;
    let mut nodes = count_nodes(&graph.node, limits.depth)?;
    for function in &model.functions {
        nodes = nodes.saturating_add(count_nodes(&function.node, limits.depth)?);
    }
    at_most("nodes", nodes, limits.nodes)?;
    check(&model, limits)?;
    Ok(model)
}

/// Reads, decodes and checks a model file.
///
/// # Errors
/// As [`read`], and [`OnnxError::File`] when the file cannot be read.
pub fn read_file(path: &Path, limits: &Limits) -> Result<ModelProto, OnnxError> {
    let failed = |source| OnnxError::File {
        path: path.display().to_string(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limits.bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    read(&bytes, limits)
}

pub(super) fn at_most(what: &'static str, found: u64, limit: u64) -> Result<(), OnnxError> {
    if found > limit {
        Err(OnnxError::TooLarge { what, found, limit })
    } else {
        Ok(())
    }
}

/// Nodes of the main graph and of functions, counted on the wire before anything is allocated for them.
/// Bytes that do not parse count as nothing: the decoder names what is wrong with them.
fn top_level_nodes(bytes: &[u8]) -> u64 {
    /// Bodies of the model by their tags, each with the tag of its nodes: the graph, and the functions.
    const BODIES: [(u64, u64); 2] = [(7, 1), (25, 7)];
    fields(bytes)
        .filter_map(|(tag, body)| {
            let (_, node) = BODIES.into_iter().find(|(known, _)| *known == tag)?;
            Some(fields(body).filter(|field| field.0 == node).count() as u64)
        })
        .sum()
}

/// The length-delimited fields of a protobuf message, as (tag, payload); ends at the first malformed one.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            let key = varint(&mut bytes)?;
            match key & 7 {
                0 => drop(varint(&mut bytes)?),
                1 => bytes = bytes.get(8..)?,
                5 => bytes = bytes.get(4..)?,
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).ok()?;
                    let (payload, rest) = bytes.split_at_checked(length)?;
                    bytes = rest;
                    return Some((key >> 3, payload));
                }
                _ => return None,
            }
        }
    })
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn count_nodes(nodes: &[NodeProto], depth: u32) -> Result<u64, OnnxError> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(OnnxError::Invalid(
            "its subgraphs are nested too deeply".into(),
        ));
    };
    let mut count = nodes.len() as u64;
    for subgraph in nodes.iter().flat_map(NodeProto::subgraphs) {
        count = count.saturating_add(count_nodes(&subgraph.node, deeper)?);
    }
    Ok(count)
}

impl NodeProto {
    /// The graphs that this node holds in its attributes.
    pub fn subgraphs(&self) -> impl Iterator<Item = &GraphProto> {
        self.attribute.iter().flat_map(AttributeProto::subgraphs)
    }
}

impl AttributeProto {
    /// The graphs that this attribute holds.
    pub fn subgraphs(&self) -> impl Iterator<Item = &GraphProto> {
        self.g.iter().chain(&self.graphs)
    }
}
