//! The numbers of a running stage for Prometheus, under the names of [`medtrain_crds::contract::metrics::prometheus`].
//!
//! Holds: a figure that is not known yet is NaN, not 0; every series carries the labels `stage` and `kind`.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use medtrain_crds::contract::metrics::prometheus as names;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::{
    device::memory,
    failure::{Failure, Result},
};

/// One set a stage; setting a figure never fails.
pub struct Metrics {
    registry: Registry,
    pub step: IntGauge,
    pub steps_planned: IntGauge,
    pub loss: Gauge,
    pub eval_loss: Gauge,
    pub reward: Gauge,
    /// Nats a sequence.
    pub kl: Gauge,
    pub grad_norm: Gauge,
    pub learning_rate: Gauge,
    pub tokens_per_second: Gauge,
    pub tokens: IntCounter,
    pub step_seconds: Histogram,
    rows_dropped: IntCounterVec,
    checkpoint_bytes: IntGauge,
    checkpoint_age: Gauge,
    checkpoint_at: Mutex<Option<Instant>>,
    resident: IntGauge,
}

impl Metrics {
    /// `stage` is its name in the training, `kind` PT, SFT, RM or PPO.
    ///
    /// # Errors
    /// 70 if a name is not valid for Prometheus: a bug.
    pub fn new(stage: &str, kind: &str) -> Result<Self> {
        let labels = HashMap::from([("stage".to_owned(), stage.to_owned()), ("kind".to_owned(), kind.to_owned())]);
        Self::labelled(&labels).map_err(|e| invalid(&e))
    }

    /// Labels go to each series, which sorts them; the registry would print its own in hash order.
    fn labelled(labels: &HashMap<String, String>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let opts = |name: &str, help: &str| Opts::new(name, help).const_labels(labels.clone());
        let unknown = |name: &str, help: &str| {
            let gauge = Gauge::with_opts(opts(name, help))?;
            gauge.set(f64::NAN);
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let whole = |name: &str, help: &str| {
            let gauge = IntGauge::with_opts(opts(name, help))?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let tokens = IntCounter::with_opts(opts(names::TOKENS_TOTAL, "Tokens trained on by this process"))?;
        registry.register(Box::new(tokens.clone()))?;
        let rows_dropped =
            IntCounterVec::new(opts(names::DATA_ROWS_DROPPED_TOTAL, "Data rows left out, by reason"), &["reason"])?;
        registry.register(Box::new(rows_dropped.clone()))?;
        // 10 ms (a tiny model) to 11 min (a large batch on a CPU).
        let buckets = prometheus::exponential_buckets(0.01, 2.0, 17)?;
        let step_seconds = Histogram::with_opts(
            HistogramOpts::from(opts(names::STEP_SECONDS, "Seconds an optimiser step")).buckets(buckets),
        )?;
        registry.register(Box::new(step_seconds.clone()))?;
        Ok(Self {
            step: whole(names::STEP, "Optimiser steps done")?,
            steps_planned: whole(names::TOTAL_STEPS, "Optimiser steps of the whole stage")?,
            loss: unknown(names::LOSS, "Training loss of the last logged step")?,
            eval_loss: unknown(names::EVAL_LOSS, "Loss on the held-out rows")?,
            reward: unknown(names::REWARD, "Mean reward of the last batch of responses")?,
            kl: unknown(names::KL, "KL divergence to the reference, summed over a sequence, in nats")?,
            grad_norm: unknown(names::GRAD_NORM, "Global gradient norm before clipping")?,
            learning_rate: unknown(names::LEARNING_RATE, "Learning rate of the last step")?,
            tokens_per_second: unknown(names::TOKENS_PER_SECOND, "Tokens a second since the last logged step")?,
            checkpoint_age: unknown(
                names::CHECKPOINT_AGE_SECONDS,
                "Seconds since the newest checkpoint reached the store",
            )?,
            checkpoint_bytes: whole(names::CHECKPOINT_BYTES, "Size of the newest checkpoint")?,
            resident: whole(names::RESIDENT_MEMORY_BYTES, "Memory of this process that is in RAM")?,
            checkpoint_at: Mutex::new(None),
            tokens,
            step_seconds,
            rows_dropped,
            registry,
        })
    }

    pub fn checkpoint_saved(&self, bytes: u64) {
        self.checkpoint_bytes.set(bytes.try_into().unwrap_or(i64::MAX));
        *self.checkpoint_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// `reason` is from a closed set (`too_long`, `no_target`, …), never text of the row.
    pub fn rows_dropped(&self, reason: &str, rows: u64) {
        self.rows_dropped.with_label_values(&[reason]).inc_by(rows);
    }

    /// The text that `/metrics` answers.
    ///
    /// # Errors
    /// 70 if the encoder refuses: a bug.
    pub fn render(&self) -> Result<String> {
        if let Some(at) = *self.checkpoint_at.lock().unwrap_or_else(PoisonError::into_inner) {
            self.checkpoint_age.set(at.elapsed().as_secs_f64());
        }
        self.resident.set(memory::resident().and_then(|bytes| bytes.try_into().ok()).unwrap_or(0));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).map_err(|e| invalid(&e))?;
        String::from_utf8(text).map_err(|e| Failure::internal(format!("metrics: {e}")))
    }
}

fn invalid(error: &prometheus::Error) -> Failure {
    Failure::internal(format!("metrics: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_its_stage_and_unknown_figures_are_nan() {
        let metrics = Metrics::new("sft", "SFT").unwrap();
        metrics.step.set(12);
        metrics.loss.set(1.5);
        metrics.rows_dropped("too_long", 3);
        metrics.step_seconds.observe(0.3);
        let text = metrics.render().unwrap();
        for line in [
            "medtrain_trainer_step{kind=\"SFT\",stage=\"sft\"} 12",
            "medtrain_trainer_loss{kind=\"SFT\",stage=\"sft\"} 1.5",
            "medtrain_trainer_eval_loss{kind=\"SFT\",stage=\"sft\"} NaN",
            "medtrain_trainer_checkpoint_age_seconds{kind=\"SFT\",stage=\"sft\"} NaN",
            "medtrain_trainer_data_rows_dropped_total{kind=\"SFT\",reason=\"too_long\",stage=\"sft\"} 3",
            "medtrain_trainer_step_seconds_count{kind=\"SFT\",stage=\"sft\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("medtrain_trainer_resident_memory_bytes{kind=\"SFT\",stage=\"sft\"} 0\n"), "{text}");
    }

    #[test]
    fn a_saved_checkpoint_has_an_age_and_a_size() {
        let metrics = Metrics::new("sft", "SFT").unwrap();
        metrics.checkpoint_saved(4096);
        let text = metrics.render().unwrap();
        assert!(text.contains("medtrain_trainer_checkpoint_bytes{kind=\"SFT\",stage=\"sft\"} 4096"), "{text}");
        assert!(!text.contains("medtrain_trainer_checkpoint_age_seconds{kind=\"SFT\",stage=\"sft\"} NaN"), "{text}");
    }
}
