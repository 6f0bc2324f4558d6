//! One decoder layer: `x + attention(norm(x))`, then `x + mlp(norm(x))`; forward and backward.
//!
//! Memory kept for the backward, in floats a token: `3h + 2·heads·d + 2·kv_heads·d + 2·ffn` and small change; normalised
//! inputs and the product inside the MLP are computed again.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::{Gradients, cache::KvCache};
use crate::{
    adapter::{Adapter, Projection},
    ops::{AttentionShape, Dropout, LmBackend, RopeTable, Segments},
};

#[derive(Clone, Debug)]
pub struct Linear<B: LmBackend> {
    pub weight: B::Frozen,
    pub bias: Option<Tensor<B, 1>>,
}

/// Weights of a layer; `projections` are in [`Projection`]'s order.
#[derive(Clone, Debug)]
pub struct Layer<B: LmBackend> {
    pub projections: [Linear<B>; 7],
    pub input_layernorm: Tensor<B, 1>,
    pub post_attention_layernorm: Tensor<B, 1>,
    pub q_norm: Option<Tensor<B, 1>>,
    pub k_norm: Option<Tensor<B, 1>>,
    pub attention: AttentionShape,
}

/// What all layers of one pass share.
pub struct Context<'a, B: LmBackend> {
    pub adapter: Option<&'a Adapter<B>>,
    pub segments: &'a Segments,
    pub positions: &'a [u32],
    pub rope: &'a RopeTable,
    pub eps: f64,
    /// Dropout's probability and row keys; `None` = off.
    pub dropout: Option<(f32, Arc<Vec<u32>>)>,
    /// Whether the base's weights want gradients (full fine-tuning).
    pub train_base: bool,
}

/// Where attention finds its keys.
pub enum Attend<'a, B: LmBackend> {
    /// In the batch itself.
    Batch,
    /// In the batch itself, which is also written to the cache at these (slot, position) places.
    Prefill(&'a mut KvCache<B>, &'a [(usize, usize)]),
    /// In the cache: one query a sequence.
    Decode(&'a mut KvCache<B>, &'a [(usize, usize)]),
}

/// What the backward of a layer needs.
pub struct Saved<B: LmBackend> {
    x: Tensor<B, 2>,
    rstd: Tensor<B, 1>,
    q: Tensor<B, 2>,
    k: Tensor<B, 2>,
    v: Tensor<B, 2>,
    /// With q/k norm: what went into it, and its reciprocal roots.
    qk_norm: Option<[(Tensor<B, 2>, Tensor<B, 1>); 2]>,
    out: Tensor<B, 2>,
    lse: Tensor<B, 2>,
    middle: Tensor<B, 2>,
    middle_rstd: Tensor<B, 1>,
    gate: Tensor<B, 2>,
    up: Tensor<B, 2>,
    /// `dropout(x) Aᵀ` of each adapted projection.
    u: [Option<Tensor<B, 2>>; 7],
}

impl<B: LmBackend> Layer<B> {
    /// `[n, h]` to `[n, h]`; `index` is the layer's number.
    pub fn forward(
        &self,
        index: usize,
        x: Tensor<B, 2>,
        context: &Context<B>,
        attend: &mut Attend<B>,
    ) -> (Tensor<B, 2>, Saved<B>) {
        let mut u: [Option<Tensor<B, 2>>; 7] = Default::default();
        let (normed, rstd) = B::rms_norm(&x, &self.input_layernorm, context.eps);
        let mut project = |projection, input: &Tensor<B, 2>| {
            let (y, low) = self.project(index, projection, input, context);
            u[projection as usize] = low;
            y
        };
        let (q, k) = (project(Projection::Q, &normed), project(Projection::K, &normed));
        let v = project(Projection::V, &normed);
        drop(normed);
        let (q, k, qk_norm) = self.normalise_heads(q, k, context.eps);
        let q = B::rope(q, context.rope, context.positions, false);
        let k = B::rope(k, context.rope, context.positions, false);
        let (out, lse) = self.attend(index, &q, &k, &v, context.segments, attend);
        let middle = B::add(project(Projection::O, &out), &x);

        let (normed, middle_rstd) = B::rms_norm(&middle, &self.post_attention_layernorm, context.eps);
        let gate = project(Projection::Gate, &normed);
        let up = project(Projection::Up, &normed);
        drop(normed);
        let y = B::add(project(Projection::Down, &B::swiglu(&gate, &up)), &middle);
        (y, Saved { x, rstd, q, k, v, qk_norm, out, lse, middle, middle_rstd, gate, up, u })
    }

    /// `dx` from `dy`; gradients of what is trained are added to `gradients`.
    pub fn backward(
        &self,
        index: usize,
        dy: Tensor<B, 2>,
        saved: Saved<B>,
        context: &Context<B>,
        gradients: &mut Gradients<B>,
    ) -> Tensor<B, 2> {
        let Saved { x, rstd, q, k, v, qk_norm, out, lse, middle, middle_rstd, gate, up, u } = saved;
        let mut back = |projection: Projection, dy: &Tensor<B, 2>, input: &Tensor<B, 2>, dx: Option<Tensor<B, 2>>| {
            let low = u[projection.index()].as_ref();
            self.project_backward(index, projection, dy, input, low, dx, context, gradients)
        };
        let inner = B::swiglu(&gate, &up);
        let d_inner = back(Projection::Down, &dy, &inner, None);
        drop(inner);
        let (d_gate, d_up) = B::swiglu_backward(&d_inner, gate, up);
        drop(d_inner);
        let (normed, _) = B::rms_norm(&middle, &self.post_attention_layernorm, context.eps);
        let d_normed = back(Projection::Gate, &d_gate, &normed, None);
        drop(d_gate);
        let d_normed = back(Projection::Up, &d_up, &normed, Some(d_normed));
        drop((d_up, normed));
        let want = context.train_base;
        let gain = &self.post_attention_layernorm;
        let (d_middle, d_gain_mlp) = B::rms_norm_backward(&d_normed, &middle, gain, &middle_rstd, Some(dy), want);
        drop((d_normed, middle));

        let d_out = back(Projection::O, &d_middle, &out, None);
        let (dq, dk, dv) =
            B::causal_attention_backward(&d_out, &q, &k, &v, &out, &lse, self.attention, context.segments);
        drop((d_out, q, k, v, out, lse));
        let dq = B::rope(dq, context.rope, context.positions, true);
        let dk = B::rope(dk, context.rope, context.positions, true);
        let (dq, dk, d_heads) = self.normalise_heads_backward(dq, dk, qk_norm, want);
        let (normed, _) = B::rms_norm(&x, &self.input_layernorm, context.eps);
        let d_normed = back(Projection::Q, &dq, &normed, None);
        let d_normed = back(Projection::K, &dk, &normed, Some(d_normed));
        let d_normed = back(Projection::V, &dv, &normed, Some(d_normed));
        drop((dq, dk, dv, normed));
        let (dx, d_gain) = B::rms_norm_backward(&d_normed, &x, &self.input_layernorm, &rstd, Some(d_middle), want);

        let norms = [
            ("input_layernorm", d_gain),
            ("post_attention_layernorm", d_gain_mlp),
            ("self_attn.q_norm", d_heads.0),
            ("self_attn.k_norm", d_heads.1),
        ];
        for (name, gradient) in norms {
            if let Some(gradient) = gradient {
                gradients.add(format!("model.layers.{index}.{name}.weight"), gradient);
            }
        }
        dx
    }

    fn attend(
        &self,
        index: usize,
        q: &Tensor<B, 2>,
        k: &Tensor<B, 2>,
        v: &Tensor<B, 2>,
        segments: &Segments,
        attend: &mut Attend<B>,
    ) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let store = |cache: &mut KvCache<B>, places: &[(usize, usize)]| {
            let (keys, values) = cache.layers[index].take().expect("only this function takes a layer's cache");
            cache.layers[index] = Some((B::cache_write(keys, k, places), B::cache_write(values, v, places)));
        };
        match attend {
            Attend::Batch => B::causal_attention(q, k, v, self.attention, segments),
            Attend::Prefill(cache, places) => {
                store(cache, places);
                B::causal_attention(q, k, v, self.attention, segments)
            }
            Attend::Decode(cache, places) => {
                store(cache, places);
                let (keys, values) = cache.layers[index].as_ref().expect("stored just now");
                let out = B::cached_attention(q, keys, values, places, self.attention);
                let lse = Tensor::zeros([0, self.attention.heads], &out.device());
                (out, lse)
            }
        }
    }

    fn dropout(&self, index: usize, projection: Projection, context: &Context<B>) -> Option<Dropout> {
        let (p, row_keys) = context.dropout.as_ref()?;
        let module = (index * Projection::ALL.len() + projection.index()) as u32;
        Some(Dropout { p: *p, module_key: module.wrapping_mul(0x85EB_CA6B), row_keys: Arc::clone(row_keys) })
    }

    fn project(
        &self,
        index: usize,
        projection: Projection,
        x: &Tensor<B, 2>,
        context: &Context<B>,
    ) -> (Tensor<B, 2>, Option<Tensor<B, 2>>) {
        let linear = &self.projections[projection.index()];
        let mut y = B::project(x, &linear.weight);
        if let Some(bias) = &linear.bias {
            y = B::add_bias(y, bias);
        }
        let Some((adapter, pair)) = pair(context, index, projection) else { return (y, None) };
        let dropout = self.dropout(index, projection, context);
        let (y, low) = B::lora(y, x, &pair.a, &pair.b, adapter.scale, dropout.as_ref());
        (y, Some(low))
    }

    fn project_backward(
        &self,
        index: usize,
        projection: Projection,
        dy: &Tensor<B, 2>,
        x: &Tensor<B, 2>,
        u: Option<&Tensor<B, 2>>,
        dx: Option<Tensor<B, 2>>,
        context: &Context<B>,
        gradients: &mut Gradients<B>,
    ) -> Tensor<B, 2> {
        let linear = &self.projections[projection.index()];
        let path = || projection.path(index);
        if context.train_base {
            gradients.add(format!("{}.weight", path()), B::project_weight_grad(dy, x));
            if linear.bias.is_some() {
                gradients.add(format!("{}.bias", path()), B::sum_rows(dy));
            }
        }
        let dx = B::project_input_grad(dy, &linear.weight, dx);
        let (Some((adapter, pair)), Some(u)) = (pair(context, index, projection), u) else { return dx };
        let dropout = self.dropout(index, projection, context);
        let grads = B::lora_backward(dy, x, u, &pair.a, &pair.b, adapter.scale, dropout.as_ref(), dx);
        gradients.add(format!("{}.lora_A.weight", path()), grads.da);
        gradients.add(format!("{}.lora_B.weight", path()), grads.db);
        grads.dx
    }

    /// Qwen3: RMS norm over each head of queries and keys.
    #[allow(clippy::type_complexity)]
    fn normalise_heads(
        &self,
        q: Tensor<B, 2>,
        k: Tensor<B, 2>,
        eps: f64,
    ) -> (Tensor<B, 2>, Tensor<B, 2>, Option<[(Tensor<B, 2>, Tensor<B, 1>); 2]>) {
        let (Some(q_gain), Some(k_gain)) = (&self.q_norm, &self.k_norm) else { return (q, k, None) };
        let (q_shape, k_shape) = (q.dims(), k.dims());
        let (q, k) = (self.by_head(q), self.by_head(k));
        let (q_normed, q_rstd) = B::rms_norm(&q, q_gain, eps);
        let (k_normed, k_rstd) = B::rms_norm(&k, k_gain, eps);
        (q_normed.reshape(q_shape), k_normed.reshape(k_shape), Some([(q, q_rstd), (k, k_rstd)]))
    }

    #[allow(clippy::type_complexity)]
    fn normalise_heads_backward(
        &self,
        dq: Tensor<B, 2>,
        dk: Tensor<B, 2>,
        saved: Option<[(Tensor<B, 2>, Tensor<B, 1>); 2]>,
        want: bool,
    ) -> (Tensor<B, 2>, Tensor<B, 2>, (Option<Tensor<B, 1>>, Option<Tensor<B, 1>>)) {
        let (Some([q, k]), Some(q_gain), Some(k_gain)) = (saved, &self.q_norm, &self.k_norm) else {
            return (dq, dk, (None, None));
        };
        let (q_shape, k_shape) = (dq.dims(), dk.dims());
        let (dq, q_grad) = B::rms_norm_backward(&self.by_head(dq), &q.0, q_gain, &q.1, None, want);
        let (dk, k_grad) = B::rms_norm_backward(&self.by_head(dk), &k.0, k_gain, &k.1, None, want);
        (dq.reshape(q_shape), dk.reshape(k_shape), (q_grad, k_grad))
    }

    fn by_head(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let [n, width] = x.dims();
        x.reshape([n * width / self.attention.head_dim, self.attention.head_dim])
    }
}

fn pair<'a, B: LmBackend>(
    context: &Context<'a, B>,
    layer: usize,
    projection: Projection,
) -> Option<(&'a Adapter<B>, &'a crate::adapter::Pair<B>)> {
    let adapter = context.adapter?;
    Some((adapter, adapter.layers[layer][projection.index()].as_ref()?))
}
