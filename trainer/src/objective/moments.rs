//! Count, mean and variance of a stream of numbers, in f64.
//!
//! Holds: the same numbers in the same order give the same bits; two streams merge to (within rounding) what one stream
//! over both would have given, so moments can be kept per batch, checkpointed and joined.

use serde::{Deserialize, Serialize};

use super::rows::same_length;
use crate::failure::Result;

/// Divisor of a variance over n numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variance {
    /// n − 1: PyTorch's and TRL's default.
    Unbiased,
    /// n: TensorFlow's, so OpenAI's original RLHF code.
    Biased,
}

/// Running moments (Welford 1962); merging after Chan, Golub and LeVeque 1979.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Moments {
    count: u64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    sum_squares: f64,
}

impl Moments {
    /// Moments of the values that `mask` marks.
    ///
    /// # Errors
    /// Internal (70) if the lengths differ.
    pub fn masked(values: &[f32], mask: &[bool]) -> Result<Self> {
        same_length(values.len(), &[("mask", mask.len())])?;
        Ok(values.iter().zip(mask).filter(|(_, keep)| **keep).map(|(value, _)| f64::from(*value)).collect())
    }

    pub fn push(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.sum_squares += delta * (value - self.mean);
    }

    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.count += other.count;
        self.mean += delta * (m / (n + m));
        self.sum_squares += other.sum_squares + delta * delta * (n * m / (n + m));
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// 0 for no numbers.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// 0 where it is not defined: no numbers, or one and [`Variance::Unbiased`].
    pub fn var(&self, variance: Variance) -> f64 {
        let divisor = match variance {
            Variance::Unbiased => self.count.saturating_sub(1),
            Variance::Biased => self.count,
        };
        if divisor == 0 { 0.0 } else { self.sum_squares / divisor as f64 }
    }

    pub fn std(&self, variance: Variance) -> f64 {
        self.var(variance).sqrt()
    }

    /// Standard error of the mean, `std / √n`; `None` below two numbers.
    pub fn stderr(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.var(Variance::Unbiased) / self.count as f64).sqrt())
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::default();
        values.into_iter().for_each(|value| moments.push(value));
        moments
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn masked_mean_and_variance_are_those_of_torchtune_and_trl() {
        let torchtune = Moments::masked(&[1.0, 2.0, 3.0, 4.0, 5.0], &[true, true, true, false, false]).unwrap();
        assert_eq!((torchtune.mean(), torchtune.var(Variance::Unbiased)), (2.0, 1.0));
        let trl = Moments::masked(&[1.0, 2.0, 3.0, 4.0], &[false, true, true, false]).unwrap();
        assert_eq!((trl.mean(), trl.var(Variance::Unbiased), trl.var(Variance::Biased)), (2.5, 0.5, 0.25));
    }

    #[test]
    fn undefined_moments_are_zero_or_none_and_never_nan() {
        let none = Moments::default();
        assert_eq!((none.mean(), none.var(Variance::Biased), none.stderr()), (0.0, 0.0, None));
        let one: Moments = [7.0].into_iter().collect();
        assert_eq!((one.mean(), one.var(Variance::Unbiased), one.stderr()), (7.0, 0.0, None));
    }

    #[test]
    fn standard_error_is_the_deviation_over_root_n() {
        let moments: Moments = [1.0, 2.0, 3.0, 4.0].into_iter().collect();
        assert!((moments.stderr().unwrap() - (5.0_f64 / 3.0).sqrt() / 2.0).abs() < 1e-15);
    }

    #[test]
    fn survives_a_checkpoint_bit_for_bit() {
        let moments: Moments = [0.1, 0.7, -3.3].into_iter().collect();
        let text = serde_json::to_string(&moments).unwrap();
        assert_eq!(serde_json::from_str::<Moments>(&text).unwrap(), moments);
    }

    proptest! {
        #[test]
        fn merging_parts_equals_one_pass(values in prop::collection::vec(-1e3_f64..1e3, 0..40), cut in 0_usize..40) {
            let cut = cut.min(values.len());
            let whole: Moments = values.iter().copied().collect();
            let mut parts: Moments = values[..cut].iter().copied().collect();
            parts.merge(&values[cut..].iter().copied().collect());
            prop_assert_eq!(parts.count(), whole.count());
            prop_assert!((parts.mean() - whole.mean()).abs() <= 1e-10);
            prop_assert!((parts.var(Variance::Biased) - whole.var(Variance::Biased)).abs() <= 1e-7);
        }
    }
}
