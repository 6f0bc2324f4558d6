//! The number formats of model files, and their conversion from and to f32.
//!
//! Holds: f16 and bf16 to f32 is exact; f32 to f16 and bf16 rounds to nearest, ties to even; bytes are little-endian.

use std::fmt;
use std::str::FromStr;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

/// Elements converted by one task: large enough to hide the scheduling, small enough to spread one matrix over cores.
const CHUNK: usize = 1 << 16;

/// Storage type of weights, named as in `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    Float32,
    BFloat16,
    Float16,
}

impl From<medtrain_crds::stage::Dtype> for Dtype {
    fn from(asked: medtrain_crds::stage::Dtype) -> Self {
        use medtrain_crds::stage::Dtype as Asked;
        match asked {
            Asked::Float32 => Self::Float32,
            Asked::Bfloat16 => Self::BFloat16,
            Asked::Float16 => Self::Float16,
        }
    }
}

impl Dtype {
    pub const ALL: [Self; 3] = [Self::Float32, Self::BFloat16, Self::Float16];

    /// `float32`, `bfloat16`, `float16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::BFloat16 => "bfloat16",
            Self::Float16 => "float16",
        }
    }

    /// `F32`, `BF16`, `F16`: the spelling of the safetensors header.
    pub fn safetensors_name(self) -> &'static str {
        match self {
            Self::Float32 => "F32",
            Self::BFloat16 => "BF16",
            Self::Float16 => "F16",
        }
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::BFloat16 | Self::Float16 => 2,
        }
    }

    /// Fills `out` from little-endian `bytes`. The caller has checked that `bytes.len() == out.len() * self.size()`.
    pub(super) fn decode(self, bytes: &[u8], out: &mut [f32]) {
        debug_assert_eq!(bytes.len(), out.len() * self.size());
        let size = self.size();
        out.par_chunks_mut(CHUNK).zip(bytes.par_chunks(CHUNK * size)).for_each(|(out, bytes)| match self {
            Self::Float32 => {
                for (value, raw) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *value = f32::from_le_bytes(*raw);
                }
            }
            Self::BFloat16 => {
                for (value, raw) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *value = f32::from_bits(u32::from(u16::from_le_bytes(*raw)) << 16);
                }
            }
            Self::Float16 => decode_f16(bytes, out),
        });
    }

    /// The little-endian bytes of `values`.
    #[cfg(test)]
    pub(super) fn encode(self, values: &[f32]) -> Vec<u8> {
        let mut bytes = vec![0; values.len() * self.size()];
        self.encode_into(values, &mut bytes);
        bytes
    }

    /// The little-endian bytes of `values`, to `bytes`, which has room for just these.
    pub(super) fn encode_into(self, values: &[f32], bytes: &mut [u8]) {
        debug_assert_eq!(bytes.len(), values.len() * self.size());
        let size = self.size();
        bytes.par_chunks_mut(CHUNK * size).zip(values.par_chunks(CHUNK)).for_each(|(bytes, values)| match self {
            Self::Float32 => {
                for (raw, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(values) {
                    *raw = value.to_le_bytes();
                }
            }
            Self::BFloat16 => {
                for (raw, value) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(values) {
                    *raw = bf16::from_f32(*value).to_le_bytes();
                }
            }
            Self::Float16 => {
                for (raw, value) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(values) {
                    *raw = f16::from_f32(*value).to_le_bytes();
                }
            }
        });
    }
}

/// In blocks, because the hardware conversion of `half` works on slices of `f16`, and mapped bytes may be unaligned.
fn decode_f16(bytes: &[u8], out: &mut [f32]) {
    const BLOCK: usize = 256;
    let mut block = [f16::ZERO; BLOCK];
    for (out, bytes) in out.chunks_mut(BLOCK).zip(bytes.chunks(BLOCK * 2)) {
        let block = &mut block[..out.len()];
        for (value, raw) in block.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *value = f16::from_le_bytes(*raw);
        }
        block.convert_to_f32_slice(out);
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dtype {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|dtype| dtype.name() == name)
            .ok_or_else(|| format!("\"{name}\" is not a storage type of weights: use float32, bfloat16 or float16"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_value_survives_the_round_trip_through_f32() {
        for dtype in [Dtype::Float16, Dtype::BFloat16] {
            let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            let mut values = vec![0.0; bytes.len() / 2];
            dtype.decode(&bytes, &mut values);
            let back = dtype.encode(&values);
            for (i, (a, b)) in bytes.chunks(2).zip(back.chunks(2)).enumerate() {
                assert!(a == b || values[i].is_nan(), "{dtype} {i:#06x}");
            }
        }
    }

    #[test]
    fn rounding_to_half_takes_the_even_neighbour_on_ties() {
        // 1 + 2^-8 lies midway between bf16 1.0 and 1.0078125; 1 + 2^-11 midway between f16 1.0 and 1.0009766.
        assert_eq!(Dtype::BFloat16.encode(&[1.0 + 2f32.powi(-8)]), bf16::ONE.to_le_bytes());
        assert_eq!(Dtype::Float16.encode(&[1.0 + 2f32.powi(-11)]), f16::ONE.to_le_bytes());
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        assert_eq!(
            "int8".parse::<Dtype>().unwrap_err(),
            "\"int8\" is not a storage type of weights: use float32, bfloat16 or float16"
        );
    }
}
