//! Hyperparameters of a stage, fully resolved: nothing is left to a default here.
//!
//! Holds: field by field the same names as the table, which a test checks.

use serde::{Deserialize, Serialize};

use crate::contract::metrics;

/// Low-rank adaptation of the listed projections (Hu et al. 2021); names as in PEFT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoraArgs {
    pub rank: u32,
    pub alpha: f64,
    pub dropout: f64,
    /// Module names (`q_proj`, …); `all-linear` has been expanded by the resolver to the seven projections.
    pub target_modules: Vec<String>,
    pub use_rslora: bool,
    pub modules_to_save: Vec<String>,
}

impl LoraArgs {
    /// Scale of the low-rank product: `alpha / r`, or `alpha / sqrt(r)` with rank-stabilised LoRA.
    pub fn scale(&self) -> f64 {
        if self.use_rslora { self.alpha / f64::from(self.rank).sqrt() } else { self.alpha / f64::from(self.rank) }
    }
}

/// Which weights a stage trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tuning {
    Lora(LoraArgs),
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedulerType {
    Linear,
    Cosine,
    Constant,
    ConstantWithWarmup,
}

/// When to evaluate or save.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalStrategy {
    No,
    Steps,
    Epoch,
}

/// What happens to a row longer than `maxLength`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlongPolicy {
    /// Cut, keeping the end-of-sequence token (default of SFT).
    Truncate,
    /// Leave the row out and count it (default of RM and PPO).
    Drop,
    /// Fail with exit code 66.
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    Float32,
    Bfloat16,
    Float16,
}

/// Hyperparameters that all stages share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrainArgs {
    pub learning_rate: f64,
    pub lr_scheduler_type: LrSchedulerType,
    pub warmup_ratio: f64,
    /// Overrides `warmup_ratio` when above 0.
    pub warmup_steps: u32,
    pub num_train_epochs: f64,
    /// Overrides `num_train_epochs` when set.
    pub max_steps: Option<u32>,
    pub per_device_train_batch_size: u32,
    pub per_device_eval_batch_size: u32,
    pub gradient_accumulation_steps: u32,
    pub weight_decay: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_epsilon: f64,
    /// Global-norm clip; 0 switches it off.
    pub max_grad_norm: f64,
    pub gradient_checkpointing: bool,
    pub eval_strategy: IntervalStrategy,
    pub eval_steps: u32,
    pub save_strategy: IntervalStrategy,
    pub save_steps: u32,
    pub save_total_limit: Option<u32>,
    pub logging_steps: u32,
    pub logging_first_step: bool,
    /// Longest row in tokens (SFT, RM: whole row; PPO: prompt).
    pub max_length: u32,
    /// Block length of PT in tokens.
    pub block_size: u32,
    /// SFT: several rows in one block, attention isolated between them.
    pub packing: bool,
    pub train_on_inputs: bool,
    pub overlong: OverlongPolicy,
    pub max_train_samples: Option<u32>,
    pub max_eval_samples: Option<u32>,
    /// Name of a built-in chat template, or a template's text; `None` = the model's own.
    pub chat_template: Option<String>,
    /// Dtype of the merged model; `None` = the base's.
    pub save_dtype: Option<Dtype>,
    pub log_samples: bool,
    /// Evaluations without an improvement after which the stage ends; `None` = it runs to its last step.
    #[serde(default)]
    pub early_stopping_patience: Option<u32>,
    /// What counts as an improvement for the patience.
    #[serde(default)]
    pub early_stopping_threshold: f64,
    /// The stage leaves the weights of its best evaluation, not those of its last step.
    #[serde(default)]
    pub load_best_model_at_end: bool,
    /// Set wherever evaluations are compared.
    #[serde(default)]
    pub metric_for_best_model: Option<BestMetric>,
    /// Set wherever `metric_for_best_model` is.
    #[serde(default)]
    pub greater_is_better: Option<bool>,
}

impl TrainArgs {
    /// Whether the evaluations in between decide which weights the stage leaves.
    pub fn evaluations_decide(&self) -> bool {
        self.early_stopping_patience.is_some() || self.load_best_model_at_end
    }
}

/// The held-out figure that evaluations are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BestMetric {
    EvalLoss,
    EvalAccuracy,
}

impl BestMetric {
    /// As logs and manifests call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::EvalLoss => metrics::EVAL_LOSS,
            Self::EvalAccuracy => metrics::EVAL_ACCURACY,
        }
    }

    /// What transformers implies by the name: a loss is better when it is less.
    pub fn greater_is_better(self) -> bool {
        match self {
            Self::EvalLoss => false,
            Self::EvalAccuracy => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlController {
    Adaptive,
    Fixed,
}

/// Other defaults of a PPO stage, as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PpoPreset {
    /// What TRL and MedicalGPT did in June 2023.
    #[serde(rename = "trl-2023")]
    Trl2023,
}

/// The value head before the first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VHeadInitStrategy {
    Zeros,
    /// Weights and bias uniform over ±1/√hidden (`torch.nn.Linear`).
    Uniform,
}

/// Hyperparameters of PPO; names as in TRL, except where one TRL name means two things.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PpoArgs {
    /// What the defaults were taken from; all its values are in the other fields.
    pub preset: Option<PpoPreset>,
    pub init_kl_coef: f64,
    pub kl_controller: KlController,
    /// Target of the adaptive controller, nats a sequence.
    pub kl_target: f64,
    /// Horizon of the adaptive controller, episodes.
    pub kl_horizon: f64,
    pub early_stopping: bool,
    /// Whether the minibatch that the early stop was measured on is still stepped on.
    pub early_stopping_after_step: bool,
    /// Early stop: leave a batch's PPO epochs when the policy moved by more than 1.5 times this (nats a token).
    pub target_kl: f64,
    pub num_ppo_epochs: u32,
    /// Prompts a rollout.
    pub batch_size: u32,
    /// Episodes an optimiser step.
    pub mini_batch_size: u32,
    /// Episodes of the whole stage; `None` = `numTrainEpochs` passes over the prompts.
    pub total_episodes: Option<u32>,
    pub gamma: f64,
    pub lam: f64,
    pub cliprange: f64,
    pub cliprange_value: f64,
    pub vf_coef: f64,
    pub v_head_init_strategy: VHeadInitStrategy,
    pub whiten_rewards: bool,
    pub whiten_advantages: bool,
    /// Tokens a response: at least, at most.
    pub min_new_tokens: u32,
    pub max_new_tokens: u32,
    pub temperature: f64,
    pub top_k: u32,
    pub top_p: f64,
    /// Reward taken off a response that does not end by itself.
    pub missing_eos_penalty: f64,
    pub reward_baseline: f64,
}

/// Hyperparameters of reward modelling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RewardArgs {
    /// Weight of `mean((r_chosen + r_rejected)²)`, which keeps rewards centred; 0 = off (TRL's `center_rewards_coefficient`).
    pub center_rewards_coefficient: f64,
    /// Scale and shift scores to mean 0, standard deviation 1 over the training rows when the stage ends.
    pub normalize_scores: bool,
}
