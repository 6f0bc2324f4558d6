//! The clipped surrogate of PPO: one loss a token.

use burn::tensor::{Bool, Tensor, backend::Backend};

/// Per-token results of [`clipped_surrogate`], each `[tokens]`.
#[derive(Clone, Debug)]
pub struct PolicyLoss<B: Backend> {
    /// Loss of each token; its mean over the minibatch is the policy loss.
    pub per_token: Tensor<B, 1>,
    /// π/π_old.
    pub ratio: Tensor<B, 1>,
    /// Where the clipped side is the larger loss, so that the token gives no gradient.
    pub clipped: Tensor<B, 1, Bool>,
}

/// `max(−A·r, −A·clip(r, 1 ± cliprange))`, `r = exp(log π − log π_old)` (Schulman et al. 2017, eq. 7, as a loss).
///
/// `logprobs`, `old_logprobs`, `advantages`: `[tokens]`, natural log; gradients flow to `logprobs` only if the caller
/// tracks no other. Reference: TRL 0.4.7 `PPOTrainer.loss`.
pub fn clipped_surrogate<B: Backend>(
    logprobs: Tensor<B, 1>,
    old_logprobs: Tensor<B, 1>,
    advantages: Tensor<B, 1>,
    cliprange: f64,
) -> PolicyLoss<B> {
    let ratio = (logprobs - old_logprobs).exp();
    let free = advantages.clone().neg() * ratio.clone();
    let bounded = advantages.neg() * ratio.clone().clamp(1.0 - cliprange, 1.0 + cliprange);
    let clipped = bounded.clone().greater(free.clone());
    PolicyLoss { per_token: free.max_pair(bounded), ratio, clipped }
}
