//! Element types of ONNX tensors.

/// An element type, numbered as in `TensorProto.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the names are those of onnx.proto and say what they are"
)]
pub enum DataType {
    Float = 1,
    Uint8 = 2,
    Int8 = 3,
    Uint16 = 4,
    Int16 = 5,
    Int32 = 6,
    Int64 = 7,
    String = 8,
    Bool = 9,
    Float16 = 10,
    Double = 11,
    Uint32 = 12,
    Uint64 = 13,
    Complex64 = 14,
    Complex128 = 15,
    Bfloat16 = 16,
    Float8E4m3fn = 17,
    Float8E4m3fnuz = 18,
    Float8E5m2 = 19,
    Float8E5m2fnuz = 20,
    Uint4 = 21,
    Int4 = 22,
    Float4E2m1 = 23,
}

impl DataType {
    /// The type with this number, if ONNX has one.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        const ALL: [DataType; 23] = [
            DataType::Float,
            DataType::Uint8,
            DataType::Int8,
            DataType::Uint16,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::String,
            DataType::Bool,
            DataType::Float16,
            DataType::Double,
            DataType::Uint32,
            DataType::Uint64,
            DataType::Complex64,
            DataType::Complex128,
            DataType::Bfloat16,
            DataType::Float8E4m3fn,
            DataType::Float8E4m3fnuz,
            DataType::Float8E5m2,
            DataType::Float8E5m2fnuz,
            DataType::Uint4,
            DataType::Int4,
            DataType::Float4E2m1,
        ];
        usize::try_from(number)
            .ok()?
            .checked_sub(1)
            .and_then(|at| ALL.get(at))
            .copied()
    }

    /// The number that stands for the type in a file.
    #[must_use]
    pub fn number(self) -> i32 {
        self as i32
    }

    /// Width of an element in bits, or `None` for strings, which have no fixed width.
    #[must_use]
    pub fn bits(self) -> Option<u64> {
        match self {
            Self::String => None,
            Self::Uint4 | Self::Int4 | Self::Float4E2m1 => Some(4),
            Self::Uint8
            | Self::Int8
            | Self::Bool
            | Self::Float8E4m3fn
            | Self::Float8E4m3fnuz
            | Self::Float8E5m2
            | Self::Float8E5m2fnuz => Some(8),
            Self::Uint16 | Self::Int16 | Self::Float16 | Self::Bfloat16 => Some(16),
            Self::Float | Self::Int32 | Self::Uint32 => Some(32),
            Self::Double | Self::Int64 | Self::Uint64 | Self::Complex64 => Some(64),
            Self::Complex128 => Some(128),
        }
    }

    /// The name that people read: `float32`, `int8`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float => "float32",
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
            Self::Uint16 => "uint16",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::String => "string",
            Self::Bool => "bool",
            Self::Float16 => "float16",
            Self::Double => "float64",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Complex64 => "complex64",
            Self::Complex128 => "complex128",
            Self::Bfloat16 => "bfloat16",
            Self::Float8E4m3fn => "float8e4m3fn",
            Self::Float8E4m3fnuz => "float8e4m3fnuz",
            Self::Float8E5m2 => "float8e5m2",
            Self::Float8E5m2fnuz => "float8e5m2fnuz",
            Self::Uint4 => "uint4",
            Self::Int4 => "int4",
            Self::Float4E2m1 => "float4e2m1",
        }
    }
}

impl std::fmt::Display for DataType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
