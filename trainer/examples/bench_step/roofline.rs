//! What a training step's matrix products cost: counted from shapes, and measured by running them alone.
//!
//! Holds: products are timed through the trainer's own operations at the step's own shapes, so their share of a step's
//! time is what the rest of the step (norms, activations, softmax, optimiser, memory) leaves. FLOPs are those of the
//! algorithm: two a multiplication and addition, causal attention by its lower half, nothing that is computed twice
//! unless gradient checkpointing asks for it.

use std::time::Instant;

use burn::tensor::Tensor;
use burn_flex::Flex;
use medtrain_trainer::{
    model::{ModelConfig, Parameter},
    ops::{AttentionShape, LmBackend, Segments},
};
use serde_json::{Value, json};

/// Runs of each product; the best counts.
const RUNS: usize = 3;
/// Size of the square product that tells the machine's peak.
const SQUARE: usize = 2048;

/// A step's work.
pub struct Shape {
    pub config: ModelConfig,
    /// Tokens of each sequence.
    pub lengths: Vec<usize>,
    /// LoRA's rank on all linear layers; `None` trains all weights.
    pub rank: Option<usize>,
    pub gradient_checkpointing: bool,
    /// Whether every token is a target of the vocabulary's head; reward modelling has a vector there.
    pub language_model: bool,
}

/// Passes over the same products in a step.
struct Passes {
    forward: f64,
    input_grad: f64,
    weight_grad: f64,
}

impl Shape {
    /// Inputs and outputs of the linear layers of one decoder layer.
    fn projections(&self) -> [(usize, usize); 7] {
        let c = &self.config;
        let (hidden, inner) = (c.hidden_size, c.intermediate_size);
        let (queries, keys) = (c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim);
        [
            (hidden, queries),
            (hidden, keys),
            (hidden, keys),
            (queries, hidden),
            (hidden, inner),
            (hidden, inner),
            (inner, hidden),
        ]
    }

    /// Of the layers' products; the head's forward is never repeated.
    fn passes(&self) -> Passes {
        Passes {
            forward: if self.gradient_checkpointing { 2.0 } else { 1.0 },
            input_grad: 1.0,
            weight_grad: if self.rank.is_none() { 1.0 } else { 0.0 },
        }
    }

    /// FLOPs of a step by part: frozen or trained weights, the head, LoRA, attention.
    fn flops(&self) -> [f64; 4] {
        let n = self.lengths.iter().sum::<usize>() as f64;
        let layers = self.config.num_hidden_layers as f64;
        let passes = self.passes();
        let each = passes.forward + passes.input_grad + passes.weight_grad;
        let weights: f64 = self.projections().iter().map(|&(i, o)| (i * o) as f64).sum();
        let low_rank: f64 = self.projections().iter().map(|&(i, o)| (i + o) as f64).sum();
        let rank = self.rank.unwrap_or(0) as f64;
        let head = if self.language_model { (self.config.vocab_size * self.config.hidden_size) as f64 } else { 0.0 };
        let head_passes = 1.0 + passes.input_grad + passes.weight_grad;
        // Scores and output: two products over half of T², forward; four of the kind backward.
        let squares: f64 = self.lengths.iter().map(|&t| (t * t) as f64).sum();
        let attention = 2.0 * squares * (self.config.num_attention_heads * self.config.head_dim) as f64;
        [
            2.0 * n * weights * layers * each,
            2.0 * n * head * head_passes,
            2.0 * n * low_rank * rank * layers * (passes.forward + 2.0),
            attention * layers * (passes.forward + 2.0),
        ]
    }

    /// Counts and times; takes some seconds.
    pub fn measure(self) -> Value {
        let [weights, head, lora, attention] = self.flops();
        let square = matrix(SQUARE, SQUARE);
        let frozen = Flex::freeze(square.clone());
        let square_seconds = best(|| Flex::project(&square, &frozen));
        json!({
            "flops": weights + head + lora + attention,
            "peakFlopsPerSecond": 2.0 * (SQUARE as f64).powi(3) / square_seconds,
            "seconds": {
                "layers": self.layers_seconds(),
                "head": self.head_seconds(),
                "lora": self.lora_seconds(),
                "attention": self.attention_seconds(),
            },
            "flopsOf": {"layers": weights, "head": head, "lora": lora, "attention": attention},
        })
    }

    fn rows(&self) -> usize {
        self.lengths.iter().sum()
    }

    fn layers_seconds(&self) -> f64 {
        let passes = self.passes();
        let one: f64 = self.projections().iter().map(|&size| projection(self.rows(), size, &passes)).sum();
        one * self.config.num_hidden_layers as f64
    }

    fn head_seconds(&self) -> f64 {
        if !self.language_model {
            return 0.0;
        }
        let passes = Passes { forward: 1.0, ..self.passes() };
        // As the head does it: some rows at a time, never all logits at once.
        let rows = self.rows().min(256);
        let size = (self.config.hidden_size, self.config.vocab_size);
        projection(rows, size, &passes) * self.rows() as f64 / rows as f64
    }

    fn lora_seconds(&self) -> f64 {
        let Some(rank) = self.rank else { return 0.0 };
        let n = self.rows();
        let one: f64 = self
            .projections()
            .iter()
            .map(|&(i, o)| {
                let (x, y, dx) = (matrix(n, i), matrix(n, o), matrix(n, i));
                let (a, b) = (matrix(rank, i), matrix(o, rank));
                let forward = best(|| Flex::lora(y.clone(), &x, &a, &b, 1.0, None));
                let (_, u) = Flex::lora(y.clone(), &x, &a, &b, 1.0, None);
                let backward = best(|| Flex::lora_backward(&y, &x, &u, &a, &b, 1.0, None, dx.clone()));
                forward * self.passes().forward + backward
            })
            .sum();
        one * self.config.num_hidden_layers as f64
    }

    fn attention_seconds(&self) -> f64 {
        let c = &self.config;
        let shape = AttentionShape {
            heads: c.num_attention_heads,
            kv_heads: c.num_key_value_heads,
            head_dim: c.head_dim,
            window: None,
        };
        let segments = Segments::from_lengths(self.lengths.iter().copied());
        let n = segments.rows();
        let (q, dout) = (matrix(n, shape.heads * shape.head_dim), matrix(n, shape.heads * shape.head_dim));
        let (k, v) = (matrix(n, shape.kv_heads * shape.head_dim), matrix(n, shape.kv_heads * shape.head_dim));
        let forward = best(|| Flex::causal_attention(&q, &k, &v, shape, &segments));
        let (out, lse) = Flex::causal_attention(&q, &k, &v, shape, &segments);
        let backward = best(|| Flex::causal_attention_backward(&dout, &q, &k, &v, &out, &lse, shape, &segments));
        (forward * self.passes().forward + backward) * c.num_hidden_layers as f64
    }
}

/// Seconds of all passes of one weight `[outputs, inputs]` over `n` rows.
fn projection(n: usize, (inputs, outputs): (usize, usize), passes: &Passes) -> f64 {
    let (x, dy) = (matrix(n, inputs), matrix(n, outputs));
    let weight = Flex::freeze(matrix(outputs, inputs));
    let mut seconds = passes.forward * best(|| Flex::project(&x, &weight));
    seconds += passes.input_grad * best(|| Flex::project_input_grad(&dy, &weight, None));
    if passes.weight_grad > 0.0 {
        seconds += passes.weight_grad * best(|| Flex::project_weight_grad(&dy, &x));
    }
    seconds
}

/// Values without zeros or denormals, which some processors multiply at another speed.
fn matrix(rows: usize, columns: usize) -> Tensor<Flex, 2> {
    let values = (0..rows * columns).map(|at| 0.5 + (at % 251) as f32 / 256.0).collect();
    Parameter::<Flex>::new(vec![rows, columns], values, &Default::default()).matrix()
}

/// Seconds of the quickest of [`RUNS`] runs, after one that does not count.
fn best<R>(mut run: impl FnMut() -> R) -> f64 {
    drop(run());
    let timed = |_| {
        let started = Instant::now();
        drop(run());
        started.elapsed().as_secs_f64()
    };
    (0..RUNS).map(timed).fold(f64::INFINITY, f64::min)
}
