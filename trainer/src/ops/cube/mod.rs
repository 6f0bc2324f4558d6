//! Bodies of [`LmBackend`] for GPUs, as CubeCL kernels: CUDA and wgpu compile the same text.
//!
//! Holds: values are f32, and no product of theirs is rounded further (no TF32). No kernel's result depends on timing:
//! there are no atomics, and every reduction is a tree over a fixed number of units.

mod attention;
mod cache;
mod elementwise;
mod head;
mod memo;
mod norm;
mod products;
mod reduce;
mod tensors;

use burn::tensor::Tensor;
use burn_cubecl::{CubeBackend, CubeRuntime, element::BoolElement, tensor::CubeTensor};

pub use products::Products;

use super::{AdamWStep, AttentionShape, Dropout, LmBackend, LoraGrads, RopeTable, Segments, TokenScores, to_host};
use memo::RopeRows;
use tensors::wrap;

/// burn's backend of a CubeCL runtime.
pub type Gpu<R, BT> = CubeBackend<R, f32, i32, BT>;

type Matrix<R, BT> = Tensor<Gpu<R, BT>, 2>;
type Flat<R, BT> = Tensor<Gpu<R, BT>, 1>;

fn primitive<R: CubeRuntime, BT: BoolElement, const D: usize>(x: Tensor<Gpu<R, BT>, D>) -> CubeTensor<R> {
    x.into_primitive().tensor()
}

fn multiply<R: Products, BT: BoolElement>(lhs: Matrix<R, BT>, rhs: Matrix<R, BT>) -> Matrix<R, BT> {
    wrap(products::multiply(primitive(lhs), primitive(rhs)))
}

impl<R: Products, BT: BoolElement> LmBackend for Gpu<R, BT> {
    type Frozen = Tensor<Self, 2>;

    fn freeze(weight: Tensor<Self, 2>) -> Self::Frozen {
        weight
    }

    fn thaw(weight: &Self::Frozen) -> Tensor<Self, 2> {
        weight.clone()
    }

    fn project(x: &Tensor<Self, 2>, weight: &Self::Frozen) -> Tensor<Self, 2> {
        multiply(x.clone(), weight.clone().transpose())
    }

    fn project_input_grad(dy: &Tensor<Self, 2>, weight: &Self::Frozen, dx: Option<Tensor<Self, 2>>) -> Tensor<Self, 2> {
        let product = multiply(dy.clone(), weight.clone());
        match dx {
            Some(dx) => dx + product,
            None => product,
        }
    }

    fn project_weight_grad(dy: &Tensor<Self, 2>, x: &Tensor<Self, 2>) -> Tensor<Self, 2> {
        multiply(dy.clone().transpose(), x.clone())
    }

    fn lora(
        y: Tensor<Self, 2>,
        x: &Tensor<Self, 2>,
        a: &Tensor<Self, 2>,
        b: &Tensor<Self, 2>,
        scale: f32,
        dropout: Option<&Dropout>,
    ) -> (Tensor<Self, 2>, Tensor<Self, 2>) {
        let u: Tensor<Self, 2> = multiply(wrap(elementwise::dropped(x, dropout)), a.clone().transpose());
        let low = multiply(u.clone(), b.clone().transpose());
        (elementwise::add_dropped(y, primitive(low), scale, None), u)
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
        let db = multiply(dy.clone().transpose(), u.clone()).mul_scalar(scale);
        let du = multiply(dy.clone(), b.clone()).mul_scalar(scale);
        let da = multiply(du.clone().transpose(), wrap(elementwise::dropped(x, dropout)));
        let low = multiply(du, a.clone());
        LoraGrads { dx: elementwise::add_dropped(dx, primitive(low), 1.0, dropout), da, db }
    }

    fn rms_norm(x: &Tensor<Self, 2>, gain: &Tensor<Self, 1>, eps: f64) -> (Tensor<Self, 2>, Tensor<Self, 1>) {
        norm::forward(x, gain, eps)
    }

    fn rms_norm_backward(
        dy: &Tensor<Self, 2>,
        x: &Tensor<Self, 2>,
        gain: &Tensor<Self, 1>,
        rstd: &Tensor<Self, 1>,
        residual: Option<Tensor<Self, 2>>,
        want_gain: bool,
    ) -> (Tensor<Self, 2>, Option<Tensor<Self, 1>>) {
        let d_gain = want_gain.then(|| {
            let root: Tensor<Self, 2> = rstd.clone().unsqueeze_dim(1);
            Self::sum_rows(&(dy.clone() * (x.clone() * root)))
        });
        (norm::backward(dy, x, gain, rstd, residual.as_ref()), d_gain)
    }

    fn rope(x: Tensor<Self, 2>, table: &RopeTable, positions: &[u32], inverse: bool) -> Tensor<Self, 2> {
        let rows = RopeRows::of::<BT>(table, positions, &x.device());
        elementwise::rope(x, &rows, table.half, inverse)
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

    fn token_scores(h: &Tensor<Self, 2>, head: &Self::Frozen, targets: &[u32], temperature: f32) -> TokenScores {
        head::token_scores(h, head, targets, temperature)
    }

    fn token_scores_backward(
        h: &Tensor<Self, 2>,
        head: &Self::Frozen,
        targets: &[u32],
        temperature: f32,
        d_logprobs: &[f32],
        want_head: bool,
    ) -> (TokenScores, Tensor<Self, 2>, Option<Tensor<Self, 2>>) {
        head::token_scores_backward(h, head, targets, temperature, d_logprobs, want_head)
    }

    fn cache_write(cache: Tensor<Self, 3>, rows: &Tensor<Self, 2>, places: &[(usize, usize)]) -> Tensor<Self, 3> {
        cache::write(cache, rows, places)
    }

    fn cached_attention(
        q: &Tensor<Self, 2>,
        keys: &Tensor<Self, 3>,
        values: &Tensor<Self, 3>,
        places: &[(usize, usize)],
        shape: AttentionShape,
    ) -> Tensor<Self, 2> {
        cache::attention(q, keys, values, places, shape)
    }

    fn sum_squares<'a>(tensors: impl Iterator<Item = &'a Tensor<Self, 1>>) -> f64 {
        let parts: Vec<Tensor<Self, 1>> = tensors.map(elementwise::sums_of_squares).collect();
        if parts.is_empty() {
            return 0.0;
        }
        to_host(&Tensor::cat(parts, 0)).into_iter().map(f64::from).sum()
    }

    fn adamw(
        parameter: Tensor<Self, 1>,
        first: Tensor<Self, 1>,
        second: Tensor<Self, 1>,
        gradient: &Tensor<Self, 1>,
        step: AdamWStep,
    ) -> [Tensor<Self, 1>; 3] {
        elementwise::adamw(parameter, [first, second], gradient, step)
    }
}
