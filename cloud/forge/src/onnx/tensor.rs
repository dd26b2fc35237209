//! Constants with their types: made from slices, read back as vectors.

use super::proto::TensorProto;
use super::{DataType, OnnxError};

/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

impl TensorProto {
    /// A float32 constant.
    #[must_use]
    pub fn from_f32(name: impl Into<String>, dims: &[usize], values: &[f32]) -> Self {
        Self::raw(
            name,
            DataType::Float,
            dims,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        )
    }

    /// An int64 constant.
    #[must_use]
    pub fn from_i64(name: impl Into<String>, dims: &[usize], values: &[i64]) -> Self {
        Self::raw(
            name,
            DataType::Int64,
            dims,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        )
    }

    /// An int32 constant.
    #[must_use]
    pub fn from_i32(name: impl Into<String>, dims: &[usize], values: &[i32]) -> Self {
        Self::raw(
            name,
            DataType::Int32,
            dims,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        )
    }

    /// An int8 constant.
    #[must_use]
    pub fn from_i8(name: impl Into<String>, dims: &[usize], values: &[i8]) -> Self {
        Self::raw(
            name,
            DataType::Int8,
            dims,
            values.iter().map(|v| v.cast_unsigned()).collect(),
        )
    }

    /// A uint8 constant.
    #[must_use]
    pub fn from_u8(name: impl Into<String>, dims: &[usize], values: &[u8]) -> Self {
        Self::raw(name, DataType::Uint8, dims, values.to_vec())
    }

    /// A float16 constant, each value rounded to the nearest.
    #[must_use]
    pub fn from_f32_as_f16(name: impl Into<String>, dims: &[usize], values: &[f32]) -> Self {
        let bytes = values
            .iter()
            .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
            .collect();
        Self::raw(name, DataType::Float16, dims, bytes)
    }

    fn raw(name: impl Into<String>, data_type: DataType, dims: &[usize], bytes: Vec<u8>) -> Self {
        Self {
            name: Some(name.into()),
            data_type: Some(data_type.number()),
            dims: dims.iter().map(|&d| d as i64).collect(),
            raw_data: Some(bytes),
            ..Self::default()
        }
    }

    /// The element type.
    ///
    /// # Errors
    /// When ONNX has no type of that number.
    pub fn element_type(&self) -> Result<DataType, OnnxError> {
        let number = self.data_type.unwrap_or(0);
        match DataType::from_number(number) {
            Some(data_type) => Ok(data_type),
            None => self.refuse(format!("element type {number} is unknown")),
        }
    }

    /// The shape.
    ///
    /// # Errors
    /// When an axis is negative.
    pub fn shape(&self) -> Result<Vec<usize>, OnnxError> {
        self.dims
            .iter()
            .map(|&d| usize::try_from(d).or_else(|_| self.refuse(format!("an axis of size {d}"))))
            .collect()
    }

    /// The number of elements.
    ///
    /// # Errors
    /// When an axis is negative or the product overflows.
    pub fn elements(&self) -> Result<u64, OnnxError> {
        self.shape()?
            .iter()
            .try_fold(1u64, |product, &d| product.checked_mul(d as u64))
            .filter(|&product| product <= u64::MAX / 128)
            .map_or_else(|| self.refuse("its shape overflows"), Ok)
    }

    /// Whether the elements lie in another file.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.data_location == Some(EXTERNAL)
    }

    /// The elements of a floating-point constant (float16, bfloat16, float32, float64) as float32.
    ///
    /// # Errors
    /// When the constant is not a floating-point one, lies in another file, or its data does not fit its shape.
    pub fn to_f32(&self) -> Result<Vec<f32>, OnnxError> {
        let data_type = self.element_type()?;
        let values = match (data_type, self.inline()?) {
            (DataType::Float, Some(raw)) => words(raw).map(f32::from_le_bytes).collect(),
            (DataType::Float, None) => self.float_data.clone(),
            (DataType::Float16, Some(raw)) => words(raw)
                .map(|w| half::f16::from_le_bytes(w).to_f32())
                .collect(),
            (DataType::Float16, None) => self
                .int32_data
                .iter()
                .map(|&bits| half::f16::from_bits(bits as u16).to_f32())
                .collect(),
            (DataType::Bfloat16, Some(raw)) => words(raw)
                .map(|w| half::bf16::from_le_bytes(w).to_f32())
                .collect(),
            (DataType::Double, Some(raw)) => {
                words(raw).map(|w| f64::from_le_bytes(w) as f32).collect()
            }
            (DataType::Double, None) => self.double_data.iter().map(|&v| v as f32).collect(),
            _ => {
                return self.refuse(format!(
                    "{data_type} where floating-point numbers are needed"
                ));
            }
        };
        self.fitting(values)
    }

    /// The elements of an integer constant (int8, uint8, int32, int64) as int64.
    ///
    /// # Errors
    /// When the constant is of another type, lies in another file, or its data does not fit its shape.
    pub fn to_i64(&self) -> Result<Vec<i64>, OnnxError> {
        let data_type = self.element_type()?;
        let values = match (data_type, self.inline()?) {
            (DataType::Int64, Some(raw)) => words(raw).map(i64::from_le_bytes).collect(),
            (DataType::Int64, None) => self.int64_data.clone(),
            (DataType::Int32, Some(raw)) => words(raw)
                .map(|w| i64::from(i32::from_le_bytes(w)))
                .collect(),
            (DataType::Int8, Some(raw)) => {
                raw.iter().map(|&b| i64::from(b.cast_signed())).collect()
            }
            (DataType::Uint8, Some(raw)) => raw.iter().map(|&b| i64::from(b)).collect(),
            (DataType::Int32 | DataType::Int8 | DataType::Uint8, None) => {
                self.int32_data.iter().map(|&v| i64::from(v)).collect()
            }
            _ => return self.refuse(format!("{data_type} where integers are needed")),
        };
        self.fitting(values)
    }

    fn inline(&self) -> Result<Option<&[u8]>, OnnxError> {
        if self.is_external() {
            return self
                .refuse("its data lies in another file; store the weights inside the model");
        }
        Ok(self.raw_data.as_deref())
    }

    fn fitting<T>(&self, values: Vec<T>) -> Result<Vec<T>, OnnxError> {
        let needed = self.elements()?;
        if values.len() as u64 == needed {
            Ok(values)
        } else {
            self.refuse(format!(
                "its shape needs {needed} elements, it has {}",
                values.len()
            ))
        }
    }

    pub(super) fn refuse<T>(&self, problem: impl Into<String>) -> Result<T, OnnxError> {
        Err(OnnxError::Tensor {
            tensor: self.name().to_owned(),
            problem: problem.into(),
        })
    }
}

/// Little-endian words of a fixed width; a trailing fragment is left out, which [`TensorProto::fitting`] then notices.
fn words<const WIDTH: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; WIDTH]> {
    bytes.as_chunks::<WIDTH>().0.iter().copied()
}
