//! Whitening: scale to variance 1 and, where wanted, shift to mean 0, over the positions a mask marks.

use super::moments::{Moments, Variance};
use crate::failure::Result;

/// Keeps the divisor away from 0 (TRL 0.4 `core.py: masked_whiten`, torchtune `rlhf/rewards.py: whiten`).
const EPSILON: f64 = 1e-8;

/// `(x − mean)·(var + 1e-8)^−½`, plus `mean` again unless `shift_mean`; 0 where `mask` is false.
///
/// `values`, `mask`: `[tokens]`. `shift_mean = true` gives mean 0 (advantages), `false` keeps the mean (rewards): TRL's
/// sense, the opposite of torchtune's parameter of the same name.
///
/// # Errors
/// Internal (70) if the lengths differ.
pub fn whiten(values: &[f32], mask: &[bool], variance: Variance, shift_mean: bool) -> Result<Vec<f32>> {
    let moments = Moments::masked(values, mask)?;
    let (mean, scale) = (moments.mean(), 1.0 / (moments.var(variance) + EPSILON).sqrt());
    let back = if shift_mean { 0.0 } else { mean };
    let white = |value: f32| ((f64::from(value) - mean) * scale + back) as f32;
    Ok(values.iter().zip(mask).map(|(value, keep)| if *keep { white(*value) } else { 0.0 }).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOG: [f32; 9] = [1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0];

    fn assert_close(got: &[f32], expected: &[f32], tolerance: f32) {
        assert_eq!(got.len(), expected.len());
        for (g, e) in got.iter().zip(expected) {
            assert!((g - e).abs() <= tolerance, "{got:?} is not {expected:?}");
        }
    }

    /// Values printed in "The N Implementation Details of RLHF with PPO", item on whitening.
    #[test]
    fn unbiased_whitening_without_mean_shift_gives_the_published_matrix() {
        let got = whiten(&BLOG, &[true; 9], Variance::Unbiased, false).unwrap();
        let want = [0.1394, 0.5046, 0.8697, 1.2349, 1.6, 1.9651, 2.3303, 2.6954, 3.0606];
        assert_close(&got, &want, 6e-5);
    }

    #[test]
    fn biased_whitening_without_mean_shift_gives_the_published_matrix() {
        let got = whiten(&BLOG, &[true; 9], Variance::Biased, false).unwrap();
        let want = [0.0508, 0.4381, 0.8254, 1.2127, 1.6, 1.9873, 2.3746, 2.7619, 3.1492];
        assert_close(&got, &want, 6e-5);
    }

    /// TRL 0.4 `tests/test_core.py`: whitening [1, 2, 3, 4] under mask 0110 is whitening [2, 3].
    #[test]
    fn masked_whitening_is_whitening_of_the_marked_part() {
        let masked = whiten(&[1.0, 2.0, 3.0, 4.0], &[false, true, true, false], Variance::Unbiased, true).unwrap();
        assert_close(&masked, &[0.0, -(0.5_f32.sqrt()), 0.5_f32.sqrt(), 0.0], 1e-6);
    }

    #[test]
    fn equal_values_whiten_to_zero_not_to_nan() {
        assert_eq!(whiten(&[3.0; 4], &[true; 4], Variance::Unbiased, true).unwrap(), [0.0; 4]);
        assert_eq!(whiten(&[3.0], &[true], Variance::Unbiased, true).unwrap(), [0.0]);
        assert_eq!(whiten(&[], &[], Variance::Unbiased, true).unwrap(), [0.0; 0]);
    }

    proptest! {
        #[test]
        fn masked_positions_do_not_matter_even_when_nan(
            rows in prop::collection::vec((-5.0_f32..5.0, any::<bool>()), 2..30),
        ) {
            let (values, mask): (Vec<f32>, Vec<bool>) = rows.into_iter().unzip();
            let poisoned: Vec<f32> = values.iter().zip(&mask).map(|(v, m)| if *m { *v } else { f32::NAN }).collect();
            prop_assert_eq!(
                whiten(&values, &mask, Variance::Unbiased, true).unwrap(),
                whiten(&poisoned, &mask, Variance::Unbiased, true).unwrap()
            );
        }

        #[test]
        fn whitened_values_have_mean_zero_and_variance_one(values in prop::collection::vec(-5.0_f32..5.0, 8..30)) {
            let mask = vec![true; values.len()];
            prop_assume!(Moments::masked(&values, &mask).unwrap().var(Variance::Unbiased) > 0.1);
            let white = whiten(&values, &mask, Variance::Unbiased, true).unwrap();
            let moments = Moments::masked(&white, &mask).unwrap();
            prop_assert!(moments.mean().abs() < 1e-6);
            prop_assert!((moments.var(Variance::Unbiased) - 1.0).abs() < 1e-5);
        }
    }
}
