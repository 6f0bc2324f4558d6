//! Weight matrices that stay: as bf16 where that loses nothing, which most published checkpoints are.
//!
//! Holds: products widen a part at a time, into what fits the second-level cache, and multiply that as f32; splitting is
//! by outputs alone, so a product has the bits that it has with f32 weights (tested below).
//!
//! Memory: 2 bytes a weight as bf16, 4 as f32, and [`SCRATCH`] bytes during a product.

use std::{ops::Range, sync::Arc};

use burn::tensor::Tensor;
use burn_flex::Flex;
use half::bf16;
use rayon::prelude::*;

use super::{Values, few_rows, gemm::Product, simd, tensor, unfilled};

/// Bytes that widened weights take at once.
const SCRATCH: usize = 2 << 20;
/// Fewest outputs that are multiplied at once: with few of them gemm would take other paths, which round otherwise.
const FEWEST: usize = 64;

#[derive(Clone, Debug)]
pub enum Frozen {
    F32(Tensor<Flex, 2>),
    Bf16(Arc<Narrow>),
}

/// A matrix `[o, i]` of bf16.
#[derive(Debug)]
pub struct Narrow {
    values: Vec<bf16>,
    shape: [usize; 2],
}

impl Frozen {
    /// In half the memory if every value is one of bf16.
    pub fn smallest(weight: Tensor<Flex, 2>) -> Self {
        let values = Values::of(&weight);
        let exact = |part: &[f32]| part.iter().all(|value| value.to_bits() & 0xFFFF == 0);
        if !values.get().par_chunks(1 << 14).all(exact) {
            return Self::F32(weight);
        }
        let narrow = |&value: &f32| bf16::from_bits((value.to_bits() >> 16) as u16);
        Self::Bf16(Arc::new(Narrow { values: values.get().par_iter().map(narrow).collect(), shape: weight.dims() }))
    }

    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::F32(weight) => weight.dims(),
            Self::Bf16(weight) => weight.shape,
        }
    }

    pub fn thaw(&self) -> Tensor<Flex, 2> {
        match self {
            Self::F32(weight) => weight.clone(),
            Self::Bf16(weight) => {
                let mut values = unfilled(weight.values.len());
                values
                    .par_chunks_mut(1 << 14)
                    .zip(weight.values.par_chunks(1 << 14))
                    .for_each(|(out, values)| simd::widen(out, values));
                tensor(values, weight.shape)
            }
        }
    }

    /// Row `row`, into `out`.
    pub fn copy_row(&self, row: usize, out: &mut [f32]) {
        let width = out.len();
        let range = row * width..(row + 1) * width;
        match self {
            Self::F32(weight) => out.copy_from_slice(&Values::of(weight).get()[range]),
            Self::Bf16(weight) => simd::widen(out, &weight.values[range]),
        }
    }

    /// `y = x Wᵀ`, `n` rows. `2·n·i·o` FLOPs.
    pub fn times_transposed(&self, x: &[f32], y: &mut [f32], n: usize) {
        let [o, i] = self.dims();
        let size = [n, i, o];
        let weight = match self {
            Self::F32(weight) => {
                let weight = Values::of(weight);
                return match n <= few_rows::MAX_ROWS {
                    true => few_rows::times_transposed(x, weight.get(), y, size),
                    false => Product::new(size).right_transposed().run(x, weight.get(), y),
                };
            }
            Self::Bf16(weight) => weight,
        };
        if n <= few_rows::MAX_ROWS {
            return few_rows::times_transposed(x, &weight.values, y, size);
        }
        assert!(y.len() == n * o && x.len() == n * i);
        for rows in parts(o, i) {
            let mut wide = unfilled(rows.len() * i);
            let narrow = &weight.values[rows.start * i..rows.end * i];
            let each = rows.len().div_ceil(rayon::current_num_threads()) * i;
            wide.par_chunks_mut(each).zip(narrow.par_chunks(each)).for_each(|(out, values)| simd::widen(out, values));
            let product = Product::new([n, i, rows.len()]).right_transposed().out_stride(o);
            product.run(x, &wide, &mut y[rows.start..]);
        }
    }

    /// `dx = dy W`, or added to what `dx` holds; `n` rows. `2·n·i·o` FLOPs.
    pub fn times(&self, dy: &[f32], dx: &mut [f32], n: usize, add: bool) {
        let [o, i] = self.dims();
        let adding = |product: Product| if add { product.add() } else { product };
        let weight = match self {
            Self::F32(weight) => return adding(Product::new([n, o, i])).run(dy, Values::of(weight).get(), dx),
            Self::Bf16(weight) => weight,
        };
        assert!(dx.len() == n * i && dy.len() == n * o);
        for columns in parts(i, o) {
            let width = columns.len();
            let mut wide = unfilled(o * width);
            let rows = o.div_ceil(rayon::current_num_threads());
            let narrow = weight.values.par_chunks(rows * i);
            wide.par_chunks_mut(rows * width).zip(narrow).for_each(|(out, values)| {
                for (out, row) in out.chunks_exact_mut(width).zip(values.chunks_exact(i)) {
                    simd::widen(out, &row[columns.clone()]);
                }
            });
            adding(Product::new([n, o, width]).out_stride(i)).run(dy, &wide, &mut dx[columns.start..]);
        }
    }
}

/// `outputs` in parts of nearly one size, each with `inner` weights an output.
fn parts(outputs: usize, inner: usize) -> impl Iterator<Item = Range<usize>> {
    let most = (SCRATCH / size_of::<f32>() / inner.max(1)).max(FEWEST);
    let count = outputs.div_ceil(most).max(1);
    (0..count).map(move |part| part * outputs / count..(part + 1) * outputs / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        generate::rng::{Purpose, Stream},
        ops::to_host,
    };

    fn random(length: usize, number: u64) -> Vec<f32> {
        let mut values = vec![0.0; length];
        Stream::new(4, Purpose::Init, number).fill_normal(&mut values, 0, 0.0, 1.0);
        values
    }

    /// A matrix whose values are bf16's, in both forms.
    fn both([o, i]: [usize; 2]) -> [Frozen; 2] {
        let values = random(o * i, 1).into_iter().map(|value| bf16::from_f32(value).to_f32()).collect();
        let weight = tensor(values, [o, i]);
        let narrow = Frozen::smallest(weight.clone());
        assert!(matches!(narrow, Frozen::Bf16(_)));
        [Frozen::F32(weight), narrow]
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn products_with_bf16_have_the_bits_of_products_with_f32() {
        // More outputs than one part, with a rest; fewer than one; rows of both ways; odd sizes.
        for [n, o, i] in
            [[70, 3_001, 576], [40, 64, 9_000], [33, 7, 15], [130, 1_537, 1_100], [32, 200, 96], [1, 70, 33]]
        {
            let [wide, narrow] = both([o, i]);
            let (x, dy) = (random(n * i, 2), random(n * o, 3));
            let forward = |weight: &Frozen| {
                let mut y = vec![f32::NAN; n * o];
                weight.times_transposed(&x, &mut y, n);
                bits(&y)
            };
            assert_eq!(forward(&wide), forward(&narrow), "forward {n} {o} {i}");
            for add in [false, true] {
                let backward = |weight: &Frozen| {
                    let mut dx = random(n * i, 4);
                    weight.times(&dy, &mut dx, n, add);
                    bits(&dx)
                };
                assert_eq!(backward(&wide), backward(&narrow), "backward {n} {o} {i}, added: {add}");
            }
        }
    }

    #[test]
    fn what_bf16_cannot_hold_stays_and_what_it_can_comes_back() {
        let [wide, narrow] = both([5, 7]);
        assert_eq!(bits(&to_host(&wide.thaw())), bits(&to_host(&narrow.thaw())));
        let mut row = [0.0; 7];
        narrow.copy_row(3, &mut row);
        assert_eq!(row[..], to_host(&wide.thaw())[21..28]);
        let special = [f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::from_bits(0x0001_0000)];
        let kept = Frozen::smallest(tensor(special.to_vec(), [2, 2]));
        assert!(matches!(kept, Frozen::Bf16(_)));
        assert_eq!(bits(&to_host(&kept.thaw())), bits(&special));
        let mut values = vec![1.0; 40_000];
        values[39_999] = 1.0 + f32::EPSILON;
        assert!(matches!(Frozen::smallest(tensor(values, [200, 200])), Frozen::F32(_)));
    }
}
