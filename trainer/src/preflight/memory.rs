//! How much memory a stage takes at its peak, on the CPU in f32: counted from shapes, before anything is loaded.
//!
//! A stage has three peaks, and the highest counts: loading (weights and the file they are read from, whose pages are
//! given back as they are copied, but by a system that need not heed it), training, and merging (the model that was
//! trained, and the merged one read back). Per token and layer a training pass keeps
//! `2h + 2·heads·d + 2·kv_heads·d + 2·ffn + heads + 2` floats, one for each rank of an adapted projection, and
//! `heads·d + kv_heads·d` more where heads are normalised; with gradient checkpointing `h`, and the rest for one layer
//! only.
//!
//! Measured on the demo (135 M parameters): forecasts are 1 to 8 % above the peak resident set in PT, SFT and PPO. Batches
//! count at their largest, so a run that doesn't meet them stays further below.
//!
//! Holds: sums saturate, so no shape makes the estimate wrap around to something small.

use medtrain_crds::stage::{LoraArgs, PpoArgs, StageKind, TrainArgs, Tuning};
use serde::Serialize;

use crate::adapter::Projection;
use crate::failure::{Failure, Result};
use crate::model::ModelConfig;

/// Peak memory by what takes it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryEstimate {
    /// Resident models.
    pub weights: u64,
    /// What is trained: values, gradients, moments, and the best values with `loadBestModelAtEnd`. With full fine-tuning
    /// without the values, which are `weights`.
    pub trained: u64,
    /// Of one micro-batch.
    pub activations: u64,
    /// Of one chunk of target tokens; in rollouts, of one token a sequence.
    pub logits: u64,
    /// Of a rollout.
    pub kv_cache: u64,
    /// What merging takes beside the weights.
    pub merging: u64,
    /// The highest of the stage's peaks, with the program itself.
    pub total: u64,
}

/// What an estimate is made from.
pub(super) struct Shape<'a> {
    pub kind: StageKind,
    pub config: &'a ModelConfig,
    pub tuning: &'a Tuning,
    pub train: &'a TrainArgs,
    pub ppo: Option<&'a PpoArgs>,
    /// Tokens of the largest micro-batch; of PPO, of its prompts.
    pub batch_tokens: u64,
    /// Tokens of the longest prompt (PPO).
    pub longest: u64,
    /// Weights of further models: a reference or a reward model that doesn't share the policy's.
    pub other_models: u64,
    /// Bytes of the file that the weights are read from.
    pub file: u64,
    /// Bytes of a weight in the file that is written.
    pub saved_weight: u64,
}

/// The program, its threads, the tokenizer and the data's index.
const PROGRAM: u64 = 96 << 20;
/// Bound of the head's buffer (`ops/flex/head.rs`).
const LOGITS: u64 = 64 << 20;
/// Sequences that a rollout samples at once, and tokens that one prefill takes.
const ROLLOUT_SLOTS: u64 = 64;
const PREFILL_TOKENS: u64 = 2048;
/// Tokens of the texts that a merge is checked on.
const PROBE_TOKENS: u64 = 160;

/// Whether the weights alone fit, in f32: a model that is made here has no file whose size would tell.
///
/// # Errors
/// 64 if not.
pub fn check_fits(config: &ModelConfig, limit: Option<u64>) -> Result<()> {
    let needed = (config.parameter_count() as u64).saturating_mul(4);
    match limit {
        Some(limit) if needed > limit => Err(Failure::config(format!(
            "its weights take {} MiB, but only {} MiB of memory are there; make it smaller",
            needed >> 20,
            limit >> 20
        ))),
        _ => Ok(()),
    }
}

pub(super) fn estimate(shape: &Shape) -> MemoryEstimate {
    let config = shape.config;
    let parameters = config.parameter_count() as u64;
    let weights = 4 * (parameters + shape.other_models);
    let vocab_matrix = 4 * (config.vocab_size * config.hidden_size) as u64;
    let adapter = match shape.tuning {
        Tuning::Lora(lora) => trained_by(lora, config),
        Tuning::Full => 0,
    };
    let kept = if shape.train.load_best_model_at_end { 4 } else { 0 };
    let trained = match shape.tuning {
        Tuning::Lora(_) => (16 + kept) * adapter,
        Tuning::Full => (12 + kept) * parameters,
    };
    let (kv_cache, new_tokens) = rollout(shape);
    let tokens = shape.batch_tokens.saturating_add(new_tokens);
    let activations = tokens.saturating_mul(4 * floats_a_token(shape)).max(forward_only(shape));
    let mut logits = match shape.kind {
        StageKind::RM => 0,
        _ => {
            let row = 4 * config.vocab_size as u64;
            (LOGITS / row).clamp(16, 512).min(tokens) * row
        }
    };
    if let Some(ppo) = shape.ppo {
        // On the device and on the host.
        logits = logits.max(2 * u64::from(ppo.batch_size).min(ROLLOUT_SLOTS) * 4 * config.vocab_size as u64);
    }
    let head_is_trained = match shape.tuning {
        Tuning::Lora(lora) => !lora.modules_to_save.is_empty(),
        Tuning::Full => true,
    };
    if head_is_trained && shape.kind != StageKind::RM {
        logits += vocab_matrix; // the chunk's gradient, before it is added to the others
    }

    let written = shape.saved_weight * parameters;
    let probe_logits = 3 * PROBE_TOKENS * 4 * config.vocab_size as u64;
    let merging = 4 * parameters + written + probe_logits;
    let training = sum(&[weights, trained, activations, logits, kv_cache]);
    let loading = sum(&[weights, shape.file]);
    let finishing = sum(&[weights, trained, merging]);
    let total = sum(&[PROGRAM, training.max(loading).max(finishing)]);
    MemoryEstimate { weights, trained, activations, logits, kv_cache, merging, total }
}

/// Trained values of an adapter: `rank · (inputs + outputs)` a projection, saved modules whole.
fn trained_by(lora: &LoraArgs, config: &ModelConfig) -> u64 {
    let targets = Projection::ALL.into_iter().filter(|p| lora.target_modules.iter().any(|name| name == p.name()));
    let a_layer: usize = targets.map(|projection| projection.shape(config).iter().sum::<usize>()).sum();
    let pairs = lora.rank as usize * a_layer * config.num_hidden_layers;
    (pairs + lora.modules_to_save.len() * config.vocab_size * config.hidden_size) as u64
}

/// Floats that a layer keeps of one token.
fn kept(shape: &Shape) -> u64 {
    let config = shape.config;
    let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    let ranks = match shape.tuning {
        Tuning::Lora(lora) => lora.rank as usize * lora.target_modules.len(),
        Tuning::Full => 0,
    };
    let normed = if config.qk_norm { q + kv } else { 0 };
    let kept = 2 * config.hidden_size + 2 * q + 2 * kv + 2 * config.intermediate_size;
    (kept + config.num_attention_heads + 2 + ranks + normed) as u64
}

/// Floats in flight of one token while one layer goes forward or back.
fn working(config: &ModelConfig) -> u64 {
    let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    (3 * config.intermediate_size + 6 * config.hidden_size + 2 * q + 2 * kv) as u64
}

fn floats_a_token(shape: &Shape) -> u64 {
    let layers = shape.config.num_hidden_layers as u64;
    let kept = match shape.train.gradient_checkpointing {
        true => layers * shape.config.hidden_size as u64 + kept(shape),
        false => layers * kept(shape),
    };
    kept + working(shape.config)
}

/// The cache of a rollout in bytes, and the new tokens of one micro-batch of episodes.
fn rollout(shape: &Shape) -> (u64, u64) {
    let Some(ppo) = shape.ppo else { return (0, 0) };
    let config = shape.config;
    let slots = u64::from(ppo.batch_size).min(ROLLOUT_SLOTS);
    let capacity = shape.longest + u64::from(ppo.max_new_tokens);
    let a_token = 2 * 4 * (config.num_key_value_heads * config.head_dim * config.num_hidden_layers) as u64;
    let episodes = u64::from(shape.train.per_device_train_batch_size.min(ppo.mini_batch_size));
    (slots.saturating_mul(capacity).saturating_mul(a_token), episodes * u64::from(ppo.max_new_tokens))
}

/// Bytes of the largest pass without a backward: a prefill, or the scoring of episodes.
fn forward_only(shape: &Shape) -> u64 {
    let Some(ppo) = shape.ppo else { return 0 };
    let episode = shape.longest + u64::from(ppo.max_new_tokens);
    let scored = u64::from(shape.train.per_device_eval_batch_size).saturating_mul(episode);
    scored.max(PREFILL_TOKENS).saturating_mul(4 * (kept(shape) + working(shape.config)))
}

fn sum(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |total, part| total.saturating_add(*part))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::data::prepare::tests::train_args;

    /// SmolLM2-135M.
    fn config() -> ModelConfig {
        let config = json!({
            "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
            "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": true,
        });
        ModelConfig::from_json(config).unwrap()
    }

    fn lora() -> Tuning {
        let target_modules = Projection::ALL.map(|projection| projection.name().to_owned()).to_vec();
        Tuning::Lora(LoraArgs {
            rank: 8,
            alpha: 16.0,
            dropout: 0.0,
            target_modules,
            use_rslora: false,
            modules_to_save: Vec::new(),
        })
    }

    fn of(tuning: &Tuning, train: &TrainArgs, batch_tokens: u64) -> MemoryEstimate {
        let config = config();
        estimate(&Shape {
            kind: StageKind::SFT,
            config: &config,
            tuning,
            train,
            ppo: None,
            batch_tokens,
            longest: batch_tokens,
            other_models: 0,
            file: 0,
            saved_weight: 4,
        })
    }

    #[test]
    fn weights_and_adapter_are_counted_exactly() {
        let found = of(&lora(), &train_args(), 1000);
        assert_eq!(found.weights, 4 * 134_515_008);
        // Rank 8 in 30 layers; inputs and outputs of the seven projections add up to 10,176.
        assert_eq!(found.trained, 16 * 2_442_240);
        assert_eq!(of(&Tuning::Full, &train_args(), 1000).trained, 12 * 134_515_008);
    }

    #[test]
    fn activations_grow_with_tokens_and_shrink_with_checkpointing() {
        let (train, checkpointed) = (train_args(), TrainArgs { gradient_checkpointing: true, ..train_args() });
        let whole = of(&lora(), &train, 2048).activations;
        assert_eq!(whole, 2 * of(&lora(), &train, 1024).activations);
        // 30 layers of 5,827 floats and one of 9,600 in flight.
        assert_eq!(whole, 2048 * 4 * (30 * 5_827 + 9_600));
        assert!(of(&lora(), &checkpointed, 2048).activations < whole / 4);
    }

    #[test]
    fn logits_never_take_more_than_the_heads_buffer() {
        assert!(of(&lora(), &train_args(), 1 << 20).logits <= LOGITS);
        assert_eq!(of(&lora(), &train_args(), 10).logits, 10 * 4 * 49152);
    }

    #[test]
    fn the_total_is_a_peak_not_a_sum() {
        let found = of(&lora(), &train_args(), 100);
        assert!(found.merging > found.activations, "a short batch: merging is the peak");
        assert_eq!(found.total, PROGRAM + found.weights + found.trained + found.merging);
        let found = of(&lora(), &train_args(), 1 << 16);
        assert_eq!(found.total, PROGRAM + found.weights + found.trained + found.activations + found.logits);
    }
}
