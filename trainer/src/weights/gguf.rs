//! Parser of the GGUF container, versions 2 and 3, little-endian.
//!
//! Source: the GGUF specification (ggml, docs/gguf.md).
//!
//! Holds: every length is checked against the bytes that are there before anything is allocated or sliced; after
//! `Gguf::parse` every tensor's bytes lie inside the file; keys and tensor names are unique.

use std::collections::BTreeMap;
use std::fmt;

use super::dequant::TensorType;

/// ggml's GGML_MAX_DIMS.
const MAX_DIMS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;
/// Arrays may nest; real files never do.
const MAX_DEPTH: u32 = 4;

/// The metadata and the tensor table of a file.
#[derive(Debug)]
pub struct Gguf {
    pub metadata: BTreeMap<String, Value>,
    pub tensors: BTreeMap<String, TensorInfo>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// Kept apart from `Float`, because 1e-5 as f32 prints differently as f64.
    Float32(f32),
    Bool(bool),
    String(String),
    Array(Vec<Value>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Outermost dimension first, as in Hugging Face files (GGUF stores them innermost first).
    pub shape: Vec<usize>,
    pub tensor_type: TensorType,
    /// Byte range in the file.
    pub start: usize,
    pub end: usize,
}

/// What is wrong with a file that isn't valid GGUF.
#[derive(Clone, Debug, PartialEq)]
pub enum GgufError {
    NotGguf,
    BigEndian,
    Version(u32),
    /// The file ends inside the named part.
    Truncated(&'static str),
    /// The named part claims more elements than the rest of the file can hold.
    Oversized(&'static str, u64),
    NotUtf8(&'static str),
    BadBool(u8),
    ValueType(u32),
    TooDeep,
    DuplicateKey(String),
    DuplicateTensor(String),
    Alignment(u64),
    Dimensions(String, u32),
    Overflow(String),
    TensorTypeUnsupported(String, u32),
    PartialBlock(String, TensorType),
    Misaligned(String),
    /// The tensor's data ends behind the end of the file.
    DataTruncated(String),
}

impl fmt::Display for GgufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use GgufError::*;
        match self {
            NotGguf => write!(f, "not a GGUF file (it does not begin with \"GGUF\")"),
            BigEndian => write!(f, "a big-endian GGUF file; only little-endian ones can be read"),
            Version(version) => write!(f, "GGUF version {version}; versions 2 and 3 can be read: convert it again"),
            Truncated(part) => write!(f, "the file ends inside {part}; download it again"),
            Oversized(part, count) => {
                write!(f, "{part} claims {count} elements, more than the file can hold; download it again")
            }
            NotUtf8(part) => write!(f, "{part} is not UTF-8"),
            BadBool(byte) => write!(f, "a boolean has the value {byte}"),
            ValueType(id) => write!(f, "metadata value type {id} does not exist"),
            TooDeep => write!(f, "metadata arrays are nested more than {MAX_DEPTH} deep"),
            DuplicateKey(key) => write!(f, "metadata key \"{key}\" appears twice"),
            DuplicateTensor(name) => write!(f, "tensor \"{name}\" appears twice"),
            Alignment(value) => write!(f, "general.alignment is {value}; it must be a power of two of at most 65536"),
            Dimensions(name, count) => {
                write!(f, "tensor \"{name}\" has {count} dimensions; 1 to {MAX_DIMS} are allowed")
            }
            Overflow(name) => write!(f, "the size of tensor \"{name}\" overflows"),
            TensorTypeUnsupported(name, id) => write!(
                f,
                "tensor \"{name}\" has type {id}{}, which cannot be read (readable: {}); take another quantization",
                TensorType::unsupported_name(*id).map(|n| format!(" ({n})")).unwrap_or_default(),
                TensorType::ALL.map(TensorType::name).join(", ")
            ),
            PartialBlock(name, ty) => {
                write!(f, "rows of tensor \"{name}\" are no whole number of {} blocks", ty.name())
            }
            Misaligned(name) => write!(f, "the data of tensor \"{name}\" is not aligned"),
            DataTruncated(name) => {
                write!(f, "the file ends before the data of tensor \"{name}\" does; download it again")
            }
        }
    }
}

impl std::error::Error for GgufError {}

type Result<T> = std::result::Result<T, GgufError>;

impl Gguf {
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut cursor = Cursor { bytes, at: 0 };
        if cursor.take(4, "the magic number").map_err(|_| GgufError::NotGguf)? != b"GGUF" {
            return Err(GgufError::NotGguf);
        }
        match cursor.u32("the version")? {
            2 | 3 => {}
            version if (1..=3).contains(&version.swap_bytes()) => return Err(GgufError::BigEndian),
            version => return Err(GgufError::Version(version)),
        }
        let tensor_count = cursor.u64("the tensor count")?;
        let value_count = cursor.u64("the metadata count")?;

        // The least a metadata entry takes: key length, type, one byte of value. A tensor entry: name length, dimension
        // count, one dimension, type, offset.
        cursor.fits(value_count, 13, "the metadata")?;
        let mut metadata = BTreeMap::new();
        for _ in 0..value_count {
            let key = cursor.string("a metadata key")?;
            let value_type = cursor.u32("a metadata value")?;
            let value = cursor.value(value_type, 0)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(GgufError::DuplicateKey(key));
            }
        }

        cursor.fits(tensor_count, 32, "the tensor table")?;
        let mut entries = Vec::new();
        for _ in 0..tensor_count {
            entries.push(cursor.tensor()?);
        }

        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Unsigned(value)) if value.is_power_of_two() && *value <= 65536 => *value,
            Some(Value::Unsigned(value)) => return Err(GgufError::Alignment(*value)),
            Some(_) => return Err(GgufError::Alignment(0)),
        };
        let data_start = (cursor.at as u64).next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for Entry { name, shape, tensor_type, bytes: size, offset } in entries {
            if !offset.is_multiple_of(alignment) {
                return Err(GgufError::Misaligned(name));
            }
            let start = data_start.checked_add(offset).ok_or_else(|| GgufError::Overflow(name.clone()))?;
            let end = start.checked_add(size).ok_or_else(|| GgufError::Overflow(name.clone()))?;
            if end > bytes.len() as u64 {
                return Err(GgufError::DataTruncated(name));
            }
            let info = TensorInfo { shape, tensor_type, start: start as usize, end: end as usize };
            if tensors.insert(name.clone(), info).is_some() {
                return Err(GgufError::DuplicateTensor(name));
            }
        }
        Ok(Self { metadata, tensors })
    }
}

impl Value {
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(*value),
            Self::Signed(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A float as the decimal number that was meant: the shortest one that is this f32 (or f64).
    pub fn as_decimal(&self) -> Option<f64> {
        match self {
            Self::Float32(value) => value.to_string().parse().ok(),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }
}

struct Entry {
    name: String,
    shape: Vec<usize>,
    tensor_type: TensorType,
    bytes: u64,
    offset: u64,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: u64, part: &'static str) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(len).ok().and_then(|len| rest.get(..len)).ok_or(GgufError::Truncated(part))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N]> {
        let taken = self.take(N as u64, part)?;
        taken.try_into().map_err(|_| GgufError::Truncated(part))
    }

    fn u32(&mut self, part: &'static str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(part)?))
    }

    fn u64(&mut self, part: &'static str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(part)?))
    }

    fn string(&mut self, part: &'static str) -> Result<String> {
        let len = self.u64(part)?;
        let bytes = self.take(len, part)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| GgufError::NotUtf8(part))
    }

    /// Refuses a count of elements of at least `least` bytes each that the rest of the file can't hold.
    fn fits(&self, count: u64, least: u64, part: &'static str) -> Result<()> {
        let rest = (self.bytes.len() - self.at) as u64;
        if count > rest / least {
            return Err(GgufError::Oversized(part, count));
        }
        Ok(())
    }

    fn value(&mut self, value_type: u32, depth: u32) -> Result<Value> {
        const PART: &str = "a metadata value";
        Ok(match value_type {
            0 => Value::Unsigned(u8::from_le_bytes(self.array(PART)?).into()),
            1 => Value::Signed(i8::from_le_bytes(self.array(PART)?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.array(PART)?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.array(PART)?).into()),
            4 => Value::Unsigned(self.u32(PART)?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.array(PART)?).into()),
            6 => Value::Float32(f32::from_le_bytes(self.array(PART)?)),
            7 => match self.array::<1>(PART)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(GgufError::BadBool(other)),
            },
            8 => Value::String(self.string(PART)?),
            9 => {
                if depth == MAX_DEPTH {
                    return Err(GgufError::TooDeep);
                }
                let element_type = self.u32("a metadata array")?;
                let count = self.u64("a metadata array")?;
                let least = match element_type {
                    0 | 1 | 7 => 1,
                    2 | 3 => 2,
                    4..=6 => 4,
                    8 | 10..=12 => 8,
                    9 => 12,
                    other => return Err(GgufError::ValueType(other)),
                };
                self.fits(count, least, "a metadata array")?;
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(element_type, depth + 1)?);
                }
                Value::Array(values)
            }
            10 => Value::Unsigned(self.u64(PART)?),
            11 => Value::Signed(i64::from_le_bytes(self.array(PART)?)),
            12 => Value::Float(f64::from_le_bytes(self.array(PART)?)),
            other => return Err(GgufError::ValueType(other)),
        })
    }

    fn tensor(&mut self) -> Result<Entry> {
        const PART: &str = "the tensor table";
        let name = self.string("a tensor name")?;
        let dimensions = self.u32(PART)?;
        if dimensions == 0 || dimensions > MAX_DIMS {
            return Err(GgufError::Dimensions(name, dimensions));
        }
        let mut shape = Vec::new();
        let mut elements = 1u64;
        for _ in 0..dimensions {
            let size = self.u64(PART)?;
            elements = elements.checked_mul(size).ok_or_else(|| GgufError::Overflow(name.clone()))?;
            shape.push(usize::try_from(size).map_err(|_| GgufError::Overflow(name.clone()))?);
        }
        let row = shape[0];
        shape.reverse();
        let type_id = self.u32(PART)?;
        let tensor_type =
            TensorType::from_id(type_id).ok_or_else(|| GgufError::TensorTypeUnsupported(name.clone(), type_id))?;
        let offset = self.u64(PART)?;
        if !row.is_multiple_of(tensor_type.block_len()) {
            return Err(GgufError::PartialBlock(name, tensor_type));
        }
        let blocks = elements / tensor_type.block_len() as u64;
        let bytes =
            blocks.checked_mul(tensor_type.block_bytes() as u64).ok_or_else(|| GgufError::Overflow(name.clone()))?;
        Ok(Entry { name, shape, tensor_type, bytes, offset })
    }
}

#[cfg(test)]
#[path = "gguf_tests.rs"]
mod tests;
