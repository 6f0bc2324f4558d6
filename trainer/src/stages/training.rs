//! The loop that all stages share: steps, logging, evaluation, checkpoints, stop requests, the guard against
//! non-finite numbers.
//!
//! Holds: everything that decides the next step is in a checkpoint (parameters, optimiser, task state, open log window),
//! so a run killed anywhere and started again writes the same bytes and logs the same losses as an undisturbed one; no
//! wall-clock figure enters a checkpoint or the log history.

use std::{collections::BTreeMap, time::Instant};

use medtrain_crds::{
    contract::Phase,
    stage::{IntervalStrategy, TrainArgs},
};
use serde::{Deserialize, Serialize};

use super::{
    best::{Best, SavedBest},
    monitor::Monitor,
    task::{Evaluation, Task, Tuned, Watch},
};
use crate::{
    checkpoint::{State, Tensor as Stored},
    failure::{Failure, Result},
    model::{Gradients, Parameter, Parameters},
    ops::LmBackend,
    optim::{AdamW, adamw::clip_factor, schedule},
    telemetry::{LogEntry, StepReport, TrainerState},
};

/// What is in memory between two steps.
pub struct Training<B: LmBackend> {
    pub tuned: Tuned<B>,
    pub parameters: Parameters<B>,
    optimizer: AdamW<B>,
    /// Steps done.
    pub step: u64,
    pub history: TrainerState,
    /// Held-out figures before the first step.
    pub before: Option<Evaluation>,
    /// The latest held-out figures, and the step they belong to.
    pub latest: Option<(u64, Evaluation)>,
    pub best: Best,
    window: Window,
    loss_sum: f64,
    /// Steps that `loss_sum` is over.
    losses: u64,
}

/// Sums since the last log entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Window {
    loss: f64,
    steps: u64,
    /// By name: sum and count.
    figures: BTreeMap<String, (f64, u64)>,
}

/// A checkpoint's values beside tensors.
#[derive(Serialize, Deserialize)]
struct Meta {
    updates: u64,
    history: TrainerState,
    window: Window,
    loss_sum: f64,
    losses: u64,
    /// How batches were cut into passes, which decides rounding.
    passes: [u32; 3],
    before: Option<Evaluation>,
    latest: Option<(u64, Evaluation)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    best: Option<SavedBest>,
    task: serde_json::Value,
}

/// How a call of [`Training::run`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Finished,
    /// A stop request; a checkpoint of this step was written.
    Stopped,
}

/// Where checkpoints go.
pub trait Checkpoints<B: LmBackend> {
    /// Makes a checkpoint durable, with the adapter and `trainer_state.json` beside the state.
    fn save(&mut self, state: State, total: u64, parameters: &Parameters<B>, history: &TrainerState) -> Result<()>;
}

impl<B: LmBackend> Training<B> {
    pub fn new(tuned: Tuned<B>, parameters: Parameters<B>) -> Self {
        Self {
            tuned,
            parameters,
            optimizer: AdamW::default(),
            step: 0,
            history: TrainerState::default(),
            before: None,
            latest: None,
            best: Best::default(),
            window: Window::default(),
            loss_sum: 0.0,
            losses: 0,
        }
    }

    /// Mean loss of all steps so far.
    pub fn mean_loss(&self) -> f64 {
        self.loss_sum / self.losses.max(1) as f64
    }

    pub fn updates(&self) -> u64 {
        self.optimizer.updates()
    }

    /// Takes everything from a checkpoint. Returns whether batches are still cut into the same passes, so that the bits
    /// will be those of an undisturbed run.
    ///
    /// # Errors
    /// 65 when it is not one of this stage.
    pub fn restore(
        &mut self,
        state: &State,
        task: &mut dyn Task<B>,
        args: &TrainArgs,
        device: &B::Device,
    ) -> Result<bool> {
        let meta: Meta = serde_json::from_value(state.meta.clone())
            .map_err(|error| Failure::input(format!("checkpoint: state.json is not readable: {error}")))?;
        for (name, parameter) in &mut self.parameters {
            let stored = state.tensors.get(&format!("parameter/{name}")).filter(|t| t.shape == parameter.shape);
            let values = stored.and_then(Stored::to_f32).ok_or_else(|| {
                Failure::input(format!("checkpoint: parameter \"{name}\" is missing or has another shape"))
            })?;
            *parameter = Parameter::new(parameter.shape.clone(), values, device);
        }
        self.optimizer = AdamW::load(&self.parameters, &state.tensors, meta.updates, device)?;
        task.load(&meta.task, &state.tensors)?;
        self.step = state.step;
        self.history = meta.history;
        self.window = meta.window;
        self.loss_sum = meta.loss_sum;
        self.losses = meta.losses;
        self.before = meta.before;
        self.latest = meta.latest;
        self.best = Best::restore(meta.best, &state.tensors);
        Ok(meta.passes == passes(args))
    }

    fn state(&self, task: &dyn Task<B>, args: &TrainArgs) -> Result<State> {
        let mut tensors = BTreeMap::new();
        for (name, parameter) in &self.parameters {
            tensors.insert(format!("parameter/{name}"), Stored::of_f32(parameter.shape.clone(), &parameter.to_host()));
        }
        self.optimizer.save(&mut tensors);
        let task = task.save(&mut tensors);
        let meta = Meta {
            updates: self.optimizer.updates(),
            history: self.history.clone(),
            window: self.window.clone(),
            loss_sum: self.loss_sum,
            losses: self.losses,
            passes: passes(args),
            before: self.before.clone(),
            latest: self.latest.clone(),
            best: self.best.save(&mut tensors),
            task,
        };
        let meta = serde_json::to_value(meta)
            .map_err(|error| Failure::internal(format!("state of step {} is not JSON: {error}", self.step)))?;
        Ok(State { step: self.step, meta, tensors })
    }

    /// Trains to the last step, to where evaluations give up, or to a stop request.
    pub fn run(
        &mut self,
        task: &mut dyn Task<B>,
        args: &TrainArgs,
        checkpoints: &mut dyn Checkpoints<B>,
        watch: &mut Watch,
    ) -> Result<Ended> {
        let total = task.total_steps();
        self.describe(args, total);
        watch.monitor.begin(self.step, total);
        watch.monitor.phase(Phase::Training);
        let mut saved_at = self.step;
        loop {
            // Here and not behind the step, so that an evaluation that a stop cut off is made up for after a resume.
            if self.owes_evaluation(task, args, total) && !watch.stopped() {
                self.evaluate(task, args, watch)?;
            }
            let cut_off = watch.stopped() && self.owes_evaluation(task, args, total);
            if (self.step == total || self.best.is_given_up(args)) && !cut_off {
                break;
            }
            let started = Instant::now();
            if watch.stopped() || !self.advance(task, args, total, watch, started)? {
                if saved_at != self.step || self.step == 0 {
                    self.checkpoint(task, args, total, checkpoints, watch.monitor)?;
                }
                return Ok(Ended::Stopped);
            }
            if self.step < total && self.is_due(task, args.save_strategy, args.save_steps) {
                self.checkpoint(task, args, total, checkpoints, watch.monitor)?;
                saved_at = self.step;
            }
        }
        if self.step < total {
            watch.monitor.gives_up(self.step);
        }
        // The work that follows (merge, upload) can fail; the training is then not lost.
        if args.save_strategy != IntervalStrategy::No && saved_at != self.step {
            self.checkpoint(task, args, total, checkpoints, watch.monitor)?;
        }
        Ok(Ended::Finished)
    }

    /// Puts the best weights and their figures in place of the last step's, if the stage is to leave those.
    ///
    /// # Errors
    /// As [`Best::load`].
    pub fn load_best(&mut self, args: &TrainArgs, device: &B::Device) -> Result<()> {
        if let Some(best) = self.best.load(args, &mut self.parameters, device)? {
            self.latest = Some(best);
        }
        Ok(())
    }

    /// Whether something that happens every so often happens at this step.
    fn is_due(&self, task: &dyn Task<B>, strategy: IntervalStrategy, every: u32) -> bool {
        match strategy {
            IntervalStrategy::No => false,
            IntervalStrategy::Steps => every > 0 && self.step.is_multiple_of(u64::from(every)),
            IntervalStrategy::Epoch => task.epoch(self.step).floor() > task.epoch(self.step - 1).floor(),
        }
    }

    /// Before the first step and after the last there is always an evaluation, in between when it is due.
    fn owes_evaluation(&self, task: &dyn Task<B>, args: &TrainArgs, total: u64) -> bool {
        match self.step {
            0 => self.before.is_none(),
            step if step < total && !self.is_due(task, args.eval_strategy, args.eval_steps) => false,
            step => self.latest.as_ref().is_none_or(|(of, _)| *of != step),
        }
    }

    /// One optimiser step; `false` = a stop request cut in and nothing has changed.
    fn advance(
        &mut self,
        task: &mut dyn Task<B>,
        args: &TrainArgs,
        total: u64,
        watch: &mut Watch,
        started: Instant,
    ) -> Result<bool> {
        let mut gradients = Gradients::default();
        let view = self.tuned.view(&self.parameters)?;
        let outcome = task.gradients(self.step, &view, &mut gradients, watch)?;
        drop(view);
        let Some(outcome) = outcome else { return Ok(false) };
        let norm = gradients.global_norm();
        if !outcome.loss.is_finite() || !norm.is_finite() {
            let what = if outcome.loss.is_finite() { "gradient norm" } else { "loss" };
            return Err(Failure::non_finite(format!(
                "step {}: the {what} is not finite; the batch was {}. Lower train.learningRate or train.maxGradNorm, or \
                 look at these rows",
                self.step + 1,
                task.rows_of(self.step)
            )));
        }
        let learning_rate = schedule::lr(self.step, total, args);
        if outcome.update {
            let factor = clip_factor(norm, args.max_grad_norm);
            self.optimizer.step(&mut self.parameters, &gradients, learning_rate, factor, args);
        }
        drop(gradients);
        self.step += 1;
        if !outcome.skipped {
            self.loss_sum += outcome.loss;
            self.losses += 1;
            self.window.loss += outcome.loss;
            self.window.steps += 1;
        }
        for (name, value) in outcome.figures.iter().filter(|(_, value)| value.is_finite()) {
            let entry = self.window.figures.entry(name.clone()).or_default();
            entry.0 += value;
            entry.1 += 1;
        }
        let epoch = task.epoch(self.step);
        self.history.global_step = self.step;
        self.history.epoch = epoch;
        self.history.num_input_tokens_seen += outcome.tokens;
        let seconds = started.elapsed().as_secs_f64();
        let report = StepReport {
            step: self.step,
            loss: outcome.loss,
            learning_rate,
            tokens_per_second: outcome.tokens as f64 / seconds.max(1e-9),
        };
        watch.monitor.step(report, norm, outcome.tokens, seconds, &outcome.figures);
        let every = u64::from(args.logging_steps.max(1));
        let first = self.step == 1 && args.logging_first_step;
        if first || self.step.is_multiple_of(every) || self.step == total {
            self.log(epoch, norm, learning_rate, report, watch.monitor)?;
        }
        Ok(true)
    }

    fn log(
        &mut self,
        epoch: f64,
        norm: f64,
        learning_rate: f64,
        report: StepReport,
        monitor: &mut Monitor,
    ) -> Result<()> {
        let window = std::mem::take(&mut self.window);
        let figures = window.figures.into_iter().map(|(name, (sum, count))| (name, sum / count as f64));
        let mut values: BTreeMap<String, f64> = figures.collect();
        values.insert("loss".into(), window.loss / window.steps.max(1) as f64);
        values.insert("grad_norm".into(), norm);
        values.insert("learning_rate".into(), learning_rate);
        let entry = LogEntry { epoch, step: self.step, values };
        self.history.log_history.push(entry.clone());
        monitor.log(report, &entry)
    }

    /// Held-out figures of this step, unless a stop request cuts in.
    fn evaluate(&mut self, task: &mut dyn Task<B>, args: &TrainArgs, watch: &mut Watch) -> Result<()> {
        watch.monitor.phase(Phase::Evaluating);
        let view = self.tuned.view(&self.parameters)?;
        let evaluation = task.evaluate(&view, watch)?;
        // Before the samples: a model that gives no numbers can't answer, and would fail there without saying why.
        if let Some((name, _)) = evaluation.iter().flat_map(|found| &found.figures).find(|(_, value)| value.is_nan()) {
            return Err(Failure::non_finite(format!(
                "step {}: {name} on the held-out rows is not a number; lower train.learningRate, or check that the \
                 model itself gives finite logits",
                self.step
            )));
        }
        let samples = match evaluation.is_some() && watch.monitor.shows_samples() {
            true => task.samples(&view, watch)?,
            false => Vec::new(),
        };
        drop(view);
        if let Some(evaluation) = evaluation {
            let finite = evaluation.figures.iter().filter(|(_, value)| value.is_finite());
            let values = finite.map(|(name, value)| (name.clone(), *value)).collect();
            let entry = LogEntry { epoch: task.epoch(self.step), step: self.step, values };
            self.history.log_history.push(entry.clone());
            watch.monitor.evaluated(&entry)?;
            watch.monitor.samples("eval", self.step, &samples)?;
            match self.step {
                0 => self.before = Some(evaluation),
                step => {
                    self.best.compare(step, &evaluation, args, &self.parameters, &mut self.history);
                    self.latest = Some((step, evaluation));
                }
            }
        }
        watch.monitor.phase(Phase::Training);
        Ok(())
    }

    fn checkpoint(
        &mut self,
        task: &dyn Task<B>,
        args: &TrainArgs,
        total: u64,
        checkpoints: &mut dyn Checkpoints<B>,
        monitor: &mut Monitor,
    ) -> Result<()> {
        monitor.phase(Phase::Saving);
        let state = self.state(task, args)?;
        let bytes = state.tensors.values().map(|tensor| tensor.bytes.len() as u64).sum();
        checkpoints.save(state, total, &self.parameters, &self.history)?;
        monitor.checkpoint(self.step, bytes);
        monitor.phase(Phase::Training);
        Ok(())
    }

    fn describe(&mut self, args: &TrainArgs, total: u64) {
        let history = &mut self.history;
        history.max_steps = total;
        history.logging_steps = u64::from(args.logging_steps);
        history.eval_steps = u64::from(args.eval_steps);
        history.save_steps = u64::from(args.save_steps);
        history.train_batch_size = u64::from(args.per_device_train_batch_size);
        history.num_train_epochs = args.num_train_epochs.ceil() as u64;
    }
}

/// The arguments that cut the same batch into other passes.
fn passes(args: &TrainArgs) -> [u32; 3] {
    [args.per_device_train_batch_size, args.gradient_accumulation_steps, args.per_device_eval_batch_size]
}
