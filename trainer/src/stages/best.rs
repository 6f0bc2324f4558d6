//! The best held-out evaluation so far, its weights, and whether the stage still gets better.
//!
//! As in transformers: a figure that is better at all is the new best (`Trainer._determine_best_metric`); only one that
//! is better than the best before it by more than the threshold resets the patience (`EarlyStoppingCallback`); the
//! evaluation before the first step does not count. One after the last step does, where transformers makes none.
//! Holds: everything is part of every checkpoint, the best weights too, so no pruning can lose them.

use std::collections::BTreeMap;

use medtrain_crds::{contract::BestModel, stage::TrainArgs};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::task::Evaluation;
use crate::{
    checkpoint::Tensor as Stored,
    failure::{Failure, Result},
    model::{Parameter, Parameters},
    ops::LmBackend,
    telemetry::TrainerState,
};

/// Names of the best weights among a checkpoint's tensors begin so.
const TENSOR: &str = "best/";

#[derive(Clone, Debug, Default)]
pub struct Best {
    /// `None` until an evaluation was finite.
    found: Option<Found>,
    /// Evaluations in a row without an improvement that counts.
    waited: u32,
    /// By name; empty unless `train.loadBestModelAtEnd`.
    weights: BTreeMap<String, Stored>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Found {
    value: f64,
    step: u64,
    evaluation: Evaluation,
}

/// What of it stands in a checkpoint beside tensors.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedBest {
    found: Option<Found>,
    waited: u32,
}

impl Best {
    /// Takes note of the evaluation of `step`, in `history` too.
    pub fn compare<B: LmBackend>(
        &mut self,
        step: u64,
        evaluation: &Evaluation,
        args: &TrainArgs,
        parameters: &Parameters<B>,
        history: &mut TrainerState,
    ) {
        let Some(metric) = args.metric_for_best_model else { return };
        let Some(&value) = evaluation.figures.get(metric.name()) else { return };
        let gain = match (&self.found, args.greater_is_better) {
            _ if !value.is_finite() => f64::NEG_INFINITY,
            (None, _) => f64::INFINITY,
            (Some(best), Some(true)) => value - best.value,
            (Some(best), _) => best.value - value,
        };
        self.waited = if gain > args.early_stopping_threshold { 0 } else { self.waited.saturating_add(1) };
        if gain > 0.0 {
            self.found = Some(Found { value, step, evaluation: evaluation.clone() });
            if args.load_best_model_at_end {
                let store = |p: &Parameter<B>| Stored::of_f32(p.shape.clone(), &p.to_host());
                self.weights = parameters.iter().map(|(name, p)| (name.clone(), store(p))).collect();
            }
            (history.best_metric, history.best_global_step) = (Some(value), Some(step));
        }
        if let Some(patience) = args.early_stopping_patience {
            let callback = json!({
                "args": {"early_stopping_patience": patience, "early_stopping_threshold": args.early_stopping_threshold},
                "attributes": {"early_stopping_patience_counter": self.waited},
            });
            history.stateful_callbacks.insert("EarlyStoppingCallback".into(), callback);
        }
    }

    /// Whether the patience has run out.
    pub fn is_given_up(&self, args: &TrainArgs) -> bool {
        args.early_stopping_patience.is_some_and(|patience| self.waited >= patience)
    }

    /// Puts the best weights in place of `parameters`. Returns what they were evaluated at, `None` if they stay.
    ///
    /// # Errors
    /// 70 when they are not those of the parameters.
    pub fn load<B: LmBackend>(
        &self,
        args: &TrainArgs,
        parameters: &mut Parameters<B>,
        device: &B::Device,
    ) -> Result<Option<(u64, Evaluation)>> {
        let (true, Some(best)) = (args.load_best_model_at_end, &self.found) else { return Ok(None) };
        for (name, parameter) in parameters.iter_mut() {
            let stored = self.weights.get(name).filter(|stored| stored.shape == parameter.shape);
            let values = stored.and_then(Stored::to_f32).ok_or_else(|| {
                Failure::internal(format!("the best weights, of step {}, have no \"{name}\"", best.step))
            })?;
            *parameter = Parameter::new(parameter.shape.clone(), values, device);
        }
        Ok(Some((best.step, best.evaluation.clone())))
    }

    /// For the manifest.
    pub fn record(&self, args: &TrainArgs) -> Option<BestModel> {
        let (metric, best) = (args.metric_for_best_model?, self.found.as_ref()?);
        let loaded = args.load_best_model_at_end;
        Some(BestModel { metric: metric.name().to_owned(), value: best.value, step: best.step, loaded })
    }

    pub(super) fn save(&self, tensors: &mut BTreeMap<String, Stored>) -> Option<SavedBest> {
        tensors.extend(self.weights.iter().map(|(name, stored)| (format!("{TENSOR}{name}"), stored.clone())));
        let is_fresh = self.found.is_none() && self.waited == 0;
        (!is_fresh).then(|| SavedBest { found: self.found.clone(), waited: self.waited })
    }

    pub(super) fn restore(saved: Option<SavedBest>, tensors: &BTreeMap<String, Stored>) -> Self {
        let Some(SavedBest { found, waited }) = saved else { return Self::default() };
        let weights = tensors.iter().filter_map(|(name, stored)| Some((name.strip_prefix(TENSOR)?, stored)));
        Self { found, waited, weights: weights.map(|(name, stored)| (name.to_owned(), stored.clone())).collect() }
    }
}

#[cfg(test)]
#[path = "best_tests.rs"]
mod tests;
