//! CPU kernels behind [`super::LmBackend`] for burn-flex.
//!
//! Holds: kernels split outputs over threads, never reductions, so results are the same bits at any number of threads;
//! SIMD is chosen at run time (AVX-512, AVX2, portable); each kernel agrees with [`super::plain`] (see `ops/tests.rs`).
#![allow(unsafe_code)]

mod attention;
mod elementwise;
mod few_rows;
mod frozen;
mod gemm;
mod head;
mod simd;

use burn::tensor::{DType, Shape, Tensor, TensorPrimitive};
use burn_flex::{Flex, FlexTensor, Layout};
use frozen::Frozen;
use rayon::prelude::*;

use super::{AdamWStep, AttentionShape, Dropout, LmBackend, LoraGrads, RopeTable, Segments, TokenScores};

/// Rows a task handles at once in row-wise kernels.
const ROWS: usize = 16;

/// The values of a tensor, made contiguous if they are not.
struct Values(FlexTensor);

impl Values {
    fn of<const D: usize>(tensor: &Tensor<Flex, D>) -> Self {
        let tensor = tensor.clone().into_primitive().tensor();
        if tensor.as_slice::<f32>().is_some() { Self(tensor) } else { Self(tensor.to_contiguous()) }
    }

    fn get(&self) -> &[f32] {
        self.0.as_slice().expect("made contiguous in `of`; all float tensors are f32")
    }
}

impl AsRef<[f32]> for Values {
    fn as_ref(&self) -> &[f32] {
        self.get()
    }
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<Flex, D> {
    debug_assert_eq!(values.len(), shape.iter().product::<usize>());
    let layout = Layout::contiguous(Shape::from(shape.to_vec()));
    let primitive = FlexTensor::new(burn::tensor::Bytes::from_elems(values), layout, DType::F32);
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// Changes a tensor's values, in its own buffer when nobody else holds it.
fn update<const D: usize>(tensor: Tensor<Flex, D>, change: impl FnOnce(&mut [f32])) -> Tensor<Flex, D> {
    let mut primitive = {
        let primitive = tensor.into_primitive().tensor();
        primitive.to_contiguous()
    };
    change(primitive.storage_mut::<f32>());
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// A buffer that the caller fills completely.
fn unfilled(length: usize) -> Vec<f32> {
    let mut buffer = Vec::with_capacity(length);
    // SAFETY: the capacity is `length`, and each caller writes every element before any is read: products fill their whole
    // result, row-wise kernels visit every row, and where rows come by segment or target their number is asserted.
    #[allow(clippy::uninit_vec)]
    unsafe {
        buffer.set_len(length);
    }
    buffer
}

/// A raw pointer that tasks share to write disjoint parts of one buffer.
#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: each user gives every task its own range of the buffer and keeps the buffer borrowed until all tasks end.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn new(buffer: &mut [f32]) -> Self {
        Self(buffer.as_mut_ptr())
    }

    /// Where element `start` lies; it is inside the buffer.
    fn at(&self, start: usize) -> *mut f32 {
        self.0.wrapping_add(start)
    }

    /// The slice `start..start + length`.
    ///
    /// # Safety
    /// The range lies in the buffer and no other task touches it meanwhile.
    #[allow(clippy::mut_from_ref)]
    unsafe fn range(&self, start: usize, length: usize) -> &mut [f32] {
        // SAFETY: by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), length) }
    }
}

impl LmBackend for Flex {
    type Frozen = Frozen;

    fn freeze(weight: Tensor<Self, 2>) -> Self::Frozen {
        Frozen::F32(weight)
    }

    fn freeze_for_long(weight: Tensor<Self, 2>) -> Self::Frozen {
        Frozen::smallest(weight)
    }

    fn thaw(weight: &Self::Frozen) -> Tensor<Self, 2> {
        weight.thaw()
    }

    fn values<const D: usize>(tensor: &Tensor<Self, D>) -> impl AsRef<[f32]> {
        Values::of(tensor)
    }

    fn project(x: &Tensor<Self, 2>, weight: &Self::Frozen) -> Tensor<Self, 2> {
        let ([n, _], [o, _]) = (x.dims(), weight.dims());
        let mut y = unfilled(n * o);
        weight.times_transposed(Values::of(x).get(), &mut y, n);
        tensor(y, [n, o])
    }

    fn project_input_grad(dy: &Tensor<Self, 2>, weight: &Self::Frozen, dx: Option<Tensor<Self, 2>>) -> Tensor<Self, 2> {
        let ([n, _], [_, i]) = (dy.dims(), weight.dims());
        let dy = Values::of(dy);
        match dx {
            Some(dx) => update(dx, |dx| weight.times(dy.get(), dx, n, true)),
            None => {
                let mut dx = unfilled(n * i);
                weight.times(dy.get(), &mut dx, n, false);
                tensor(dx, [n, i])
            }
        }
    }

    fn project_weight_grad(dy: &Tensor<Self, 2>, x: &Tensor<Self, 2>) -> Tensor<Self, 2> {
        let ([n, o], [_, i]) = (dy.dims(), x.dims());
        let mut dw = unfilled(o * i);
        gemm::Product::new([o, n, i]).left_transposed().run(Values::of(dy).get(), Values::of(x).get(), &mut dw);
        tensor(dw, [o, i])
    }

    fn lora(
        y: Tensor<Self, 2>,
        x: &Tensor<Self, 2>,
        a: &Tensor<Self, 2>,
        b: &Tensor<Self, 2>,
        scale: f32,
        dropout: Option<&Dropout>,
    ) -> (Tensor<Self, 2>, Tensor<Self, 2>) {
        let ([n, i], [o, r]) = (x.dims(), b.dims());
        let (x, a, b) = (elementwise::dropped(x, dropout), Values::of(a), Values::of(b));
        let mut u = unfilled(n * r);
        gemm::Product::new([n, i, r]).right_transposed().run(x.get(), a.get(), &mut u);
        let y = update(y, |y| {
            gemm::Product::new([n, r, o]).right_transposed().scale(scale).add().run(&u, b.get(), y);
        });
        (y, tensor(u, [n, r]))
    }

    fn lora_backward(
        dy: &Tensor<Self, 2>,
        x: &Tensor<Self, 2>,
        u: &Tensor<Self, 2>,
        a: &Tensor<Self, 2>,
        b: &Tensor<Self, 2>,
        scale: f32,
        dropout: Option<&Dropout>,
        dx: Tensor<Self, 2>,
    ) -> LoraGrads<Self> {
        let ([n, i], [o, r]) = (x.dims(), b.dims());
        let dropped = elementwise::dropped(x, dropout);
        let (dy, u, a, b) = (Values::of(dy), Values::of(u), Values::of(a), Values::of(b));
        let mut db = unfilled(o * r);
        gemm::Product::new([o, n, r]).left_transposed().scale(scale).run(dy.get(), u.get(), &mut db);
        let mut du = unfilled(n * r);
        gemm::Product::new([n, o, r]).scale(scale).run(dy.get(), b.get(), &mut du);
        let mut da = unfilled(r * i);
        gemm::Product::new([r, n, i]).left_transposed().run(&du, dropped.get(), &mut da);
        let dx = match dropout {
            None => update(dx, |dx| gemm::Product::new([n, r, i]).add().run(&du, a.get(), dx)),
            Some(dropout) => {
                let mut product = unfilled(n * i);
                gemm::Product::new([n, r, i]).run(&du, a.get(), &mut product);
                update(dx, |dx| elementwise::add_dropped(dx, &product, i, dropout))
            }
        };
        LoraGrads { dx, da: tensor(da, [r, i]), db: tensor(db, [o, r]) }
    }

    fn rms_norm(x: &Tensor<Self, 2>, gain: &Tensor<Self, 1>, eps: f64) -> (Tensor<Self, 2>, Tensor<Self, 1>) {
        elementwise::rms_norm(x, gain, eps)
    }

    fn rms_norm_backward(
        dy: &Tensor<Self, 2>,
        x: &Tensor<Self, 2>,
        gain: &Tensor<Self, 1>,
        rstd: &Tensor<Self, 1>,
        residual: Option<Tensor<Self, 2>>,
        want_gain: bool,
    ) -> (Tensor<Self, 2>, Option<Tensor<Self, 1>>) {
        elementwise::rms_norm_backward(dy, x, gain, rstd, residual, want_gain)
    }

    fn rope(x: Tensor<Self, 2>, table: &RopeTable, positions: &[u32], inverse: bool) -> Tensor<Self, 2> {
        elementwise::rope(x, table, positions, inverse)
    }

    fn causal_attention(
        q: &Tensor<Self, 2>,
        k: &Tensor<Self, 2>,
        v: &Tensor<Self, 2>,
        shape: AttentionShape,
        segments: &Segments,
    ) -> (Tensor<Self, 2>, Tensor<Self, 2>) {
        attention::forward(q, k, v, shape, segments)
    }

    fn causal_attention_backward(
        dout: &Tensor<Self, 2>,
        q: &Tensor<Self, 2>,
        k: &Tensor<Self, 2>,
        v: &Tensor<Self, 2>,
        out: &Tensor<Self, 2>,
        lse: &Tensor<Self, 2>,
        shape: AttentionShape,
        segments: &Segments,
    ) -> (Tensor<Self, 2>, Tensor<Self, 2>, Tensor<Self, 2>) {
        attention::backward(dout, q, k, v, out, lse, shape, segments)
    }

    fn swiglu(gate: &Tensor<Self, 2>, up: &Tensor<Self, 2>) -> Tensor<Self, 2> {
        elementwise::swiglu(gate, up)
    }

    fn swiglu_backward(
        dy: &Tensor<Self, 2>,
        gate: Tensor<Self, 2>,
        up: Tensor<Self, 2>,
    ) -> (Tensor<Self, 2>, Tensor<Self, 2>) {
        elementwise::swiglu_backward(dy, gate, up)
    }

    fn add<const D: usize>(x: Tensor<Self, D>, y: &Tensor<Self, D>) -> Tensor<Self, D> {
        let y = Values::of(y);
        update(x, |x| {
            x.par_chunks_mut(elementwise::FLAT)
                .zip(y.get().par_chunks(elementwise::FLAT))
                .for_each(|(x, y)| simd::add(x, y));
        })
    }

    fn add_bias(x: Tensor<Self, 2>, bias: &Tensor<Self, 1>) -> Tensor<Self, 2> {
        let bias = Values::of(bias);
        update(x, |x| x.par_chunks_mut(bias.get().len()).for_each(|row| simd::add(row, bias.get())))
    }

    fn sum_rows(x: &Tensor<Self, 2>) -> Tensor<Self, 1> {
        elementwise::sum_rows(x)
    }

    fn embed(table: &Self::Frozen, ids: &[u32]) -> Tensor<Self, 2> {
        let width = table.dims()[1];
        let mut rows = unfilled(ids.len() * width);
        rows.par_chunks_mut(width).zip(ids).for_each(|(row, &id)| table.copy_row(id as usize, row));
        tensor(rows, [ids.len(), width])
    }

    fn embed_backward(dy: &Tensor<Self, 2>, ids: &[u32], vocab: usize) -> Tensor<Self, 2> {
        let width = dy.dims()[1];
        let dy = Values::of(dy);
        let mut grad = vec![0.0; vocab * width];
        for (row, &id) in dy.get().chunks_exact(width).zip(ids) {
            simd::add(&mut grad[id as usize * width..(id as usize + 1) * width], row);
        }
        tensor(grad, [vocab, width])
    }

    fn token_scores(h: &Tensor<Self, 2>, head: &Self::Frozen, targets: &[u32], temperature: f32) -> TokenScores {
        head::scores(h, head, targets, temperature)
    }

    fn token_scores_backward(
        h: &Tensor<Self, 2>,
        head: &Self::Frozen,
        targets: &[u32],
        temperature: f32,
        d_logprobs: &[f32],
        want_head: bool,
    ) -> (TokenScores, Tensor<Self, 2>, Option<Tensor<Self, 2>>) {
        head::scores_backward(h, head, targets, temperature, d_logprobs, want_head)
    }

    fn cache_write(cache: Tensor<Self, 3>, rows: &Tensor<Self, 2>, places: &[(usize, usize)]) -> Tensor<Self, 3> {
        let [_, capacity, width] = cache.dims();
        let rows = Values::of(rows);
        update(cache, |cache| {
            for (row, &(slot, position)) in rows.get().chunks_exact(width).zip(places) {
                let start = (slot * capacity + position) * width;
                cache[start..start + width].copy_from_slice(row);
            }
        })
    }

    fn cached_attention(
        q: &Tensor<Self, 2>,
        keys: &Tensor<Self, 3>,
        values: &Tensor<Self, 3>,
        places: &[(usize, usize)],
        shape: AttentionShape,
    ) -> Tensor<Self, 2> {
        attention::cached(q, keys, values, places, shape)
    }

    fn sum_squares<'a>(tensors: impl Iterator<Item = &'a Tensor<Self, 1>>) -> f64 {
        let of_one = |x: &Tensor<Self, 1>| {
            let x = Values::of(x);
            let parts: Vec<f64> = x.get().par_chunks(elementwise::FLAT).map(simd::sum_squares).collect();
            parts.iter().sum::<f64>()
        };
        tensors.map(of_one).sum()
    }

    fn adamw(
        parameter: Tensor<Self, 1>,
        first: Tensor<Self, 1>,
        second: Tensor<Self, 1>,
        gradient: &Tensor<Self, 1>,
        step: AdamWStep,
    ) -> [Tensor<Self, 1>; 3] {
        elementwise::adamw(parameter, first, second, gradient, step)
    }
}

/// The kernels' `e^x`, for the test of its accuracy.
#[cfg(test)]
pub fn exp_minus_for_tests(row: &mut [f32]) {
    simd::exp_minus(row, 1.0, 0.0);
}
