//! One PPO minibatch: from new log-probabilities and values to their gradients and statistics.
//!
//! Holds: loss = policy loss + `vfCoef`·value loss, each a mean over the marked tokens of the whole minibatch, so it
//! does not matter how many micro-batches the minibatch is computed in; masked positions get gradient 0.

use burn::tensor::Tensor;
use medtrain_crds::stage::PpoArgs;
use serde::{Deserialize, Serialize};

use super::moments::{Moments, Variance};
use super::policy_loss::clipped_surrogate;
use super::rows::same_length;
use super::value_loss::{clipped_value_loss, explained_variance};
use super::{Host, to_host, to_tensor};
use crate::failure::{Failure, Result};

/// Leave a batch's PPO epochs when the policy moved this many times `targetKl` (TRL 0.4 `_early_stop`).
const EARLY_STOP_FACTOR: f64 = 1.5;

/// Response tokens of a minibatch, or of one micro-batch of it. All slices are `[tokens]`, rows concatenated.
#[derive(Clone, Copy, Debug)]
pub struct PpoMinibatch<'a> {
    /// log π of the policy as it is now.
    pub logprobs: &'a [f32],
    /// log π of the policy that the rollout's batch started from.
    pub old_logprobs: &'a [f32],
    pub advantages: &'a [f32],
    /// Value head as it is now.
    pub values: &'a [f32],
    pub old_values: &'a [f32],
    pub returns: &'a [f32],
    pub mask: &'a [bool],
    /// Marked tokens of the whole minibatch: the divisor of its means.
    pub minibatch_tokens: u64,
}

/// Result of [`ppo_minibatch`].
#[derive(Clone, Debug)]
pub struct PpoOutcome {
    /// d loss/d log π, `[tokens]`.
    pub d_logprobs: Vec<f32>,
    /// d loss/d value, `[tokens]`.
    pub d_values: Vec<f32>,
    pub tally: PpoTally,
}

/// Loss gradient and statistics of a minibatch or micro-batch; gradients of micro-batches add up.
///
/// A loss that is not finite is returned as it is: the training loop stops on it and names the batch.
///
/// # Errors
/// Internal (70) if lengths differ or `minibatch_tokens` is less than the marked tokens.
pub fn ppo_minibatch(batch: &PpoMinibatch<'_>, args: &PpoArgs) -> Result<PpoOutcome> {
    same_length(
        batch.mask.len(),
        &[
            ("logprobs", batch.logprobs.len()),
            ("old_logprobs", batch.old_logprobs.len()),
            ("advantages", batch.advantages.len()),
            ("values", batch.values.len()),
            ("old_values", batch.old_values.len()),
            ("returns", batch.returns.len()),
        ],
    )?;
    let marked: Vec<usize> = (0..batch.mask.len()).filter(|&t| batch.mask[t]).collect();
    if marked.len() as u64 > batch.minibatch_tokens {
        return Err(Failure::internal(format!(
            "a PPO micro-batch has {} response tokens, but its minibatch was counted as {}",
            marked.len(),
            batch.minibatch_tokens
        )));
    }
    let mut outcome = PpoOutcome {
        d_logprobs: vec![0.0; batch.mask.len()],
        d_values: vec![0.0; batch.mask.len()],
        tally: PpoTally::default(),
    };
    if marked.is_empty() {
        return Ok(outcome);
    }

    let device = Default::default();
    // Only marked tokens become tensors: 0·NaN is NaN, so a mask by multiplication would let garbage through.
    let gather = |values: &[f32]| -> Vec<f32> { marked.iter().map(|&t| values[t]).collect() };
    let tensor = |values: &[f32]| to_tensor::<Host>(&gather(values), &device);
    let logprobs = tensor(batch.logprobs).require_grad();
    let values = tensor(batch.values).require_grad();
    let policy =
        clipped_surrogate(logprobs.clone(), tensor(batch.old_logprobs), tensor(batch.advantages), args.cliprange);
    let value =
        clipped_value_loss(values.clone(), tensor(batch.old_values), tensor(batch.returns), args.cliprange_value);

    let share = 1.0 / batch.minibatch_tokens as f64;
    scatter(&gradient(policy.per_token.clone() * share, &logprobs)?, &marked, &mut outcome.d_logprobs);
    scatter(&gradient(value.per_token.clone() * (share * args.vf_coef), &values)?, &marked, &mut outcome.d_values);

    let (policy_losses, ratios) = (to_host(policy.per_token)?, to_host(policy.ratio)?);
    let policy_clipped = to_host(policy.clipped.float())?;
    let (value_losses, value_clipped) = (to_host(value.per_token)?, to_host(value.clipped.float())?);
    for (i, &t) in marked.iter().enumerate() {
        outcome.tally.push(&TokenStats {
            policy_loss: policy_losses[i].into(),
            value_loss: value_losses[i].into(),
            policy_clipped: policy_clipped[i].into(),
            value_clipped: value_clipped[i].into(),
            ratio: ratios[i].into(),
            log_ratio: f64::from(batch.logprobs[t]) - f64::from(batch.old_logprobs[t]),
            advantage: batch.advantages[t].into(),
            value: batch.values[t].into(),
            old_value: batch.old_values[t].into(),
            return_: batch.returns[t].into(),
        });
    }
    Ok(outcome)
}

/// d Σ losses/d leaf. `backward` of a vector seeds ones, so no whole-tensor sum is computed.
fn gradient(losses: Tensor<Host, 1>, leaf: &Tensor<Host, 1>) -> Result<Vec<f32>> {
    let gradients = losses.backward();
    let gradient = leaf.grad(&gradients).ok_or_else(|| Failure::internal("a PPO loss lost its gradient"))?;
    to_host(gradient)
}

fn scatter(from: &[f32], indices: &[usize], to: &mut [f32]) {
    from.iter().zip(indices).for_each(|(value, &index)| to[index] = *value);
}

/// Whether to leave the PPO epochs of this batch at the minibatch that `policykl` was measured on.
pub fn early_stop(policykl: f64, args: &PpoArgs) -> bool {
    args.early_stopping && policykl > EARLY_STOP_FACTOR * args.target_kl
}

struct TokenStats {
    policy_loss: f64,
    value_loss: f64,
    policy_clipped: f64,
    value_clipped: f64,
    ratio: f64,
    log_ratio: f64,
    advantage: f64,
    value: f64,
    old_value: f64,
    return_: f64,
}

/// Sums behind [`PpoStats`] over micro-batches and minibatches; part of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PpoTally {
    policy_loss: f64,
    value_loss: f64,
    policy_clipped: f64,
    value_clipped: f64,
    ratio: f64,
    log_ratio: f64,
    log_ratio_squared: f64,
    advantage: f64,
    value: f64,
    value_error: f64,
    old_values: Moments,
    returns: Moments,
}

impl PpoTally {
    fn push(&mut self, token: &TokenStats) {
        self.policy_loss += token.policy_loss;
        self.value_loss += token.value_loss;
        self.policy_clipped += token.policy_clipped;
        self.value_clipped += token.value_clipped;
        self.ratio += token.ratio;
        self.log_ratio += token.log_ratio;
        self.log_ratio_squared += token.log_ratio * token.log_ratio;
        self.advantage += token.advantage;
        self.value += token.value;
        self.value_error += (token.value - token.return_).powi(2);
        self.old_values.push(token.old_value);
        self.returns.push(token.return_);
    }

    pub fn merge(&mut self, other: &Self) {
        self.policy_loss += other.policy_loss;
        self.value_loss += other.value_loss;
        self.policy_clipped += other.policy_clipped;
        self.value_clipped += other.value_clipped;
        self.ratio += other.ratio;
        self.log_ratio += other.log_ratio;
        self.log_ratio_squared += other.log_ratio_squared;
        self.advantage += other.advantage;
        self.value += other.value;
        self.value_error += other.value_error;
        self.old_values.merge(&other.old_values);
        self.returns.merge(&other.returns);
    }

    /// Means over all marked tokens so far; `None` without any.
    pub fn stats(&self, vf_coef: f64) -> Option<PpoStats> {
        let tokens = self.returns.count();
        if tokens == 0 {
            return None;
        }
        let mean = |sum: f64| sum / tokens as f64;
        let (policy_loss, value_loss) = (mean(self.policy_loss), mean(self.value_loss));
        let returns_var = self.returns.var(Variance::Unbiased);
        Some(PpoStats {
            tokens,
            policy_loss,
            value_loss,
            total_loss: policy_loss + vf_coef * value_loss,
            approxkl: 0.5 * mean(self.log_ratio_squared),
            policykl: -mean(self.log_ratio),
            policy_clipfrac: mean(self.policy_clipped),
            ratio: mean(self.ratio),
            advantages_mean: mean(self.advantage),
            vpred: mean(self.value),
            value_error: mean(self.value_error),
            value_clipfrac: mean(self.value_clipped),
            old_values_mean: self.old_values.mean(),
            old_values_var: self.old_values.var(Variance::Unbiased),
            returns_mean: self.returns.mean(),
            returns_var,
            var_explained: explained_variance(mean(self.value_error), returns_var),
        })
    }
}

/// Means over response tokens; names after TRL 0.4's `ppo/…` statistics.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PpoStats {
    pub tokens: u64,
    pub policy_loss: f64,
    /// Without `vfCoef`.
    pub value_loss: f64,
    pub total_loss: f64,
    /// `½·E[(log π − log π_old)²]`.
    pub approxkl: f64,
    /// `E[log π_old − log π]`, nats a token: what the early stop looks at.
    pub policykl: f64,
    pub policy_clipfrac: f64,
    pub ratio: f64,
    pub advantages_mean: f64,
    pub vpred: f64,
    /// `E[(V − R)²]`.
    pub value_error: f64,
    pub value_clipfrac: f64,
    pub old_values_mean: f64,
    pub old_values_var: f64,
    pub returns_mean: f64,
    pub returns_var: f64,
    /// See [`explained_variance`].
    pub var_explained: Option<f64>,
}
