//! The clipped value loss of PPO: one loss a token; and how much of the returns the values explain.

use burn::tensor::{Bool, Tensor, backend::Backend};

/// Per-token results of [`clipped_value_loss`], each `[tokens]`.
#[derive(Clone, Debug)]
pub struct ValueLoss<B: Backend> {
    /// Loss of each token, factor ½ included.
    pub per_token: Tensor<B, 1>,
    /// Where the clipped side is the larger loss, so that the token gives no gradient.
    pub clipped: Tensor<B, 1, Bool>,
}

/// `½·max((V − R)², (clip(V, V_old ± cliprange) − R)²)` (OpenAI baselines PPO2; TRL 0.4.7 `PPOTrainer.loss`).
///
/// `values`, `old_values`, `returns`: `[tokens]`; gradients flow to `values` only if the caller tracks no other.
pub fn clipped_value_loss<B: Backend>(
    values: Tensor<B, 1>,
    old_values: Tensor<B, 1>,
    returns: Tensor<B, 1>,
    cliprange: f64,
) -> ValueLoss<B> {
    // Bounds as tensors, not `old + clamp(new - old)`: inside them a value must stay bit-equal, or rounding alone
    // would count tokens as clipped.
    let bounded =
        values.clone().min_pair(old_values.clone() + cliprange).max_pair(old_values - cliprange) - returns.clone();
    let (free, bounded) = ((values - returns).square(), bounded.square());
    let clipped = bounded.clone().greater(free.clone());
    ValueLoss { per_token: free.max_pair(bounded) * 0.5, clipped }
}

/// `1 − mean((V − R)²)/var(R)`: 1 = perfect, 0 = no better than the mean return; `None` where the returns do not vary.
///
/// TRL's `ppo/val/var_explained`: unlike `1 − var(R − V)/var(R)` it also punishes a constant offset.
pub fn explained_variance(mean_squared_error: f64, returns_variance: f64) -> Option<f64> {
    (returns_variance > 0.0).then(|| 1.0 - mean_squared_error / returns_variance)
}
