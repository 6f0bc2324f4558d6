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

    /// `count` units, whose rows `packing` gives if they are packs.
    pub(crate) fn counted(count: usize, packing: Option<Packing>, args: &TrainArgs, seed: u64) -> Self {
        let batch = u64::from(args.per_device_train_batch_size) * u64::from(args.gradient_accumulation_steps);
        let batch = batch.max(1);
        let total = match args.max_steps {
            _ if count == 0 => 0,
            Some(steps) => u64::from(steps) * batch,
            None => passes(args.num_train_epochs, count),
        };
        Self { count, packing, sampler: Sampler::new(count, seed), batch, total }
    }

    /// The units of data that is `factor` times as large, for counting: their rows are not known.
    pub(super) fn stretched(&self, factor: f64, args: &TrainArgs, seed: u64) -> Self {
        Self::counted((self.count as f64 * factor).round() as usize, None, args, seed)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use medtrain_crds::stage::Section;

    use super::*;
    use crate::data::prepare::tests::train_args;

    fn units(count: usize, args: &TrainArgs) -> Units {
        Units::counted(count, None, args, 7)
    }

    fn batches(device: u32, accumulation: u32) -> TrainArgs {
        TrainArgs { per_device_train_batch_size: device, gradient_accumulation_steps: accumulation, ..train_args() }
    }

    #[test]
    fn a_last_batch_that_is_not_full_is_a_step() {
        let steps =
            |count, epochs| units(count, &TrainArgs { num_train_epochs: epochs, ..batches(2, 2) }).total_steps();
        assert_eq!([steps(12, 1.0), steps(13, 1.0), steps(1, 1.0), steps(0, 1.0)], [3, 4, 1, 0]);
        // Units run on over the ends of epochs: 3 · 10 = 7 · 4 + 2.
        assert_eq!([steps(10, 3.0), steps(10, 2.5), steps(10, 0.01)], [8, 7, 1]);
    }

    #[test]
    fn epochs_written_as_decimals_count_as_decimals() {
        let steps =
            |count, epochs| units(count, &TrainArgs { num_train_epochs: epochs, ..batches(1, 1) }).total_steps();
        // In binary 0.1 · 30 and 1.1 · 10 are more than 3 and 11.
        assert_eq!([steps(30, 0.1), steps(10, 1.1), steps(1000, 0.7)], [3, 11, 700]);
    }

    #[test]
    fn max_steps_rules_over_epochs_but_not_over_having_no_data() {
        let args = TrainArgs { max_steps: Some(5), ..batches(4, 1) };
        assert_eq!(
            [units(3, &args).total_steps(), units(1000, &args).total_steps(), units(0, &args).total_steps()],
            [5, 5, 0]
        );
    }

    #[test]
    fn every_unit_comes_once_an_epoch_and_the_last_step_takes_what_is_left() {
        let units = units(10, &TrainArgs { num_train_epochs: 2.0, ..batches(3, 1) });
        let steps: Vec<_> = (0..units.total_steps()).map(|step| units.of_step(step)).collect();
        assert_eq!(steps.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3, 3, 3, 3, 2]);
        for epoch in 0..2 {
            let seen: BTreeSet<usize> =
                steps.iter().flatten().filter(|unit| unit.0 == epoch).map(|unit| unit.1).collect();
            assert_eq!(seen, (0..10).collect());
        }
        assert_eq!((units.epoch(0), units.epoch(7), units.epoch(99)), (0.0, 2.0, 2.0));
    }

    #[test]
    fn packs_are_units_and_hold_every_row() {
        let packing = Packing::new(&[5, 5, 5, 5, 9], 10, 1);
        let units = Units::counted(packing.len(), Some(packing), &batches(1, 1), 1);
        assert_eq!(units.len(), 3);
        let mut rows: Vec<usize> = (0..units.len()).flat_map(|unit| units.rows(unit)).collect();
        rows.sort_unstable();
        assert_eq!(rows, [0, 1, 2, 3, 4]);
    }

    fn ppo(total_episodes: Option<u32>) -> PpoArgs {
        let defaults = Section::Ppo.defaults(StageKind::PPO);
        let defaults: PpoArgs = serde_json::from_value(defaults.into()).unwrap();
        PpoArgs { batch_size: 16, mini_batch_size: 4, num_ppo_epochs: 3, total_episodes, ..defaults }
    }

    #[test]
    fn rollouts_are_whole_and_each_has_its_epochs_of_minibatches() {
        let steps = |prompts, args: &TrainArgs, ppo| {
            let steps = PpoSteps::new(prompts, args, &ppo);
            (steps.rollouts, steps.total_steps())
        };
        let args = train_args();
        assert_eq!(steps(40, &args, ppo(None)), (3, 36));
        assert_eq!(steps(40, &args, ppo(Some(32))), (2, 24));
        assert_eq!(steps(40, &TrainArgs { max_steps: Some(7), ..args.clone() }, ppo(Some(32))), (7, 84));
        assert_eq!(steps(0, &args, ppo(Some(32))), (0, 0));
    }
}
