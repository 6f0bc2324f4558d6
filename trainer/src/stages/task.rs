//! What the four kinds of stage have in common: something is tuned, a step gives gradients, an evaluation gives figures.

use std::collections::BTreeMap;

use medtrain_crds::stage::{LoraArgs, Tuning};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{monitor::Monitor, samples::Sample};
use crate::{
    adapter::{self, Adapter},
    checkpoint::Tensor as Stored,
    failure::Result,
    model::{Decoder, Gradients, ModelConfig, Parameters, Pass, Shell},
    ops::LmBackend,
    telemetry::StopSignal,
};

/// What is trained, and what it stands on.
pub enum Tuned<B: LmBackend> {
    /// An adapter over a frozen model.
    Lora { base: Decoder<B>, lora: LoraArgs },
    /// All weights; they live in the parameters.
    Full { shell: Shell<B> },
}

impl<B: LmBackend> Tuned<B> {
    /// Takes `base` for tuning, with fresh parameters.
    pub fn new(base: Decoder<B>, tuning: &Tuning, seed: u64) -> Result<(Self, Parameters<B>)> {
        Ok(match tuning {
            Tuning::Lora(lora) => {
                let parameters = adapter::init(&base, lora, seed)?;
                (Self::Lora { base, lora: lora.clone() }, parameters)
            }
            Tuning::Full => (Self::Full { shell: base.shell() }, base.parameters()),
        })
    }

    pub fn config(&self) -> &ModelConfig {
        match self {
            Self::Lora { base, .. } => base.config(),
            Self::Full { shell } => shell.config(),
        }
    }

    /// The model as `parameters` make it. Holds views of their buffers: drop it before they are updated.
    pub fn view<'a>(&self, parameters: &'a Parameters<B>) -> Result<View<'a, B>> {
        Ok(match self {
            Self::Lora { base, lora } => View {
                model: base.clone(),
                adapter: Some(Adapter::view(base.config(), lora, parameters)),
                train_base: false,
                parameters,
            },
            Self::Full { shell } => {
                View { model: shell.fill(parameters)?, adapter: None, train_base: true, parameters }
            }
        })
    }
}

/// The tuned model at one step.
pub struct View<'a, B: LmBackend> {
    pub model: Decoder<B>,
    pub adapter: Option<Adapter<B>>,
    pub train_base: bool,
    /// All trained tensors, heads included.
    pub parameters: &'a Parameters<B>,
}

impl<B: LmBackend> View<'_, B> {
    pub fn adapter(&self) -> Option<&Adapter<B>> {
        self.adapter.as_ref()
    }

    /// How a training pass runs over `batch`.
    pub fn pass(&self, dropout_keys: Option<std::sync::Arc<Vec<u32>>>, gradient_checkpointing: bool) -> Pass {
        Pass { dropout_keys, gradient_checkpointing, train_base: self.train_base }
    }
}

/// What one optimiser step's gradients come with.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub loss: f64,
    /// Tokens read, prompts and all.
    pub tokens: u64,
    /// Whether to update; PPO's early stop does not, but for `earlyStoppingAfterStep`.
    pub update: bool,
    /// Nothing was computed: PPO passes over the rest of a batch after an early stop.
    pub skipped: bool,
    /// Further figures by their TRL names.
    pub figures: Vec<(String, f64)>,
}

/// Held-out figures, and each row's own figure with its weight for the paired comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub figures: BTreeMap<String, f64>,
    pub rows: Vec<f64>,
    pub weights: Vec<f64>,
}

/// Where a task tells what it is doing, and whether it is asked to stop.
pub struct Watch<'a> {
    pub monitor: &'a mut Monitor,
    pub stop: &'a StopSignal,
}

impl Watch<'_> {
    pub fn stopped(&self) -> bool {
        self.stop.stop_requested()
    }
}

/// One kind of training.
pub trait Task<B: LmBackend> {
    /// Optimiser steps of the whole stage.
    fn total_steps(&self) -> u64;

    /// Passes over the data after `step` steps.
    fn epoch(&self, step: u64) -> f64;

    /// Adds the gradients of step `step` (from 0). `None` = a stop request cut in, and nothing has changed: the step can
    /// be taken later with the same result.
    fn gradients(
        &mut self,
        step: u64,
        view: &View<B>,
        gradients: &mut Gradients<B>,
        watch: &mut Watch,
    ) -> Result<Option<Outcome>>;

    /// Figures on held-out rows; `None` without any, or when a stop request cut in.
    fn evaluate(&mut self, view: &View<B>, watch: &mut Watch) -> Result<Option<Evaluation>>;

    /// A few held-out rows as the model answers them now. Comes right after [`Self::evaluate`], and only if the monitor
    /// shows samples; empty when a stop request cut in.
    fn samples(&mut self, view: &View<B>, watch: &mut Watch) -> Result<Vec<Sample>>;

    /// The rows behind `step`, for an error message.
    fn rows_of(&self, step: u64) -> String;

    /// State beyond parameters and optimiser.
    fn save(&self, _tensors: &mut BTreeMap<String, Stored>) -> Value {
        Value::Null
    }

    fn load(&mut self, _state: &Value, _tensors: &BTreeMap<String, Stored>) -> Result<()> {
        Ok(())
    }
}
