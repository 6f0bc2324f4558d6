//! Causal attention by blocks of queries: two matrix products with a softmax between them, on the scores of one block.
//!
//! Holds: a block sees the keys from its rows' first visible one to its last row, so packed sequences cost no launches of
//! their own, and scores of more than [`SCORES`] never exist at once. All products are of dimensions that 64 divides:
//! rows and keys are padded with zeros.

use burn::tensor::Tensor;
use burn_cubecl::{CubeRuntime, element::BoolElement, tensor::CubeTensor};
use cubecl::prelude::*;

use super::{
    Gpu, Matrix, Products, products,
    reduce::{Greatest, Sum, reduce},
    tensors::{Rows, UNITS, buffer, cube_each, empty, for_each, upload, wrap},
};
use crate::ops::{AttentionShape, Segments};

/// Scores of a block, all heads together: 256 MiB of them as f32.
const SCORES: usize = 1 << 26;
/// Rows and keys come in multiples of it.
const TILE: usize = 64;
/// Rows of a block at most.
const BLOCK: usize = 1024;

/// `heads` heads of `d` columns of the rows from `from` on, as `[heads, rows, d]`; rows from `end`
/// on are zero.
#[cube(launch)]
fn to_heads_kernel(x: &Array<f32>, out: &mut Array<f32>, x_stride: u32, from: u32, end: u32, rows: u32, d: u32) {
    let at = ABSOLUTE_POS;
    if at < out.len() {
        let place = at as u32;
        let column = place % d;
        let row = place / d % rows + from;
        let head = place / (d * rows);
        if row < end {
            out[at] = x[(row * x_stride + head * d + column) as usize];
        } else {
            out[at] = 0.0f32;
        }
    }
}

/// The way back: `[heads, rows, d]` to rows of `out` `[n, heads·d]` from `from` on.
#[cube(launch)]
fn from_heads_kernel(x: &Array<f32>, out: &mut Array<f32>, from: u32, end: u32, rows: u32, heads: u32, d: u32) {
    let place = ABSOLUTE_POS as u32;
    if place < rows * heads * d {
        let column = place % d;
        let row = place / d % rows + from;
        let head = place / (d * rows);
        if row < end {
            out[((row * heads + head) * d + column) as usize] = x[ABSOLUTE_POS];
        }
    }
}

/// Probabilities of a block's scores `[heads, rows, keys]`, a cube a row, and the log-sum-exp `[n, heads]`.
#[cube(launch)]
fn softmax_kernel(
    scores: &Array<f32>,
    first: &Array<u32>,
    out: &mut Array<f32>,
    lse: &mut Array<f32>,
    scale: f32,
    from: u32,
    end: u32,
    rows: u32,
    heads: u32,
    first_key: u32,
    keys: u32,
    #[comptime] units: u32,
) {
    let cube = CUBE_POS as u32;
    if cube < heads * rows {
        let mut shared = SharedMemory::<f32>::new(units as usize);
        let head = cube / rows;
        let row = cube % rows + from;
        let start = cube * keys;
        if row < end {
            let low = first[row as usize] - first_key;
            let high = row - first_key;
            let mut most = f32::min_value();
            let mut key = low + UNIT_POS;
            while key <= high {
                let score = scores[(start + key) as usize];
                most = select(score > most, score, most);
                key += units;
            }
            most = reduce::<f32, Greatest>(most, &mut shared, units) * scale;
            let mut sum = 0.0f32;
            key = low + UNIT_POS;
            while key <= high {
                sum += (scores[(start + key) as usize] * scale - most).exp();
                key += units;
            }
            let total = reduce::<f32, Sum>(sum, &mut shared, units);
            if UNIT_POS == 0 {
                lse[(row * heads + head) as usize] = most + total.ln();
            }
            key = UNIT_POS;
            while key < keys {
                let at = (start + key) as usize;
                let p = (scores[at] * scale - most).exp() / total;
                out[at] = select(key >= low && key <= high, p, 0.0f32);
                key += units;
            }
        } else {
            let mut key = UNIT_POS;
            while key < keys {
                out[(start + key) as usize] = 0.0f32;
                key += units;
            }
        }
    }
}

/// `Σ dout · out` of every row and head, `[n, heads]`.
#[cube(launch)]
fn delta_kernel(
    dout: &Array<f32>,
    out: &Array<f32>,
    delta: &mut Array<f32>,
    dout_stride: u32,
    out_stride: u32,
    heads: u32,
    d: u32,
) {
    if ABSOLUTE_POS < delta.len() {
        let row = ABSOLUTE_POS as u32 / heads;
        let head = ABSOLUTE_POS as u32 % heads;
        let mut sum = 0.0f32;
        for column in 0..d {
            let at = head * d + column;
            sum += dout[(row * dout_stride + at) as usize] * out[(row * out_stride + at) as usize];
        }
        delta[ABSOLUTE_POS] = sum;
    }
}

/// Probabilities again, and the scores' gradient `p · (dp − delta) · scale`.
#[cube(launch)]
fn backward_kernel(
    scores: &Array<f32>,
    dp: &Array<f32>,
    first: &Array<u32>,
    lse: &Array<f32>,
    delta: &Array<f32>,
    p: &mut Array<f32>,
    ds: &mut Array<f32>,
    scale: f32,
    from: u32,
    end: u32,
    rows: u32,
    heads: u32,
    first_key: u32,
    keys: u32,
) {
    let at = ABSOLUTE_POS;
    if at < p.len() {
        let place = at as u32;
        let key = place % keys + first_key;
        let row = place / keys % rows + from;
        let head = place / (keys * rows);
        let mut probability = 0.0f32;
        let mut slope = 0.0f32;
        if row < end {
            let sees = key <= row && key >= first[row as usize];
            if sees {
                let of_row = (row * heads + head) as usize;
                probability = (scores[at] * scale - lse[of_row]).exp();
                slope = probability * (dp[at] - delta[of_row]) * scale;
            }
        }
        p[at] = probability;
        ds[at] = slope;
    }
}

/// Adds `[heads, keys, d]` to the keys of `to` `[heads, all, d]` from `first_key` on.
#[cube(launch)]
fn add_keys_kernel(part: &Array<f32>, to: &mut Array<f32>, first_key: u32, keys: u32, all: u32, d: u32) {
    if ABSOLUTE_POS < part.len() {
        let place = ABSOLUTE_POS as u32;
        let in_head = place % (keys * d);
        let head = place / (keys * d);
        let at = (head * all * d + first_key * d + in_head) as usize;
        to[at] += part[ABSOLUTE_POS];
    }
}

/// A block of queries and the keys that it may see.
#[derive(Clone, Copy)]
struct Block {
    from: usize,
    /// Padded.
    rows: usize,
    first_key: usize,
    /// Padded.
    keys: usize,
}

/// What the blocks of one call have in common.
struct Plan<R: CubeRuntime> {
    shape: AttentionShape,
    n: usize,
    padded: usize,
    /// Of every row, the first key that it sees.
    first: Vec<u32>,
    like: CubeTensor<R>,
}

impl<R: CubeRuntime> Plan<R> {
    fn new(like: CubeTensor<R>, shape: AttentionShape, segments: &Segments) -> Self {
        let n = segments.rows();
        let first = segments
            .ranges()
            .flat_map(|range| {
                let start = range.start;
                range.map(move |row| (start + shape.first_key(row - start)) as u32)
            })
            .collect();
        Self { shape, n, padded: n.next_multiple_of(TILE), first, like }
    }

    fn blocks(&self) -> Vec<Block> {
        let most = (SCORES / (self.shape.heads * self.padded) / TILE * TILE).clamp(TILE, BLOCK);
        let block = |from: usize| {
            let rows = most.min(self.padded - from);
            // Rows see no earlier keys than the rows before them do.
            let first_key = self.first[from] as usize / TILE * TILE;
            Block { from, rows, first_key, keys: from + rows - first_key }
        };
        (0..self.padded).step_by(most).map(block).collect()
    }

    fn first(&self) -> ArrayArg<R> {
        upload(&self.like.client, &self.first)
    }

    fn empty(&self, shape: [usize; 3]) -> CubeTensor<R> {
        empty(&self.like, shape)
    }

    /// `[heads, rows, d]`, all of them padded or one block.
    fn to_heads<BT: BoolElement>(&self, x: &Matrix<R, BT>, heads: usize, from: usize, rows: usize) -> CubeTensor<R> {
        let d = self.shape.head_dim;
        let x = Rows::of(x);
        let out = self.empty([heads, rows, d]);
        let client = &self.like.client;
        let (count, dim) = for_each(client, heads * rows * d);
        let (from, n, rows, d) = (from as u32, self.n as u32, rows as u32, d as u32);
        to_heads_kernel::launch::<R>(client, count, dim, x.arg(), buffer(&out), x.stride, from, n, rows, d);
        out
    }

    /// Writes `[heads, rows, d]` to `out`.
    fn to_rows(&self, x: &CubeTensor<R>, out: &CubeTensor<R>, heads: usize, from: usize, rows: usize) {
        let d = self.shape.head_dim;
        let client = &self.like.client;
        let (count, dim) = for_each(client, heads * rows * d);
        let (from, n, rows, heads, d) = (from as u32, self.n as u32, rows as u32, heads as u32, d as u32);
        from_heads_kernel::launch::<R>(client, count, dim, buffer(x), buffer(out), from, n, rows, heads, d);
    }
}

/// The group of query heads that share keys as rows of one product: `[kv_heads, group · rows, …]`.
fn grouped<R: CubeRuntime, BT: BoolElement>(x: CubeTensor<R>, kv_heads: usize) -> Tensor<Gpu<R, BT>, 3> {
    let x = wrap::<R, BT, 3>(x);
    let [heads, rows, columns] = x.dims();
    x.reshape([kv_heads, heads / kv_heads * rows, columns])
}

fn keys_of<R: CubeRuntime, BT: BoolElement>(all: &Tensor<Gpu<R, BT>, 3>, block: Block) -> Tensor<Gpu<R, BT>, 3> {
    all.clone().narrow(1, block.first_key, block.keys)
}

pub fn forward<R: Products, BT: BoolElement>(
    q: &Matrix<R, BT>,
    k: &Matrix<R, BT>,
    v: &Matrix<R, BT>,
    shape: AttentionShape,
    segments: &Segments,
) -> (Matrix<R, BT>, Matrix<R, BT>) {
    let plan = Plan::new(q.clone().into_primitive().tensor(), shape, segments);
    let AttentionShape { heads, kv_heads, head_dim, .. } = shape;
    let client = plan.like.client.clone();
    let [keys, values] = [k, v].map(|x| wrap::<R, BT, 3>(plan.to_heads::<BT>(x, kv_heads, 0, plan.padded)));
    let out = empty(&plan.like, [plan.n, heads * head_dim]);
    let lse = empty(&plan.like, [plan.n, heads]);
    for block in plan.blocks() {
        let query = grouped::<R, BT>(plan.to_heads::<BT>(q, heads, block.from, block.rows), kv_heads);
        let scores = products::multiply::<R>(
            query.into_primitive().tensor(),
            keys_of(&keys, block).swap_dims(1, 2).into_primitive().tensor(),
        );
        let p = plan.empty([heads, block.rows, block.keys]);
        let (count, dim) = cube_each(&client, heads * block.rows);
        softmax_kernel::launch::<R>(
            &client,
            count,
            dim,
            buffer(&scores),
            plan.first(),
            buffer(&p),
            buffer(&lse),
            shape.scale(),
            block.from as u32,
            plan.n as u32,
            block.rows as u32,
            heads as u32,
            block.first_key as u32,
            block.keys as u32,
            UNITS,
        );
        drop(scores);
        let part = products::multiply::<R>(
            grouped::<R, BT>(p, kv_heads).into_primitive().tensor(),
            keys_of(&values, block).into_primitive().tensor(),
        );
        plan.to_rows(&part, &out, heads, block.from, block.rows);
    }
    (wrap(out), wrap(lse))
}

pub fn backward<R: Products, BT: BoolElement>(
    dout: &Matrix<R, BT>,
    q: &Matrix<R, BT>,
    k: &Matrix<R, BT>,
    v: &Matrix<R, BT>,
    out: &Matrix<R, BT>,
    lse: &Matrix<R, BT>,
    shape: AttentionShape,
    segments: &Segments,
) -> (Matrix<R, BT>, Matrix<R, BT>, Matrix<R, BT>) {
    let plan = Plan::new(q.clone().into_primitive().tensor(), shape, segments);
    let AttentionShape { heads, kv_heads, head_dim, .. } = shape;
    let client = plan.like.client.clone();
    let [keys, values] = [k, v].map(|x| wrap::<R, BT, 3>(plan.to_heads::<BT>(x, kv_heads, 0, plan.padded)));
    let lse = burn_cubecl::kernel::into_contiguous(lse.clone().into_primitive().tensor());
    let delta = empty(&plan.like, [plan.n, heads]);
    let (grads, outs) = (Rows::of(dout), Rows::of(out));
    let (count, dim) = for_each(&client, plan.n * heads);
    delta_kernel::launch::<R>(
        &client,
        count,
        dim,
        grads.arg(),
        outs.arg(),
        buffer(&delta),
        grads.stride,
        outs.stride,
        heads as u32,
        head_dim as u32,
    );
    let dq = empty(&plan.like, [plan.n, heads * head_dim]);
    let [dk, dv] = [(); 2].map(|()| {
        let zeros = Tensor::<Gpu<R, BT>, 1>::zeros([kv_heads * plan.padded * head_dim], &plan.like.device);
        zeros.into_primitive().tensor()
    });
    for block in plan.blocks() {
        let [query, grad] =
            [q, dout].map(|x| grouped::<R, BT>(plan.to_heads::<BT>(x, heads, block.from, block.rows), kv_heads));
        let (key, value) = (keys_of(&keys, block), keys_of(&values, block));
        let product = |a: Tensor<Gpu<R, BT>, 3>, b: Tensor<Gpu<R, BT>, 3>| {
            products::multiply::<R>(a.into_primitive().tensor(), b.into_primitive().tensor())
        };
        let scores = product(query.clone(), key.clone().swap_dims(1, 2));
        let dp = product(grad.clone(), value.swap_dims(1, 2));
        let [p, ds] = [(); 2].map(|()| plan.empty([heads, block.rows, block.keys]));
        let (count, dim) = for_each(&client, heads * block.rows * block.keys);
        backward_kernel::launch::<R>(
            &client,
            count,
            dim,
            buffer(&scores),
            buffer(&dp),
            plan.first(),
            buffer(&lse),
            buffer(&delta),
            buffer(&p),
            buffer(&ds),
            shape.scale(),
            block.from as u32,
            plan.n as u32,
            block.rows as u32,
            heads as u32,
            block.first_key as u32,
            block.keys as u32,
        );
        drop((scores, dp));
        let (p, ds) = (grouped::<R, BT>(p, kv_heads), grouped::<R, BT>(ds, kv_heads));
        plan.to_rows(&product(ds.clone(), key), &dq, heads, block.from, block.rows);
        for (part, to) in [(product(ds.swap_dims(1, 2), query), &dk), (product(p.swap_dims(1, 2), grad), &dv)] {
            let (count, dim) = for_each(&client, kv_heads * block.keys * head_dim);
            let (first_key, keys, all) = (block.first_key as u32, block.keys as u32, plan.padded as u32);
            let d = head_dim as u32;
            add_keys_kernel::launch::<R>(&client, count, dim, buffer(&part), buffer(to), first_key, keys, all, d);
        }
    }
    let [dk, dv] = [dk, dv].map(|x| {
        let rows = empty(&plan.like, [plan.n, kv_heads * head_dim]);
        plan.to_rows(&x, &rows, kv_heads, 0, plan.padded);
        wrap(rows)
    });
    (wrap(dq), dk, dv)
}
