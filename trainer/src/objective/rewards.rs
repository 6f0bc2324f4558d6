//! Rewards of PPO: the score of a whole response, shaped, at its last token; the KL penalty at every token.

use medtrain_crds::stage::PpoArgs;

use super::kl::KlEstimator;
use super::rows::{Rows, same_length};
use crate::failure::{Failure, Result};

/// What is done to a score before it becomes a reward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreShaping {
    /// Bound of the score's absolute value; `None` = none (TRL's `score_clip`).
    pub clip: Option<f64>,
    /// Taken off every score (TRL 0.4 `reward_baseline` of the example scripts).
    pub baseline: f64,
    /// Taken off a response that did not end by itself (TRL's `missing_eos_penalty`).
    pub missing_eos_penalty: f64,
}

impl From<&PpoArgs> for ScoreShaping {
    fn from(args: &PpoArgs) -> Self {
        Self { clip: None, baseline: args.reward_baseline, missing_eos_penalty: args.missing_eos_penalty }
    }
}

/// `clip(score, ±clip) − baseline − (ended ? 0 : missing_eos_penalty)`, in that order.
///
/// `score`: the normalised score of the reward model; `ended`: the response holds its end-of-sequence token.
pub fn shape_score(score: f32, ended: bool, shaping: &ScoreShaping) -> f32 {
    let score = f64::from(score);
    let clipped = shaping.clip.map_or(score, |bound| score.clamp(-bound.abs(), bound.abs()));
    (clipped - shaping.baseline - if ended { 0.0 } else { shaping.missing_eos_penalty }) as f32
}

/// Per-token rewards of [`token_rewards`], `[tokens]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRewards {
    /// KL penalty plus the score at each row's last marked token.
    pub rewards: Vec<f32>,
    /// The KL penalty alone (TRL's `non_score_reward`).
    pub non_score: Vec<f32>,
}

/// `r_t = −β·(log π_t − log π_ref,t)`, plus the row's score at its last marked token (Stiennon et al. 2020, section 3.4;
/// TRL 0.4 `PPOTrainer.compute_rewards`; estimator k1).
///
/// `scores`: `[rows]`, shaped; `logprobs`, `ref_logprobs`, `mask`: `[tokens]`. Masked positions get 0.
///
/// # Errors
/// Internal (70) if the lengths differ or a row has no marked token to carry its score.
pub fn token_rewards(
    scores: &[f32],
    logprobs: &[f32],
    ref_logprobs: &[f32],
    mask: &[bool],
    rows: &Rows,
    kl_coef: f64,
) -> Result<TokenRewards> {
    same_length(rows.count(), &[("scores", scores.len())])?;
    let lengths = [("logprobs", logprobs.len()), ("ref_logprobs", ref_logprobs.len()), ("mask", mask.len())];
    same_length(rows.tokens(), &lengths)?;
    let penalty = |t: usize| (-kl_coef * KlEstimator::K1.token(logprobs[t], ref_logprobs[t])) as f32;
    let non_score: Vec<f32> = (0..mask.len()).map(|t| if mask[t] { penalty(t) } else { 0.0 }).collect();
    let mut rewards = non_score.clone();
    for (row, (range, score)) in rows.ranges().zip(scores).enumerate() {
        let last = range.rev().find(|&t| mask[t]).ok_or_else(|| {
            Failure::internal(format!("response {row} of the rollout has no token that could carry its score"))
        })?;
        rewards[last] += score;
    }
    Ok(TokenRewards { rewards, non_score })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPING: ScoreShaping = ScoreShaping { clip: Some(5.0), baseline: 0.5, missing_eos_penalty: 1.0 };

    /// torchtune `tests/torchtune/rlhf/test_rewards.py`: three responses of three tokens, coefficient 0.5.
    #[test]
    fn penalty_at_every_token_and_score_at_the_last_as_in_torchtune() {
        let logprobs = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.7, 0.8];
        let reference = [0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1];
        let rows = Rows::new([3, 3, 3]);
        let out = token_rewards(&[1.0, 2.0, 3.0], &logprobs, &reference, &[true; 9], &rows, 0.5).unwrap();
        let want = [0.05, 0.05, 1.05, 0.1, 0.1, 2.1, 0.15, 0.15, 3.15];
        assert!(out.rewards.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6), "{:?}", out.rewards);
        assert!((out.non_score[2] - 0.05).abs() < 1e-6, "the score is not part of the penalty");
    }

    #[test]
    fn the_score_sits_at_the_last_marked_token_and_masked_ones_get_nothing() {
        let mask = [true, true, false, false];
        let out = token_rewards(&[2.0], &[-1.0, -1.0, f32::NAN, 0.0], &[-1.0; 4], &mask, &Rows::new([4]), 0.1).unwrap();
        assert_eq!(out.rewards, [0.0, 2.0, 0.0, 0.0]);
    }

    #[test]
    fn an_empty_response_is_an_error_that_says_which() {
        let error = token_rewards(&[1.0, 1.0], &[0.0], &[0.0], &[true], &Rows::new([1, 0]), 0.1).unwrap_err();
        assert_eq!(error.message, "response 1 of the rollout has no token that could carry its score");
    }

    #[test]
    fn scores_are_clipped_before_baseline_and_penalty() {
        assert_eq!(shape_score(2.0, true, &SHAPING), 1.5);
        assert_eq!(shape_score(2.0, false, &SHAPING), 0.5);
        assert_eq!(shape_score(80.0, false, &SHAPING), 3.5);
        assert_eq!(shape_score(-80.0, true, &SHAPING), -5.5);
    }
}
