//! Block formats of ggml to f32, bit for bit as the `gguf` Python package computes them.
//!
//! Source of the layouts: ggml-quants.h (`block_q4_0` …) and gguf-py `quants.py`, whose order of operations is kept
//! (every step rounds to f32, no fused multiply-add). Fixture: `tests/parity/gguf_fixtures.py`.

use half::f16;
use rayon::prelude::*;

use super::dtype::Dtype;

/// Elements of a K-quant super-block.
const QK_K: usize = 256;
/// Elements of a simple block.
const QK: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TensorType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

impl TensorType {
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// ggml's `ggml_type`.
    pub fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::BF16,
            _ => return None,
        })
    }

    /// Name of a known type that can't be read, for messages.
    pub fn unsupported_name(id: u32) -> Option<&'static str> {
        Some(match id {
            9 => "Q8_1",
            10 => "Q2_K",
            11 => "Q3_K",
            15 => "Q8_K",
            16 => "IQ2_XXS",
            17 => "IQ2_XS",
            18 => "IQ3_XXS",
            19 => "IQ1_S",
            20 => "IQ4_NL",
            21 => "IQ3_S",
            22 => "IQ2_S",
            23 => "IQ4_XS",
            24 => "I8",
            25 => "I16",
            26 => "I32",
            27 => "I64",
            28 => "F64",
            29 => "IQ1_M",
            34 => "TQ1_0",
            35 => "TQ2_0",
            39 => "MXFP4",
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Elements of one block.
    pub fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => QK,
            Self::Q4K | Self::Q5K | Self::Q6K => QK_K,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q4K => 4 + 12 + 128,
            Self::Q5K => 4 + 12 + 32 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
        }
    }

    /// The values of `bytes`, which hold whole blocks.
    pub fn dequantize(self, bytes: &[u8]) -> Vec<f32> {
        let blocks = bytes.len() / self.block_bytes();
        let mut values = vec![0.0; blocks * self.block_len()];
        match self {
            Self::F32 => Dtype::Float32.decode(bytes, &mut values),
            Self::F16 => Dtype::Float16.decode(bytes, &mut values),
            Self::BF16 => Dtype::BFloat16.decode(bytes, &mut values),
            Self::Q4_0 => each_block(self, bytes, &mut values, q4_0),
            Self::Q4_1 => each_block(self, bytes, &mut values, q4_1),
            Self::Q5_0 => each_block(self, bytes, &mut values, q5_0),
            Self::Q5_1 => each_block(self, bytes, &mut values, q5_1),
            Self::Q8_0 => each_block(self, bytes, &mut values, q8_0),
            Self::Q4K => each_block(self, bytes, &mut values, q4_k),
            Self::Q5K => each_block(self, bytes, &mut values, q5_k),
            Self::Q6K => each_block(self, bytes, &mut values, q6_k),
        }
        values
    }
}

fn each_block(ty: TensorType, bytes: &[u8], out: &mut [f32], dequantize: fn(&[u8], &mut [f32])) {
    const BLOCKS: usize = 256;
    let (len, size) = (ty.block_len(), ty.block_bytes());
    out.par_chunks_mut(BLOCKS * len).zip(bytes.par_chunks(BLOCKS * size)).for_each(|(out, bytes)| {
        for (out, block) in out.chunks_exact_mut(len).zip(bytes.chunks_exact(size)) {
            dequantize(block, out);
        }
    });
}

fn f16_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// d (f16), 16 bytes: the low nibbles are elements 0-15, the high ones 16-31; value = d · (q - 8).
fn q4_0(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (i, q) in block[2..].iter().enumerate() {
        out[i] = d * (f32::from(q & 15) - 8.0);
        out[i + 16] = d * (f32::from(q >> 4) - 8.0);
    }
}

/// d, m (f16), nibbles as in Q4_0; value = d · q + m.
fn q4_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    for (i, q) in block[4..].iter().enumerate() {
        out[i] = d * f32::from(q & 15) + m;
        out[i + 16] = d * f32::from(q >> 4) + m;
    }
}

/// The 5-bit values of 4 bytes of high bits (bit i belongs to element i) and 16 bytes of nibbles.
fn five_bits(high: &[u8], low: &[u8]) -> [u8; QK] {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    std::array::from_fn(|i| {
        let nibble = if i < 16 { low[i] & 15 } else { low[i - 16] >> 4 };
        nibble | (((high >> i) & 1) as u8) << 4
    })
}

/// d (f16), high bits, nibbles; value = d · (q - 16).
fn q5_0(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (out, q) in out.iter_mut().zip(five_bits(&block[2..6], &block[6..])) {
        *out = d * (f32::from(q) - 16.0);
    }
}

/// d, m (f16), high bits, nibbles; value = d · q + m.
fn q5_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    for (out, q) in out.iter_mut().zip(five_bits(&block[4..8], &block[8..])) {
        *out = d * f32::from(q) + m;
    }
}

/// d (f16), 32 signed bytes; value = q · d.
fn q8_0(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (out, q) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(q.cast_signed()) * d;
    }
}

/// Scale and minimum of the sub-blocks 0 to 7, six bits each in 12 bytes: the low four or six bits of the first four
/// sub-blocks lie in bytes 0-3 (scales) and 4-7 (minima), the other four share bytes 8-11 and the spare top bits.
fn scale_min(scales: &[u8], sub_block: usize) -> (f32, f32) {
    let (scale, min) = if sub_block < 4 {
        (scales[sub_block] & 63, scales[sub_block + 4] & 63)
    } else {
        let (d, m, both) = (scales[sub_block - 4], scales[sub_block], scales[sub_block + 4]);
        ((both & 15) | ((d >> 2) & 0x30), (both >> 4) | ((m >> 2) & 0x30))
    };
    (f32::from(scale), f32::from(min))
}

/// d, dmin (f16), scales, 128 bytes of nibbles: 32 bytes hold sub-blocks 2k (low) and 2k+1 (high);
/// value = (d · scale) · q - (dmin · min).
fn q4_k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let (scales, nibbles) = (&block[4..16], &block[16..]);
    for (sub_block, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_min(scales, sub_block);
        let (scale, min) = (d * scale, dmin * min);
        let shift = 4 * (sub_block % 2);
        for (out, q) in out.iter_mut().zip(&nibbles[sub_block / 2 * 32..]) {
            *out = scale * f32::from((q >> shift) & 15) - min;
        }
    }
}

/// As Q4_K with 32 bytes of high bits before the nibbles: bit s of byte i belongs to element i of sub-block s.
fn q5_k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let (scales, high, nibbles) = (&block[4..16], &block[16..48], &block[48..]);
    for (sub_block, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, min) = scale_min(scales, sub_block);
        let (scale, min) = (d * scale, dmin * min);
        let shift = 4 * (sub_block % 2);
        for ((out, q), high) in out.iter_mut().zip(&nibbles[sub_block / 2 * 32..]).zip(high) {
            let q = ((q >> shift) & 15) | ((high >> sub_block) & 1) << 4;
            *out = scale * f32::from(q) - min;
        }
    }
}

/// 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales (one per 16 elements), d (f16);
/// value = (d · scale) · (q - 32). Each half of 128 elements takes 64 low and 32 high bytes.
fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = f16_at(block, 208);
    for (i, out) in out.iter_mut().enumerate() {
        let (half, i_half) = (i / 128, i % 128);
        let nibble = low[half * 64 + i_half % 64] >> (4 * (i_half / 64)) & 15;
        let pair = high[half * 32 + i_half % 32] >> (2 * (i_half / 32)) & 3;
        let q = f32::from(nibble | pair << 4) - 32.0;
        *out = (d * f32::from(scales[i / 16].cast_signed())) * q;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::parity;

    #[derive(Deserialize)]
    struct Case {
        bytes: String,
        values: String,
        high_bytes: Vec<usize>,
        stream_sha256: String,
    }

    fn cases() -> BTreeMap<String, Case> {
        serde_json::from_slice(&std::fs::read(parity::path("gguf/dequant.json")).unwrap()).unwrap()
    }

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// The random blocks of the script's `stream`.
    fn stream(id: u32, ty: TensorType, high_bytes: &[usize]) -> Vec<u8> {
        let mut state = (u64::from(id) << 32) + 1;
        let mut next = |at: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let finite = if high_bytes.contains(&(at % ty.block_bytes())) { 0xBF } else { 0xFF };
            state as u8 & finite
        };
        (0..1000 * ty.block_bytes()).map(&mut next).collect()
    }

    #[test]
    fn a_thousand_blocks_of_random_bits_give_the_values_of_the_gguf_package() {
        let cases = cases();
        for (id, ty) in (0..64).filter_map(|id| Some((id, TensorType::from_id(id)?))) {
            let case = &cases[ty.name()];
            let values = ty.dequantize(&stream(id, ty, &case.high_bytes));
            let ours = hex::encode(Sha256::digest(bytes(&values)));
            parity::hold_same("GGUF: 1,000 random blocks", ty.name(), &ours, &case.stream_sha256);
        }
    }

    #[test]
    fn every_type_gives_the_bits_that_the_gguf_package_gives() {
        let cases = cases();
        assert_eq!(cases.len(), TensorType::ALL.len());
        for ty in TensorType::ALL {
            let case = &cases[ty.name()];
            let values = ty.dequantize(&hex::decode(&case.bytes).unwrap());
            parity::hold_same("GGUF: blocks", ty.name(), &hex::encode(bytes(&values)), &case.values);
        }
    }

    #[test]
    fn ids_and_names_agree_with_the_list() {
        let readable: Vec<&str> = (0..64).filter_map(TensorType::from_id).map(TensorType::name).collect();
        assert_eq!(readable.len(), TensorType::ALL.len());
        assert!((0..64).all(|id| TensorType::from_id(id).is_none() || TensorType::unsupported_name(id).is_none()));
    }
}
