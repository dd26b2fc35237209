//! A small typed builder: graphs are written by calling operators, and names take care of themselves.

use super::proto::{
    AttributeKind, AttributeProto, DimensionProto, DimensionValue, GraphProto, ModelProto,
    NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    TypeValue, ValueInfoProto,
};
use super::{DataType, write};

/// A value inside the graph being built. Only a builder makes one, so that a node cannot read what does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(String);

impl Value {
    /// The value's name in the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// One axis of an input or output.
#[derive(Clone, Debug)]
pub enum Axis {
    /// Always this size.
    Fixed(usize),
    /// Known only at run time, by name.
    Named(&'static str),
}

impl From<usize> for Axis {
    fn from(size: usize) -> Self {
        Self::Fixed(size)
    }
}

impl From<&'static str> for Axis {
    fn from(name: &'static str) -> Self {
        Self::Named(name)
    }
}

/// A setting of an operator.
#[derive(Clone, Debug)]
pub enum Setting {
    /// An integer.
    Int(i64),
    /// A float.
    Float(f32),
    /// Integers.
    Ints(Vec<i64>),
    /// A string.
    Text(&'static str),
}

/// A graph under construction.
pub struct GraphBuilder {
    graph: GraphProto,
    made: usize,
}

impl GraphBuilder {
    /// An empty graph of this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            graph: GraphProto {
                name: Some(name.into()),
                ..GraphProto::default()
            },
            made: 0,
        }
    }

    /// Declares an input.
    pub fn input(&mut self, name: &str, data_type: DataType, axes: &[Axis]) -> Value {
        self.graph.input.push(value_info(name, data_type, axes));
        Value(name.to_owned())
    }

    /// Adds a constant; its own name is kept, and must be unique.
    pub fn constant(&mut self, tensor: TensorProto) -> Value {
        let value = Value(tensor.name().to_owned());
        self.graph.initializer.push(tensor);
        value
    }

    /// Adds a float32 constant under a fresh name.
    pub fn floats(&mut self, dims: &[usize], values: &[f32]) -> Value {
        let name = self.fresh("const");
        self.constant(TensorProto::from_f32(name, dims, values))
    }

    /// Adds an int64 vector under a fresh name: axes, shapes, bounds.
    pub fn integers(&mut self, values: &[i64]) -> Value {
        let name = self.fresh("const");
        self.constant(TensorProto::from_i64(name, &[values.len()], values))
    }

    /// Adds a node with one output. An input that is `None` is an optional one left out.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[Option<&Value>],
        settings: Vec<(&str, Setting)>,
    ) -> Value {
        let name = self.fresh(operator);
        self.graph.node.push(NodeProto {
            input: inputs
                .iter()
                .map(|input| input.map_or_else(String::new, |v| v.0.clone()))
                .collect(),
            output: vec![name.clone()],
            name: Some(name.clone()),
            op_type: Some(operator.to_owned()),
            attribute: settings
                .into_iter()
                .map(|(name, setting)| attribute(name, setting))
                .collect(),
            ..NodeProto::default()
        });
        Value(name)
    }

    /// Adds a node that needs no settings.
    pub fn op(&mut self, operator: &str, inputs: &[&Value]) -> Value {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        self.node(operator, &inputs, vec![])
    }

    /// Declares `value` as the output `name`.
    pub fn output(&mut self, value: &Value, name: &str, data_type: DataType, axes: &[Axis]) {
        self.graph.node.push(NodeProto {
            input: vec![value.0.clone()],
            output: vec![name.to_owned()],
            name: Some(name.to_owned()),
            op_type: Some("Identity".to_owned()),
            ..NodeProto::default()
        });
        self.graph.output.push(value_info(name, data_type, axes));
    }

    /// The finished model.
    #[must_use]
    pub fn finish(self) -> ModelProto {
        ModelProto {
            ir_version: Some(write::IR_VERSION),
            producer_name: Some("espalier-forge".to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            opset_import: vec![OperatorSetIdProto {
                domain: Some(String::new()),
                version: Some(write::OPSET),
            }],
            graph: Some(self.graph),
            ..ModelProto::default()
        }
    }

    fn fresh(&mut self, stem: &str) -> String {
        self.made += 1;
        format!("{}_{}", stem.to_lowercase(), self.made)
    }
}

fn value_info(name: &str, data_type: DataType, axes: &[Axis]) -> ValueInfoProto {
    let dim = axes
        .iter()
        .map(|axis| match axis {
            Axis::Fixed(size) => DimensionValue::Fixed(*size as i64),
            Axis::Named(name) => DimensionValue::Named((*name).to_owned()),
        })
        .map(|value| DimensionProto {
            value: Some(value),
            denotation: None,
        })
        .collect();
    let tensor = TensorTypeProto {
        elem_type: Some(data_type.number()),
        shape: Some(TensorShapeProto { dim }),
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            value: Some(TypeValue::Tensor(tensor)),
            denotation: None,
        }),
        ..ValueInfoProto::default()
    }
}

/// An attribute as the file holds it.
#[must_use]
pub fn attribute(name: &str, setting: Setting) -> AttributeProto {
    let mut attribute = AttributeProto {
        name: Some(name.to_owned()),
        ..AttributeProto::default()
    };
    let kind = match setting {
        Setting::Int(value) => {
            attribute.i = Some(value);
            AttributeKind::Int
        }
        Setting::Float(value) => {
            attribute.f = Some(value);
            AttributeKind::Float
        }
        Setting::Ints(values) => {
            attribute.ints = values;
            AttributeKind::Ints
        }
        Setting::Text(value) => {
            attribute.s = Some(value.as_bytes().to_vec());
            AttributeKind::String
        }
    };
    attribute.r#type = Some(kind as i32);
    attribute
}
