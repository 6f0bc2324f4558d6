use serde_json::json;

use super::*;
use crate::data::prepare::tests::train_args;

const MIB: u64 = 1 << 20;
const PARAMETERS: u64 = 134_515_008;
/// Rank 8 in 30 layers; inputs and outputs of the seven projections add up to 10,176.
const ADAPTER: u64 = 2_442_240;
const VOCABULARY: u64 = 4 * 49_152 * 576;

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

/// One pass a step.
fn train() -> TrainArgs {
    TrainArgs { gradient_accumulation_steps: 1, ..train_args() }
}

fn shape<'a>(
    kind: StageKind,
    config: &'a ModelConfig,
    tuning: &'a Tuning,
    train: &'a TrainArgs,
    [batch_tokens, eval_tokens]: [u64; 2],
) -> Shape<'a> {
    Shape {
        kind,
        config,
        tuning,
        train,
        ppo: None,
        batch_tokens,
        eval_tokens,
        longest: batch_tokens,
        other_models: 0,
        stored: Dtype::BFloat16,
        saved: Dtype::BFloat16,
    }
}

fn by_kind(kind: StageKind, tuning: &Tuning, train: &TrainArgs, tokens: [u64; 2]) -> MemoryEstimate {
    estimate(&shape(kind, &config(), tuning, train, tokens))
}

fn of(tuning: &Tuning, train: &TrainArgs, batch_tokens: u64) -> MemoryEstimate {
    by_kind(StageKind::SFT, tuning, train, [batch_tokens, 0])
}

#[test]
fn weights_and_what_is_trained_are_counted_exactly() {
    let found = of(&lora(), &train(), 1000);
    assert_eq!(found.weights, 2 * PARAMETERS);
    assert_eq!(found.trained, 16 * ADAPTER);
    let found = of(&Tuning::Full, &train(), 1000);
    assert_eq!((found.weights, found.trained), (4 * PARAMETERS, 12 * PARAMETERS), "trained weights are f32");
}

#[test]
fn activations_grow_with_tokens_and_shrink_with_checkpointing() {
    let (train, checkpointed) = (train(), TrainArgs { gradient_checkpointing: true, ..train() });
    let whole = of(&lora(), &train, 2048).activations;
    assert_eq!(whole, 2 * of(&lora(), &train, 1024).activations);
    // 30 layers of 5,827 floats; the last layer's output gradient, and the product inside its MLP with its own.
    assert_eq!(whole, 2048 * 4 * (30 * 5_827 + 576 + 2 * 1_536));
    let little = of(&lora(), &checkpointed, 2048).activations;
    assert_eq!(little, 2048 * 4 * (30 * 576 + 5_827 + 576 + 2 * 1_536));
}

#[test]
fn dropout_copies_what_it_drops_in_the_layer_at_work_only() {
    let Tuning::Lora(plain) = lora() else { unreachable!() };
    let dropping = Tuning::Lora(LoraArgs { dropout: 0.05, ..plain });
    let more = of(&dropping, &train(), 2048).activations - of(&lora(), &train(), 2048).activations;
    assert_eq!(more, 2048 * 4 * 2 * 1_536);
}

#[test]
fn logits_never_take_more_than_the_heads_buffer() {
    assert!(of(&lora(), &train(), 1 << 20).logits <= LOGITS);
    assert_eq!(of(&lora(), &train(), 10).logits, 10 * 4 * 49152);
    assert_eq!(of(&Tuning::Full, &train(), 10).logits, 10 * 4 * 49152 + VOCABULARY, "and the head's gradient");
    assert_eq!(by_kind(StageKind::RM, &lora(), &train(), [2048, 2048]).logits, 0);
}

/// Gradients come as activations go: they are not added where one pass makes them.
#[test]
fn gradients_stand_beside_activations_only_where_several_passes_add_them() {
    let several = TrainArgs { gradient_accumulation_steps: 2, ..train() };
    let more = of(&lora(), &several, 2048).training - of(&lora(), &train(), 2048).training;
    assert_eq!(more, 4 * ADAPTER);
    // Of few tokens the end of the pass is the peak, whether there were others or not: moments, gradients, and the
    // embedding's gradient before it is added to the head's.
    let (one, two) = (of(&Tuning::Full, &train(), 10), of(&Tuning::Full, &several, 10));
    assert_eq!(one.training, 16 * PARAMETERS + VOCABULARY);
    assert!(two.training - one.training < MIB * 64);
}

#[test]
fn a_checkpoint_holds_what_is_trained_once_more() {
    let best = TrainArgs { load_best_model_at_end: true, ..train() };
    assert_eq!(of(&Tuning::Full, &train(), 10).saving, (12 + 12) * PARAMETERS);
    assert_eq!(of(&Tuning::Full, &best, 10).saving, (16 + 16) * PARAMETERS);
    assert_eq!(of(&lora(), &train(), 10).saving, 2 * PARAMETERS + 24 * ADAPTER);
}

#[test]
fn a_large_evaluation_counts() {
    let small = by_kind(StageKind::SFT, &lora(), &train(), [16, 1 << 16]);
    assert!(small.forward > small.training.max(small.finishing));
    assert_eq!(small.total, PROGRAM + small.forward);
}

#[test]
fn weights_of_bf16_files_stay_bf16_unless_they_are_trained() {
    let loading = |tuning: &Tuning, stored| {
        let (config, train) = (config(), train());
        let shape = Shape { stored, ..shape(StageKind::SFT, &config, tuning, &train, [10, 0]) };
        (estimate(&shape).weights, estimate(&shape).loading)
    };
    // Beside the weights 4 Mi values of the file, and as f32 the last matrix, 1,536 by 576.
    let last = 4 * 1_536 * 576;
    assert_eq!(loading(&lora(), Dtype::BFloat16), (2 * PARAMETERS, 2 * PARAMETERS + 2 * READ_AT_ONCE + last));
    assert_eq!(loading(&lora(), Dtype::Float16), (4 * PARAMETERS, 4 * PARAMETERS + 2 * READ_AT_ONCE));
    assert_eq!(loading(&lora(), Dtype::Float32), (4 * PARAMETERS, 4 * PARAMETERS + 4 * READ_AT_ONCE));
    assert_eq!(loading(&Tuning::Full, Dtype::BFloat16), (4 * PARAMETERS, 6 * PARAMETERS));
}

#[test]
fn the_total_is_a_peak_not_a_sum() {
    let found = of(&lora(), &train(), 100);
    assert!(found.merging > found.activations, "a short batch: merging is the peak");
    assert_eq!(found.total, PROGRAM + found.finishing);
    let found = of(&lora(), &train(), 1 << 16);
    assert_eq!(found.total, PROGRAM + found.training);
    assert!(found.training < found.weights + found.trained + found.activations + found.logits);
}

#[test]
fn no_shape_wraps_around_to_something_small() {
    let all = u64::MAX;
    assert_eq!(by_kind(StageKind::SFT, &lora(), &train(), [all, all]).total, all);
}
