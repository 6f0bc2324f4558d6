//! Names of numbers: in manifests, result files, TensorBoard and on `/metrics`.
//!
//! Names in files are Hugging Face's and TRL's, so that tools that know those find them.

/// Keys of `metrics` in manifests and of `*_results.json`.
pub const TRAIN_LOSS: &str = "train_loss";
pub const EVAL_LOSS: &str = "eval_loss";
/// `exp(eval_loss)`; PT and SFT only.
pub const EVAL_PERPLEXITY: &str = "eval_perplexity";
/// Share of target tokens that the model ranks first; for RM, of pairs whose chosen answer scores higher.
pub const EVAL_ACCURACY: &str = "eval_accuracy";
/// RM: mean difference between chosen and rejected scores.
pub const EVAL_MARGIN: &str = "eval_margin";
/// RM: mean score over the training rows, which readers of the model subtract.
pub const REWARD_MEAN: &str = "reward_mean";
/// RM: standard deviation of the scores before it was folded into the head.
pub const REWARD_STD: &str = "reward_std";
/// The same figures before the first step.
pub const EVAL_LOSS_BEFORE: &str = "eval_loss_before";
pub const EVAL_PERPLEXITY_BEFORE: &str = "eval_perplexity_before";
pub const EVAL_ACCURACY_BEFORE: &str = "eval_accuracy_before";
pub const EVAL_REWARD: &str = "eval_reward";
pub const EVAL_REWARD_BEFORE: &str = "eval_reward_before";
/// PPO: k1 estimate of the KL to the reference, summed over the sequence, nats.
pub const PPO_KL: &str = "objective/kl";
/// Standard error of [`PPO_KL`].
pub const PPO_KL_STDERR: &str = "objective/kl_stderr";
/// PPO: k3 estimate of the same, never negative.
pub const PPO_KL_K3: &str = "objective/kl_k3";
pub const PPO_KL_COEF: &str = "objective/kl_coef";
pub const PPO_ENTROPY: &str = "objective/entropy";
pub const PPO_SCORES: &str = "objective/scores";
pub const PPO_RLHF_REWARD: &str = "objective/rlhf_reward";
pub const PPO_POLICY_LOSS: &str = "loss/policy_avg";
pub const PPO_VALUE_LOSS: &str = "loss/value_avg";
pub const PPO_APPROX_KL: &str = "policy/approxkl_avg";
pub const PPO_CLIP_FRACTION: &str = "policy/clipfrac_avg";
pub const PPO_VALUE_CLIP_FRACTION: &str = "val/clipfrac_avg";
pub const PPO_EXPLAINED_VARIANCE: &str = "val/var_explained";

/// Names on the trainer's `/metrics`; every one carries the labels `stage` and `kind`.
pub mod prometheus {
    pub const STEP: &str = "medtrain_trainer_step";
    pub const TOTAL_STEPS: &str = "medtrain_trainer_steps_planned";
    pub const LOSS: &str = "medtrain_trainer_loss";
    pub const EVAL_LOSS: &str = "medtrain_trainer_eval_loss";
    pub const REWARD: &str = "medtrain_trainer_reward";
    pub const KL: &str = "medtrain_trainer_kl";
    pub const GRAD_NORM: &str = "medtrain_trainer_grad_norm";
    pub const LEARNING_RATE: &str = "medtrain_trainer_learning_rate";
    pub const TOKENS_PER_SECOND: &str = "medtrain_trainer_tokens_per_second";
    pub const TOKENS_TOTAL: &str = "medtrain_trainer_tokens_total";
    pub const STEP_SECONDS: &str = "medtrain_trainer_step_seconds";
    pub const CHECKPOINT_AGE_SECONDS: &str = "medtrain_trainer_checkpoint_age_seconds";
    pub const CHECKPOINT_BYTES: &str = "medtrain_trainer_checkpoint_bytes";
    /// Label `reason`.
    pub const DATA_ROWS_DROPPED_TOTAL: &str = "medtrain_trainer_data_rows_dropped_total";
    pub const RESIDENT_MEMORY_BYTES: &str = "medtrain_trainer_resident_memory_bytes";
}
