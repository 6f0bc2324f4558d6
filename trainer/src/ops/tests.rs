//! The hand-written backwards against burn's autodiff, and the CPU kernels against the plain bodies.

use std::sync::Arc;

use burn::{
    backend::Autodiff,
    tensor::{Tensor, TensorData},
};
use burn_flex::Flex;

use super::*;

type Ad = Autodiff<Flex>;

/// Values in [-1, 1), the same for a seed.
fn values(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        })
        .collect()
}

fn random<B: Backend, const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<B, D> {
    let data = TensorData::new(values(seed, shape.iter().product()), shape);
    Tensor::from_data(data, &Default::default())
}

/// Largest difference relative to the largest value.
fn error<const D: usize>(ours: &Tensor<Flex, D>, theirs: &Tensor<Flex, D>) -> f32 {
    assert_eq!(ours.dims(), theirs.dims());
    let (ours, theirs) = (to_host(ours), to_host(theirs));
    let scale = theirs.iter().fold(1e-6_f32, |m, v| m.max(v.abs()));
    assert!(ours.iter().all(|v| v.is_finite()));
    ours.iter().zip(&theirs).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs())) / scale
}

fn close<const D: usize>(what: &str, ours: &Tensor<Flex, D>, theirs: &Tensor<Flex, D>) {
    let error = error(ours, theirs);
    assert!(error < 5e-6, "{what}: relative difference {error:e}");
}

fn shapes() -> [AttentionShape; 3] {
    [
        AttentionShape { heads: 6, kv_heads: 2, head_dim: 8, window: None },
        AttentionShape { heads: 4, kv_heads: 4, head_dim: 10, window: Some(5) },
        AttentionShape { heads: 9, kv_heads: 3, head_dim: 16, window: Some(70) },
    ]
}

fn segments() -> Segments {
    Segments::from_lengths([1, 130, 64, 7])
}

fn rope_table(half: usize, positions: usize) -> RopeTable {
    let angle = |p: usize, i: usize| p as f64 / 100f64.powf(i as f64 / half as f64);
    let all = |f: fn(f64) -> f64| -> Arc<Vec<f32>> {
        Arc::new((0..positions).flat_map(|p| (0..half).map(move |i| f(angle(p, i)) as f32)).collect())
    };
    RopeTable { half, cos: all(f64::cos), sin: all(f64::sin) }
}

fn dropout(n: usize) -> Dropout {
    Dropout {
        p: 0.25,
        module_key: 77,
        row_keys: Arc::new((0..n as u32).map(|i| i.wrapping_mul(2_654_435_761)).collect()),
    }
}

#[test]
fn attention_agrees_with_plain_ops_for_ragged_segments_windows_and_grouped_heads() {
    for shape in shapes() {
        let segments = segments();
        let n = segments.rows();
        let q = random::<Flex, 2>(1, [n, shape.heads * shape.head_dim]);
        let k = random::<Flex, 2>(2, [n, shape.kv_heads * shape.head_dim]);
        let v = random::<Flex, 2>(3, [n, shape.kv_heads * shape.head_dim]);
        let (out, lse) = Flex::causal_attention(&q, &k, &v, shape, &segments);
        let (plain_out, plain_lse) = plain::attention(&q, &k, &v, shape, &segments);
        close("out", &out, &plain_out);
        close("lse", &lse, &plain_lse);
        let dout = random::<Flex, 2>(4, out.dims());
        let ours = Flex::causal_attention_backward(&dout, &q, &k, &v, &out, &lse, shape, &segments);
        let theirs = plain::attention_backward(&dout, &q, &k, &v, &plain_out, &plain_lse, shape, &segments);
        close("dq", &ours.0, &theirs.0);
        close("dk", &ours.1, &theirs.1);
        close("dv", &ours.2, &theirs.2);
    }
}

#[test]
fn attention_backward_agrees_with_autodiff() {
    for shape in shapes() {
        let segments = segments();
        let n = segments.rows();
        let [q, k, v] = [(1, shape.heads), (2, shape.kv_heads), (3, shape.kv_heads)]
            .map(|(seed, heads)| random::<Ad, 2>(seed, [n, heads * shape.head_dim]).require_grad());
        let (out, lse) = plain::attention(&q, &k, &v, shape, &segments);
        let dout = random::<Ad, 2>(4, out.dims());
        let grads = (out.clone() * dout.clone()).sum().backward();
        let [iq, ik, iv] = [&q, &k, &v].map(|t| t.clone().inner());
        let ours =
            Flex::causal_attention_backward(&dout.inner(), &iq, &ik, &iv, &out.inner(), &lse.inner(), shape, &segments);
        close("dq", &ours.0, &q.grad(&grads).unwrap());
        close("dk", &ours.1, &k.grad(&grads).unwrap());
        close("dv", &ours.2, &v.grad(&grads).unwrap());
    }
}

#[test]
fn a_segment_does_not_see_its_neighbours() {
    let shape = shapes()[0];
    let [q, k, v] =
        [1, 2, 3].map(|seed| random::<Flex, 2>(seed, [9, 48]).narrow(1, 0, if seed == 1 { 48 } else { 16 }));
    let both = Flex::causal_attention(&q, &k, &v, shape, &Segments::from_lengths([4, 5])).0;
    let part = |t: &Tensor<Flex, 2>| t.clone().narrow(0, 4, 5);
    let alone = Flex::causal_attention(&part(&q), &part(&k), &part(&v), shape, &Segments::from_lengths([5])).0;
    assert_eq!(to_host(&part(&both)), to_host(&alone));
}

#[test]
fn cached_attention_equals_the_last_row_of_full_attention() {
    for shape in shapes() {
        let (t, kv) = (20, shape.kv_heads * shape.head_dim);
        let q = random::<Flex, 2>(1, [t, shape.heads * shape.head_dim]);
        let (k, v) = (random::<Flex, 2>(2, [t, kv]), random::<Flex, 2>(3, [t, kv]));
        let full = Flex::causal_attention(&q, &k, &v, shape, &Segments::from_lengths([t])).0;
        let places: Vec<(usize, usize)> = (0..t).map(|position| (1, position)).collect();
        let empty = || Tensor::<Flex, 3>::zeros([2, 32, kv], &Default::default());
        let (keys, vals) = (Flex::cache_write(empty(), &k, &places), Flex::cache_write(empty(), &v, &places));
        let query = q.narrow(0, t - 1, 1);
        let ours = Flex::cached_attention(&query, &keys, &vals, &[(1, t - 1)], shape);
        close("cached", &ours, &full.narrow(0, t - 1, 1));
        let plain_keys = plain::cache_write(empty(), &k, &places);
        assert_eq!(to_host(&keys), to_host(&plain_keys));
        close("plain cached", &plain::cached_attention(&query, &keys, &vals, &[(1, t - 1)], shape), &ours);
    }
}

#[test]
fn rms_norm_agrees_with_plain_ops_and_autodiff() {
    let x = random::<Ad, 2>(1, [37, 50]).require_grad();
    let gain = random::<Ad, 1>(2, [50]).require_grad();
    let (y, _) = plain::rms_norm(&x, &gain, 1e-5);
    let dy = random::<Ad, 2>(3, [37, 50]);
    let grads = (y.clone() * dy.clone()).sum().backward();
    let (ix, ig, idy) = (x.clone().inner(), gain.clone().inner(), dy.inner());
    let (ours, rstd) = Flex::rms_norm(&ix, &ig, 1e-5);
    close("y", &ours, &y.inner());
    for backward in [Flex::rms_norm_backward, plain::rms_norm_backward] {
        let (dx, dg) = backward(&idy, &ix, &ig, &rstd, None, true);
        close("dx", &dx, &x.grad(&grads).unwrap());
        close("dg", &dg.unwrap(), &gain.grad(&grads).unwrap());
        let residual = random::<Flex, 2>(4, [37, 50]);
        let (with, none) = backward(&idy, &ix, &ig, &rstd, Some(residual.clone()), false);
        close("dx + residual", &with, &(dx + residual));
        assert!(none.is_none());
    }
}

#[test]
fn rope_agrees_with_plain_ops_and_its_inverse_undoes_it() {
    let table = rope_table(4, 300);
    let positions = segments().positions();
    let x = random::<Flex, 2>(1, [positions.len(), 24]);
    let ours = Flex::rope(x.clone(), &table, &positions, false);
    close("rope", &ours, &plain::rope(x.clone(), &table, &positions, false));
    close("inverse", &Flex::rope(ours, &table, &positions, true), &x);
}

#[test]
fn swiglu_agrees_with_plain_ops_and_autodiff() {
    let gate = random::<Ad, 2>(1, [33, 70]).mul_scalar(20.0).detach().require_grad();
    let up = random::<Ad, 2>(2, [33, 70]).require_grad();
    let y = plain::swiglu(&gate, &up);
    let dy = random::<Ad, 2>(3, [33, 70]);
    let grads = (y.clone() * dy.clone()).sum().backward();
    let (g, u) = (gate.clone().inner(), up.clone().inner());
    close("y", &Flex::swiglu(&g, &u), &y.inner());
    for backward in [Flex::swiglu_backward, plain::swiglu_backward] {
        let (dg, du) = backward(&dy.clone().inner(), g.clone(), u.clone());
        close("dg", &dg, &gate.grad(&grads).unwrap());
        close("du", &du, &up.grad(&grads).unwrap());
    }
}

#[test]
fn lora_agrees_with_plain_ops_and_autodiff_with_and_without_dropout() {
    for dropout in [None, Some(dropout(40))] {
        let dropout = dropout.as_ref();
        let x = random::<Ad, 2>(1, [40, 30]).require_grad();
        let a = random::<Ad, 2>(2, [4, 30]).require_grad();
        let b = random::<Ad, 2>(3, [50, 4]).require_grad();
        let base = random::<Ad, 2>(4, [40, 50]);
        let (y, _) = plain::lora(base.clone(), &x, &a, &b, 1.7, dropout);
        let dy = random::<Ad, 2>(5, [40, 50]);
        let grads = (y.clone() * dy.clone()).sum().backward();
        let [ix, ia, ib, idy] = [&x, &a, &b, &dy].map(|t| t.clone().inner());
        let (ours, u) = Flex::lora(base.inner(), &ix, &ia, &ib, 1.7, dropout);
        close("y", &ours, &y.inner());
        let start = random::<Flex, 2>(6, [40, 30]);
        for backward in [Flex::lora_backward, plain::lora_backward] {
            let ours = backward(&idy, &ix, &u, &ia, &ib, 1.7, dropout, start.clone());
            close("dx", &ours.dx, &(x.grad(&grads).unwrap() + start.clone()));
            close("da", &ours.da, &a.grad(&grads).unwrap());
            close("db", &ours.db, &b.grad(&grads).unwrap());
        }
    }
}

#[test]
fn dropout_keeps_the_mean_and_drops_its_share() {
    let (rows, columns) = (200, 500);
    let keys = dropout(rows);
    let (threshold, keep) = keys.constants();
    let factors: Vec<f32> = keys
        .row_keys
        .iter()
        .flat_map(|&row| (0..columns).map(move |column| Dropout::factor(row, 77, column, threshold, keep)))
        .collect();
    let dropped = factors.iter().filter(|&&f| f == 0.0).count() as f64 / factors.len() as f64;
    assert!((dropped - 0.25).abs() < 0.007, "{dropped}"); // 5 standard errors
}

#[test]
fn linear_agrees_with_plain_ops_for_few_and_many_rows() {
    for n in [1, 3, 4, 5, 200] {
        let (x, w) = (random::<Flex, 2>(1, [n, 90]), random::<Flex, 2>(2, [130, 90]));
        let frozen = Flex::freeze(w.clone());
        close("y", &Flex::project(&x, &frozen), &x.clone().matmul(w.clone().transpose()));
        let dy = random::<Flex, 2>(3, [n, 130]);
        close("dx", &Flex::project_input_grad(&dy, &frozen, None), &dy.clone().matmul(w.clone()));
        let start = random::<Flex, 2>(4, [n, 90]);
        close(
            "dx+",
            &Flex::project_input_grad(&dy, &frozen, Some(start.clone())),
            &(dy.clone().matmul(w.clone()) + start),
        );
        close("dw", &Flex::project_weight_grad(&dy, &x), &dy.clone().transpose().matmul(x.clone()));
    }
}

#[test]
fn token_scores_agree_with_plain_ops_and_autodiff() {
    let (n, h, vocab) = (150, 24, 333);
    let targets: Vec<u32> = (0..n as u32).map(|i| i * 7 % vocab as u32).collect();
    let hidden = random::<Ad, 2>(1, [n, h]).mul_scalar(3.0).detach().require_grad();
    let head = random::<Ad, 2>(2, [vocab, h]).require_grad();
    let d_logprobs = values(3, n);
    let temperature = 0.7;
    let logits = hidden.clone().matmul(head.clone().transpose()).div_scalar(temperature);
    let logprobs = burn::tensor::activation::log_softmax(logits, 1);
    let index = Tensor::<Ad, 1, burn::tensor::Int>::from_data(
        TensorData::new(targets.iter().map(|&t| t as i32).collect::<Vec<_>>(), [n]),
        &Default::default(),
    );
    let picked = logprobs.gather(1, index.unsqueeze_dim(1));
    let weights = Tensor::<Ad, 2>::from_data(TensorData::new(d_logprobs.clone(), [n, 1]), &Default::default());
    let grads = (picked.clone() * weights).sum().backward();
    let (ih, iw) = (hidden.clone().inner(), head.clone().inner());

    let frozen = Flex::freeze(iw.clone());
    let ours = Flex::token_scores(&ih, &frozen, &targets, temperature);
    let theirs = plain::token_scores(&ih, &iw, &targets, temperature);
    let vector = |v: &[f32]| Tensor::<Flex, 1>::from_data(TensorData::new(v.to_vec(), [v.len()]), &Default::default());
    close("logprobs", &vector(&ours.logprobs), &picked.inner().squeeze_dim(1));
    close("plain logprobs", &vector(&theirs.logprobs), &vector(&ours.logprobs));
    close("entropies", &vector(&ours.entropies), &vector(&theirs.entropies));
    assert_eq!(ours.correct, theirs.correct);
    for (scores, dh, dw) in [
        Flex::token_scores_backward(&ih, &frozen, &targets, temperature, &d_logprobs, true),
        plain::token_scores_backward(&ih, &iw, &targets, temperature, &d_logprobs, true),
    ] {
        close("scores", &vector(&scores.logprobs), &vector(&ours.logprobs));
        close("dh", &dh, &hidden.grad(&grads).unwrap());
        close("dw", &dw.unwrap(), &head.grad(&grads).unwrap());
    }
}

#[test]
fn token_scores_of_no_rows_are_none() {
    let (none, head) = (random::<Flex, 2>(1, [0, 24]), random::<Flex, 2>(2, [33, 24]));
    for (scores, dh, dw) in [
        Flex::token_scores_backward(&none, &Flex::freeze(head.clone()), &[], 1.0, &[], true),
        plain::token_scores_backward(&none, &head, &[], 1.0, &[], true),
    ] {
        assert!(scores.logprobs.is_empty() && scores.correct.is_empty());
        assert_eq!(dh.dims(), [0, 24]);
        assert_eq!(to_host(&dw.unwrap()), vec![0.0; 33 * 24]);
    }
}

#[test]
fn embeddings_and_their_gradient_agree_with_plain_ops() {
    let table = random::<Flex, 2>(1, [20, 12]);
    let ids = [3, 3, 19, 0, 3];
    assert_eq!(to_host(&Flex::embed(&Flex::freeze(table.clone()), &ids)), to_host(&plain::embed(&table, &ids)));
    let dy = random::<Flex, 2>(2, [5, 12]);
    close("d table", &Flex::embed_backward(&dy, &ids, 20), &plain::embed_backward(&dy, &ids, 20));
}

#[test]
fn adamw_agrees_with_plain_ops() {
    let n = 40_000;
    let start = [random::<Flex, 1>(1, [n]), random(2, [n]).mul_scalar(0.01), random(3, [n]).abs()];
    let gradient = random::<Flex, 1>(4, [n]);
    let step = AdamWStep {
        learning_rate: 1e-2,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.1,
        step: 3,
        gradient_scale: 0.4,
    };
    let [p, m, v] = start.clone();
    let ours = Flex::adamw(p.clone(), m.clone(), v.clone(), &gradient, step);
    let theirs = plain::adamw(p, m, v, &gradient, step);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        close("state", ours, theirs);
    }
    assert!(error(&ours[0], &start[0]) > 1e-3, "the update moved the parameter");
}

#[test]
fn exp_is_within_two_ulps() {
    for i in -860_000..860_000 {
        let x = i as f32 * 1e-4;
        let (ours, exact) = (flex_exp(x), f64::from(x).exp());
        assert!((f64::from(ours) / exact - 1.0).abs() < 2.4e-7, "exp({x})");
    }
}

fn flex_exp(x: f32) -> f32 {
    let mut row = [x];
    super::flex::exp_minus_for_tests(&mut row);
    row[0]
}

/// Every kernel of the training path at 1, 2, 3 and 5 threads.
#[test]
fn results_are_the_same_bits_at_any_number_of_threads() {
    let run = || -> Vec<Vec<f32>> {
        let shape = AttentionShape { heads: 6, kv_heads: 2, head_dim: 16, window: None };
        let segments = Segments::from_lengths([100, 33, 260, 1]);
        let n = segments.rows();
        let x = random::<Flex, 2>(1, [n, 96]);
        let w = Flex::freeze(random::<Flex, 2>(2, [192, 96]));
        let whole = random::<Flex, 2>(2, [192, 96]).mul_scalar(100.0).round();
        let narrow = Flex::freeze_for_long(whole);
        let (a, b) = (random::<Flex, 2>(3, [8, 96]), random::<Flex, 2>(4, [192, 8]));
        let dropout = dropout(n);
        let (y, u) = Flex::lora(Flex::project(&x, &w), &x, &a, &b, 2.0, Some(&dropout));
        let grads =
            Flex::lora_backward(&y, &x, &u, &a, &b, 2.0, Some(&dropout), Flex::project_input_grad(&y, &w, None));
        let k = random::<Flex, 2>(5, [n, 32]);
        let v = random::<Flex, 2>(6, [n, 32]);
        let (out, lse) = Flex::causal_attention(&x, &k, &v, shape, &segments);
        let (dq, dk, dv) = Flex::causal_attention_backward(&x, &x, &k, &v, &out, &lse, shape, &segments);
        let gain = random::<Flex, 1>(7, [96]);
        let (_, rstd) = Flex::rms_norm(&x, &gain, 1e-5);
        let (dx, dg) = Flex::rms_norm_backward(&out, &x, &gain, &rstd, None, true);
        let targets: Vec<u32> = (0..n as u32).map(|i| i % 192).collect();
        let (scores, dh, dw) = Flex::token_scores_backward(&x, &w, &targets, 1.0, &vec![-0.1; n], true);
        let norm = Flex::sum_squares([&random::<Flex, 1>(8, [5_000_000])].into_iter());
        let mut all = vec![scores.logprobs, vec![norm as f32, (norm * 1e9) as f32]];
        all.extend([&y, &grads.dx, &grads.da, &grads.db, &dq, &dk, &dv, &dx, &dh, &dw.unwrap()].map(to_host));
        all.push(to_host(&dg.unwrap()));
        all.push(to_host(&Flex::project_weight_grad(&y, &x)));
        all.push(to_host(&Flex::project(&x, &narrow)));
        all.push(to_host(&Flex::project_input_grad(&y, &narrow, None)));
        all
    };
    let bits = |threads: usize| -> Vec<Vec<u32>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(run).into_iter().map(|v| v.into_iter().map(f32::to_bits).collect()).collect()
    };
    let one = bits(1);
    for threads in [2, 3, 5] {
        assert!(bits(threads) == one, "{threads} threads give other bits than one");
    }
}
