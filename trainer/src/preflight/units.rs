//! How many optimiser steps a stage has, and which rows each takes: pure functions of rows and arguments.
//!
//! Holds: training loops and forecasts count by this file alone; nothing is remembered, so a resumed run asks for its
//! next step and gets it.

use medtrain_crds::stage::{PpoArgs, StageKind, TrainArgs};

use crate::data::{Packing, Sampler, TokenizedDataset};

/// The units of a stage of kind PT, SFT or RM. A *unit* is what a batch counts: a block (PT), a row or a pack of rows
/// (SFT), a pair (RM).
///
/// Units of all epochs stand in one endless sequence, each epoch in its own seeded order; step `s` takes the next
/// `perDeviceTrainBatchSize × gradientAccumulationSteps` of it, and a stage's last step what is left.
#[derive(Clone, Debug)]
pub struct Units {
    count: usize,
    /// Rows of each unit; `None`: unit and row are the same number.
    packing: Option<Packing>,
    sampler: Sampler,
    batch: u64,
    /// Units of the whole stage.
    total: u64,
}

impl Units {
    pub fn new(kind: StageKind, data: &TokenizedDataset, args: &TrainArgs, seed: u64) -> Self {
        let packing =
            (kind == StageKind::SFT && args.packing).then(|| Packing::new(&data.lengths(), args.max_length, seed));
        Self::counted(packing.as_ref().map_or(data.len(), Packing::len), packing, args, seed)
    }

    fn counted(count: usize, packing: Option<Packing>, args: &TrainArgs, seed: u64) -> Self {
        let batch = u64::from(args.per_device_train_batch_size) * u64::from(args.gradient_accumulation_steps);
        let batch = batch.max(1);
        let total = match args.max_steps {
            _ if count == 0 => 0,
            Some(steps) => u64::from(steps) * batch,
            None => passes(args.num_train_epochs, count),
        };
        Self { count, packing, sampler: Sampler::new(count, seed), batch, total }
    }

    /// Units of one pass over the data.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// `⌈numTrainEpochs · units / batch⌉`, or `maxSteps`; 0 without units.
    pub fn total_steps(&self) -> u64 {
        self.total.div_ceil(self.batch)
    }

    /// Passes over the data after `step` steps.
    pub fn epoch(&self, step: u64) -> f64 {
        (step * self.batch).min(self.total) as f64 / self.count.max(1) as f64
    }

    /// `(epoch, unit)` of each unit of step `step` (the first is 0).
    pub fn of_step(&self, step: u64) -> Vec<(u64, usize)> {
        (step * self.batch..((step + 1) * self.batch).min(self.total))
            .map(|sample| (sample / self.count as u64, self.sampler.sample(sample)))
            .collect()
    }

    /// Rows of a unit.
    pub fn rows(&self, unit: usize) -> impl Iterator<Item = usize> + use<> {
        let rows: Vec<usize> = match &self.packing {
            Some(packing) => packing.packs[unit].iter().map(|&row| row as usize).collect(),
            None => vec![unit],
        };
        rows.into_iter()
    }
}

/// The steps of a PPO stage: rollouts of `batchSize` episodes, each trained on in `numPpoEpochs` passes of
/// `batchSize / miniBatchSize` optimiser steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PpoSteps {
    pub rollouts: u64,
    /// Optimiser steps on one rollout.
    pub per_rollout: u64,
    /// Episodes of one rollout.
    pub batch: u64,
}

impl PpoSteps {
    /// `⌈totalEpisodes / batchSize⌉` rollouts, where `totalEpisodes` is `numTrainEpochs` passes over the prompts unless
    /// set. `maxSteps` counts rollouts and rules over both. The last rollout is whole: prompts start again.
    pub fn new(prompts: usize, args: &TrainArgs, ppo: &PpoArgs) -> Self {
        let batch = u64::from(ppo.batch_size.max(1));
        let episodes = ppo.total_episodes.map_or_else(|| passes(args.num_train_epochs, prompts), u64::from);
        let rollouts = match args.max_steps {
            _ if prompts == 0 => 0,
            Some(rollouts) => rollouts.into(),
            None => episodes.div_ceil(batch),
        };
        let per_rollout = u64::from(ppo.num_ppo_epochs) * (batch / u64::from(ppo.mini_batch_size.max(1)));
        Self { rollouts, per_rollout, batch }
    }

    /// Optimiser steps.
    pub fn total_steps(&self) -> u64 {
        self.rollouts * self.per_rollout
    }
}

/// `⌈epochs · count⌉`. A decimal such as 0.1 is a little more than itself in binary: that may not cost a step.
fn passes(epochs: f64, count: usize) -> u64 {
    (epochs * count as f64 * (1.0 - 1e-12)).ceil() as u64
}
