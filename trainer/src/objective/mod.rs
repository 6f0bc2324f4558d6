//! What the stages minimise: causal-LM loss weights, the Bradley-Terry reward loss, and PPO from scores to gradients.
//!
//! Holds: everything works on flat rows without padding (see [`rows::Rows`]); masked positions never influence a
//! result, whatever they hold; sums run in index order in f64, so results do not depend on the number of threads;
//! log-probabilities and KL are natural logarithms (nats). Losses with gradients are generic over the burn backend and
//! return one loss per token or pair; the means are taken here, on the host, over counts the caller states.
//!
//! Where each formula of PPO for language models lives. The numbers are those of "The N Implementation Details of
//! RLHF with PPO" (Hugging Face blog, 2023): G general, R reward model, P policy.
//!
//! | detail | where |
//! |---|---|
//! | G: reward model and value head see query and response | `stages` (rows are whole sequences) |
//! | G: position ids with padding | no padding anywhere in this trainer |
//! | G: learning rate annealed to 0 | [`crate::optim::schedule`] (linear) |
//! | R: score at the last token | [`rewards::token_rewards`] |
//! | R: head init N(0, 1/√(d+1)), bias 0 | [`crate::generate::rng::Stream::fill_normal`], called by `model` |
//! | R: scores normalised to mean 0, standard deviation 1 | [`reward_norm`] |
//! | P: logits divided by the sampling temperature | [`crate::generate::processors::temperature`]; training: `stages` |
//! | P: value head starts at 0, dropout off | `model`, `stages` |
//! | P: penalty for a response without end of sequence | [`rewards::shape_score`] |
//! | P: γ = 1, λ = 0.95, advantages and returns | [`gae::gae`] |
//! | P: minibatches reshuffled every PPO epoch | [`crate::generate::rng::Stream::permutation`] |
//! | P: per-token KL penalty −β·(log π − log π_ref) | [`kl`] (k1), [`rewards::token_rewards`] |
//! | P: rewards whitened without mean shift, advantages with | [`whiten::whiten`] |
//! | P: clipped surrogate | [`policy_loss::clipped_surrogate`] |
//! | P: clipped value loss | [`value_loss::clipped_value_loss`] |
//! | P: total loss, its gradient, statistics, early stop | [`ppo`] |
//! | P: adaptive KL coefficient | [`kl_controller`] |
//! | Adam's epsilon outside the root (PyTorch's form) | `optim` |

use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData, backend::Backend};
use burn_flex::Flex;

use crate::failure::{Failure, Result};

pub mod bradley_terry;
pub mod causal_lm;
pub mod gae;
pub mod kl;
pub mod kl_controller;
pub mod moments;
pub mod policy_loss;
pub mod ppo;
pub mod reward_norm;
pub mod rewards;
pub mod rows;
pub mod value_loss;
pub mod whiten;

#[cfg(test)]
pub(crate) mod parity_tests;
#[cfg(test)]
pub(crate) mod ppo_tests;

/// Where the small tensors of an objective live, whatever device the model is on.
pub type Host = Autodiff<Flex>;

fn to_tensor<B: Backend>(values: &[f32], device: &B::Device) -> Tensor<B, 1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

fn to_host<B: Backend>(tensor: Tensor<B, 1>) -> Result<Vec<f32>> {
    tensor.into_data().into_vec::<f32>().map_err(|e| Failure::internal(format!("reading a loss tensor: {e:?}")))
}
