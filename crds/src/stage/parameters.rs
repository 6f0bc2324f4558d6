//! The hyperparameter table, and the types people write hyperparameters in (every field optional), made of it.
//!
//! Where sources conflict this table decides. Sources: "HF" = Hugging Face `TrainingArguments`; "TRL" = TRL's PPO and
//! reward trainers; "seed" = MedicalGPT of June 2023; "N details" = *The N Implementation Details of RLHF with PPO*;
//! "MedTrain" = ours.

use serde::{Deserialize, Serialize};

use super::StageKind::{self, PPO as Ppo, PT, RM, SFT};
use super::{
    BestMetric, Decimal, Defaults, Dtype, InKey, IntervalStrategy, KlController, Literal, LrSchedulerType,
    OverlongPolicy, PpoPreset, VHeadInitStrategy,
};
use super::{Parameter, Range, Section, Type};

const ALL: &[StageKind] = &[PT, SFT, RM, Ppo];
const NOT_PT: &[StageKind] = &[SFT, RM, Ppo];
const NOT_PPO: &[StageKind] = &[PT, SFT, RM];

const UNSET: Defaults = Defaults::All(Literal::Unset);
const OFF: Defaults = Defaults::All(Literal::Bool(false));
const ON: Defaults = Defaults::All(Literal::Bool(true));

const IN_KEY: InKey = InKey::Always;
const UNLESS_UNSET: InKey = InKey::Unless(Literal::Unset);
const UNLESS_OFF: InKey = InKey::Unless(Literal::Bool(false));
const UNLESS_ZERO: InKey = InKey::Unless(Literal::Int(0));
const UNLESS_NONE: InKey = InKey::Unless(Literal::Names(&[]));
const CADENCE: InKey = InKey::Never("when a stage saves or logs does not change its weights");
const EVAL_SPLIT: InKey = InKey::Never("how an evaluation batch is cut does not change its result");
const RECOMPUTE: InKey = InKey::Never("recomputed activations are the same numbers");
const PRESET: InKey = InKey::Never("the values it stands for are in the key");
const OUTPUT_ONLY: InKey = InKey::Never("only what is shown");

const fn int(min: u64, max: u64) -> Type {
    Type::Int { min, max }
}

/// `min ≤ x ≤ max`.
const fn from_to(min: f64, max: f64) -> Type {
    Type::Decimal(Range { min, max, closed: (true, true) })
}

/// `min < x ≤ max`.
const fn above(min: f64, max: f64) -> Type {
    Type::Decimal(Range { min, max, closed: (false, true) })
}

/// `min ≤ x < max`.
const fn below(min: f64, max: f64) -> Type {
    Type::Decimal(Range { min, max, closed: (true, false) })
}

const fn ints(value: u64) -> Defaults {
    Defaults::All(Literal::Int(value))
}

const fn decimals(value: f64) -> Defaults {
    Defaults::All(Literal::Decimal(value))
}

const fn texts(value: &'static str) -> Defaults {
    Defaults::All(Literal::Text(value))
}

const fn each_int(pt: u64, sft: u64, rm: u64, ppo: u64) -> Defaults {
    Defaults::Each([Literal::Int(pt), Literal::Int(sft), Literal::Int(rm), Literal::Int(ppo)])
}

const fn each_decimal(pt: f64, sft: f64, rm: f64, ppo: f64) -> Defaults {
    Defaults::Each([Literal::Decimal(pt), Literal::Decimal(sft), Literal::Decimal(rm), Literal::Decimal(ppo)])
}

const fn each_text(pt: &'static str, sft: &'static str, rm: &'static str, ppo: &'static str) -> Defaults {
    Defaults::Each([Literal::Text(pt), Literal::Text(sft), Literal::Text(rm), Literal::Text(ppo)])
}

const INTERVAL: Type = Type::Choice(&["no", "steps", "epoch"]);
const MANY: u64 = 1_000_000_000;

/// One section: its table and the struct people write it in.
macro_rules! section {
    ($(#[$meta:meta])* $spec:ident, $table:ident, $section:expr, {
        $($field:ident: $written:ty = $name:literal, $ty:expr, $default:expr, $kinds:expr, $in_key:expr,
          $doc:literal, $source:literal;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $spec {
            $(#[doc = $doc]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub $field: Option<$written>,)*
        }

        pub static $table: &[Parameter] = &[$(Parameter {
            section: $section,
            name: $name,
            ty: $ty,
            default: $default,
            kinds: $kinds,
            in_key: $in_key,
            doc: $doc,
            source: $source,
        },)*];
    };
}

section!(
    /// Hyperparameters that all stages share, as people write them; what is left out takes the default of the kind.
    TrainSpec, TRAIN, Section::Train, {
    learning_rate: Decimal = "learningRate", above(0.0, 1.0), each_decimal(2e-4, 2e-5, 2e-5, 1.41e-5), ALL, IN_KEY,
        "Highest learning rate of AdamW, reached after the warm-up.", "seed";
    lr_scheduler_type: LrSchedulerType = "lrSchedulerType",
        Type::Choice(&["linear", "cosine", "constant", "constant_with_warmup"]),
        each_text("cosine", "cosine", "linear", "linear"), ALL, IN_KEY,
        "How the learning rate falls after the warm-up; linear and cosine end at 0.", "HF; PPO: N details";
    warmup_ratio: Decimal = "warmupRatio", below(0.0, 1.0), each_decimal(0.05, 0.05, 0.05, 0.0), ALL, IN_KEY,
        "Share of the steps in which the learning rate rises from 0.", "seed (README)";
    warmup_steps: u32 = "warmupSteps", int(0, MANY), ints(0), ALL, UNLESS_ZERO,
        "The same in steps; above 0 it overrides warmupRatio.", "HF";
    num_train_epochs: Decimal = "numTrainEpochs", above(0.0, 10_000.0), each_decimal(1.0, 3.0, 1.0, 1.0), ALL, IN_KEY,
        "Passes over the training rows (PPO: over the prompts); fractions are allowed.", "seed; RM: InstructGPT";
    max_steps: u32 = "maxSteps", int(1, MANY), UNSET, ALL, UNLESS_UNSET,
        "Optimiser steps of the stage; overrides numTrainEpochs. PPO: rollouts.", "HF";
    per_device_train_batch_size: u32 = "perDeviceTrainBatchSize", int(1, 65_536), ints(4), ALL, InKey::Product,
        "Rows that go through the model at once: memory against speed.", "HF";
    per_device_eval_batch_size: u32 = "perDeviceEvalBatchSize", int(1, 65_536), ints(4), ALL, EVAL_SPLIT,
        "The same for evaluation.", "HF";
    gradient_accumulation_steps: u32 = "gradientAccumulationSteps", int(1, 65_536), each_int(4, 4, 4, 1), NOT_PPO, InKey::Product,
        "Such batches an optimiser step. PPO has ppo.miniBatchSize instead.", "HF";
    weight_decay: Decimal = "weightDecay", from_to(0.0, 1.0), each_decimal(0.01, 0.0, 0.0, 0.0), ALL, IN_KEY,
        "Decoupled weight decay; norms and biases have none.", "seed (README)";
    adam_beta1: Decimal = "adamBeta1", below(0.0, 1.0), decimals(0.9), ALL, IN_KEY,
        "Decay of AdamW's first moment.", "HF";
    adam_beta2: Decimal = "adamBeta2", below(0.0, 1.0), decimals(0.999), ALL, IN_KEY,
        "Decay of AdamW's second moment.", "HF";
    adam_epsilon: Decimal = "adamEpsilon", above(0.0, 0.1), each_decimal(1e-8, 1e-8, 1e-8, 1e-5), ALL, IN_KEY,
        "Added to the root of the second moment.", "HF; PPO: N details";
    max_grad_norm: Decimal = "maxGradNorm", from_to(0.0, 1e6), decimals(1.0), ALL, IN_KEY,
        "Gradients are scaled down to this global norm; 0 switches it off.", "HF";
    gradient_checkpointing: bool = "gradientCheckpointing", Type::Bool, OFF, ALL, RECOMPUTE,
        "Recomputes activations in the backward pass: less memory, about a third more time.", "HF";
    eval_strategy: IntervalStrategy = "evalStrategy", INTERVAL, texts("steps"), ALL, InKey::Deciding,
        "When to evaluate in between; with eval data also before the first and after the last step. no without it.", "seed";
    eval_steps: u32 = "evalSteps", int(1, MANY), ints(500), ALL, InKey::Deciding,
        "Steps between evaluations with evalStrategy steps.", "seed";
    save_strategy: IntervalStrategy = "saveStrategy", INTERVAL, texts("steps"), ALL, CADENCE,
        "When to write a checkpoint; one is also written on SIGTERM.", "seed";
    save_steps: u32 = "saveSteps", int(1, MANY), ints(500), ALL, CADENCE,
        "Steps between checkpoints with saveStrategy steps.", "seed";
    save_total_limit: u32 = "saveTotalLimit", int(1, 1_000), ints(3), ALL, CADENCE,
        "Checkpoints kept; the oldest goes first.", "seed";
    logging_steps: u32 = "loggingSteps", int(1, MANY), ints(10), ALL, CADENCE,
        "Steps between log lines.", "seed (README)";
    logging_first_step: bool = "loggingFirstStep", Type::Bool, ON, ALL, CADENCE,
        "Logs the first step too.", "seed (README)";
    max_length: u32 = "maxLength", int(8, 1_048_576), ints(512), NOT_PT, IN_KEY,
        "Longest row in tokens (SFT, RM: whole row; PPO: prompt). PT has blockSize.", "seed";
    block_size: u32 = "blockSize", int(8, 1_048_576), ints(1024), &[PT], IN_KEY,
        "Length of the blocks that documents are laid into, in tokens; documents in a block don't see each other.", "seed";
    packing: bool = "packing", Type::Bool, OFF, &[SFT], UNLESS_OFF,
        "Lays several rows into one sequence of maxLength; rows don't see each other.", "TRL";
    train_on_inputs: bool = "trainOnInputs", Type::Bool, OFF, &[SFT], UNLESS_OFF,
        "Trains on the user's turns too, not only on the assistant's.", "HF community usage";
    overlong: OverlongPolicy = "overlong", Type::Choice(&["truncate", "drop", "error"]),
        each_text("truncate", "truncate", "drop", "drop"), NOT_PT, IN_KEY,
        "What happens to a row longer than maxLength; all are counted. truncate keeps the end-of-turn token.", "MedTrain; RM, PPO: seed";
    max_train_samples: u32 = "maxTrainSamples", int(1, u32::MAX as u64), UNSET, ALL, UNLESS_UNSET,
        "Trains on at most so many rows.", "seed";
    max_eval_samples: u32 = "maxEvalSamples", int(1, u32::MAX as u64), UNSET, ALL, UNLESS_UNSET,
        "Evaluates at most so many rows. In the key, because figures over other rows are other figures.", "seed";
    chat_template: String = "chatTemplate", Type::Text { max: 65_536 }, UNSET, NOT_PT, UNLESS_UNSET,
        "Name of a built-in chat template, or a Jinja template; else the model's own.", "HF";
    save_dtype: Dtype = "saveDtype", Type::Choice(&["float32", "bfloat16", "float16"]), UNSET, ALL, UNLESS_UNSET,
        "Dtype of the merged model; else the base's.", "MedTrain";
    log_samples: bool = "logSamples", Type::Bool, OFF, ALL, OUTPUT_ONLY,
        "Shows a few rows and the model's answers in TensorBoard, at each evaluation and logged rollout: the text of data rows then lies in the output.", "MedTrain";
    early_stopping_patience: u32 = "earlyStoppingPatience", int(1, 1_000_000), UNSET, NOT_PPO, UNLESS_UNSET,
        "Ends the stage when so many evaluations in a row have not improved metricForBestModel. PPO has ppo.earlyStopping, another thing.", "HF (EarlyStoppingCallback)";
    early_stopping_threshold: Decimal = "earlyStoppingThreshold", from_to(0.0, 1e6), decimals(0.0), NOT_PPO, UNLESS_ZERO,
        "Only a change of the best figure by more than this resets the patience.", "HF (EarlyStoppingCallback)";
    load_best_model_at_end: bool = "loadBestModelAtEnd", Type::Bool, OFF, NOT_PPO, UNLESS_OFF,
        "Leaves the weights of the best evaluation after the first step, not those of the last step. Every checkpoint holds them too.", "HF";
    metric_for_best_model: BestMetric = "metricForBestModel", Type::Choice(&["eval_loss", "eval_accuracy"]), UNSET, NOT_PPO, UNLESS_UNSET,
        "Figure that evaluations are compared by; eval_loss where earlyStoppingPatience or loadBestModelAtEnd need one.", "HF";
    greater_is_better: bool = "greaterIsBetter", Type::Bool, UNSET, NOT_PPO, UNLESS_UNSET,
        "Whether more of metricForBestModel is better; else it is implied: no for eval_loss, yes for eval_accuracy.", "HF";
});

section!(
    /// Hyperparameters of PPO as people write them.
    PpoSpec, PPO, Section::Ppo, {
    preset: PpoPreset = "preset", Type::Choice(&["trl-2023"]), UNSET, &[Ppo], PRESET,
        "Other defaults for this stage (crds/generated/hyperparameters.md lists them); what is written out wins.", "MedTrain";
    init_kl_coef: Decimal = "initKlCoef", from_to(0.0, 100.0), decimals(0.2), &[Ppo], IN_KEY,
        "Weight of the KL penalty against the reference, at the start.", "TRL 0.4";
    kl_controller: KlController = "klController", Type::Choice(&["adaptive", "fixed"]), texts("adaptive"), &[Ppo], IN_KEY,
        "adaptive steers the weight so that the KL stays near klTarget; fixed leaves it.", "TRL 0.4";
    kl_target: Decimal = "klTarget", above(0.0, 10_000.0), decimals(6.0), &[Ppo], IN_KEY,
        "KL the adaptive controller aims at, nats a sequence (TRL calls it target; not targetKl).", "TRL 0.4";
    kl_horizon: Decimal = "klHorizon", above(0.0, 1e12), decimals(10_000.0), &[Ppo], IN_KEY,
        "Episodes over which the adaptive controller corrects itself.", "TRL 0.4";
    early_stopping: bool = "earlyStopping", Type::Bool, OFF, &[Ppo], UNLESS_OFF,
        "Leaves the epochs of a batch when the policy moved by more than 1.5 times targetKl.", "TRL 0.4";
    early_stopping_after_step: bool = "earlyStoppingAfterStep", Type::Bool, OFF, &[Ppo], UNLESS_OFF,
        "The minibatch in which earlyStopping strikes still makes its optimiser step.", "TRL 0.4";
    target_kl: Decimal = "targetKl", above(0.0, 100.0), decimals(0.1), &[Ppo], IN_KEY,
        "Bound of earlyStopping, nats a token (not klTarget).", "TRL 0.4";
    num_ppo_epochs: u32 = "numPpoEpochs", int(1, 1_000), ints(4), &[Ppo], IN_KEY,
        "Passes over each batch of episodes.", "TRL";
    batch_size: u32 = "batchSize", int(1, 65_536), ints(64), &[Ppo], IN_KEY,
        "Prompts a rollout.", "MedTrain (TRL: 128 to 512)";
    mini_batch_size: u32 = "miniBatchSize", int(1, 65_536), ints(16), &[Ppo], IN_KEY,
        "Episodes an optimiser step; batchSize must be a multiple.", "MedTrain";
    total_episodes: u32 = "totalEpisodes", int(1, u32::MAX as u64), UNSET, &[Ppo], UNLESS_UNSET,
        "Episodes of the whole stage; else numTrainEpochs passes over the prompts.", "TRL";
    gamma: Decimal = "gamma", from_to(0.0, 1.0), decimals(1.0), &[Ppo], IN_KEY,
        "Discount of later rewards.", "TRL";
    lam: Decimal = "lam", from_to(0.0, 1.0), decimals(0.95), &[Ppo], IN_KEY,
        "Lambda of generalised advantage estimation.", "TRL";
    cliprange: Decimal = "cliprange", above(0.0, 1.0), decimals(0.2), &[Ppo], IN_KEY,
        "Clip of the probability ratio.", "TRL";
    cliprange_value: Decimal = "cliprangeValue", above(0.0, 1_000.0), decimals(0.2), &[Ppo], IN_KEY,
        "Clip of the change of value predictions.", "TRL";
    vf_coef: Decimal = "vfCoef", from_to(0.0, 100.0), decimals(0.1), &[Ppo], IN_KEY,
        "Weight of the value loss.", "TRL";
    v_head_init_strategy: VHeadInitStrategy = "vHeadInitStrategy", Type::Choice(&["zeros", "uniform"]), texts("zeros"), &[Ppo],
        InKey::Unless(Literal::Text("zeros")),
        "Value head at the start: zeros, or uniform within 1 / sqrt(hidden size), bias too.", "N details; uniform: PyTorch, so TRL 0.4";
    whiten_rewards: bool = "whitenRewards", Type::Bool, OFF, &[Ppo], UNLESS_OFF,
        "Scales rewards to standard deviation 1 in each batch, keeping their mean.", "TRL";
    whiten_advantages: bool = "whitenAdvantages", Type::Bool, ON, &[Ppo], IN_KEY,
        "Scales advantages to mean 0 and standard deviation 1 in each minibatch.", "N details";
    min_new_tokens: u32 = "minNewTokens", int(0, 65_536), ints(1), &[Ppo], IN_KEY,
        "Tokens of a response before it may end.", "MedTrain";
    max_new_tokens: u32 = "maxNewTokens", int(1, 65_536), ints(128), &[Ppo], IN_KEY,
        "Tokens of a response at most.", "seed (README)";
    temperature: Decimal = "temperature", above(0.0, 100.0), decimals(1.0), &[Ppo], IN_KEY,
        "Logits are divided by this, in sampling and in log-probabilities.", "TRL";
    top_k: u32 = "topK", int(0, 10_000_000), ints(0), &[Ppo], UNLESS_ZERO,
        "Samples among the k likeliest tokens; 0 = all.", "TRL";
    top_p: Decimal = "topP", above(0.0, 1.0), decimals(1.0), &[Ppo], IN_KEY,
        "Samples among the likeliest tokens of this total probability.", "TRL";
    missing_eos_penalty: Decimal = "missingEosPenalty", from_to(0.0, 1_000.0), decimals(1.0), &[Ppo], IN_KEY,
        "Taken off the reward of a response that does not end by itself.", "TRL (recipes), N details";
    reward_baseline: Decimal = "rewardBaseline", from_to(-1e6, 1e6), decimals(0.0), &[Ppo], UNLESS_ZERO,
        "Taken off every reward.", "seed";
});

section!(
    /// Hyperparameters of reward modelling as people write them.
    RewardSpec, REWARD, Section::Reward, {
    center_rewards_coefficient: Decimal = "centerRewardsCoefficient", from_to(0.0, 100.0), decimals(0.0), &[RM], UNLESS_ZERO,
        "Weight of mean((chosen + rejected)²) in the loss, which keeps scores centred; 0 = off, 0.01 is usual.", "TRL";
    normalize_scores: bool = "normalizeScores", Type::Bool, ON, &[RM], IN_KEY,
        "Scales and shifts scores to mean 0 and standard deviation 1 over the training rows when the stage ends.", "N details";
});

section!(
    /// Low-rank adaptation as people write it.
    LoraSpec, LORA, Section::Lora, {
    rank: u32 = "rank", int(1, 1_024), ints(8), ALL, IN_KEY,
        "Rank of the update (PEFT: r).", "seed";
    alpha: Decimal = "alpha", above(0.0, 1e6), decimals(16.0), ALL, IN_KEY,
        "The update is scaled by alpha / rank.", "PEFT (seed: 32)";
    dropout: Decimal = "dropout", below(0.0, 1.0), each_decimal(0.05, 0.05, 0.05, 0.0), NOT_PPO, IN_KEY,
        "Dropout before the update; PPO has none, since it would change the ratio.", "seed";
    target_modules: Vec<String> = "targetModules", Type::Names { max: 32 }, Defaults::All(Literal::Names(&["all-linear"])), ALL, IN_KEY,
        "Projections to adapt; all-linear = the seven of every layer.", "seed, PEFT";
    use_rslora: bool = "useRslora", Type::Bool, OFF, ALL, UNLESS_OFF,
        "Scales by alpha / sqrt(rank) instead (rank-stabilised LoRA).", "PEFT";
    modules_to_save: Vec<String> = "modulesToSave", Type::Names { max: 32 }, Defaults::All(Literal::Names(&[])), ALL, UNLESS_NONE,
        "Modules trained and saved whole: embed_tokens, lm_head.", "PEFT";
});
