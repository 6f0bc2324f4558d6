//! The operations a decoder is made of, each as a forward and a hand-written backward.
//!
//! Why not burn's autodiff for the trunk: with the sequence of layers known, an explicit backward needs no graph, keeps
//! just what it re-uses, hands every gradient over by the tensor's name (burn keys them by random ids in hash maps), and
//! makes gradient checkpointing a plain second call of the forward. Autodiff is still what the objectives use
//! ([`crate::objective`]), and what the tests hold these backwards against.
//!
//! Default bodies ([`plain`]) are burn tensor ops and run on any backend. [`flex`] replaces them on the CPU, `cube` on
//! GPUs.
//!
//! Holds: a batch is packed, `n` tokens in a row with [`Segments`] marking the sequences, so there is no padding and a
//! sequence never sees another; no op of the training path reduces in an order that depends on the number of threads.

#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod cube;
#[cfg(feature = "cuda")]
mod cuda;
pub mod flex;
pub mod plain;
#[cfg(feature = "wgpu")]
mod wgpu;

#[cfg(feature = "cuda")]
pub use cuda::Cuda;
#[cfg(feature = "wgpu")]
pub use wgpu::{Wgpu, wgpu_device};

use std::{fmt::Debug, sync::Arc};

use burn::tensor::{Tensor, backend::Backend};

/// Where the sequences of a packed batch start and end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    /// `starts[s]..starts[s + 1]` are the rows of sequence `s`; the first is 0, the last is the number of rows.
    starts: Vec<usize>,
}

impl Segments {
    /// Segments of the given lengths, one after another; empty ones are left out.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut starts = vec![0];
        let mut end = 0;
        for length in lengths.into_iter().filter(|&length| length > 0) {
            end += length;
            starts.push(end);
        }
        Self { starts }
    }

    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of rows of the whole batch.
    pub fn rows(&self) -> usize {
        self.starts[self.count()]
    }

    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.starts.windows(2).map(|pair| pair[0]..pair[1])
    }

    pub fn range(&self, segment: usize) -> std::ops::Range<usize> {
        self.starts[segment]..self.starts[segment + 1]
    }

    /// Position of every row in its own sequence.
    pub fn positions(&self) -> Vec<u32> {
        self.ranges().flat_map(|range| 0..range.len() as u32).collect()
    }

    pub fn longest(&self) -> usize {
        self.ranges().map(|range| range.len()).max().unwrap_or(0)
    }
}

/// Heads of grouped-query attention (Ainslie et al. 2023) and the sliding window (Mistral), in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub window: Option<usize>,
}

impl AttentionShape {
    /// First key that the query at `position` may see.
    pub fn first_key(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    pub fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }
}

/// Cosines and sines of rotary position embedding (Su et al. 2021), `[positions, head_dim / 2]` each.
#[derive(Clone, Debug)]
pub struct RopeTable {
    pub half: usize,
    pub cos: Arc<Vec<f32>>,
    pub sin: Arc<Vec<f32>>,
}

/// Dropout whose mask is a pure function of (row key, module key, column): it does not depend on how rows are batched,
/// packed or split over threads, and the backward computes it again instead of keeping it.
#[derive(Clone, Debug)]
pub struct Dropout {
    pub p: f32,
    pub module_key: u32,
    /// One key a row: a hash of (seed, epoch, sample, position).
    pub row_keys: Arc<Vec<u32>>,
}

impl Dropout {
    /// Factor of one element: 0 or `1 / (1 - p)`.
    #[inline(always)]
    pub fn factor(row_key: u32, module_key: u32, column: u32, threshold: u32, keep: f32) -> f32 {
        let mut x = row_key ^ module_key.wrapping_add(column.wrapping_mul(0x9E37_79B9));
        x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
        x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
        x ^= x >> 16;
        if x >= threshold { keep } else { 0.0 }
    }

    /// `(threshold, keep factor)` for [`Self::factor`].
    pub fn constants(&self) -> (u32, f32) {
        ((f64::from(self.p) * f64::from(u32::MAX)) as u32, 1.0 / (1.0 - self.p))
    }
}

/// What a language-model head says about one target token a row.
#[derive(Clone, Debug, Default)]
pub struct TokenScores {
    /// Natural log of the target's probability.
    pub logprobs: Vec<f32>,
    /// Entropy of the row's distribution in nats.
    pub entropies: Vec<f32>,
    /// Whether the target is the arg max.
    pub correct: Vec<bool>,
}

/// One AdamW update (Loshchilov & Hutter 2019), with PyTorch's placement of epsilon.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
    /// 1-based step number, for the bias corrections.
    pub step: u64,
    /// Factor on the gradient: the global-norm clip, or 1.
    pub gradient_scale: f64,
}

/// Gradients of a low-rank product: of the input, of `A`, of `B`.
pub struct LoraGrads<B: Backend> {
    pub dx: Tensor<B, 2>,
    pub da: Tensor<B, 2>,
    pub db: Tensor<B, 2>,
}

/// A burn backend that can run a decoder. Shapes: `n` rows, `i` inputs, `o` outputs, `r` rank; weights are `[o, i]` as
/// Hugging Face stores them.
pub trait LmBackend: Backend {
    /// A weight matrix `[o, i]` that does not change during a step.
    type Frozen: Clone + Debug + Send + Sync + 'static;

    fn freeze(weight: Tensor<Self, 2>) -> Self::Frozen;

    /// [`Self::freeze`] for a matrix that stays: in the smallest form that changes no result.
    fn freeze_for_long(weight: Tensor<Self, 2>) -> Self::Frozen {
        Self::freeze(weight)
    }

    /// The matrix as `[o, i]`, in f32.
    fn thaw(weight: &Self::Frozen) -> Tensor<Self, 2>;

    /// The values of a tensor, without a copy where they lie in this machine's memory.
    fn values<const D: usize>(tensor: &Tensor<Self, D>) -> impl AsRef<[f32]> {
        to_host(tensor)
    }

    /// `y = x Wᵀ`: `[n, i]` to `[n, o]`.
    fn project(x: &Tensor<Self, 2>, weight: &Self::Frozen) -> Tensor<Self, 2> {
        x.clone().matmul(Self::thaw(weight).transpose())
    }

    /// `dx = dy W`, added to `dx` when there is one already.
    fn project_input_grad(dy: &Tensor<Self, 2>, weight: &Self::Frozen, dx: Option<Tensor<Self, 2>>) -> Tensor<Self, 2> {
        let product = dy.clone().matmul(Self::thaw(weight));
        match dx {
            Some(dx) => dx + product,
            None => product,
        }
    }

    /// `dW = dyᵀ x`, `[o, i]`.
    fn project_weight_grad(dy: &Tensor<Self, 2>, x: &Tensor<Self, 2>) -> Tensor<Self, 2> {
        dy.clone().transpose().matmul(x.clone())
    }

    /// LoRA (Hu et al. 2021, eq. 3): `y + scale · dropout(x) Aᵀ Bᵀ`, and `u = dropout(x) Aᵀ` `[n, r]` for the backward.
    fn lora(
        y: Tensor<Self, 2>,
        x: &Tensor<Self, 2>,
        a: &Tensor<Self, 2>,
        b: &Tensor<Self, 2>,
        scale: f32,
        dropout: Option<&Dropout>,
    ) -> (Tensor<Self, 2>, Tensor<Self, 2>) {
        plain::lora(y, x, a, b, scale, dropout)
    }

    /// Backward of [`Self::lora`]; `dx` is added to.
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
        plain::lora_backward(dy, x, u, a, b, scale, dropout, dx)
    }

    /// RMS norm (Zhang & Sennrich 2019): `x / sqrt(mean(x²) + eps) · gain`; also the reciprocal root `[n]`.
    fn rms_norm(x: &Tensor<Self, 2>, gain: &Tensor<Self, 1>, eps: f64) -> (Tensor<Self, 2>, Tensor<Self, 1>) {
        plain::rms_norm(x, gain, eps)
    }

    /// Backward of [`Self::rms_norm`]: `dx`, added to `residual` when given, and the gain's gradient when asked for.
    fn rms_norm_backward(
        dy: &Tensor<Self, 2>,
        x: &Tensor<Self, 2>,
        gain: &Tensor<Self, 1>,
        rstd: &Tensor<Self, 1>,
        residual: Option<Tensor<Self, 2>>,
        want_gain: bool,
    ) -> (Tensor<Self, 2>, Option<Tensor<Self, 1>>) {
        plain::rms_norm_backward(dy, x, gain, rstd, residual, want_gain)
    }

    /// Rotates pairs `(i, i + head_dim/2)` of every head by the row's position (Hugging Face's half-split layout);
    /// `inverse` rotates back, which is the backward.
    fn rope(x: Tensor<Self, 2>, table: &RopeTable, positions: &[u32], inverse: bool) -> Tensor<Self, 2> {
        plain::rope(x, table, positions, inverse)
    }

    /// Causal grouped-query attention inside each segment. `q` `[n, heads·d]`, `k` and `v` `[n, kv_heads·d]`, all rotated.
    /// Returns the output `[n, heads·d]` and the log-sum-exp of the scaled scores `[n, heads]`; scores are never kept.
    fn causal_attention(
        q: &Tensor<Self, 2>,
        k: &Tensor<Self, 2>,
        v: &Tensor<Self, 2>,
        shape: AttentionShape,
        segments: &Segments,
    ) -> (Tensor<Self, 2>, Tensor<Self, 2>) {
        plain::attention(q, k, v, shape, segments)
    }

    /// Backward of [`Self::causal_attention`]: `(dq, dk, dv)`.
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
        plain::attention_backward(dout, q, k, v, out, lse, shape, segments)
    }

    /// `silu(gate) · up` (Shazeer 2020).
    fn swiglu(gate: &Tensor<Self, 2>, up: &Tensor<Self, 2>) -> Tensor<Self, 2> {
        plain::swiglu(gate, up)
    }

    /// Backward of [`Self::swiglu`]: `(d gate, d up)`.
    fn swiglu_backward(
        dy: &Tensor<Self, 2>,
        gate: Tensor<Self, 2>,
        up: Tensor<Self, 2>,
    ) -> (Tensor<Self, 2>, Tensor<Self, 2>) {
        plain::swiglu_backward(dy, gate, up)
    }

    /// Elementwise sum.
    fn add<const D: usize>(x: Tensor<Self, D>, y: &Tensor<Self, D>) -> Tensor<Self, D> {
        x + y.clone()
    }

    /// Adds a bias `[o]` to every row.
    fn add_bias(x: Tensor<Self, 2>, bias: &Tensor<Self, 1>) -> Tensor<Self, 2> {
        x + bias.clone().unsqueeze()
    }

    /// Sum over rows: the gradient of a bias.
    fn sum_rows(x: &Tensor<Self, 2>) -> Tensor<Self, 1> {
        x.clone().sum_dim(0).squeeze_dim(0)
    }

    /// Rows `ids` of an embedding matrix.
    fn embed(table: &Self::Frozen, ids: &[u32]) -> Tensor<Self, 2> {
        plain::embed(&Self::thaw(table), ids)
    }

    /// Gradient of an embedding matrix `[vocab, h]`.
    fn embed_backward(dy: &Tensor<Self, 2>, ids: &[u32], vocab: usize) -> Tensor<Self, 2> {
        plain::embed_backward(dy, ids, vocab)
    }

    /// Rows `rows` of `x`, in that order.
    fn gather_rows(x: &Tensor<Self, 2>, rows: &[usize]) -> Tensor<Self, 2> {
        plain::gather_rows(x, rows)
    }

    /// `[n, columns]` of zeros with `x`'s rows put at `rows`, which are distinct; the backward of [`Self::gather_rows`].
    fn scatter_rows(x: &Tensor<Self, 2>, rows: &[usize], n: usize) -> Tensor<Self, 2> {
        plain::scatter_rows(x, rows, n)
    }

    /// Scores of one target a row under `softmax(h Wᵀ / temperature)`, in chunks: never `[n, vocab]` at once.
    fn token_scores(h: &Tensor<Self, 2>, head: &Self::Frozen, targets: &[u32], temperature: f32) -> TokenScores {
        plain::token_scores(h, &Self::thaw(head), targets, temperature)
    }

    /// [`Self::token_scores`], and the backward for given gradients of each row's log-probability: `dh` and, when asked
    /// for, `dW`. Cross-entropy with weights `w` is `d_logprobs = -w`, known beforehand, so one pass does both.
    fn token_scores_backward(
        h: &Tensor<Self, 2>,
        head: &Self::Frozen,
        targets: &[u32],
        temperature: f32,
        d_logprobs: &[f32],
        want_head: bool,
    ) -> (TokenScores, Tensor<Self, 2>, Option<Tensor<Self, 2>>) {
        plain::token_scores_backward(h, &Self::thaw(head), targets, temperature, d_logprobs, want_head)
    }

    /// Writes rows of new keys or values into a cache `[slots, capacity, kv_heads·d]` at `(slot, position)`.
    fn cache_write(cache: Tensor<Self, 3>, rows: &Tensor<Self, 2>, places: &[(usize, usize)]) -> Tensor<Self, 3> {
        plain::cache_write(cache, rows, places)
    }

    /// Attention of one new query a sequence over its cache: query `i` of `q` `[b, heads·d]` is at `places[i]`
    /// (slot, position) and sees positions `0..=position` of its slot.
    fn cached_attention(
        q: &Tensor<Self, 2>,
        keys: &Tensor<Self, 3>,
        values: &Tensor<Self, 3>,
        places: &[(usize, usize)],
        shape: AttentionShape,
    ) -> Tensor<Self, 2> {
        plain::cached_attention(q, keys, values, places, shape)
    }

    /// Sum of squares of all tensors, in double precision.
    fn sum_squares<'a>(tensors: impl Iterator<Item = &'a Tensor<Self, 1>>) -> f64 {
        tensors.map(plain::sum_squares).sum()
    }

    /// One AdamW step of a flat parameter and its two moments.
    fn adamw(
        parameter: Tensor<Self, 1>,
        first: Tensor<Self, 1>,
        second: Tensor<Self, 1>,
        gradient: &Tensor<Self, 1>,
        step: AdamWStep,
    ) -> [Tensor<Self, 1>; 3] {
        plain::adamw(parameter, first, second, gradient, step)
    }
}

/// Reads a tensor's values to the host.
pub fn to_host<B: Backend, const D: usize>(tensor: &Tensor<B, D>) -> Vec<f32> {
    into_host(tensor.clone())
}

/// As [`to_host`]; nothing is copied if nobody else holds the tensor.
pub fn into_host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().into_vec::<f32>().expect("tensors of this trainer are f32")
}

#[cfg(test)]
mod tests;
