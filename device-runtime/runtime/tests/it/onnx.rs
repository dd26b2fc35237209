//! Just enough of ONNX to write test graphs: nodes, constants, float inputs and outputs.

use prost::Message;

const FLOAT: i32 = 1;
const INT64: i32 = 7;
const INTEGER_ATTRIBUTE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    constants: Vec<Constant>,
    #[prost(message, repeated, tag = "11")]
    inputs: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    outputs: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    inputs: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    outputs: Vec<String>,
    #[prost(string, tag = "4")]
    operator: String,
    #[prost(message, repeated, tag = "5")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, optional, tag = "3")]
    integer: Option<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Constant {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    shape: Vec<i64>,
    #[prost(int32, tag = "2")]
    element: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Message)]
struct Kind {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorKind>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorKind {
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    axes: Vec<Axis>,
}

#[derive(Clone, PartialEq, Message)]
struct Axis {
    #[prost(int64, optional, tag = "1")]
    length: Option<i64>,
}

/// A constant's elements.
pub enum Values {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

impl Graph {
    pub fn new() -> Self {
        Self {
            name: "tiny".into(),
            ..Self::default()
        }
    }

    /// A float input; -1 leaves an axis free.
    pub fn input(mut self, name: &str, shape: &[i64]) -> Self {
        self.inputs.push(value(name, shape));
        self
    }

    /// A float output.
    pub fn output(mut self, name: &str, shape: &[i64]) -> Self {
        self.outputs.push(value(name, shape));
        self
    }

    pub fn constant(mut self, name: &str, shape: &[i64], values: Values) -> Self {
        let (element, raw) = match values {
            Values::Floats(values) => {
                (FLOAT, values.iter().flat_map(|v| v.to_le_bytes()).collect())
            }
            Values::Integers(values) => {
                (INT64, values.iter().flat_map(|v| v.to_le_bytes()).collect())
            }
        };
        self.constants.push(Constant {
            shape: shape.to_vec(),
            element,
            name: name.into(),
            raw,
        });
        self
    }

    pub fn node(
        mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, i64)],
    ) -> Self {
        let attribute = |(name, integer): &(&str, i64)| Attribute {
            name: (*name).into(),
            integer: Some(*integer),
            kind: INTEGER_ATTRIBUTE,
        };
        self.nodes.push(Node {
            inputs: inputs.iter().map(|name| (*name).into()).collect(),
            outputs: vec![output.into()],
            operator: operator.into(),
            attributes: attributes.iter().map(attribute).collect(),
        });
        self
    }

    /// The bytes of an ONNX file.
    pub fn encode(self) -> Vec<u8> {
        let opset_import = vec![OperatorSet { version: 17 }];
        ModelProto {
            ir_version: 8,
            graph: Some(self),
            opset_import,
        }
        .encode_to_vec()
    }
}

fn value(name: &str, shape: &[i64]) -> Value {
    let axes = shape
        .iter()
        .map(|length| Axis {
            length: (*length >= 0).then_some(*length),
        })
        .collect();
    let tensor = TensorKind {
        element: FLOAT,
        shape: Some(Shape { axes }),
    };
    Value {
        name: name.into(),
        kind: Some(Kind {
            tensor: Some(tensor),
        }),
    }
}
