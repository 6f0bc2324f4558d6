//! Causal language modelling: loss, perplexity and token accuracy over any number of batches.

use serde::{Deserialize, Serialize};

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
    use super::*;

    #[test]
    fn without_targets_there_are_no_metrics() {
        let tally = CausalLmTally::default();
        assert_eq!((tally.loss(), tally.perplexity(), tally.token_accuracy()), (None, None, None));
    }

    #[test]
    fn a_uniform_model_has_the_perplexity_of_its_vocabulary() {
        let mut tally = CausalLmTally::default();
        tally.add(10.0 * 32_000_f64.ln(), 3, 10);
        assert!((tally.perplexity().unwrap() - 32_000.0).abs() < 1e-6);
        assert_eq!(tally.token_accuracy(), Some(0.3));
    }
}
