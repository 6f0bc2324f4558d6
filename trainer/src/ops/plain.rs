//! Default bodies of [`super::LmBackend`] from burn's own tensor ops: right on any backend, fast on none.

use burn::tensor::{Int, Tensor, TensorData, activation, backend::Backend};

use super::{AdamWStep, AttentionShape, Dropout, LoraGrads, RopeTable, Segments, TokenScores, to_host};

fn column<B: Backend>(x: &Tensor<B, 1>) -> Tensor<B, 2> {
    x.clone().unsqueeze_dim(1)
}

fn index<B: Backend>(ids: &[u32], device: &B::Device) -> Tensor<B, 1, Int> {
    let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let length = ids.len();
    Tensor::from_data(TensorData::new(ids, [length]), device)
}

fn dropped<B: Backend>(x: &Tensor<B, 2>, dropout: Option<&Dropout>) -> Tensor<B, 2> {
    let Some(dropout) = dropout else { return x.clone() };
    let [n, columns] = x.dims();
    let (threshold, keep) = dropout.constants();
    let mask: Vec<f32> = dropout.row_keys[..n]
        .iter()
        .flat_map(|&row| {
            (0..columns as u32).map(move |column| Dropout::factor(row, dropout.module_key, column, threshold, keep))
        })
        .collect();
    x.clone() * Tensor::from_data(TensorData::new(mask, [n, columns]), &x.device())
}

pub fn lora<B: Backend>(
    y: Tensor<B, 2>,
    x: &Tensor<B, 2>,
    a: &Tensor<B, 2>,
    b: &Tensor<B, 2>,
    scale: f32,
    dropout: Option<&Dropout>,
) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let u = dropped(x, dropout).matmul(a.clone().transpose());
    (y + u.clone().matmul(b.clone().transpose()).mul_scalar(scale), u)
}

pub fn lora_backward<B: Backend>(
    dy: &Tensor<B, 2>,
    x: &Tensor<B, 2>,
    u: &Tensor<B, 2>,
    a: &Tensor<B, 2>,
    b: &Tensor<B, 2>,
    scale: f32,
    dropout: Option<&Dropout>,
    dx: Tensor<B, 2>,
) -> LoraGrads<B> {
    let db = dy.clone().transpose().matmul(u.clone()).mul_scalar(scale);
    let du = dy.clone().matmul(b.clone()).mul_scalar(scale);
    let da = du.clone().transpose().matmul(dropped(x, dropout));
    LoraGrads { dx: dx + dropped(&du.matmul(a.clone()), dropout), da, db }
}

pub fn rms_norm<B: Backend>(x: &Tensor<B, 2>, gain: &Tensor<B, 1>, eps: f64) -> (Tensor<B, 2>, Tensor<B, 1>) {
    let rstd = x.clone().square().mean_dim(1).add_scalar(eps).sqrt().recip();
    (x.clone() * rstd.clone() * gain.clone().unsqueeze(), rstd.squeeze_dim(1))
}

/// With `x̂ = x·rstd`: `dx = rstd · (g·dy − x̂ · mean(g·dy·x̂))`, `dg = Σ_rows dy·x̂`.
pub fn rms_norm_backward<B: Backend>(
    dy: &Tensor<B, 2>,
    x: &Tensor<B, 2>,
    gain: &Tensor<B, 1>,
    rstd: &Tensor<B, 1>,
    residual: Option<Tensor<B, 2>>,
    want_gain: bool,
) -> (Tensor<B, 2>, Option<Tensor<B, 1>>) {
    let rstd = column(rstd);
    let normalised = x.clone() * rstd.clone();
    let scaled = dy.clone() * gain.clone().unsqueeze();
    let mean = (scaled.clone() * normalised.clone()).mean_dim(1);
    let dx = (scaled - normalised.clone() * mean) * rstd;
    let dg = want_gain.then(|| (dy.clone() * normalised).sum_dim(0).squeeze_dim(0));
    (residual.map_or(dx.clone(), |residual| residual + dx), dg)
}

pub fn rope<B: Backend>(x: Tensor<B, 2>, table: &RopeTable, positions: &[u32], inverse: bool) -> Tensor<B, 2> {
    let [n, width] = x.dims();
    let half = table.half;
    let heads = width / (2 * half);
    let gather = |values: &[f32], sign: f32| -> Tensor<B, 3> {
        let rows: Vec<f32> = positions
            .iter()
            .flat_map(|&p| values[p as usize * half..(p as usize + 1) * half].iter().map(move |v| v * sign))
            .collect();
        Tensor::from_data(TensorData::new(rows, [n, 1, half]), &x.device())
    };
    let cos = gather(&table.cos, 1.0);
    let sin = gather(&table.sin, if inverse { -1.0 } else { 1.0 });
    let x = x.reshape([n, heads, 2 * half]);
    let first = x.clone().narrow(2, 0, half);
    let second = x.narrow(2, half, half);
    let rotated =
        Tensor::cat(vec![first.clone() * cos.clone() - second.clone() * sin.clone(), second * cos + first * sin], 2);
    rotated.reshape([n, width])
}

/// Rows of one segment as `[heads, t, d]`; key and value heads are repeated to the number of query heads.
fn by_head<B: Backend>(x: &Tensor<B, 2>, rows: &std::ops::Range<usize>, heads: usize, repeat: usize) -> Tensor<B, 3> {
    let t = rows.len();
    let d = x.dims()[1] / heads;
    let x = x.clone().narrow(0, rows.start, t).reshape([t, heads, d]).swap_dims(0, 1);
    if repeat == 1 {
        return x;
    }
    x.reshape([heads, 1, t * d]).repeat_dim(1, repeat).reshape([heads * repeat, t, d])
}

fn visible<B: Backend>(t: usize, shape: AttentionShape, device: &B::Device) -> Tensor<B, 3> {
    let bias: Vec<f32> = (0..t)
        .flat_map(|query| {
            (0..t).map(move |key| if key <= query && key >= shape.first_key(query) { 0.0 } else { f32::NEG_INFINITY })
        })
        .collect();
    Tensor::from_data(TensorData::new(bias, [1, t, t]), device)
}

fn probabilities<B: Backend>(
    q: &Tensor<B, 3>,
    k: &Tensor<B, 3>,
    shape: AttentionShape,
) -> (Tensor<B, 3>, Tensor<B, 3>) {
    let t = q.dims()[1];
    let scores = q.clone().matmul(k.clone().swap_dims(1, 2)).mul_scalar(shape.scale()) + visible(t, shape, &q.device());
    let highest = scores.clone().max_dim(2);
    let exp = (scores - highest.clone()).exp();
    let total = exp.clone().sum_dim(2);
    (exp / total.clone(), total.log() + highest)
}

pub fn attention<B: Backend>(
    q: &Tensor<B, 2>,
    k: &Tensor<B, 2>,
    v: &Tensor<B, 2>,
    shape: AttentionShape,
    segments: &Segments,
) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let group = shape.heads / shape.kv_heads;
    let (mut outs, mut lses) = (Vec::new(), Vec::new());
    for rows in segments.ranges() {
        let t = rows.len();
        let query = by_head(q, &rows, shape.heads, 1);
        let (p, lse) = probabilities(&query, &by_head(k, &rows, shape.kv_heads, group), shape);
        let out = p.matmul(by_head(v, &rows, shape.kv_heads, group));
        outs.push(out.swap_dims(0, 1).reshape([t, shape.heads * shape.head_dim]));
        lses.push(lse.swap_dims(0, 1).reshape([t, shape.heads]));
    }
    (Tensor::cat(outs, 0), Tensor::cat(lses, 0))
}

pub fn attention_backward<B: Backend>(
    dout: &Tensor<B, 2>,
    q: &Tensor<B, 2>,
    k: &Tensor<B, 2>,
    v: &Tensor<B, 2>,
    out: &Tensor<B, 2>,
    _lse: &Tensor<B, 2>,
    shape: AttentionShape,
    segments: &Segments,
) -> (Tensor<B, 2>, Tensor<B, 2>, Tensor<B, 2>) {
    let group = shape.heads / shape.kv_heads;
    let d = shape.head_dim;
    let (mut dqs, mut dks, mut dvs) = (Vec::new(), Vec::new(), Vec::new());
    for rows in segments.ranges() {
        let t = rows.len();
        let query = by_head(q, &rows, shape.heads, 1);
        let key = by_head(k, &rows, shape.kv_heads, group);
        let value = by_head(v, &rows, shape.kv_heads, group);
        let (p, _) = probabilities(&query, &key, shape);
        let grad = by_head(dout, &rows, shape.heads, 1);
        let delta = (grad.clone() * by_head(out, &rows, shape.heads, 1)).sum_dim(2);
        let ds = (p.clone() * (grad.clone().matmul(value.swap_dims(1, 2)) - delta)).mul_scalar(shape.scale());
        let grouped = |x: Tensor<B, 3>| -> Tensor<B, 2> {
            let summed: Tensor<B, 3> = x.reshape([shape.kv_heads, group, t * d]).sum_dim(1);
            summed.reshape([shape.kv_heads, t, d]).swap_dims(0, 1).reshape([t, shape.kv_heads * d])
        };
        dqs.push(ds.clone().matmul(key).swap_dims(0, 1).reshape([t, shape.heads * d]));
        dks.push(grouped(ds.swap_dims(1, 2).matmul(query)));
        dvs.push(grouped(p.swap_dims(1, 2).matmul(grad)));
    }
    (Tensor::cat(dqs, 0), Tensor::cat(dks, 0), Tensor::cat(dvs, 0))
}

pub fn swiglu<B: Backend>(gate: &Tensor<B, 2>, up: &Tensor<B, 2>) -> Tensor<B, 2> {
    activation::silu(gate.clone()) * up.clone()
}

/// `silu'(g) = σ(g)·(1 + g·(1 − σ(g)))`.
pub fn swiglu_backward<B: Backend>(
    dy: &Tensor<B, 2>,
    gate: Tensor<B, 2>,
    up: Tensor<B, 2>,
) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let sigmoid = activation::sigmoid(gate.clone());
    let slope = sigmoid.clone() * (gate.clone() * (sigmoid.clone().neg().add_scalar(1.0))).add_scalar(1.0);
    (dy.clone() * up * slope, dy.clone() * gate * sigmoid)
}

pub fn embed<B: Backend>(table: &Tensor<B, 2>, ids: &[u32]) -> Tensor<B, 2> {
    table.clone().select(0, index(ids, &table.device()))
}

pub fn embed_backward<B: Backend>(dy: &Tensor<B, 2>, ids: &[u32], vocab: usize) -> Tensor<B, 2> {
    let device = dy.device();
    Tensor::zeros([vocab, dy.dims()[1]], &device).select_assign(
        0,
        index(ids, &device),
        dy.clone(),
        burn::tensor::IndexingUpdateOp::Add,
    )
}

pub fn gather_rows<B: Backend>(x: &Tensor<B, 2>, rows: &[usize]) -> Tensor<B, 2> {
    let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
    x.clone().select(0, index(&rows, &x.device()))
}

pub fn scatter_rows<B: Backend>(x: &Tensor<B, 2>, rows: &[usize], n: usize) -> Tensor<B, 2> {
    let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
    embed_backward(x, &rows, n)
}

/// Rows of logits computed at once.
const CHUNK: usize = 128;

fn chunks(n: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..n).step_by(CHUNK).map(move |start| start..(start + CHUNK).min(n))
}

fn score_chunk<B: Backend>(
    h: &Tensor<B, 2>,
    head: &Tensor<B, 2>,
    targets: &[u32],
    temperature: f32,
    scores: &mut TokenScores,
) -> (Tensor<B, 2>, Tensor<B, 2, Int>) {
    let logits = h.clone().matmul(head.clone().transpose()).div_scalar(temperature);
    let logprobs = activation::log_softmax(logits, 1);
    let target: Tensor<B, 2, Int> = index(targets, &h.device()).unsqueeze_dim(1);
    scores.logprobs.extend(to_host(&logprobs.clone().gather(1, target.clone())));
    scores.entropies.extend(to_host(&(logprobs.clone().exp() * logprobs.clone()).sum_dim(1).neg()));
    let best = logprobs.clone().argmax(1).into_data().convert::<i64>().to_vec::<i64>().expect("converted to i64");
    scores.correct.extend(best.iter().zip(targets).map(|(&best, &target)| best == i64::from(target)));
    (logprobs.exp(), target)
}

pub fn token_scores<B: Backend>(
    h: &Tensor<B, 2>,
    head: &Tensor<B, 2>,
    targets: &[u32],
    temperature: f32,
) -> TokenScores {
    let mut scores = TokenScores::default();
    for rows in chunks(targets.len()) {
        let part = h.clone().narrow(0, rows.start, rows.len());
        score_chunk(&part, head, &targets[rows], temperature, &mut scores);
    }
    scores
}

pub fn token_scores_backward<B: Backend>(
    h: &Tensor<B, 2>,
    head: &Tensor<B, 2>,
    targets: &[u32],
    temperature: f32,
    d_logprobs: &[f32],
    want_head: bool,
) -> (TokenScores, Tensor<B, 2>, Option<Tensor<B, 2>>) {
    let device = h.device();
    let mut scores = TokenScores::default();
    let mut dhs = Vec::new();
    let mut dw = want_head.then(|| Tensor::zeros(head.dims(), &device));
    for rows in chunks(targets.len()) {
        let part = h.clone().narrow(0, rows.start, rows.len());
        let (p, target) = score_chunk(&part, head, &targets[rows.clone()], temperature, &mut scores);
        let grad =
            Tensor::<B, 2>::from_data(TensorData::new(d_logprobs[rows.clone()].to_vec(), [rows.len(), 1]), &device)
                .div_scalar(temperature);
        let onehot = Tensor::zeros(p.dims(), &device).scatter(
            1,
            target,
            Tensor::ones([rows.len(), 1], &device),
            burn::tensor::IndexingUpdateOp::Add,
        );
        let dlogits = (onehot - p) * grad;
        dhs.push(dlogits.clone().matmul(head.clone()));
        dw = dw.map(|dw| dw + dlogits.transpose().matmul(part));
    }
    if dhs.is_empty() {
        dhs.push(h.zeros_like());
    }
    (scores, Tensor::cat(dhs, 0), dw)
}

pub fn cache_write<B: Backend>(
    mut cache: Tensor<B, 3>,
    rows: &Tensor<B, 2>,
    places: &[(usize, usize)],
) -> Tensor<B, 3> {
    let width = cache.dims()[2];
    for (row, &(slot, position)) in places.iter().enumerate() {
        let value = rows.clone().narrow(0, row, 1).reshape([1, 1, width]);
        cache = cache.slice_assign([slot..slot + 1, position..position + 1, 0..width], value);
    }
    cache
}

pub fn cached_attention<B: Backend>(
    q: &Tensor<B, 2>,
    keys: &Tensor<B, 3>,
    values: &Tensor<B, 3>,
    places: &[(usize, usize)],
    shape: AttentionShape,
) -> Tensor<B, 2> {
    let (d, group) = (shape.head_dim, shape.heads / shape.kv_heads);
    let width = keys.dims()[2];
    let mut outs = Vec::new();
    for (row, &(slot, position)) in places.iter().enumerate() {
        let first = shape.first_key(position);
        let t = position + 1 - first;
        let take = |cache: &Tensor<B, 3>| -> Tensor<B, 3> {
            cache
                .clone()
                .slice([slot..slot + 1, first..position + 1, 0..width])
                .reshape([t, shape.kv_heads, d])
                .swap_dims(0, 1)
        };
        let query = q.clone().narrow(0, row, 1).reshape([shape.kv_heads, group, d]);
        let scores = query.matmul(take(keys).swap_dims(1, 2)).mul_scalar(shape.scale());
        outs.push(activation::softmax(scores, 2).matmul(take(values)).reshape([1, shape.heads * d]));
    }
    Tensor::cat(outs, 0)
}

pub fn sum_squares<B: Backend>(x: &Tensor<B, 1>) -> f64 {
    to_host(x).iter().map(|&v| f64::from(v) * f64::from(v)).sum()
}

pub fn adamw<B: Backend>(
    parameter: Tensor<B, 1>,
    first: Tensor<B, 1>,
    second: Tensor<B, 1>,
    gradient: &Tensor<B, 1>,
    step: AdamWStep,
) -> [Tensor<B, 1>; 3] {
    let gradient = gradient.clone().mul_scalar(step.gradient_scale);
    let first = first.mul_scalar(step.beta1) + gradient.clone().mul_scalar(1.0 - step.beta1);
    let second = second.mul_scalar(step.beta2) + gradient.square().mul_scalar(1.0 - step.beta2);
    let correction1 = 1.0 - step.beta1.powf(step.step as f64);
    let correction2 = 1.0 - step.beta2.powf(step.step as f64);
    let denominator = second.clone().div_scalar(correction2).sqrt().add_scalar(step.epsilon);
    let decayed = parameter.mul_scalar(1.0 - step.learning_rate * step.weight_decay);
    let parameter = decayed - (first.clone() / denominator).mul_scalar(step.learning_rate / correction1);
    [parameter, first, second]
}
