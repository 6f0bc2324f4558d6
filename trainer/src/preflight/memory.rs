//! How much memory a stage takes at its peak on the CPU: counted from shapes, before anything is loaded.
//!
//! A stage has several peaks, and the highest counts: loading, the passes of a rollout and of an evaluation, a training
//! step, a checkpoint, and the merge. What is alive at each is what the code holds there ([`crate::model::layer`] for a
//! layer, `ops/flex/head.rs` for logits, [`crate::stages`] for the rest); nothing here is fitted to a measurement but the
//! program's own [`PROGRAM`]. `tests/bench/memory.py` measures steps beside this forecast; tests/bench/README.md has its
//! table.
//!
//! Not counted, since small: rotary tables, token ids, dropout keys, a thread's block of scores (`64 · t` floats, `t` the
//! tokens of the longest sequence) and its packed part of a matrix product.
//!
//! Holds: sums saturate, so no shape makes the estimate wrap around to something small.

use medtrain_crds::stage::{LoraArgs, PpoArgs, StageKind, TrainArgs, Tuning};
use serde::Serialize;

use crate::adapter::Projection;
use crate::failure::{Failure, Result};
use crate::model::ModelConfig;
use crate::weights::Dtype;

/// Peak memory by what takes it, and by when, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryEstimate {
    /// Resident models.
    pub weights: u64,
    /// What is trained: values, gradients, moments, and the best values with `loadBestModelAtEnd`. With full fine-tuning
    /// without the values, which are `weights`.
    pub trained: u64,
    /// Of one micro-batch, at the highest moment of its pass but for logits.
    pub activations: u64,
    /// Of one chunk of target tokens; in rollouts, of one token a sequence.
    pub logits: u64,
    /// Of a rollout.
    pub kv_cache: u64,
    /// What merging takes beside the weights.
    pub merging: u64,
    /// While the model is read.
    pub loading: u64,
    /// The largest pass without a backward: an evaluation, or the sampling and scoring of a rollout.
    pub forward: u64,
    /// A step, from its first pass to its update.
    pub training: u64,
    /// While a checkpoint is written, which holds a copy of what is trained.
    pub saving: u64,
    /// While the merged model is made, checked and read back.
    pub finishing: u64,
    /// The highest of the stage's peaks, with the program itself.
    pub total: u64,
}

/// What an estimate is made from.
pub struct Shape<'a> {
    pub kind: StageKind,
    pub config: &'a ModelConfig,
    pub tuning: &'a Tuning,
    pub train: &'a TrainArgs,
    pub ppo: Option<&'a PpoArgs>,
    /// Tokens of the largest micro-batch; of PPO, of its prompts.
    pub batch_tokens: u64,
    /// Tokens of the largest batch of an evaluation; of PPO, of its prompts.
    pub eval_tokens: u64,
    /// Tokens of the longest prompt (PPO).
    pub longest: u64,
    /// Weights of further models: a reference or a reward model that doesn't share the policy's.
    pub other_models: u64,
    /// Type of the weights in the file that the model is read from.
    pub stored: Dtype,
    /// Type of the weights in the file that is written.
    pub saved: Dtype,
}

/// Bytes of a value where nothing says otherwise: activations, gradients, moments and what is trained are f32.
const VALUE: u64 = 4;
/// The program's pages, its threads' stacks, the tokenizer and the data's index: what `medtrain plan` takes over SmolLM2's
/// (62 MiB measured).
const PROGRAM: u64 = 64 << 20;
/// Bound of the head's buffer (`ops/flex/head.rs`).
const LOGITS: u64 = 64 << 20;
/// Values that are read before their pages are given back (`weights/model_files.rs`).
const READ_AT_ONCE: u64 = 4 << 20;
/// Sequences that a rollout samples at once, and tokens that one prefill takes.
const ROLLOUT_SLOTS: u64 = 64;
const PREFILL_TOKENS: u64 = 2048;
/// Tokens of the texts that a merge is checked on.
const PROBE_TOKENS: u64 = 160;

/// Bytes in memory of a weight that is read and not trained: what is bf16 in the file stays so (`ops/flex/frozen.rs`).
const fn frozen_weight(stored: Dtype) -> u64 {
    match stored {
        Dtype::BFloat16 => 2,
        Dtype::Float32 | Dtype::Float16 => VALUE,
    }
}

/// Whether the weights alone fit, in f32: a model that is made here has no file whose size would tell.
///
/// # Errors
/// 64 if not.
pub fn check_fits(config: &ModelConfig, limit: Option<u64>) -> Result<()> {
    let needed = (config.parameter_count() as u64).saturating_mul(VALUE);
    match limit {
        Some(limit) if needed > limit => Err(Failure::config(format!(
            "its weights take {} MiB, but only {} MiB of memory are there; make it smaller",
            needed >> 20,
            limit >> 20
        ))),
        _ => Ok(()),
    }
}

/// The forecast of a stage.
pub fn estimate(shape: &Shape) -> MemoryEstimate {
    let trained = Trained::of(shape);
    let widths = Widths::of(shape);
    let parameters = shape.config.parameter_count() as u64;
    let frozen = frozen_weight(shape.stored);
    let policy = match shape.tuning {
        Tuning::Lora(_) => frozen.saturating_mul(parameters),
        Tuning::Full => VALUE.saturating_mul(parameters),
    };
    let weights = policy.saturating_add(frozen.saturating_mul(shape.other_models));
    // What stays from step to step.
    let resident = sum(&[weights, trained.between_steps()]);

    let (kv_cache, new_tokens) = rollout(shape);
    let tokens = shape.batch_tokens.saturating_add(new_tokens);
    let step = Step::of(shape, &widths, &trained, tokens);
    let sampled = sampling(shape, &widths, kv_cache);
    let forward = forward_only(shape, &widths).max(sampled);

    let others = weights.saturating_sub(policy);
    // Full fine-tuning makes its f32 weights from those that were read.
    let widened = if matches!(shape.tuning, Tuning::Full) && frozen < VALUE { policy } else { 0 };
    let read = reading(shape.config, &widths, shape.stored).max(sum(&[frozen.saturating_mul(parameters), widened]));
    let loading = sum(&[others, read]);
    let forward = resident.saturating_add(forward);
    let training = resident.saturating_add(step.peak);
    let saving = resident.saturating_add(trained.checkpoint());
    let merging = merging(shape, &widths);
    let finishing = resident.saturating_add(merging);
    let peak = [loading, forward, training, saving, finishing].into_iter().max().unwrap_or(0);
    MemoryEstimate {
        weights,
        trained: trained.between_steps().saturating_add(trained.gradients),
        activations: step.activations,
        logits: step.logits.max(decoded_logits(shape)),
        kv_cache,
        merging,
        loading,
        forward,
        training,
        saving,
        finishing,
        total: PROGRAM.saturating_add(peak),
    }
}

/// Bytes of what is trained.
struct Trained {
    /// Of LoRA; with full fine-tuning they are the model's weights.
    values: u64,
    gradients: u64,
    /// AdamW's two.
    moments: u64,
    /// A copy of the best values, on the host.
    best: u64,
    /// Of a checkpoint's copy of the values, which full fine-tuning has, too.
    stored_values: u64,
}

impl Trained {
    fn of(shape: &Shape) -> Self {
        let count = match shape.tuning {
            Tuning::Lora(lora) => trained_by(lora, shape.config),
            Tuning::Full => shape.config.parameter_count() as u64,
        };
        let values = VALUE.saturating_mul(count);
        Self {
            values: if matches!(shape.tuning, Tuning::Lora(_)) { values } else { 0 },
            gradients: values,
            moments: values.saturating_mul(2),
            best: if shape.train.load_best_model_at_end { values } else { 0 },
            stored_values: values,
        }
    }

    fn between_steps(&self) -> u64 {
        sum(&[self.values, self.moments, self.best])
    }

    /// Values and moments, and the best values, as the bytes that go to the file.
    fn checkpoint(&self) -> u64 {
        sum(&[self.stored_values, self.moments, self.best])
    }
}

/// Trained values of an adapter: `rank · (inputs + outputs)` a projection, saved modules whole.
fn trained_by(lora: &LoraArgs, config: &ModelConfig) -> u64 {
    let a_layer: usize = targets(lora).map(|projection| projection.shape(config).iter().sum::<usize>()).sum();
    let pairs = lora.rank as usize * a_layer * config.num_hidden_layers;
    (pairs + lora.modules_to_save.len() * config.vocab_size * config.hidden_size) as u64
}

fn targets(lora: &LoraArgs) -> impl Iterator<Item = Projection> {
    Projection::ALL.into_iter().filter(|p| lora.target_modules.iter().any(|name| name == p.name()))
}

/// Bytes a token of what passes hold, and of rows of the vocabulary.
struct Widths {
    /// A hidden state.
    hidden: u64,
    /// What a layer's forward leaves for its backward: its input, rotated queries and keys, values, attention's output and
    /// log-sum-exp, the sum after attention, gate and up, two reciprocal roots, `dropout(x) Aᵀ` of each adapted
    /// projection; what went into the norms of heads.
    kept: u64,
    /// Beside that, at the highest moment of a layer's forward, its last projection: the product inside the MLP, with
    /// dropout a copy of it, and the output.
    forward: u64,
    /// At the highest moment of its backward, the same projection's: the output's gradient, the product inside the MLP
    /// (computed again) and its gradient; with dropout the product's copy and its part of that gradient.
    backward: u64,
    /// A row of logits.
    logits: u64,
    /// The embedding, or the head, in f32.
    vocabulary: u64,
}

impl Widths {
    fn of(shape: &Shape) -> Self {
        let config = shape.config;
        let (h, ffn) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
        let (ranks, dropout) = match shape.tuning {
            Tuning::Lora(lora) => {
                // PPO trains without dropout.
                let drops = lora.dropout > 0.0 && shape.kind != StageKind::PPO;
                (lora.rank as usize * targets(lora).count(), usize::from(drops))
            }
            Tuning::Full => (0, 0),
        };
        let normed = if config.qk_norm { q + kv } else { 0 };
        let kept = 2 * h + 2 * q + 2 * kv + 2 * ffn + config.num_attention_heads + 2 + ranks + normed;
        let bytes = |values: usize| VALUE * values as u64;
        Self {
            hidden: bytes(h),
            kept: bytes(kept),
            forward: bytes((1 + dropout) * ffn + h),
            backward: bytes(h + (2 + 2 * dropout) * ffn),
            logits: bytes(config.vocab_size),
            vocabulary: bytes(config.vocab_size * h),
        }
    }

    /// Of `tokens` through all layers, one after another, without a backward: what one layer makes, or the final norm's
    /// input and output.
    fn one_layer(&self, tokens: u64) -> u64 {
        tokens.saturating_mul((self.kept + self.forward).max(2 * self.hidden))
    }

    /// A chunk of the head's logits.
    fn chunk(&self, targets: u64) -> u64 {
        (LOGITS / self.logits).clamp(16, 512).min(targets).saturating_mul(self.logits)
    }
}

/// A training step beside what stays from step to step.
struct Step {
    activations: u64,
    logits: u64,
    peak: u64,
}

impl Step {
    /// A pass is at its highest where all layers' activations are there: at the head, or in the backward of the last
    /// layer. From there activations go and gradients come, so with many weights and few tokens its end is higher.
    fn of(shape: &Shape, widths: &Widths, trained: &Trained, tokens: u64) -> Self {
        let layers = shape.config.num_hidden_layers as u64;
        // With checkpointing each layer's input, and all of one layer when its forward has run again.
        let (at_head, at_layer) = match shape.train.gradient_checkpointing {
            true => (layers * widths.hidden, layers * widths.hidden + widths.kept),
            false => (layers * widths.kept, layers * widths.kept),
        };
        let language_model = shape.kind != StageKind::RM;
        // The last layer's output, the final norm's, its target rows and their gradient; a reward model reads one row a
        // sequence, and scatters its gradient over all.
        let states = if language_model { 4 } else { 3 };
        let activations_at_head = tokens.saturating_mul(at_head + states * widths.hidden);
        let activations_at_layer = tokens.saturating_mul(at_layer + widths.backward);
        let logits = if language_model { widths.chunk(tokens) } else { 0 };
        let head_gradient = if language_model && head_is_trained(shape) { widths.vocabulary } else { 0 };
        // Those of earlier passes of the step are there all the time.
        let (before_head, after_head) = match several_passes(shape) {
            true => (trained.gradients, trained.gradients),
            false => (0, head_gradient),
        };
        // A tied embedding's gradient has a buffer of its own before it is added to the head's.
        let embedding = if shape.config.tie_word_embeddings { head_gradient } else { 0 };
        let last_layer = tokens.saturating_mul(widths.kept + widths.backward);
        let moments = [
            sum(&[activations_at_head, logits, head_gradient, before_head]),
            sum(&[activations_at_layer, after_head]),
            sum(&[trained.gradients, embedding.max(last_layer)]),
        ];
        Self {
            activations: activations_at_head.max(activations_at_layer),
            logits: logits.saturating_add(head_gradient),
            peak: moments.into_iter().max().unwrap_or(0),
        }
    }
}

/// Whether a step adds the gradients of several passes.
fn several_passes(shape: &Shape) -> bool {
    match shape.ppo {
        Some(ppo) => ppo.mini_batch_size > shape.train.per_device_train_batch_size,
        None => shape.train.gradient_accumulation_steps > 1,
    }
}

fn head_is_trained(shape: &Shape) -> bool {
    match shape.tuning {
        Tuning::Lora(lora) => !lora.modules_to_save.is_empty(),
        Tuning::Full => true,
    }
}

/// The cache of a rollout in bytes, and the new tokens of one micro-batch of episodes.
fn rollout(shape: &Shape) -> (u64, u64) {
    let Some(ppo) = shape.ppo else { return (0, 0) };
    let config = shape.config;
    let capacity = shape.longest + u64::from(ppo.max_new_tokens);
    let a_token = 2 * VALUE * (config.num_key_value_heads * config.head_dim * config.num_hidden_layers) as u64;
    let episodes = u64::from(shape.train.per_device_train_batch_size.min(ppo.mini_batch_size));
    (slots(ppo).saturating_mul(capacity).saturating_mul(a_token), episodes * u64::from(ppo.max_new_tokens))
}

/// Sequences that are sampled at once.
fn slots(ppo: &PpoArgs) -> u64 {
    u64::from(ppo.batch_size).min(ROLLOUT_SLOTS)
}

/// Logits of a decoding step, on the device and on the host.
fn decoded_logits(shape: &Shape) -> u64 {
    shape.ppo.map_or(0, |ppo| 2 * slots(ppo) * VALUE * shape.config.vocab_size as u64)
}

/// A rollout: its cache, and the larger of a prefill and a step's logits.
fn sampling(shape: &Shape, widths: &Widths, kv_cache: u64) -> u64 {
    let Some(ppo) = shape.ppo else { return 0 };
    let prefill = slots(ppo).saturating_mul(shape.longest).min(PREFILL_TOKENS.max(shape.longest));
    kv_cache.saturating_add(widths.one_layer(prefill).max(decoded_logits(shape)))
}

/// The largest pass without a backward beside a rollout's own: an evaluation, or the scoring of episodes, where the
/// policy's hidden states and their target rows are there while the reference and the reward model run.
fn forward_only(shape: &Shape, widths: &Widths) -> u64 {
    let batch = u64::from(shape.train.per_device_eval_batch_size);
    let (tokens, states) = match shape.ppo {
        Some(ppo) => (batch.saturating_mul(shape.longest + u64::from(ppo.max_new_tokens)), 2),
        None => (shape.eval_tokens, 0),
    };
    let head = match shape.kind {
        StageKind::RM => 0,
        _ => sum(&[tokens.saturating_mul(2 * widths.hidden), widths.chunk(tokens)]),
    };
    sum(&[tokens.saturating_mul(states * widths.hidden), widths.one_layer(tokens).max(head)])
}

/// A model while it is read: its weights, the pages of the file that are being copied, and, where weights are kept in
/// another type than f32, the matrix in f32 that is being converted: the embedding when little else is there, or the last.
fn reading(config: &ModelConfig, widths: &Widths, stored: Dtype) -> u64 {
    let parameters = config.parameter_count() as u64;
    let frozen = frozen_weight(stored);
    let (weights, pages) = (frozen.saturating_mul(parameters), READ_AT_ONCE.min(parameters) * stored.size() as u64);
    if frozen == VALUE {
        return weights.saturating_add(pages);
    }
    let down = VALUE * (config.hidden_size * config.intermediate_size) as u64;
    let last = if config.tie_word_embeddings { down } else { widths.vocabulary };
    let embedding = widths.vocabulary / VALUE * (VALUE + frozen);
    sum(&[pages, embedding.max(weights.saturating_add(last))])
}

/// Beside what a finished stage holds: the merged model, or the written one, read back; and logits of the texts that both
/// are checked on, three times (expected ones, found ones, and those on the host). Of the merged model the adapted matrices
/// are its own, in f32; to be saved the others are in f32, too, which they may be already.
fn merging(shape: &Shape, widths: &Widths) -> u64 {
    let config = shape.config;
    let merged = match shape.tuning {
        Tuning::Lora(lora) if frozen_weight(shape.stored) == VALUE => {
            let a_layer: usize =
                targets(lora).map(|projection| projection.shape(config).iter().product::<usize>()).sum();
            VALUE * (a_layer * config.num_hidden_layers) as u64
        }
        Tuning::Lora(_) => VALUE.saturating_mul(config.parameter_count() as u64),
        Tuning::Full => 0,
    };
    let width = if shape.kind == StageKind::RM { VALUE } else { widths.logits };
    sum(&[merged.max(reading(config, widths, shape.saved)), 3 * PROBE_TOKENS * width])
}

fn sum(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |total, part| total.saturating_add(*part))
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
