//! Who makes and who reads each value of a graph.

use std::collections::{HashMap, HashSet};

use crate::onnx::{GraphProto, NodeProto, TensorProto};

/// An index over a graph's values.
pub struct Wiring<'g> {
    graph: &'g GraphProto,
    readers: HashMap<&'g str, Vec<usize>>,
    constants: HashMap<&'g str, &'g TensorProto>,
    outputs: HashSet<&'g str>,
    /// Values that a subgraph reads from outside itself; they are left alone.
    captured: HashSet<&'g str>,
}

impl<'g> Wiring<'g> {
    /// Indexes a graph.
    #[must_use]
    pub fn of(graph: &'g GraphProto) -> Self {
        let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut captured = HashSet::new();
        for (at, node) in graph.node.iter().enumerate() {
            for input in node.input.iter().filter(|name| !name.is_empty()) {
                readers.entry(input).or_default().push(at);
            }
            node.subgraphs()
                .for_each(|subgraph| capture(subgraph, &mut captured));
        }
        Self {
            graph,
            readers,
            constants: graph
                .initializer
                .iter()
                .map(|tensor| (tensor.name(), tensor))
                .collect(),
            outputs: graph.output.iter().map(|value| value.name()).collect(),
            captured,
        }
    }

    /// The nodes that read a value, by index.
    #[must_use]
    pub fn readers(&self, value: &str) -> &[usize] {
        self.readers.get(value).map_or(&[], Vec::as_slice)
    }

    /// The constant of this name.
    #[must_use]
    pub fn constant(&self, value: &str) -> Option<&'g TensorProto> {
        self.constants.get(value).copied()
    }

    /// The value that carries a node's result once a following `Relu` or `Clip` is counted in: quantising
    /// between the two would keep ONNX Runtime from fusing them. With the index of that node, if any.
    #[must_use]
    pub fn settled(&self, value: &'g str) -> (&'g str, Option<usize>) {
        match *self.readers(value) {
            [only] if !self.outputs.contains(value) && !self.captured.contains(value) => {
                let reader = &self.graph.node[only];
                let clamps = matches!(reader.op_type(), "Relu" | "Clip")
                    && reader.input.first().is_some_and(|x| x == value);
                match reader.output.first().filter(|_| clamps) {
                    Some(output) => (output, Some(only)),
                    None => (value, None),
                }
            }
            _ => (value, None),
        }
    }

    /// Whether a subgraph reads this value behind the node list's back.
    #[must_use]
    pub fn is_captured(&self, value: &str) -> bool {
        self.captured.contains(value)
    }

    /// The nodes in the graph's order.
    #[must_use]
    pub fn nodes(&self) -> &'g [NodeProto] {
        &self.graph.node
    }
}

fn capture<'g>(graph: &'g GraphProto, captured: &mut HashSet<&'g str>) {
    captured.extend(
        graph
            .node
            .iter()
            .flat_map(|node| &node.input)
            .map(String::as_str),
    );
    captured.extend(graph.output.iter().map(|value| value.name()));
    for subgraph in graph.node.iter().flat_map(NodeProto::subgraphs) {
        capture(subgraph, captured);
    }
}
