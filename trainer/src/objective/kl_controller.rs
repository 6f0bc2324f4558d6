//! The weight β of the KL penalty, fixed or steered towards a target divergence.
//!
//! Holds: β stays finite and never negative; the whole state is this struct, so a checkpoint resumes it exactly.

use medtrain_crds::stage::{KlController, PpoArgs};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// Largest relative error of the divergence that one update reacts to.
const ERROR_CLIP: f64 = 0.2;

/// β and how it moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KlCoefficient {
    value: f64,
    steering: Option<Steering>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Steering {
    target: f64,
    horizon: f64,
}

impl KlCoefficient {
    /// # Errors
    /// Config (64) if `initKlCoef` is negative, or an adaptive target or horizon is not positive.
    pub fn new(args: &PpoArgs) -> Result<Self> {
        match args.kl_controller {
            KlController::Fixed => Self::fixed(args.init_kl_coef),
            KlController::Adaptive => Self::adaptive(args.init_kl_coef, args.kl_target, args.kl_horizon),
        }
    }

    /// # Errors
    /// As [`Self::new`].
    pub fn fixed(value: f64) -> Result<Self> {
        if !(value.is_finite() && value >= 0.0) {
            return Err(Failure::config(format!("ppo.initKlCoef: {value} must be 0 or more")));
        }
        Ok(Self { value, steering: None })
    }

    /// `target`: nats a sequence; `horizon`: episodes.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn adaptive(value: f64, target: f64, horizon: f64) -> Result<Self> {
        for (name, number) in [("klTarget", target), ("klHorizon", horizon)] {
            if !(number.is_finite() && number > 0.0) {
                return Err(Failure::config(format!(
                    "ppo.{name}: {number} must be above 0 for the adaptive controller; or set ppo.klController to fixed"
                )));
            }
        }
        Ok(Self { steering: Some(Steering { target, horizon }), ..Self::fixed(value)? })
    }

    /// β.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// `β ← β·(1 + clip(kl/target − 1, ±0.2)·episodes/horizon)` (Ziegler et al. 2019, section 2.2; TRL 0.4
    /// `AdaptiveKLController`); nothing if fixed.
    ///
    /// `mean_kl`: mean k1 of the rollout, nats a sequence; `episodes`: sequences of the rollout.
    ///
    /// # Errors
    /// Internal (70) if `mean_kl` is not finite; β is then unchanged.
    pub fn update(&mut self, mean_kl: f64, episodes: u64) -> Result<()> {
        if !mean_kl.is_finite() {
            return Err(Failure::internal(format!(
                "the mean KL divergence of the rollout is {mean_kl}: the policy or the reference gave log-probabilities that are not finite"
            )));
        }
        if let Some(Steering { target, horizon }) = self.steering {
            let error = (mean_kl / target - 1.0).clamp(-ERROR_CLIP, ERROR_CLIP);
            self.value *= (1.0 + error * episodes as f64 / horizon).max(0.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updated(mean_kl: f64, episodes: u64) -> f64 {
        let mut coefficient = KlCoefficient::adaptive(0.2, 6.0, 10_000.0).unwrap();
        coefficient.update(mean_kl, episodes).unwrap();
        coefficient.value()
    }

    #[test]
    fn adaptive_coefficient_follows_the_error_and_clips_it_at_a_fifth() {
        assert_eq!(updated(6.0, 256), 0.2);
        assert_eq!(updated(6.6, 256), 0.2 * (1.0 + (6.6 / 6.0 - 1.0) * 256.0 / 10_000.0));
        assert_eq!(updated(60.0, 256), 0.2 * (1.0 + 0.2 * 256.0 / 10_000.0));
        assert_eq!(updated(-4.0, 256), 0.2 * (1.0 - 0.2 * 256.0 / 10_000.0));
    }

    #[test]
    fn a_huge_rollout_cannot_turn_the_penalty_into_a_bonus() {
        assert_eq!(updated(0.0, 1_000_000), 0.0);
    }

    #[test]
    fn fixed_coefficient_never_moves() {
        let mut coefficient = KlCoefficient::fixed(0.05).unwrap();
        coefficient.update(100.0, 10_000).unwrap();
        assert_eq!(coefficient.value(), 0.05);
    }

    #[test]
    fn a_divergence_that_is_not_finite_is_an_error_and_leaves_the_coefficient() {
        let mut coefficient = KlCoefficient::adaptive(0.2, 6.0, 10_000.0).unwrap();
        let error = coefficient.update(f64::NAN, 8).unwrap_err();
        assert!(error.message.starts_with("the mean KL divergence of the rollout is NaN"), "{}", error.message);
        assert_eq!(coefficient.value(), 0.2);
    }

    #[test]
    fn impossible_settings_are_named_with_the_way_out() {
        assert_eq!(KlCoefficient::fixed(-0.1).unwrap_err().message, "ppo.initKlCoef: -0.1 must be 0 or more");
        assert_eq!(
            KlCoefficient::adaptive(0.2, 0.0, 10_000.0).unwrap_err().message,
            "ppo.klTarget: 0 must be above 0 for the adaptive controller; or set ppo.klController to fixed"
        );
    }

    #[test]
    fn state_survives_a_checkpoint_exactly() {
        let mut coefficient = KlCoefficient::adaptive(0.2, 6.0, 10_000.0).unwrap();
        coefficient.update(7.3, 13).unwrap();
        let restored: KlCoefficient = serde_json::from_str(&serde_json::to_string(&coefficient).unwrap()).unwrap();
        assert_eq!(restored, coefficient);
    }
}
