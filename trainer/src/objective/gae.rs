//! Generalised advantage estimation over the tokens of each response.

use super::rows::{Rows, same_length};
use crate::failure::Result;

/// Per-token results of [`gae`], `[tokens]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Advantages {
    /// Not whitened.
    pub advantages: Vec<f32>,
    /// Targets of the value head: advantage + value.
    pub returns: Vec<f32>,
}

/// `δ_t = r_t + γ·V_{t+1} − V_t`, `A_t = δ_t + γλ·A_{t+1}`, `R_t = A_t + V_t` (Schulman et al. 2016, eqs. 11 and 16).
///
/// `rewards`, `values`, `mask`: `[tokens]` over `rows`. After a row's last marked token the value is 0, for responses
/// that ended and for those cut at the length limit alike (as in OpenAI's and TRL's code). Masked positions are passed
/// over as if they were not there, and get 0.
///
/// # Errors
/// Internal (70) if the lengths differ.
pub fn gae(rewards: &[f32], values: &[f32], mask: &[bool], rows: &Rows, gamma: f64, lam: f64) -> Result<Advantages> {
    same_length(rows.tokens(), &[("rewards", rewards.len()), ("values", values.len()), ("mask", mask.len())])?;
    let mut out = Advantages { advantages: vec![0.0; values.len()], returns: vec![0.0; values.len()] };
    for range in rows.ranges() {
        let (mut next_value, mut next_advantage) = (0.0_f64, 0.0_f64);
        for t in range.rev().filter(|&t| mask[t]) {
            let value = f64::from(values[t]);
            let delta = f64::from(rewards[t]) + gamma * next_value - value;
            let advantage = delta + gamma * lam * next_advantage;
            out.advantages[t] = advantage as f32;
            out.returns[t] = (advantage + value) as f32;
            (next_value, next_advantage) = (value, advantage);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assert_close(got: &[f32], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (g, e) in got.iter().zip(expected) {
            assert!((f64::from(*g) - e).abs() < 1e-6, "{got:?} is not {expected:?}");
        }
    }

    /// torchtune `tests/torchtune/rlhf/test_rewards.py`.
    #[test]
    fn a_reward_at_the_end_is_discounted_as_in_torchtune() {
        let (values, rewards) = ([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]);
        let out = gae(&rewards, &values, &[true; 4], &Rows::new([4]), 0.9, 0.95).unwrap();
        let (g, l) = (0.9_f64, 0.95_f64);
        assert_close(&out.returns, &[g.powi(3) * l * l, g * g * l, g, 1.0]);
    }

    #[test]
    fn with_lambda_one_returns_are_the_discounted_rewards_to_go() {
        let out = gae(&[1.0, 2.0, 4.0], &[0.3, -0.2, 0.7], &[true; 3], &Rows::new([3]), 0.5, 1.0).unwrap();
        assert_close(&out.returns, &[1.0 + 0.5 * (2.0 + 0.5 * 4.0), 2.0 + 0.5 * 4.0, 4.0]);
    }

    #[test]
    fn with_lambda_zero_advantages_are_the_one_step_errors() {
        let out = gae(&[1.0, 2.0], &[0.5, 0.25], &[true; 2], &Rows::new([2]), 1.0, 0.0).unwrap();
        assert_close(&out.advantages, &[1.0 + 0.25 - 0.5, 2.0 - 0.25]);
    }

    #[test]
    fn rows_do_not_see_each_other() {
        let (rewards, values) = ([0.1, 0.2, 5.0, -3.0, 0.4], [0.3, 0.1, 0.2, 9.0, -1.0]);
        let both = gae(&rewards, &values, &[true; 5], &Rows::new([2, 3]), 1.0, 0.95).unwrap();
        let first = gae(&rewards[..2], &values[..2], &[true; 2], &Rows::new([2]), 1.0, 0.95).unwrap();
        let second = gae(&rewards[2..], &values[2..], &[true; 3], &Rows::new([3]), 1.0, 0.95).unwrap();
        assert_eq!(both.advantages, [first.advantages, second.advantages].concat());
        assert_eq!(both.returns, [first.returns, second.returns].concat());
    }

    proptest! {
        #[test]
        fn masked_positions_are_as_if_absent(
            rows in prop::collection::vec((-2.0_f32..2.0, -2.0_f32..2.0, any::<bool>()), 1..20),
        ) {
            let poisoned = |v: f32, keep: bool| if keep { v } else { f32::NAN };
            let rewards: Vec<f32> = rows.iter().map(|r| poisoned(r.0, r.2)).collect();
            let values: Vec<f32> = rows.iter().map(|r| poisoned(r.1, r.2)).collect();
            let mask: Vec<bool> = rows.iter().map(|r| r.2).collect();
            let masked = gae(&rewards, &values, &mask, &Rows::new([rows.len()]), 0.99, 0.95).unwrap();
            let (kept_rewards, kept_values): (Vec<f32>, Vec<f32>) =
                rows.iter().filter(|r| r.2).map(|r| (r.0, r.1)).unzip();
            let n = kept_values.len();
            let kept = gae(&kept_rewards, &kept_values, &vec![true; n], &Rows::new([n]), 0.99, 0.95).unwrap();
            let advantages: Vec<f32> =
                masked.advantages.iter().zip(&mask).filter(|(_, m)| **m).map(|(a, _)| *a).collect();
            prop_assert_eq!(advantages, kept.advantages);
            prop_assert!(masked.returns.iter().zip(&mask).all(|(r, m)| *m || *r == 0.0));
        }
    }
}
