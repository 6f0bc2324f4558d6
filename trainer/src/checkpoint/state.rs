//! What a checkpoint holds, and its bytes.
//!
//! `state.safetensors` has the tensors; `state.json` has the step, the caller's own values, and the digest that ties
//! the two files together.

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use bytes::Bytes;
use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use crate::{
    artifact::{FileDigest, hash_file, sha256_hex},
    failure::{Failure, Result},
};

/// Everything that a stage needs to go on at `step`.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Optimiser steps done.
    pub step: u64,
    /// Counters, cursors and accumulators of the stage. Finite floats come back exactly; what may be NaN goes to `tensors`.
    pub meta: serde_json::Value,
    /// By name: adapter, optimiser moments, rollout buffers.
    pub tensors: BTreeMap<String, Tensor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    F32,
    U32,
    I64,
}

/// Raw little-endian values in row-major order. Bytes, not numbers, so that NaN payloads and -0.0 survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub bytes: Bytes,
}

impl DType {
    /// Bytes a value.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::I64 => 8,
        }
    }

    const fn stored(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::U32 => Dtype::U32,
            Self::I64 => Dtype::I64,
        }
    }

    fn of_stored(dtype: Dtype) -> Option<Self> {
        [Self::F32, Self::U32, Self::I64].into_iter().find(|known| known.stored() == dtype)
    }
}

macro_rules! typed {
    ($of:ident, $read:ident, $type:ty, $dtype:expr) => {
        /// # Panics
        /// If `values` does not fill `shape`: the caller's shapes are wrong.
        pub fn $of(shape: impl Into<Vec<usize>>, values: &[$type]) -> Self {
            let shape = shape.into();
            assert_eq!(shape.iter().product::<usize>(), values.len(), "a tensor's values must fill its shape");
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            Self { dtype: $dtype, shape, bytes: bytes.into() }
        }

        /// `None` if the values are of another type.
        pub fn $read(&self) -> Option<Vec<$type>> {
            const SIZE: usize = size_of::<$type>();
            let (values, _) = self.bytes.as_chunks::<SIZE>();
            (self.dtype == $dtype).then(|| values.iter().map(|v| <$type>::from_le_bytes(*v)).collect())
        }
    };
}

impl Tensor {
    typed!(of_f32, to_f32, f32, DType::F32);
    typed!(of_u32, to_u32, u32, DType::U32);
    typed!(of_i64, to_i64, i64, DType::I64);
}

impl View for &Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype.stored()
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

pub(super) const TENSORS: &str = "state.safetensors";
pub(super) const META: &str = "state.json";
const FORMAT: u32 = 1;

/// `state.json`.
#[derive(Serialize, Deserialize)]
struct Sealed {
    /// Of `record` as compact JSON: catches a flipped digit in this file too.
    sha256: String,
    record: Record,
}

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    step: u64,
    tensors: Digest,
    meta: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
struct Digest {
    sha256: String,
    size: u64,
}

impl State {
    /// Writes both files into the existing `folder`, without syncing them.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        for (name, tensor) in &self.tensors {
            let expected = tensor.shape.iter().product::<usize>() * tensor.dtype.size();
            if tensor.bytes.len() != expected {
                return Err(Failure::internal(format!(
                    "checkpoint tensor \"{name}\" has {} bytes, its shape needs {expected}",
                    tensor.bytes.len()
                )));
            }
        }
        let path = folder.join(TENSORS);
        safetensors::serialize_to_file(self.tensors.iter(), None, &path).map_err(|e| match e {
            safetensors::SafeTensorError::IoError(e) => Failure::io(&path, &e),
            other => Failure::internal(format!("{}: {other}", path.display())),
        })?;
        let FileDigest { sha256, size } = hash_file(&path)?;
        let record =
            Record { format: FORMAT, step: self.step, tensors: Digest { sha256, size }, meta: self.meta.clone() };
        let sealed = Sealed { sha256: record.digest()?, record };
        let path = folder.join(META);
        let text =
            serde_json::to_vec_pretty(&sealed).map_err(|e| Failure::internal(format!("{}: {e}", path.display())))?;
        std::fs::write(&path, text).map_err(|e| Failure::io(&path, &e))
    }

    /// # Errors
    /// 65, naming the file, when one is missing, damaged, or of a newer format.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let damaged = |file: &str, why: &str| {
            Failure::input(format!("{}: damaged checkpoint: {why}", folder.join(file).display()))
        };
        let read = |file: &str| std::fs::read(folder.join(file)).map_err(|e| Failure::io(&folder.join(file), &e));

        let Sealed { sha256, record } =
            serde_json::from_slice(&read(META)?).map_err(|e| damaged(META, &e.to_string()))?;
        if record.format != FORMAT {
            return Err(damaged(META, &format!("format {}, but this program reads {FORMAT}", record.format)));
        }
        if record.digest()? != sha256 {
            return Err(damaged(META, "the digest does not match"));
        }
        let file = Bytes::from(read(TENSORS)?);
        if file.len() as u64 != record.tensors.size {
            return Err(damaged(TENSORS, &format!("{} bytes, recorded {}", file.len(), record.tensors.size)));
        }
        if sha256_hex(&file) != record.tensors.sha256 {
            return Err(damaged(TENSORS, "the digest does not match"));
        }
        let parsed = SafeTensors::deserialize(&file).map_err(|e| damaged(TENSORS, &e.to_string()))?;
        let tensors = parsed.iter().map(|(name, view)| {
            let dtype = DType::of_stored(view.dtype())
                .ok_or_else(|| damaged(TENSORS, &format!("\"{name}\" is {:?}", view.dtype())))?;
            Ok((name.to_owned(), Tensor { dtype, shape: view.shape().to_vec(), bytes: file.slice_ref(view.data()) }))
        });
        Ok(Self { step: record.step, meta: record.meta, tensors: tensors.collect::<Result<_>>()? })
    }
}

impl Record {
    fn digest(&self) -> Result<String> {
        let compact = serde_json::to_vec(self).map_err(|e| Failure::internal(format!("{META}: {e}")))?;
        Ok(sha256_hex(&compact))
    }
}
