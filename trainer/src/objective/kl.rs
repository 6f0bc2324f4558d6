//! Kullback-Leibler divergence of the policy from the reference, estimated from sampled tokens.
//!
//! Tokens are sampled from the policy π; with `d = log π − log π_ref` of a sampled token (Schulman, "Approximating KL
//! Divergence", 2020): k1 = d is unbiased but may be negative, k2 = ½d² is biased and small in variance,
//! k3 = exp(−d) − 1 + d is unbiased and never negative.

use super::moments::Moments;
use super::rows::{Rows, same_length};
use crate::failure::Result;

/// Estimator of the KL divergence a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KlEstimator {
    K1,
    K2,
    K3,
}

impl KlEstimator {
    /// Nats, for one token sampled from the policy; arguments are its log-probabilities.
    pub fn token(self, logprob: f32, ref_logprob: f32) -> f64 {
        let d = f64::from(logprob) - f64::from(ref_logprob);
        match self {
            Self::K1 => d,
            Self::K2 => 0.5 * d * d,
            // `exp_m1` keeps the digits that `exp(-d) - 1` loses near 0; `max` takes off its last rounding error.
            Self::K3 => ((-d).exp_m1() + d).max(0.0),
        }
    }

    /// Per-token estimates, `[tokens]`, nats.
    ///
    /// # Errors
    /// Internal (70) if the lengths differ.
    pub fn per_token(self, logprobs: &[f32], ref_logprobs: &[f32]) -> Result<Vec<f32>> {
        same_length(logprobs.len(), &[("ref_logprobs", ref_logprobs.len())])?;
        Ok(logprobs.iter().zip(ref_logprobs).map(|(lp, rlp)| self.token(*lp, *rlp) as f32).collect())
    }

    /// Sum over the marked tokens of each row, `[rows]`, nats a sequence.
    ///
    /// # Errors
    /// Internal (70) if the lengths differ.
    pub fn per_sequence(self, logprobs: &[f32], ref_logprobs: &[f32], mask: &[bool], rows: &Rows) -> Result<Vec<f64>> {
        let lengths = [("logprobs", logprobs.len()), ("ref_logprobs", ref_logprobs.len()), ("mask", mask.len())];
        same_length(rows.tokens(), &lengths)?;
        let sum = |range: std::ops::Range<usize>| {
            range.filter(|&t| mask[t]).map(|t| self.token(logprobs[t], ref_logprobs[t])).sum()
        };
        Ok(rows.ranges().map(sum).collect())
    }
}

/// KL of a rollout, over its sequences: nats a sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KlReport {
    pub k1: Moments,
    pub k3: Moments,
}

impl KlReport {
    /// `logprobs`, `ref_logprobs`: `[tokens]`, of the untruncated distributions at the sampling temperature.
    ///
    /// # Errors
    /// Internal (70) if the lengths differ.
    pub fn new(logprobs: &[f32], ref_logprobs: &[f32], mask: &[bool], rows: &Rows) -> Result<Self> {
        let moments = |estimator: KlEstimator| -> Result<Moments> {
            Ok(estimator.per_sequence(logprobs, ref_logprobs, mask, rows)?.into_iter().collect())
        };
        Ok(Self { k1: moments(KlEstimator::K1)?, k3: moments(KlEstimator::K3)? })
    }

    /// Whether the mean k1 is below −1 nat (TRL's warning level) by more than three standard errors can explain.
    ///
    /// A true KL is never negative: tokens were then not sampled from the policy whose log-probabilities these are
    /// (truncated sampling, another temperature, dropout, a wrong mask). With one sequence nothing is known, so `false`.
    pub fn is_impossible(&self) -> bool {
        self.k1.stderr().is_some_and(|stderr| self.k1.mean() < -1.0 - 3.0 * stderr)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn estimators_follow_their_definitions() {
        let (lp, rlp) = (-1.0_f32, -1.5_f32);
        assert_eq!(KlEstimator::K1.token(lp, rlp), 0.5);
        assert_eq!(KlEstimator::K2.token(lp, rlp), 0.125);
        assert!((KlEstimator::K3.token(lp, rlp) - ((-0.5_f64).exp() - 0.5)).abs() < 1e-15);
    }

    #[test]
    fn k3_keeps_its_digits_near_zero() {
        let d = f64::from(1e-6_f32);
        let k3 = KlEstimator::K3.token(1e-6, 0.0);
        assert!((k3 / (d * d / 2.0 - d * d * d / 6.0) - 1.0).abs() < 1e-6, "{k3}");
    }

    /// All three tend to the true KL of two known distributions when averaged exactly over the policy (k2 roughly).
    #[test]
    fn k1_and_k3_average_to_the_true_divergence() {
        let policy = [0.7_f64, 0.2, 0.1];
        let reference = [0.6_f64, 0.3, 0.1];
        let truth: f64 = policy.iter().zip(reference).map(|(p, q)| p * (p / q).ln()).sum();
        for estimator in [KlEstimator::K1, KlEstimator::K3] {
            let token = |(p, q): (&f64, &f64)| p * estimator.token(p.ln() as f32, q.ln() as f32);
            let mean: f64 = policy.iter().zip(&reference).map(token).sum();
            assert!((mean - truth).abs() < 1e-7, "{estimator:?}: {mean} is not {truth}");
        }
    }

    #[test]
    fn sequences_sum_their_marked_tokens_only() {
        let logprobs = [-1.0, -2.0, f32::NAN, -1.0];
        let reference = [-1.5, -2.25, 0.0, -3.0];
        let rows = Rows::new([3, 1]);
        let sums = KlEstimator::K1.per_sequence(&logprobs, &reference, &[true, true, false, true], &rows).unwrap();
        assert_eq!(sums, [0.75, 2.0]);
    }

    #[test]
    fn a_clearly_negative_divergence_is_called_impossible_and_noise_is_not() {
        let report = |kl: [f64; 4]| KlReport { k1: kl.into_iter().collect(), k3: Moments::default() };
        assert!(report([-3.0, -2.9, -3.1, -3.0]).is_impossible());
        assert!(!report([-0.5, -0.4, -0.6, -0.5]).is_impossible(), "above TRL's warning level");
        assert!(!report([-9.0, 8.0, -10.0, 3.0]).is_impossible(), "within noise");
        let one = KlReport { k1: [-50.0].into_iter().collect(), k3: Moments::default() };
        assert!(!one.is_impossible(), "a single sequence proves nothing");
    }

    proptest! {
        #[test]
        fn k3_and_k2_are_never_negative(lp in -50.0_f32..0.0, rlp in -50.0_f32..0.0) {
            prop_assert!(KlEstimator::K2.token(lp, rlp) >= 0.0);
            prop_assert!(KlEstimator::K3.token(lp, rlp) >= 0.0);
        }

        #[test]
        fn all_estimators_vanish_for_equal_models(lp in -50.0_f32..0.0) {
            for estimator in [KlEstimator::K1, KlEstimator::K2, KlEstimator::K3] {
                prop_assert_eq!(estimator.token(lp, lp), 0.0);
            }
        }
    }
}
