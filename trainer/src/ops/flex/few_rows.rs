//! `y = x Wᵀ` for few rows `x`: decoding, where reading the weights is the work.
//!
//! gemm packs both operands first, which reads and writes the weights once more; here a tile of weight rows is read once
//! and multiplied with all rows while it lies in the first-level cache.
//!
//! Holds: a dot product is summed in 16 lanes of fused multiply-adds and then in one fixed tree, whatever the instruction
//! set, the number of rows and of threads: a sequence's next token has the same bits in any batch of up to [`MAX_ROWS`].

use half::bf16;
use rayon::prelude::*;

use super::Shared;

/// Most rows that this is used for; with more, gemm's packing pays off.
pub const MAX_ROWS: usize = 32;

/// Outputs a task computes.
const BLOCK: usize = 32;
/// Weights below which threads cost more than they save.
const SMALL: usize = 1 << 14;
const LANES: usize = 16;
/// Outputs and rows a tile holds in registers.
const TILE: usize = 4;

/// `y = x Wᵀ` with `x` `[n, i]`, `w` `[o, i]`, `y` `[n, o]` and `n` at most [`MAX_ROWS`].
pub fn times_transposed<W: Weight>(x: &[f32], w: &[W], y: &mut [f32], [n, i, o]: [usize; 3]) {
    assert!(n <= MAX_ROWS && x.len() == n * i && w.len() == o * i && y.len() == n * o);
    if n == 0 || o == 0 || i == 0 {
        return y.fill(0.0);
    }
    let shared = Shared::new(y);
    let block = |(number, rows): (usize, &[W])| {
        let outputs = rows.len() / i;
        let mut out = [0.0; MAX_ROWS * BLOCK];
        let out = &mut out[..n * outputs];
        products(rows, x, i, out);
        for (row, out) in out.chunks_exact(outputs).enumerate() {
            // SAFETY: this block alone writes outputs `number·BLOCK..` of each row, and they lie in `y` `[n, o]`.
            unsafe { shared.range(row * o + number * BLOCK, outputs) }.copy_from_slice(out);
        }
    };
    match w.len() < SMALL {
        true => w.chunks(BLOCK * i).enumerate().for_each(block),
        false => w.par_chunks(BLOCK * i).enumerate().for_each(block),
    }
}

/// `out[r, o] = w[o] · x[r]` for rows of length `i`, by the best instruction set.
fn products<W: Weight>(w: &[W], x: &[f32], i: usize, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,fma,avx2")]
        fn avx512<W: Weight>(w: &[W], x: &[f32], i: usize, out: &mut [f32]) {
            tiles::<x86::Avx512, W>(w, x, i, out);
        }
        #[target_feature(enable = "fma,avx2")]
        fn avx2<W: Weight>(w: &[W], x: &[f32], i: usize, out: &mut [f32]) {
            tiles::<x86::Avx2, W>(w, x, i, out);
        }
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2") {
            // SAFETY: the features were detected just now.
            return unsafe { avx512(w, x, i, out) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the features were detected just now.
            return unsafe { avx2(w, x, i, out) };
        }
    }
    tiles::<Portable, W>(w, x, i, out);
}

#[inline(always)]
fn tiles<V: Lanes, W: Weight>(w: &[W], x: &[f32], i: usize, out: &mut [f32]) {
    let (outputs, rows) = (w.len() / i, x.len() / i);
    for o in (0..outputs).step_by(TILE) {
        let many = outputs - o >= TILE;
        let last = if many { o + TILE } else { outputs };
        let w = &w[o * i..last * i];
        let mut r = 0;
        while r < rows {
            let left = rows - r;
            let x = &x[r * i..];
            let out = &mut out[r * outputs + o..];
            r += match (many, left) {
                (true, TILE..) => tile::<V, W, TILE, TILE>(w, x, i, out, outputs),
                (true, 2..) => tile::<V, W, TILE, 2>(w, x, i, out, outputs),
                (true, _) => tile::<V, W, TILE, 1>(w, x, i, out, outputs),
                (false, _) => {
                    for (w, out) in w.chunks_exact(i).zip(out) {
                        tile::<V, W, 1, 1>(w, x, i, std::slice::from_mut(out), 1);
                    }
                    1
                }
            };
        }
    }
}

/// The first `O` rows of `w` times the first `R` rows of `x`; returns `R`.
#[inline(always)]
fn tile<V: Lanes, W: Weight, const O: usize, const R: usize>(
    w: &[W],
    x: &[f32],
    i: usize,
    out: &mut [f32],
    stride: usize,
) -> usize {
    let (w, x) = (&w[..O * i], &x[..R * i]);
    let whole = i / LANES * LANES;
    let mut sums = [[V::ZERO; O]; R];
    let mut start = 0;
    while start < whole {
        let mut weights = [V::ZERO; O];
        for (o, weights) in weights.iter_mut().enumerate() {
            // SAFETY: `start + LANES <= i` and `o < O`, so this lies in the `O · i` values of `w`.
            *weights = unsafe { W::load(w.as_ptr().add(o * i + start)) };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as above, in the `R · i` values of `x`.
            let x = unsafe { V::load(x.as_ptr().add(r * i + start)) };
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = sum.plus_product(weights, x);
            }
        }
        start += LANES;
    }
    for (r, sums) in sums.iter().enumerate() {
        for (o, sum) in sums.iter().enumerate() {
            let mut total = tree(&sum.lanes());
            for at in whole..i {
                total = w[o * i + at].value().mul_add(x[r * i + at], total);
            }
            out[r * stride + o] = total;
        }
    }
    R
}

/// The sum of 16 lanes in a fixed order.
#[inline(always)]
fn tree(lanes: &[f32; LANES]) -> f32 {
    let (mut eight, mut four) = ([0.0; 8], [0.0; 4]);
    for (lane, sum) in eight.iter_mut().enumerate() {
        *sum = lanes[lane] + lanes[lane + 8];
    }
    for (lane, sum) in four.iter_mut().enumerate() {
        *sum = eight[lane] + eight[lane + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

/// How a weight is stored.
pub trait Weight: Copy + Send + Sync {
    fn value(self) -> f32;

    /// # Safety
    /// `from` is valid for 16 weights, and the processor has the features of `V`.
    unsafe fn load<V: Lanes>(from: *const Self) -> V;
}

impl Weight for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }

    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const Self) -> V {
        // SAFETY: by this function's contract.
        unsafe { V::load(from) }
    }
}

impl Weight for bf16 {
    #[inline(always)]
    fn value(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const Self) -> V {
        // SAFETY: by this function's contract.
        unsafe { V::widen(from) }
    }
}

/// 16 values in registers. The compiler does not keep a tile of arrays there by itself.
pub trait Lanes: Copy {
    const ZERO: Self;

    /// # Safety
    /// `from` is valid for 16 values, and the processor has the features of the type.
    unsafe fn load(from: *const f32) -> Self;

    /// # Safety
    /// As [`Self::load`].
    unsafe fn widen(from: *const bf16) -> Self;

    /// `self + x · y`, rounded once.
    fn plus_product(self, x: Self, y: Self) -> Self;

    fn lanes(self) -> [f32; LANES];
}

#[derive(Clone, Copy)]
struct Portable([f32; LANES]);

impl Lanes for Portable {
    const ZERO: Self = Self([0.0; LANES]);

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: by this function's contract; arrays of f32 are aligned as f32 are.
        unsafe { Self(*from.cast()) }
    }

    #[inline(always)]
    unsafe fn widen(from: *const bf16) -> Self {
        // SAFETY: by this function's contract; arrays of bf16 are aligned as bf16 are.
        let narrow: [bf16; LANES] = unsafe { *from.cast() };
        Self(narrow.map(bf16::to_f32))
    }

    #[inline(always)]
    fn plus_product(mut self, x: Self, y: Self) -> Self {
        for (sum, (x, y)) in self.0.iter_mut().zip(x.0.iter().zip(y.0)) {
            *sum = x.mul_add(y, *sum);
        }
        self
    }

    #[inline(always)]
    fn lanes(self) -> [f32; LANES] {
        self.0
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm_loadu_si128, _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_fmadd_ps, _mm256_loadu_ps,
        _mm256_loadu_si256, _mm256_slli_epi32, _mm512_castsi512_ps, _mm512_cvtepu16_epi32, _mm512_fmadd_ps,
        _mm512_loadu_ps, _mm512_slli_epi32,
    };

    use half::bf16;

    use super::{LANES, Lanes};

    /// Made only where AVX-512 was detected.
    #[derive(Clone, Copy)]
    pub struct Avx512(__m512);

    impl Lanes for Avx512 {
        // SAFETY: any bits are a vector of f32; these are zeros.
        const ZERO: Self = Self(unsafe { std::mem::transmute::<[f32; LANES], __m512>([0.0; LANES]) });

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: by this function's contract.
            unsafe { Self(_mm512_loadu_ps(from)) }
        }

        #[inline(always)]
        unsafe fn widen(from: *const bf16) -> Self {
            // SAFETY: by this function's contract. A bf16 is the upper half of the f32 of its value.
            unsafe {
                let narrow = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
                Self(_mm512_castsi512_ps(_mm512_slli_epi32(narrow, 16)))
            }
        }

        #[inline(always)]
        fn plus_product(self, x: Self, y: Self) -> Self {
            // SAFETY: the type exists only where the feature does.
            unsafe { Self(_mm512_fmadd_ps(x.0, y.0, self.0)) }
        }

        #[inline(always)]
        fn lanes(self) -> [f32; LANES] {
            // SAFETY: a vector of 16 f32 has the bits of an array of 16 f32.
            unsafe { std::mem::transmute::<__m512, [f32; LANES]>(self.0) }
        }
    }

    /// Made only where AVX2 and FMA were detected.
    #[derive(Clone, Copy)]
    pub struct Avx2([__m256; 2]);

    impl Lanes for Avx2 {
        // SAFETY: any bits are vectors of f32; these are zeros.
        const ZERO: Self = Self(unsafe { std::mem::transmute::<[f32; LANES], [__m256; 2]>([0.0; LANES]) });

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: by this function's contract.
            unsafe { Self([_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(LANES / 2))]) }
        }

        #[inline(always)]
        unsafe fn widen(from: *const bf16) -> Self {
            // SAFETY: by this function's contract. A bf16 is the upper half of the f32 of its value.
            let eight = |from: *const bf16| unsafe {
                let narrow = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32(narrow, 16))
            };
            Self([eight(from), eight(from.wrapping_add(LANES / 2))])
        }

        #[inline(always)]
        fn plus_product(self, x: Self, y: Self) -> Self {
            let ([a, b], [x0, x1], [y0, y1]) = (self.0, x.0, y.0);
            // SAFETY: the type exists only where the features do.
            unsafe { Self([_mm256_fmadd_ps(x0, y0, a), _mm256_fmadd_ps(x1, y1, b)]) }
        }

        #[inline(always)]
        fn lanes(self) -> [f32; LANES] {
            // SAFETY: two vectors of 8 f32 have the bits of an array of 16 f32.
            unsafe { std::mem::transmute::<[__m256; 2], [f32; LANES]>(self.0) }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::generate::rng::{Purpose, Stream};

    fn random(length: usize, number: u64) -> Vec<f32> {
        let mut values = vec![0.0; length];
        Stream::new(3, Purpose::Init, number).fill_normal(&mut values, 0, 0.0, 1.0);
        values
    }

    fn product(x: &[f32], w: &[f32], size: [usize; 3]) -> Vec<f32> {
        let mut y = vec![f32::NAN; size[0] * size[2]];
        times_transposed(x, w, &mut y, size);
        y
    }

    proptest! {
        #[test]
        fn products_are_right_at_any_size_and_the_same_bits_in_any_batch(
            n in 0..=MAX_ROWS, i in 0..70_usize, o in 0..75_usize,
        ) {
            let (x, w) = (random(n * i, 1), random(o * i, 2));
            let y = product(&x, &w, [n, i, o]);
            for row in 0..n {
                let x = &x[row * i..(row + 1) * i];
                prop_assert_eq!(&y[row * o..(row + 1) * o], product(x, &w, [1, i, o]));
                for output in 0..o {
                    let exact: f64 = x.iter().zip(&w[output * i..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    prop_assert!((exact - f64::from(y[row * o + output])).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let (n, i, o) = (7, 93, 10);
        let (x, w) = (random(n * i, 1), random(o * i, 2));
        let (mut best, mut portable) = (vec![0.0; n * o], vec![0.0; n * o]);
        products(&w, &x, i, &mut best);
        tiles::<Portable, f32>(&w, &x, i, &mut portable);
        assert_eq!(best, portable);
        let w: Vec<bf16> = w.into_iter().map(bf16::from_f32).collect();
        products(&w, &x, i, &mut best);
        tiles::<Portable, bf16>(&w, &x, i, &mut portable);
        assert_eq!(best, portable);
    }
}
