//! Causal grouped-query attention in blocks of queries: scores exist for one block and head at a time.
//!
//! The backward computes them again from the saved log-sum-exp (Dao et al. 2022, algorithm 4, on a CPU's terms).
//! Memory: `O(BLOCK · t)` a thread beside inputs and outputs. One task is one (segment, key head) pair and writes all
//! that belongs to it, so gradients of shared keys are summed in a fixed order.

use burn::tensor::Tensor;
use burn_flex::Flex;
use rayon::prelude::*;

use super::{AttentionShape, Segments, Shared, Values, gemm::Product, simd, tensor, unfilled};

/// Queries a block.
const BLOCK: usize = 64;

/// Blocks of queries of a segment of `t` rows: `(first query, number, first key, end of keys)`.
fn blocks(t: usize, shape: AttentionShape) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..t).step_by(BLOCK).map(move |start| {
        let m = BLOCK.min(t - start);
        (start, m, shape.first_key(start), start + m)
    })
}

/// The part of a block's row of scores that its query may see, relative to the block's first key.
fn visible(shape: AttentionShape, query: usize, first_key: usize) -> std::ops::Range<usize> {
    shape.first_key(query) - first_key..query + 1 - first_key
}

fn hide(row: &mut [f32], seen: &std::ops::Range<usize>) {
    row[..seen.start].fill(0.0);
    row[seen.end..].fill(0.0);
}

fn tasks(segments: &Segments, shape: AttentionShape) -> impl IndexedParallelIterator<Item = (usize, usize)> {
    let kv_heads = shape.kv_heads;
    (0..segments.count() * kv_heads).into_par_iter().map(move |task| (task / kv_heads, task % kv_heads))
}

pub fn forward(
    q: &Tensor<Flex, 2>,
    k: &Tensor<Flex, 2>,
    v: &Tensor<Flex, 2>,
    shape: AttentionShape,
    segments: &Segments,
) -> (Tensor<Flex, 2>, Tensor<Flex, 2>) {
    let n = q.dims()[0];
    assert_eq!(segments.rows(), n, "segments cover the batch"); // the buffers below are filled by segment
    let (d, heads, kv_heads) = (shape.head_dim, shape.heads, shape.kv_heads);
    let (q_stride, kv_stride) = (heads * d, kv_heads * d);
    let (q, k, v) = (Values::of(q), Values::of(k), Values::of(v));
    let (mut out, mut lse) = (unfilled(n * q_stride), unfilled(n * heads));
    let (shared_out, shared_lse) = (Shared::new(&mut out), Shared::new(&mut lse));
    tasks(segments, shape).for_each(|(segment, kv_head)| {
        let rows = segments.range(segment);
        let t = rows.len();
        let mut scores = unfilled(BLOCK.min(t) * t);
        for head in kv_head * heads / kv_heads..(kv_head + 1) * heads / kv_heads {
            for (start, m, first, end) in blocks(t, shape) {
                let keys = end - first;
                let query_at = (rows.start + start) * q_stride + head * d;
                let key_at = (rows.start + first) * kv_stride + kv_head * d;
                let scores = &mut scores[..m * keys];
                Product::new([m, d, keys]).left_strides(q_stride, 1).right_strides(1, kv_stride).single().run(
                    &q.get()[query_at..],
                    &k.get()[key_at..],
                    scores,
                );
                for (row, scores) in scores.chunks_exact_mut(keys).enumerate() {
                    let seen = visible(shape, start + row, first);
                    let total = simd::softmax(&mut scores[seen.clone()], shape.scale());
                    hide(scores, &seen);
                    // SAFETY: this task alone writes the log-sum-exp of its rows and heads.
                    unsafe { shared_lse.range((rows.start + start + row) * heads + head, 1)[0] = total };
                }
                let product = Product::new([m, keys, d]).right_strides(kv_stride, 1).out_stride(q_stride).single();
                // SAFETY: `m` rows from `query_at` lie in `out`, and this head's columns are this task's alone.
                unsafe { product.run_at(scores, &v.get()[key_at..], shared_out.at(query_at)) };
            }
        }
    });
    (tensor(out, [n, q_stride]), tensor(lse, [n, heads]))
}

/// With `P` the probabilities, `D = rowsum(dO ∘ O)`: `dV = Pᵀ dO`, `dS = P ∘ (dO Vᵀ − D) · scale`, `dQ = dS K`,
/// `dK = dSᵀ Q`.
pub fn backward(
    dout: &Tensor<Flex, 2>,
    q: &Tensor<Flex, 2>,
    k: &Tensor<Flex, 2>,
    v: &Tensor<Flex, 2>,
    out: &Tensor<Flex, 2>,
    lse: &Tensor<Flex, 2>,
    shape: AttentionShape,
    segments: &Segments,
) -> (Tensor<Flex, 2>, Tensor<Flex, 2>, Tensor<Flex, 2>) {
    let n = q.dims()[0];
    assert_eq!(segments.rows(), n, "segments cover the batch");
    let (d, heads, kv_heads) = (shape.head_dim, shape.heads, shape.kv_heads);
    let (q_stride, kv_stride) = (heads * d, kv_heads * d);
    let (dout, out, lse) = (Values::of(dout), Values::of(out), Values::of(lse));
    let (q, k, v) = (Values::of(q), Values::of(k), Values::of(v));
    let mut dq = unfilled(n * q_stride);
    let (mut dk, mut dv) = (unfilled(n * kv_stride), unfilled(n * kv_stride));
    let (shared_dq, shared_dk, shared_dv) = (Shared::new(&mut dq), Shared::new(&mut dk), Shared::new(&mut dv));
    tasks(segments, shape).for_each(|(segment, kv_head)| {
        let rows = segments.range(segment);
        let t = rows.len();
        let (mut p, mut ds) = (unfilled(BLOCK.min(t) * t), unfilled(BLOCK.min(t) * t));
        let (mut dk, mut dv) = (vec![0.0; t * d], vec![0.0; t * d]);
        for head in kv_head * heads / kv_heads..(kv_head + 1) * heads / kv_heads {
            for (start, m, first, end) in blocks(t, shape) {
                let keys = end - first;
                let query_at = (rows.start + start) * q_stride + head * d;
                let key_at = (rows.start + first) * kv_stride + kv_head * d;
                let (p, ds) = (&mut p[..m * keys], &mut ds[..m * keys]);
                let scores = Product::new([m, d, keys]).left_strides(q_stride, 1).right_strides(1, kv_stride).single();
                scores.run(&q.get()[query_at..], &k.get()[key_at..], p);
                scores.run(&dout.get()[query_at..], &v.get()[key_at..], ds);
                for (row, (p, ds)) in p.chunks_exact_mut(keys).zip(ds.chunks_exact_mut(keys)).enumerate() {
                    let at = query_at + row * q_stride;
                    let delta = simd::dot(&out.get()[at..at + d], &dout.get()[at..at + d]);
                    let seen = visible(shape, start + row, first);
                    let total = lse.get()[(rows.start + start + row) * heads + head];
                    simd::exp_minus(&mut p[seen.clone()], shape.scale(), total);
                    simd::softmax_backward(&p[seen.clone()], &mut ds[seen.clone()], delta, shape.scale());
                    hide(p, &seen);
                    hide(ds, &seen);
                }
                let by_key = Product::new([keys, m, d]).left_transposed().right_strides(q_stride, 1).add().single();
                by_key.run(p, &dout.get()[query_at..], &mut dv[first * d..end * d]);
                by_key.run(ds, &q.get()[query_at..], &mut dk[first * d..end * d]);
                let product = Product::new([m, keys, d]).right_strides(kv_stride, 1).out_stride(q_stride).single();
                // SAFETY: as in `forward`.
                unsafe { product.run_at(ds, &k.get()[key_at..], shared_dq.at(query_at)) };
            }
        }
        for row in 0..t {
            let at = (rows.start + row) * kv_stride + kv_head * d;
            // SAFETY: this task alone writes its key head's columns of its segment's rows.
            unsafe {
                shared_dk.range(at, d).copy_from_slice(&dk[row * d..(row + 1) * d]);
                shared_dv.range(at, d).copy_from_slice(&dv[row * d..(row + 1) * d]);
            }
        }
    });
    (tensor(dq, [n, q_stride]), tensor(dk, [n, kv_stride]), tensor(dv, [n, kv_stride]))
}

/// One query a sequence over its cache.
pub fn cached(
    q: &Tensor<Flex, 2>,
    keys: &Tensor<Flex, 3>,
    values: &Tensor<Flex, 3>,
    places: &[(usize, usize)],
    shape: AttentionShape,
) -> Tensor<Flex, 2> {
    let (d, heads, kv_heads) = (shape.head_dim, shape.heads, shape.kv_heads);
    let [_, capacity, kv_stride] = keys.dims();
    let (q, keys, values) = (Values::of(q), Values::of(keys), Values::of(values));
    let n = places.len();
    let mut out = unfilled(n * heads * d);
    out.par_chunks_mut(d).enumerate().for_each(|(task, out)| {
        let (row, head) = (task / heads, task % heads);
        let (slot, position) = places[row];
        let kv_head = head * kv_heads / heads;
        let first = shape.first_key(position);
        let query = &q.get()[task * d..(task + 1) * d];
        let at = |position: usize| (slot * capacity + position) * kv_stride + kv_head * d;
        let mut scores: Vec<f32> =
            (first..=position).map(|p| simd::dot(query, &keys.get()[at(p)..at(p) + d])).collect();
        simd::softmax(&mut scores, shape.scale());
        out.fill(0.0);
        for (p, &weight) in (first..=position).zip(&scores) {
            simd::add_scaled(out, &values.get()[at(p)..at(p) + d], weight);
        }
    });
    tensor(out, [n, heads * d])
}
