//! Where a running stage is seen: terminal, Prometheus, TensorBoard.

use std::{path::Path, sync::Arc};

use medtrain_crds::contract::Phase;

use super::samples::{self, Sample};
use crate::{
    artifact::RunId,
    data::Tokenizer,
    failure::Result,
    telemetry::{EventWriter, LogEntry, Metrics, Reporter, SharedProgress, StepReport, Style},
};

/// The outputs of one stage's figures.
pub struct Monitor {
    reporter: Reporter,
    metrics: Arc<Metrics>,
    events: Option<EventWriter>,
    /// Set if text of data rows may go to TensorBoard.
    shown_by: Option<Arc<Tokenizer>>,
}

impl Monitor {
    pub fn new(style: Style, stage: &str, kind: &str) -> Result<Self> {
        let metrics = Arc::new(Metrics::new(stage, kind)?);
        Ok(Self { reporter: Reporter::new(style, stage), metrics, events: None, shown_by: None })
    }

    /// Starts a TensorBoard file in `folder`; `resumed_at` marks a resume's step.
    pub fn record(&mut self, folder: &Path, run: &RunId, resumed_at: Option<u64>, configuration: &str) -> Result<()> {
        let mut events = EventWriter::create(folder, run, resumed_at)?;
        events.text(resumed_at.unwrap_or(0), "configuration", configuration)?;
        self.events = Some(events);
        Ok(())
    }

    /// Lets samples into TensorBoard, as this tokenizer decodes them: for `train.logSamples` alone.
    pub fn show_samples(&mut self, tokenizer: Arc<Tokenizer>) {
        self.shown_by = Some(tokenizer);
    }

    /// Whether making samples is worth the while.
    pub fn shows_samples(&self) -> bool {
        self.shown_by.is_some()
    }

    /// Samples under `samples/<group>`; none are no text.
    pub fn samples(&mut self, group: &str, step: u64, samples: &[Sample]) -> Result<()> {
        match (&mut self.events, &self.shown_by) {
            (Some(events), Some(tokenizer)) if !samples.is_empty() => {
                events.text(step, &format!("samples/{group}"), &samples::markdown(samples, tokenizer)?)
            }
            _ => Ok(()),
        }
    }

    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    pub fn progress(&self) -> SharedProgress {
        self.reporter.shared()
    }

    pub fn phase(&mut self, phase: Phase) {
        self.reporter.phase(phase);
    }

    /// Bytes read or written since the phase began.
    pub fn bytes(&mut self, bytes: u64) {
        self.reporter.bytes(bytes);
    }

    pub fn warn(&mut self, sentence: &str) {
        self.reporter.warn(sentence);
    }

    pub fn begin(&mut self, done: u64, total: u64) {
        self.metrics.step.set(done as i64);
        self.metrics.steps_planned.set(total as i64);
        self.reporter.begin(done, total);
    }

    /// The stage ends here, before its last step: its evaluations have not improved.
    pub fn gives_up(&mut self, step: u64) {
        self.metrics.steps_planned.set(step as i64);
        self.reporter.gives_up(step);
    }

    pub fn step(&mut self, report: StepReport, norm: f64, tokens: u64, seconds: f64, figures: &[(String, f64)]) {
        let metrics = &self.metrics;
        metrics.step.set(report.step as i64);
        metrics.loss.set(report.loss);
        metrics.grad_norm.set(norm);
        metrics.learning_rate.set(report.learning_rate);
        metrics.tokens_per_second.set(report.tokens_per_second);
        metrics.tokens.inc_by(tokens);
        metrics.step_seconds.observe(seconds);
        for (name, value) in figures {
            match name.as_str() {
                "objective/scores" => metrics.reward.set(*value),
                "objective/kl" => metrics.kl.set(*value),
                _ => {}
            }
        }
        self.reporter.step(report);
    }

    pub fn log(&mut self, report: StepReport, entry: &LogEntry) -> Result<()> {
        self.scalars("train", entry)?;
        self.reporter.log(report, entry);
        Ok(())
    }

    pub fn evaluated(&mut self, entry: &LogEntry) -> Result<()> {
        if let Some(loss) = entry.values.get("eval_loss") {
            self.metrics.eval_loss.set(*loss);
        }
        self.scalars("eval", entry)?;
        self.reporter.evaluated(entry);
        Ok(())
    }

    pub fn checkpoint(&mut self, step: u64, bytes: u64) {
        self.metrics.checkpoint_saved(bytes);
        self.reporter.checkpoint(step);
    }

    pub fn finish(&mut self) {
        self.events = None;
        self.reporter.finish();
    }

    fn scalars(&mut self, group: &str, entry: &LogEntry) -> Result<()> {
        let Some(events) = &mut self.events else { return Ok(()) };
        let tags: Vec<(String, f64)> = entry
            .values
            .iter()
            .map(|(name, &value)| (format!("{group}/{}", name.trim_start_matches("eval_")), value))
            .collect();
        events.scalars(entry.step, tags.iter().map(|(tag, value)| (tag.as_str(), *value)))
    }
}
