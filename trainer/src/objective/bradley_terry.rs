//! Reward modelling from preference pairs: the Bradley-Terry loss, its gradient and what is reported.
//!
//! Holds: the loss of an optimiser step is a mean over the pairs of the *whole* accumulated batch; only score
//! differences matter, except to the centring term.

use burn::tensor::{Tensor, activation::log_sigmoid, backend::Backend};
use medtrain_crds::stage::RewardArgs;
use serde::{Deserialize, Serialize};

use super::rows::same_length;
use super::{Host, to_host, to_tensor};
use crate::failure::{Failure, Result};

/// `−log σ(r_chosen − r_rejected − margin)` of each pair (Ouyang et al. 2022, eq. 1; margin: Touvron et al. 2023, eq. 2).
///
/// `chosen`, `rejected`, `margin`: `[pairs]`. Stable for any difference, and at equal scores (a new head) the slope is
/// −½, not 0.
pub fn pairwise_loss<B: Backend>(
    chosen: Tensor<B, 1>,
    rejected: Tensor<B, 1>,
    margin: Option<Tensor<B, 1>>,
) -> Tensor<B, 1> {
    let difference = chosen - rejected;
    log_sigmoid(match margin {
        Some(margin) => difference - margin,
        None => difference,
    })
    .neg()
}

/// `(r_chosen + r_rejected)²` of each pair, which keeps scores around 0 (Eisenstein et al. 2023, eq. 2; TRL's
/// `center_rewards_coefficient` weights its mean).
pub fn centering_loss<B: Backend>(chosen: Tensor<B, 1>, rejected: Tensor<B, 1>) -> Tensor<B, 1> {
    (chosen + rejected).square()
}

/// Scores of the pairs of one micro-batch; all slices `[pairs]`.
#[derive(Clone, Copy, Debug)]
pub struct PreferenceBatch<'a> {
    pub chosen: &'a [f32],
    pub rejected: &'a [f32],
    pub margin: Option<&'a [f32]>,
    /// Pairs of the whole optimiser step: the divisor of its mean.
    pub step_pairs: u64,
}

/// Result of [`preference_batch`].
#[derive(Clone, Debug)]
pub struct PreferenceOutcome {
    /// d loss/d r_chosen, `[pairs]`.
    pub d_chosen: Vec<f32>,
    /// d loss/d r_rejected, `[pairs]`.
    pub d_rejected: Vec<f32>,
    pub tally: PreferenceTally,
}

/// `mean(pairwise) + centerRewardsCoefficient·mean(centering)`: gradient and statistics; micro-batches add up.
///
/// A loss that is not finite is returned as it is: the training loop stops on it and names the batch.
///
/// # Errors
/// Internal (70) if lengths differ or `step_pairs` is less than the pairs given.
pub fn preference_batch(batch: &PreferenceBatch<'_>, args: &RewardArgs) -> Result<PreferenceOutcome> {
    let pairs = batch.chosen.len();
    same_length(pairs, &[("rejected", batch.rejected.len()), ("margin", batch.margin.map_or(pairs, <[f32]>::len))])?;
    if pairs as u64 > batch.step_pairs {
        return Err(Failure::internal(format!(
            "a micro-batch has {pairs} pairs, but its whole optimiser step was counted as {}",
            batch.step_pairs
        )));
    }
    if pairs == 0 {
        let tally = PreferenceTally::default();
        return Ok(PreferenceOutcome { d_chosen: Vec::new(), d_rejected: Vec::new(), tally });
    }
    let device = Default::default();
    let chosen = to_tensor::<Host>(batch.chosen, &device).require_grad();
    let rejected = to_tensor::<Host>(batch.rejected, &device).require_grad();
    let margin = batch.margin.map(|margin| to_tensor(margin, &device));
    let mut losses = pairwise_loss(chosen.clone(), rejected.clone(), margin);
    if args.center_rewards_coefficient != 0.0 {
        losses = losses + centering_loss(chosen.clone(), rejected.clone()) * args.center_rewards_coefficient;
    }
    // `backward` of a vector seeds ones: this is the gradient of the sum, and no whole-tensor sum is computed.
    let gradients = (losses.clone() / batch.step_pairs as f64).backward();
    let gradient = |leaf: &Tensor<Host, 1>| -> Result<Vec<f32>> {
        to_host(leaf.grad(&gradients).ok_or_else(|| Failure::internal("the reward loss lost its gradient"))?)
    };
    let mut tally = PreferenceTally::default();
    for ((loss, chosen), rejected) in to_host(losses)?.iter().zip(batch.chosen).zip(batch.rejected) {
        tally.push(f64::from(*loss), f64::from(*chosen), f64::from(*rejected));
    }
    Ok(PreferenceOutcome { d_chosen: gradient(&chosen)?, d_rejected: gradient(&rejected)?, tally })
}

/// Sums behind loss, accuracy and mean margin over any number of batches; part of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreferenceTally {
    pairs: u64,
    loss_sum: f64,
    correct: u64,
    chosen_sum: f64,
    rejected_sum: f64,
}

impl PreferenceTally {
    /// Adds a pair; `loss` includes the centring term where there is one.
    pub fn push(&mut self, loss: f64, chosen: f64, rejected: f64) {
        self.pairs += 1;
        self.loss_sum += loss;
        self.correct += u64::from(chosen > rejected);
        self.chosen_sum += chosen;
        self.rejected_sum += rejected;
    }

    pub fn merge(&mut self, other: &Self) {
        self.pairs += other.pairs;
        self.loss_sum += other.loss_sum;
        self.correct += other.correct;
        self.chosen_sum += other.chosen_sum;
        self.rejected_sum += other.rejected_sum;
    }

    pub fn pairs(&self) -> u64 {
        self.pairs
    }

    pub fn loss(&self) -> Option<f64> {
        self.mean(self.loss_sum)
    }

    /// Share of pairs whose chosen side scores strictly higher: a model that tells nothing apart gets 0, not 1.
    pub fn accuracy(&self) -> Option<f64> {
        self.mean(self.correct as f64)
    }

    /// Mean of `r_chosen − r_rejected`.
    pub fn mean_margin(&self) -> Option<f64> {
        self.mean(self.chosen_sum - self.rejected_sum)
    }

    pub fn mean_chosen(&self) -> Option<f64> {
        self.mean(self.chosen_sum)
    }

    pub fn mean_rejected(&self) -> Option<f64> {
        self.mean(self.rejected_sum)
    }

    fn mean(&self, sum: f64) -> Option<f64> {
        (self.pairs > 0).then(|| sum / self.pairs as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: RewardArgs = RewardArgs { center_rewards_coefficient: 0.0, normalize_scores: false };
    const CENTERED: RewardArgs = RewardArgs { center_rewards_coefficient: 0.01, normalize_scores: false };

    fn outcome(chosen: &[f32], rejected: &[f32], margin: Option<&[f32]>, args: &RewardArgs) -> PreferenceOutcome {
        let step_pairs = chosen.len() as u64;
        preference_batch(&PreferenceBatch { chosen, rejected, margin, step_pairs }, args).unwrap()
    }

    fn losses(differences: &[f32]) -> Vec<f32> {
        let device = Default::default();
        let zero = to_tensor::<Host>(&vec![0.0; differences.len()], &device);
        to_host(pairwise_loss(to_tensor::<Host>(differences, &device), zero, None)).unwrap()
    }

    /// torchtune `tests/torchtune/rlhf/loss/test_dpo_loss.py`: −log σ(β·[…]) comes to −log σ([0, 1, 2]).
    #[test]
    fn published_losses_come_out() {
        let (beta, policy_chosen, policy_rejected) = (0.1, [-0.5, -10.0, -1.0], [-0.1, -30.0, -21.0]);
        let (ref_chosen, ref_rejected) = ([-0.5, -10.1, -0.1], [-0.1, -20.1, -0.1]);
        let logits: Vec<f32> = (0..3)
            .map(|i| beta * ((policy_chosen[i] - policy_rejected[i]) - (ref_chosen[i] - ref_rejected[i])))
            .collect();
        for (got, want) in losses(&logits).iter().zip([std::f32::consts::LN_2, 0.3133, 0.1269]) {
            assert!((got - want).abs() < 6e-5, "{got} is not {want}");
        }
    }

    #[test]
    fn extreme_differences_stay_finite_and_exact() {
        assert_eq!(losses(&[1e4, -1e4]), [0.0, 1e4]);
        let out = outcome(&[1e4, -1e4], &[0.0, 0.0], None, &PLAIN);
        assert_eq!(out.d_chosen, [0.0, -0.5]);
    }

    #[test]
    fn equal_scores_give_slope_one_half_so_a_new_head_learns() {
        let out = outcome(&[0.0], &[0.0], None, &PLAIN);
        assert_eq!((out.d_chosen[0], out.d_rejected[0]), (-0.5, 0.5));
        assert!((out.tally.loss().unwrap() - 2.0_f64.ln()).abs() < 1e-7);
    }

    #[test]
    fn ties_count_as_wrong() {
        let tally = outcome(&[1.0, 2.0, 0.0, 0.5], &[1.0, 1.0, 3.0, 0.0], None, &PLAIN).tally;
        assert_eq!(tally.accuracy(), Some(0.5));
        assert_eq!(tally.mean_margin(), Some((0.0 + 1.0 - 3.0 + 0.5) / 4.0));
    }

    #[test]
    fn no_pairs_give_no_metrics() {
        let tally = outcome(&[], &[], None, &PLAIN).tally;
        assert_eq!((tally.loss(), tally.accuracy(), tally.mean_margin()), (None, None, None));
    }

    #[test]
    fn a_count_of_one_micro_batch_only_is_refused() {
        let batch = PreferenceBatch { chosen: &[0.0; 3], rejected: &[0.0; 3], margin: None, step_pairs: 2 };
        assert_eq!(
            preference_batch(&batch, &PLAIN).unwrap_err().message,
            "a micro-batch has 3 pairs, but its whole optimiser step was counted as 2"
        );
    }

    /// The same loss in plain f64, to differentiate numerically.
    fn loss_f64(chosen: &[f64], rejected: &[f64], margin: &[f64], coefficient: f64) -> f64 {
        let pair = |i: usize| {
            let z = chosen[i] - rejected[i] - margin[i];
            (-z).max(0.0) + (-z.abs()).exp().ln_1p() + coefficient * (chosen[i] + rejected[i]).powi(2)
        };
        (0..chosen.len()).map(pair).sum::<f64>() / chosen.len() as f64
    }

    proptest! {
        #[test]
        fn gradients_match_finite_differences(
            pairs in prop::collection::vec((-4.0_f32..4.0, -4.0_f32..4.0, 0.0_f32..2.0), 1..6),
        ) {
            let chosen: Vec<f32> = pairs.iter().map(|p| p.0).collect();
            let rejected: Vec<f32> = pairs.iter().map(|p| p.1).collect();
            let margin: Vec<f32> = pairs.iter().map(|p| p.2).collect();
            let out = outcome(&chosen, &rejected, Some(&margin), &CENTERED);
            let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
            let (c, r, m, h) = (wide(&chosen), wide(&rejected), wide(&margin), 1e-5);
            prop_assert!((out.tally.loss().unwrap() - loss_f64(&c, &r, &m, 0.01)).abs() < 1e-5);
            let nudged = |v: &[f64], i: usize, by: f64| { let mut v = v.to_vec(); v[i] += by; v };
            for i in 0..c.len() {
                let d_chosen = (loss_f64(&nudged(&c, i, h), &r, &m, 0.01) - loss_f64(&nudged(&c, i, -h), &r, &m, 0.01)) / (2.0 * h);
                let d_rejected = (loss_f64(&c, &nudged(&r, i, h), &m, 0.01) - loss_f64(&c, &nudged(&r, i, -h), &m, 0.01)) / (2.0 * h);
                prop_assert!((f64::from(out.d_chosen[i]) - d_chosen).abs() < 1e-5);
                prop_assert!((f64::from(out.d_rejected[i]) - d_rejected).abs() < 1e-5);
            }
        }

        #[test]
        fn gradients_of_micro_batches_are_those_of_the_whole(
            pairs in prop::collection::vec((-4.0_f32..4.0, -4.0_f32..4.0), 2..8),
        ) {
            let (chosen, rejected): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let whole = outcome(&chosen, &rejected, None, &CENTERED);
            let part = |range: std::ops::Range<usize>| {
                let step_pairs = chosen.len() as u64;
                let (chosen, rejected) = (&chosen[range.clone()], &rejected[range]);
                preference_batch(&PreferenceBatch { chosen, rejected, margin: None, step_pairs }, &CENTERED).unwrap()
            };
            let (first, second) = (part(0..1), part(1..chosen.len()));
            prop_assert_eq!([first.d_chosen, second.d_chosen].concat(), whole.d_chosen);
            let mut tally = first.tally;
            tally.merge(&second.tally);
            prop_assert!((tally.loss().unwrap() - whole.tally.loss().unwrap()).abs() < 1e-12);
        }
    }
}
