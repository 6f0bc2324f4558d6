//! Causal language modelling: how much each token counts, and what is reported.
//!
//! Holds: the loss of an optimiser step is `Σ −log p(target) / N`, N being the target tokens of the *whole* accumulated
//! batch; so it does not change with accumulation steps, packing or row order.

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// Target tokens of the masks of one optimiser step (all its micro-batches).
pub fn count_targets<'a>(masks: impl IntoIterator<Item = &'a [bool]>) -> u64 {
    masks.into_iter().flatten().filter(|target| **target).count() as u64
}

/// Weight of each position of one micro-batch: `1/N` where `is_target`, else 0.
///
/// `is_target`: `[tokens]` of the micro-batch; `target_tokens`: N of the whole step. The weighted sum of −log p over all
/// micro-batches is the loss, and its gradient needs no further scaling.
///
/// # Errors
/// Internal (70) if this micro-batch alone has more than `target_tokens` targets, which an N of 0 with any target is.
pub fn token_weights(is_target: &[bool], target_tokens: u64) -> Result<Vec<f32>> {
    let here = count_targets([is_target]);
    if here > target_tokens {
        return Err(Failure::internal(format!(
            "a micro-batch has {here} target tokens, but its whole optimiser step was counted as {target_tokens}"
        )));
    }
    let weight = if target_tokens == 0 { 0.0 } else { (1.0 / target_tokens as f64) as f32 };
    Ok(is_target.iter().map(|target| if *target { weight } else { 0.0 }).collect())
}

/// Sums behind loss, perplexity and token accuracy over any number of batches; part of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CausalLmTally {
    loss_sum: f64,
    correct: u64,
    tokens: u64,
}

impl CausalLmTally {
    /// Adds a batch: `loss_sum` = Σ −log p(target) in nats; `correct` = targets that are their position's argmax.
    pub fn add(&mut self, loss_sum: f64, correct: u64, tokens: u64) {
        self.loss_sum += loss_sum;
        self.correct += correct;
        self.tokens += tokens;
    }

    pub fn merge(&mut self, other: &Self) {
        self.add(other.loss_sum, other.correct, other.tokens);
    }

    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Mean −log p a target token, nats; `None` without targets.
    pub fn loss(&self) -> Option<f64> {
        (self.tokens > 0).then(|| self.loss_sum / self.tokens as f64)
    }

    /// `exp(loss)`; infinite where that overflows.
    pub fn perplexity(&self) -> Option<f64> {
        self.loss().map(f64::exp)
    }

    /// Share of targets that were the argmax.
    pub fn token_accuracy(&self) -> Option<f64> {
        (self.tokens > 0).then(|| self.correct as f64 / self.tokens as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weights_are_one_over_the_targets_of_the_whole_step() {
        let (first, second) = ([true, false, true], [true, true]);
        let targets = count_targets([&first[..], &second[..]]);
        assert_eq!(targets, 4);
        assert_eq!(token_weights(&first, targets).unwrap(), [0.25, 0.0, 0.25]);
        assert_eq!(token_weights(&second, targets).unwrap(), [0.25, 0.25]);
    }

    #[test]
    fn a_step_without_targets_has_zero_weights_and_no_metrics() {
        assert_eq!(token_weights(&[false, false], 0).unwrap(), [0.0, 0.0]);
        let tally = CausalLmTally::default();
        assert_eq!((tally.loss(), tally.perplexity(), tally.token_accuracy()), (None, None, None));
    }

    #[test]
    fn a_denominator_of_one_micro_batch_only_is_refused() {
        let error = token_weights(&[true, true], 1).unwrap_err();
        assert_eq!(error.message, "a micro-batch has 2 target tokens, but its whole optimiser step was counted as 1");
    }

    #[test]
    fn a_uniform_model_has_the_perplexity_of_its_vocabulary() {
        let mut tally = CausalLmTally::default();
        tally.add(10.0 * 32_000_f64.ln(), 3, 10);
        assert!((tally.perplexity().unwrap() - 32_000.0).abs() < 1e-6);
        assert_eq!(tally.token_accuracy(), Some(0.3));
    }

    proptest! {
        #[test]
        fn loss_does_not_depend_on_how_a_step_is_split(
            rows in prop::collection::vec((0.0_f32..12.0, any::<bool>()), 1..40), cut in 0_usize..40,
        ) {
            let cut = cut.min(rows.len());
            let mask: Vec<bool> = rows.iter().map(|r| r.1).collect();
            let targets = count_targets([&mask[..]]);
            let weighted = |part: std::ops::Range<usize>| -> f64 {
                let weights = token_weights(&mask[part.clone()], targets).unwrap();
                rows[part].iter().zip(weights).map(|(row, w)| f64::from(row.0) * f64::from(w)).sum()
            };
            prop_assert!((weighted(0..rows.len()) - weighted(0..cut) - weighted(cut..rows.len())).abs() < 1e-9);
        }
    }
}
