//! The network's operations, written down as ONNX.

use super::kernels::Activation;
use super::network::{Algebra, LEAST_WEIGHT, Layer, Shape, Side};
use super::weights::Arrays;
use crate::onnx::build::Setting;
use crate::onnx::{GraphBuilder, TensorProto, Value};

/// A graph under construction and the weights that go into it.
pub struct WriteDown<'a> {
    /// The graph so far.
    pub graph: GraphBuilder,
    weights: &'a Arrays,
}

impl<'a> WriteDown<'a> {
    /// An empty graph of this name.
    #[must_use]
    pub fn new(name: &str, weights: &'a Arrays) -> Self {
        Self {
            graph: GraphBuilder::new(name),
            weights,
        }
    }

    fn number(&mut self, number: f32) -> Value {
        self.graph.floats(&[], &[number])
    }

    fn weight(&mut self, name: String) -> Value {
        let array = &self.weights[&name];
        self.graph
            .constant(TensorProto::from_f32(name, &array.dims, &array.values))
    }

    fn relu6(&mut self, x: &Value) -> Value {
        self.clip(x, 0.0, 6.0)
    }

    /// Weights that add up to one along an axis.
    fn shares(&mut self, weights: &Value, axis: i64) -> Value {
        let axis = self.graph.integers(&[axis]);
        let total = self.graph.op("ReduceSum", &[weights, &axis]);
        let least = self.number(LEAST_WEIGHT);
        let total = self.graph.op("Add", &[&total, &least]);
        self.graph.op("Div", &[weights, &total])
    }

    fn slice(&mut self, x: &Value, axis: i64, first: usize, last: usize) -> Value {
        let first = self.graph.integers(&[first as i64]);
        let last = self.graph.integers(&[last as i64]);
        let axis = self.graph.integers(&[axis]);
        self.graph.op("Slice", &[x, &first, &last, &axis])
    }
}

impl Algebra for WriteDown<'_> {
    type Value = Value;

    fn convolve(&mut self, x: &Value, layer: &Layer) -> Value {
        let (stride, padding, groups) = match layer.shape {
            Shape::Pointwise { .. } => (1, 0, 1),
            Shape::Depthwise { channels, stride } => (stride as i64, 1, channels as i64),
            Shape::Stem { .. } => (2, 1, 1),
        };
        let [.., height, width] = layer.shape.weight_dims();
        let (weight, bias) = (self.weight(layer.weight()), self.weight(layer.bias()));
        let settings = vec![
            ("group", Setting::Int(groups)),
            (
                "kernel_shape",
                Setting::Ints(vec![height as i64, width as i64]),
            ),
            ("pads", Setting::Ints(vec![padding; 4])),
            ("strides", Setting::Ints(vec![stride; 2])),
        ];
        let convolved = self
            .graph
            .node("Conv", &[Some(x), Some(&weight), Some(&bias)], settings);
        match layer.activation {
            Activation::None => convolved,
            Activation::Relu6 => self.relu6(&convolved),
        }
    }

    fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.graph.op("Add", &[a, b])
    }

    fn add_relu6(&mut self, a: &Value, b: &Value) -> Value {
        let sum = self.add(a, b);
        self.relu6(&sum)
    }

    fn subtract(&mut self, a: &Value, b: &Value) -> Value {
        self.graph.op("Sub", &[a, b])
    }

    fn multiply(&mut self, a: &Value, b: &Value) -> Value {
        self.graph.op("Mul", &[a, b])
    }

    fn divide(&mut self, a: &Value, b: &Value) -> Value {
        self.graph.op("Div", &[a, b])
    }

    fn affine(&mut self, x: &Value, scale: f32, shift: f32) -> Value {
        let scale = self.number(scale);
        let scaled = self.graph.op("Mul", &[x, &scale]);
        if shift == 0.0 {
            return scaled;
        }
        let shift = self.number(shift);
        self.graph.op("Add", &[&scaled, &shift])
    }

    fn clip(&mut self, x: &Value, low: f32, high: f32) -> Value {
        let (low, high) = (self.number(low), self.number(high));
        self.graph.op("Clip", &[x, &low, &high])
    }

    fn absolute(&mut self, x: &Value) -> Value {
        self.graph.op("Abs", &[x])
    }

    fn exponential(&mut self, x: &Value) -> Value {
        self.graph.op("Exp", &[x])
    }

    fn sigmoid(&mut self, x: &Value) -> Value {
        self.graph.op("Sigmoid", &[x])
    }

    fn greatest(&mut self, x: &Value) -> Value {
        let settings = vec![
            ("axes", Setting::Ints(vec![1])),
            ("keepdims", Setting::Int(1)),
        ];
        self.graph.node("ReduceMax", &[Some(x)], settings)
    }

    fn total(&mut self, x: &Value) -> Value {
        let axis = self.graph.integers(&[1]);
        self.graph.op("ReduceSum", &[x, &axis])
    }

    fn mean(&mut self, x: &Value) -> Value {
        self.graph.op("GlobalAveragePool", &[x])
    }

    fn join(&mut self, parts: &[&Value]) -> Value {
        let parts: Vec<_> = parts.iter().copied().map(Some).collect();
        self.graph
            .node("Concat", &parts, vec![("axis", Setting::Int(1))])
    }

    fn channels(&mut self, x: &Value, first: usize, last: usize) -> Value {
        self.slice(x, 1, first, last)
    }

    fn row(&mut self, x: &Value, at: usize) -> Value {
        self.slice(x, 2, at, at + 1)
    }

    fn weigh(&mut self, features: &Value, weights: &Value) -> Value {
        let flat = self.graph.integers(&[0, 0, -1]);
        let features = self.graph.op("Reshape", &[features, &flat]);
        let weights = self.graph.op("Reshape", &[weights, &flat]);
        let turned = vec![("perm", Setting::Ints(vec![0, 2, 1]))];
        let weights = self.graph.node("Transpose", &[Some(&weights)], turned);
        let sums = self.graph.op("MatMul", &[&features, &weights]);
        let last = self.graph.integers(&[3]);
        self.graph.op("Unsqueeze", &[&sums, &last])
    }

    fn upsample(&mut self, x: &Value) -> Value {
        let scales = self.graph.floats(&[4], &[1.0, 1.0, 2.0, 2.0]);
        let settings = vec![
            ("mode", Setting::Text("nearest")),
            (
                "coordinate_transformation_mode",
                Setting::Text("asymmetric"),
            ),
            ("nearest_mode", Setting::Text("floor")),
        ];
        self.graph
            .node("Resize", &[Some(x), None, Some(&scales)], settings)
    }

    fn resample(&mut self, x: &Value, down: &Value, across: &Value) -> Value {
        let (down, across) = (self.shares(down, 3), self.shares(across, 2));
        let mixed = self.graph.op("MatMul", &[x, &across]);
        self.graph.op("MatMul", &[&down, &mixed])
    }

    fn detach(&mut self, x: &Value) -> Value {
        x.clone()
    }

    /// A written graph answers one prompt at a time.
    fn spread(&mut self, x: &Value) -> Value {
        x.clone()
    }

    fn centres(&mut self, side: Side, cells: usize, size: f32) -> Value {
        let values: Vec<f32> = (0..cells).map(|cell| (cell as f32 + 0.5) * size).collect();
        match side {
            Side::Across => self.graph.floats(&[1, 1, 1, cells], &values),
            Side::Down => self.graph.floats(&[1, 1, cells, 1], &values),
        }
    }

    fn constant(&mut self, numbers: &[f32]) -> Value {
        self.graph.floats(&[1, 1, numbers.len(), 1], numbers)
    }
}
