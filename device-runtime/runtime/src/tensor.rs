//! Plain tensors: what goes into a graph and what comes out, with no type of ONNX Runtime showing.

use std::fmt;

use ort::session::SessionInputValue;
use ort::value::{DynValue, TensorElementType, TensorRef};

use crate::graph::GraphError;

/// The type of a tensor's elements. Graphs that speak another type are refused when they are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
    /// Signed bytes.
    I8,
    /// Unsigned bytes.
    U8,
    /// 32-bit integers.
    I32,
    /// 64-bit integers.
    I64,
    /// Truth values.
    Bool,
}

impl ElementType {
    pub(crate) fn from_ort(element: TensorElementType) -> Option<Self> {
        match element {
            TensorElementType::Float32 => Some(Self::F32),
            TensorElementType::Float64 => Some(Self::F64),
            TensorElementType::Int8 => Some(Self::I8),
            TensorElementType::Uint8 => Some(Self::U8),
            TensorElementType::Int32 => Some(Self::I32),
            TensorElementType::Int64 => Some(Self::I64),
            TensorElementType::Bool => Some(Self::Bool),
            _ => None,
        }
    }

    /// Bytes of one element.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::Bool => "bool",
        })
    }
}

/// A tensor's elements in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// 32-bit floating point.
    F32(Vec<f32>),
    /// 64-bit floating point.
    F64(Vec<f64>),
    /// Signed bytes.
    I8(Vec<i8>),
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// 64-bit integers.
    I64(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
}

/// Runs one expression for whichever vector is inside.
macro_rules! for_each_type {
    ($elements:expr, $vector:ident => $body:expr) => {
        match $elements {
            Elements::F32($vector) => $body,
            Elements::F64($vector) => $body,
            Elements::I8($vector) => $body,
            Elements::U8($vector) => $body,
            Elements::I32($vector) => $body,
            Elements::I64($vector) => $body,
            Elements::Bool($vector) => $body,
        }
    };
}

impl Elements {
    fn len(&self) -> usize {
        for_each_type!(self, vector => vector.len())
    }

    fn element_type(&self) -> ElementType {
        match self {
            Self::F32(_) => ElementType::F32,
            Self::F64(_) => ElementType::F64,
            Self::I8(_) => ElementType::I8,
            Self::U8(_) => ElementType::U8,
            Self::I32(_) => ElementType::I32,
            Self::I64(_) => ElementType::I64,
            Self::Bool(_) => ElementType::Bool,
        }
    }
}

/// The elements do not fill the shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{elements} elements cannot fill the shape {shape:?}")]
pub struct ShapeMismatch {
    /// The shape that was asked for.
    pub shape: Vec<usize>,
    /// How many elements there were.
    pub elements: usize,
}

/// A dense tensor whose elements fill its shape, always.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    elements: Elements,
}

impl Tensor {
    /// A tensor of the shape.
    ///
    /// # Errors
    /// When the number of elements is not the product of the shape.
    pub fn new(shape: impl Into<Vec<usize>>, elements: Elements) -> Result<Self, ShapeMismatch> {
        let shape = shape.into();
        let wanted = shape
            .iter()
            .try_fold(1usize, |product, side| product.checked_mul(*side));
        if wanted == Some(elements.len()) {
            Ok(Self { shape, elements })
        } else {
            Err(ShapeMismatch {
                shape,
                elements: elements.len(),
            })
        }
    }

    /// A tensor of 32-bit floats.
    ///
    /// # Errors
    /// When the number of elements is not the product of the shape.
    pub fn f32(shape: impl Into<Vec<usize>>, elements: Vec<f32>) -> Result<Self, ShapeMismatch> {
        Self::new(shape, Elements::F32(elements))
    }

    /// A tensor whose elements were counted by the caller.
    pub(crate) fn filled(shape: Vec<usize>, elements: Elements) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), elements.len());
        Self { shape, elements }
    }

    /// The length of each axis.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in row-major order.
    #[must_use]
    pub fn elements(&self) -> &Elements {
        &self.elements
    }

    /// The elements' type.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        self.elements.element_type()
    }

    /// The elements, if they are 32-bit floats.
    #[must_use]
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.elements {
            Elements::F32(values) => Some(values),
            _ => None,
        }
    }

    /// How much memory the elements take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.elements.len() * self.element_type().bytes()
    }

    /// ONNX Runtime's view of this tensor; nothing is copied.
    pub(crate) fn as_input(&self) -> Result<SessionInputValue<'_>, ort::Error> {
        for_each_type!(&self.elements, vector => {
            TensorRef::from_array_view((self.shape.clone(), vector.as_slice())).map(Into::into)
        })
    }

    /// Copies an answer out of ONNX Runtime's memory.
    pub(crate) fn from_output(name: &str, value: &DynValue) -> Result<Self, GraphError> {
        let element = value.dtype().tensor_type().and_then(ElementType::from_ort);
        let copied = match element {
            Some(ElementType::F32) => {
                copy::<f32>(value).map(|(shape, v)| (shape, Elements::F32(v)))
            }
            Some(ElementType::F64) => {
                copy::<f64>(value).map(|(shape, v)| (shape, Elements::F64(v)))
            }
            Some(ElementType::I8) => copy::<i8>(value).map(|(shape, v)| (shape, Elements::I8(v))),
            Some(ElementType::U8) => copy::<u8>(value).map(|(shape, v)| (shape, Elements::U8(v))),
            Some(ElementType::I32) => {
                copy::<i32>(value).map(|(shape, v)| (shape, Elements::I32(v)))
            }
            Some(ElementType::I64) => {
                copy::<i64>(value).map(|(shape, v)| (shape, Elements::I64(v)))
            }
            Some(ElementType::Bool) => {
                copy::<bool>(value).map(|(shape, v)| (shape, Elements::Bool(v)))
            }
            None => {
                return Err(GraphError::UnsupportedType {
                    tensor: name.to_owned(),
                    found: value.dtype().to_string(),
                });
            }
        };
        let (shape, elements) = copied.map_err(GraphError::failed_run)?;
        Ok(Self { shape, elements })
    }
}

fn copy<T>(value: &DynValue) -> Result<(Vec<usize>, Vec<T>), ort::Error>
where
    T: ort::value::PrimitiveTensorElementType + Clone,
{
    let (shape, elements) = value.try_extract_tensor::<T>()?;
    let shape = shape
        .iter()
        .map(|side| usize::try_from(*side).unwrap_or(0))
        .collect();
    Ok((shape, elements.to_vec()))
}
