//! Scale and shift of reward-model scores: mean 0, standard deviation 1 over the rows they were measured on.
//!
//! Holds: normalising never changes which of two rows scores higher.

use serde::{Deserialize, Serialize};

use super::moments::{Moments, Variance};
use crate::failure::{Failure, Result};

/// `normalised = (score − mean) / std`.
///
/// Hugging Face's `score` head has no bias, so a reward model is saved as [`ScoreNorm::head_scale`] folded into the head
/// and [`ScoreNorm::reward_mean`] beside it: `normalised = scale·score − reward_mean`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoreNorm {
    mean: f64,
    std: f64,
}

impl ScoreNorm {
    /// From the scores of the training rows (one-shot), or of a running stream.
    ///
    /// # Errors
    /// Data (66) if the scores are all equal or fewer than two; internal (70) if they are not finite.
    pub fn new(scores: &Moments) -> Result<Self> {
        let (mean, std) = (scores.mean(), scores.std(Variance::Unbiased));
        if !(mean.is_finite() && std.is_finite()) {
            return Err(Failure::internal(
                "the reward model gave scores that are not finite; nothing can be normalised",
            ));
        }
        // A spread below f32's resolution of the mean is rounding, not signal.
        if std <= f64::from(f32::EPSILON) * mean.abs().max(f64::from(f32::MIN_POSITIVE)) {
            return Err(Failure::data(format!(
                "the scores of all {} rows are equal: the reward model tells nothing apart, so its scores can't be \
                 normalised; train longer or with a higher learning rate, or set reward.normalizeScores to false",
                scores.count()
            )));
        }
        Ok(Self { mean, std })
    }

    /// Normalised score.
    pub fn apply(&self, score: f64) -> f64 {
        (score - self.mean) / self.std
    }

    /// What the head's weights are multiplied by.
    pub fn head_scale(&self) -> f64 {
        1.0 / self.std
    }

    /// What is subtracted from the scores of the scaled head.
    pub fn reward_mean(&self) -> f64 {
        self.mean / self.std
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(scores: &[f64]) -> Moments {
        scores.iter().copied().collect()
    }

    #[test]
    fn normalised_scores_have_mean_zero_and_deviation_one() {
        let scores = [3.0, 5.5, -1.0, 4.0, 9.0];
        let norm = ScoreNorm::new(&moments(&scores)).unwrap();
        let normalised: Moments = scores.iter().map(|s| norm.apply(*s)).collect();
        assert!(normalised.mean().abs() < 1e-12);
        assert!((normalised.std(Variance::Unbiased) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn folding_the_scale_into_the_head_and_subtracting_the_mean_is_the_same() {
        let norm = ScoreNorm::new(&moments(&[3.0, 5.5, -1.0])).unwrap();
        assert!((norm.apply(2.5) - (2.5 * norm.head_scale() - norm.reward_mean())).abs() < 1e-12);
    }

    #[test]
    fn equal_scores_are_refused_with_the_way_out() {
        let error = ScoreNorm::new(&moments(&[2.0, 2.0, 2.0])).unwrap_err();
        assert!(error.message.starts_with("the scores of all 3 rows are equal"), "{}", error.message);
        assert!(error.message.ends_with("set reward.normalizeScores to false"), "{}", error.message);
        assert!(ScoreNorm::new(&moments(&[0.0, 0.0])).is_err());
    }

    #[test]
    fn scores_that_are_not_finite_are_refused() {
        assert!(ScoreNorm::new(&moments(&[1.0, f64::NAN])).is_err());
    }
}
