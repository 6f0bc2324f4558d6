//! Every operation of the decoder at sizes that fill no tile: one row, rows and columns that no power of two divides.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use medtrain_trainer::ops::{AdamWStep, AttentionShape, Dropout, LmBackend, RopeTable, Segments, TokenScores, to_host};

use crate::{
    Gpu,
    compare::{Results, hold, hold_above, on_gpu, values},
};

/// Largest difference of an operation's result, relative to its largest value. flex's own kernels differ from the plain
/// bodies by up to half of it.
const TOLERANCE: f32 = 1e-5;

/// Below it a result of operands up to 1 is nothing but rounding: a query that sees one key has no gradient, nor has the
/// input of a norm of one column.
const CANCELLED: f32 = 0.1;

/// Computes on one backend and keeps what came out.
struct Bench<'a, B: LmBackend> {
    device: &'a B::Device,
    results: Results,
}

impl<'a, B: LmBackend> Bench<'a, B> {
    fn new(device: &'a B::Device) -> Self {
        Self { device, results: Vec::new() }
    }

    fn random<const D: usize>(&self, seed: u64, shape: [usize; D]) -> Tensor<B, D> {
        Tensor::from_data(TensorData::new(values(seed, shape.iter().product()), shape), self.device)
    }

    fn keep<const D: usize>(&mut self, name: &str, tensor: &Tensor<B, D>) {
        self.results.push((name.into(), to_host(tensor)));
    }

    fn keep_scores(&mut self, name: &str, scores: TokenScores) {
        let correct = scores.correct.iter().map(|&correct| f32::from(u8::from(correct))).collect();
        for (what, values) in [("logprobs", scores.logprobs), ("entropies", scores.entropies), ("correct", correct)] {
            self.results.push((format!("{name} {what}"), values));
        }
    }
}

fn ids(seed: u64, n: usize, below: usize) -> Vec<u32> {
    values(seed, n).iter().map(|v| ((v + 1.0) / 2.0 * below as f32) as u32 % below as u32).collect()
}

/// `n` rows, `i` inputs, `o` outputs.
fn matrices<B: LmBackend>(device: &B::Device, [n, i, o]: [usize; 3]) -> Results {
    let mut bench = Bench::<B>::new(device);
    let (x, dy) = (bench.random(1, [n, i]), bench.random(2, [n, o]));
    let weight = B::freeze(bench.random(3, [o, i]));
    let rank = 3;
    let (a, b) = (bench.random(4, [rank, i]), bench.random(5, [o, rank]));
    let bias = bench.random(6, [o]);
    bench.keep("thaw", &B::thaw(&weight));
    let y = B::project(&x, &weight);
    bench.keep("project", &y);
    bench.keep("input grad", &B::project_input_grad(&dy, &weight, None));
    bench.keep("input grad, added", &B::project_input_grad(&dy, &weight, Some(x.clone())));
    bench.keep("weight grad", &B::project_weight_grad(&dy, &x));
    bench.keep("bias", &B::add_bias(y.clone(), &bias));
    bench.keep("bias grad", &B::sum_rows(&dy));
    bench.keep("sum", &B::add(y.clone(), &dy));
    let row_keys = Arc::new((0..n as u32).map(|row| row.wrapping_mul(2_654_435_761)).collect());
    let dropout = Dropout { p: 0.25, module_key: 77, row_keys };
    for dropout in [None, Some(&dropout)] {
        let (out, u) = B::lora(y.clone(), &x, &a, &b, 2.0, dropout);
        bench.keep("lora", &out);
        bench.keep("lora u", &u);
        let grads = B::lora_backward(&dy, &x, &u, &a, &b, 2.0, dropout, x.clone());
        bench.keep("lora dx", &grads.dx);
        bench.keep("lora dA", &grads.da);
        bench.keep("lora dB", &grads.db);
    }
    let rows: Vec<usize> = (0..n).rev().step_by(2).collect();
    let picked = B::gather_rows(&x, &rows);
    bench.keep("gather", &picked);
    bench.keep("scatter", &B::scatter_rows(&picked, &rows, n));
    bench.results
}

fn norms_and_activations<B: LmBackend>(device: &B::Device, [n, h]: [usize; 2]) -> Results {
    let mut bench = Bench::<B>::new(device);
    let [x, dy, residual] = [1, 2, 3].map(|seed| bench.random(seed, [n, h]));
    let gain = bench.random(4, [h]);
    let (y, rstd) = B::rms_norm(&x, &gain, 1e-5);
    bench.keep("norm", &y);
    bench.keep("norm rstd", &rstd);
    for (residual, want_gain) in [(None, false), (Some(residual), true)] {
        let (dx, d_gain) = B::rms_norm_backward(&dy, &x, &gain, &rstd, residual, want_gain);
        bench.keep("norm dx", &dx);
        if let Some(d_gain) = d_gain {
            bench.keep("norm d gain", &d_gain);
        }
    }
    // silu is nearly linear within ±1.
    let (gate, up) = (x.mul_scalar(20.0), bench.random(5, [n, h]));
    bench.keep("swiglu", &B::swiglu(&gate, &up));
    let (d_gate, d_up) = B::swiglu_backward(&dy, gate, up);
    bench.keep("d gate", &d_gate);
    bench.keep("d up", &d_up);
    bench.results
}

/// Segments of which one has a single row, where there is more than one.
fn segments(n: usize) -> Segments {
    Segments::from_lengths([1, (n - 1) / 3, n - 1 - (n - 1) / 3])
}

fn attention<B: LmBackend>(device: &B::Device, n: usize, shape: AttentionShape) -> Results {
    let mut bench = Bench::<B>::new(device);
    let (width, kv_width) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let half = shape.head_dim / 2;
    let angles = || (0..n * half).map(|i| (i / half) as f64 / 100_f64.powf((i % half) as f64 / half as f64));
    let table = RopeTable {
        half,
        cos: Arc::new(angles().map(|angle| angle.cos() as f32).collect()),
        sin: Arc::new(angles().map(|angle| angle.sin() as f32).collect()),
    };
    let segments = segments(n);
    let positions = segments.positions();
    let q = B::rope(bench.random(1, [n, width]), &table, &positions, false);
    let k = B::rope(bench.random(2, [n, kv_width]), &table, &positions, true);
    let v = bench.random(3, [n, kv_width]);
    bench.keep("rope", &q);
    bench.keep("rope, inverse", &k);
    let (out, lse) = B::causal_attention(&q, &k, &v, shape, &segments);
    bench.keep("attention", &out);
    bench.keep("attention lse", &lse);
    let dout = bench.random(4, [n, width]);
    let (dq, dk, dv) = B::causal_attention_backward(&dout, &q, &k, &v, &out, &lse, shape, &segments);
    bench.keep("attention dq", &dq);
    bench.keep("attention dk", &dk);
    bench.keep("attention dv", &dv);

    // Two sequences of a cache with three slots, one of them as long as it gets.
    let places: Vec<(usize, usize)> = (0..n).map(|position| (2, position)).chain([(0, 0)]).collect();
    let stored: Vec<usize> = (0..n).chain([0]).collect();
    let cache = |rows: &Tensor<B, 2>| {
        B::cache_write(Tensor::zeros([3, n + 1, kv_width], device), &B::gather_rows(rows, &stored), &places)
    };
    let (keys, cached) = (cache(&k), cache(&v));
    bench.keep("cache", &keys);
    let query = B::gather_rows(&q, &[n - 1, 0]);
    bench.keep("cached attention", &B::cached_attention(&query, &keys, &cached, &[(2, n - 1), (0, 0)], shape));
    bench.results
}

fn vocabulary<B: LmBackend>(device: &B::Device, [n, h, vocab]: [usize; 3], temperature: f32) -> Results {
    let mut bench = Bench::<B>::new(device);
    let table = B::freeze(bench.random(1, [vocab, h]));
    let tokens = ids(2, n, vocab);
    bench.keep("embed", &B::embed(&table, &tokens));
    let (hidden, dy) = (bench.random(3, [n, h]), bench.random(4, [n, h]));
    bench.keep("embed grad", &B::embed_backward(&dy, &tokens, vocab));
    let scores = B::token_scores(&hidden, &table, &tokens, temperature);
    bench.keep_scores("scores", scores);
    let d_logprobs = values(5, n);
    for want_head in [false, true] {
        let (scores, dh, dw) = B::token_scores_backward(&hidden, &table, &tokens, temperature, &d_logprobs, want_head);
        bench.keep_scores("scores with grads", scores);
        bench.keep("head dh", &dh);
        if let Some(dw) = dw {
            bench.keep("head dW", &dw);
        }
    }
    bench.results
}

fn flat<B: LmBackend>(device: &B::Device, n: usize) -> Results {
    let mut bench = Bench::<B>::new(device);
    let [mut parameter, mut first, mut second] =
        [bench.random(1, [n]), Tensor::zeros([n], device), Tensor::zeros([n], device)];
    for step in 1..=3 {
        let gradient = bench.random(10 + step, [n]);
        bench.results.push(("sum of squares".into(), vec![B::sum_squares([&gradient].into_iter()) as f32]));
        let update = AdamWStep {
            learning_rate: 1e-2,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step,
            gradient_scale: 0.7,
        };
        [parameter, first, second] = B::adamw(parameter, first, second, &gradient, update);
    }
    bench.keep("parameter", &parameter);
    bench.keep("first moment", &first);
    bench.keep("second moment", &second);
    bench.results
}

/// Rows: a single one, the fewest, odd ones, one more than a tile, two more than a chunk of the head.
const ROWS: [usize; 5] = [1, 3, 7, 33, 130];

#[test]
fn products_with_matrices() {
    on_gpu(|device| {
        for n in ROWS {
            for [i, o] in [[15, 7], [32, 33], [33, 64], [130, 258]] {
                let sizes = [n, i, o];
                let cpu = matrices::<Flex>(&Default::default(), sizes);
                hold(&format!("products {sizes:?}"), &cpu, &matrices::<Gpu>(device, sizes), TOLERANCE);
            }
        }
    });
}

#[test]
fn norms_and_activation() {
    on_gpu(|device| {
        for n in ROWS {
            for h in [1, 15, 32, 67, 576] {
                let cpu = norms_and_activations::<Flex>(&Default::default(), [n, h]);
                let gpu = norms_and_activations::<Gpu>(device, [n, h]);
                hold_above(CANCELLED, &format!("norms [{n}, {h}]"), &cpu, &gpu, TOLERANCE);
            }
        }
    });
}

#[test]
fn attention_with_segments_windows_grouped_heads_and_a_cache() {
    on_gpu(|device| {
        for n in ROWS {
            for shape in [
                AttentionShape { heads: 6, kv_heads: 2, head_dim: 8, window: None },
                AttentionShape { heads: 4, kv_heads: 4, head_dim: 10, window: Some(5) },
                AttentionShape { heads: 9, kv_heads: 3, head_dim: 64, window: Some(70) },
            ] {
                let cpu = attention::<Flex>(&Default::default(), n, shape);
                let gpu = attention::<Gpu>(device, n, shape);
                hold_above(CANCELLED, &format!("attention {n} {shape:?}"), &cpu, &gpu, TOLERANCE);
            }
        }
    });
}

#[test]
fn embedding_and_head_of_any_vocabulary() {
    on_gpu(|device| {
        for n in ROWS {
            for ([h, vocab], temperature) in [([15, 6], 1.0), ([32, 131], 0.7), ([30, 257], 1.0), ([64, 1031], 1.3)] {
                let sizes = [n, h, vocab];
                let cpu = vocabulary::<Flex>(&Default::default(), sizes, temperature);
                let gpu = vocabulary::<Gpu>(device, sizes, temperature);
                hold(&format!("vocabulary {sizes:?}"), &cpu, &gpu, TOLERANCE);
            }
        }
    });
}

#[test]
fn parameters_of_any_length() {
    on_gpu(|device| {
        for n in [1, 3, 7, 33, 130, 300_007] {
            hold(&format!("flat {n}"), &flat::<Flex>(&Default::default(), n), &flat::<Gpu>(device, n), TOLERANCE);
        }
    });
}
