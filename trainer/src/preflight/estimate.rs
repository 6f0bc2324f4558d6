//! The figures of one stage: by counting for one that will run, by its manifest for one that did.

use std::collections::{BTreeMap, BTreeSet};

use medtrain_crds::contract::{DataCounts, Manifest, SplitCounts};
use medtrain_crds::resolve::{PlannedStage, Resolved, ResolvedStage, Role, Source, locator};
use medtrain_crds::stage::{PpoArgs, StageKind, Tuning};

use super::memory::{self, Shape};
use super::origins::Facts;
use super::{Forecast, PpoSteps, Units, Workspace};
use crate::data::{DataReport, Prepared, Sample, example::DropReason};
use crate::model::ModelConfig;
use crate::optim::schedule;

/// A stage that will run over `data`.
pub(super) fn estimate(
    ws: &Workspace,
    resolved: &Resolved,
    stage: &ResolvedStage,
    planned: &PlannedStage,
    model: &Facts,
    data: &Prepared,
) -> Forecast {
    let (train, seed) = (&stage.train, planned.seed);
    let tokens = |row| u64::from(data.train.tokens(row));
    // Over all rows, where only a sample of them was read.
    let scaled = |count: usize| data.sample.map_or(count, |sample| sample.scaled(count as u64) as usize);
    let examples = |read: usize, max: Option<u32>| max.map_or(scaled(read), |max| scaled(read).min(max as usize));
    let rows = examples(data.train.len(), train.max_train_samples);
    let (steps, rollouts, epochs, units, batch_tokens) = match &stage.ppo {
        Some(ppo) => {
            let steps = PpoSteps::new(rows, train, ppo);
            let episodes = steps.rollouts * steps.batch;
            let epochs = episodes as f64 / rows.max(1) as f64;
            let at_once = train.per_device_train_batch_size.min(ppo.mini_batch_size);
            let tokens = largest((0..data.train.len()).map(tokens).collect(), at_once);
            (steps.total_steps(), Some(steps.rollouts), epochs, rows, tokens)
        }
        None => {
            let units = Units::new(stage.kind, &data.train, train, seed);
            let of_unit = |unit| units.rows(unit).map(tokens).sum();
            let tokens = largest((0..units.len()).map(of_unit).collect(), train.per_device_train_batch_size);
            let all = units.stretched(rows as f64 / data.train.len() as f64, train, seed);
            let steps = all.total_steps();
            (steps, None, all.epoch(steps), all.len(), tokens)
        }
    };
    let memory = memory::estimate(&Shape {
        kind: stage.kind,
        config: &model.config,
        tuning: &stage.tuning,
        train,
        ppo: stage.ppo.as_ref(),
        batch_tokens,
        longest: data.train_report.max_len.into(),
        other_models: other_models(resolved, stage, &model.config),
        eval_tokens: largest(
            (0..data.eval.len()).map(|row| u64::from(data.eval.tokens(row))).collect(),
            train.per_device_eval_batch_size,
        ),
        stored: model.stored,
        saved: train.save_dtype.map_or(model.stored, Into::into),
    });
    Forecast {
        name: stage.name.clone(),
        kind: stage.kind,
        key: planned.key.clone(),
        done: false,
        inputs: input_names(stage),
        steps,
        rollouts,
        epochs: Some(epochs),
        units: Some(units as u64),
        data: DataCounts {
            train: counts(&data.train_report, data.sample, rows),
            eval: counts(&data.eval_report, data.sample, examples(data.eval.len(), train.max_eval_samples)),
        },
        sample: data.sample,
        ignored_columns: data.train_report.ignored_columns.clone(),
        longest: Some(data.train_report.max_len),
        memory: Some(memory),
        fits: ws.memory.map(|limit| memory.total <= limit),
    }
}

/// The counts of a report; of a sample what they are about over all rows, which leave `examples`.
fn counts(report: &DataReport, sample: Option<Sample>, examples: usize) -> SplitCounts {
    let counts = report.counts();
    let Some(sample) = sample else { return counts };
    let kept = examples as f64 / counts.examples.max(1) as f64;
    let of_examples = |count: u64| (count as f64 * kept).round() as u64;
    SplitCounts {
        rows: sample.scaled(counts.rows),
        examples: examples as u64,
        tokens: of_examples(counts.tokens),
        target_tokens: of_examples(counts.target_tokens),
        truncated: sample.scaled(counts.truncated),
        dropped: counts.dropped.into_iter().map(|(reason, rows)| (reason, sample.scaled(rows))).collect(),
    }
}

/// What was seen on the way that is no error but should be known.
pub(super) fn warnings(ws: &Workspace, stage: &ResolvedStage, forecast: &Forecast, data: &Prepared) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |text: String| warnings.push(text);
    if let Some(Sample { read, total }) = data.sample {
        warn(format!(
            "dataset: rows of {} of {} MiB were read (maxScanBytes), from the beginning of each file; counts, steps and \
             memory are estimates, and the stage reads the rest before it loads weights",
            read >> 20,
            total >> 20
        ));
    }
    for (side, report) in [("train", &data.train_report), ("eval", &data.eval_report)] {
        for (reason, count) in &report.dropped {
            let why = DropReason::explain(reason);
            warn(format!("dataset.{side}: {count} of {} rows left out: {why}", report.rows));
        }
        if report.truncated > 0 {
            warn(format!("dataset.{side}: {} of {} rows cut to maxLength", report.truncated, report.rows));
        }
        if report.also_in_eval > 0 {
            let what = if stage.kind == StageKind::RM { "the prompts of " } else { "" };
            warn(format!("dataset.{side}: {what}{} rows are also held out for evaluation", report.also_in_eval));
        }
    }
    if forecast.steps == 1 && schedule::lr(0, 1, &stage.train) == 0.0 {
        warn(
            "train.warmupRatio: the only step is warm-up, with learning rate 0, so nothing is trained; set it to 0, or \
             train for more steps"
                .to_owned(),
        );
    }
    let fraction = stage.dataset.eval_fraction;
    if fraction > 0.0 && data.eval.is_empty() {
        warn(format!(
            "dataset.evalFraction: {fraction} of so little data held out nothing, so nothing is evaluated; make it \
             larger, or name dataset.eval"
        ));
    }
    for (column, rows) in &forecast.ignored_columns {
        warn(format!("dataset: column \"{column}\" ({rows} rows) is not read"));
    }
    let mut seen = BTreeSet::new();
    for file in data.train_report.files.iter().filter(|file| !seen.insert(&file.sha256)) {
        warn(format!("dataset.train: {} is there twice; use weights to repeat rows", file.uri));
    }
    if let Some(PpoArgs { batch_size, .. }) = &stage.ppo
        && u64::from(*batch_size) > data.train.len() as u64
    {
        warn(format!("ppo.batchSize: {batch_size} is more than the {} prompts; they repeat", data.train.len()));
    }
    if let (Some(false), Some(memory), Some(limit)) = (forecast.fits, forecast.memory, ws.memory) {
        warn(format!(
            "train: about {} MiB of memory at the peak, but only {} MiB are there; make perDeviceTrainBatchSize smaller or \
             set gradientCheckpointing: true",
            memory.total >> 20,
            limit >> 20
        ));
    }
    warnings
}

/// A stage that is done.
pub(super) fn finished(stage: &ResolvedStage, planned: &PlannedStage, manifest: &Manifest) -> Forecast {
    Forecast {
        name: stage.name.clone(),
        kind: stage.kind,
        key: planned.key.clone(),
        done: true,
        inputs: input_names(stage),
        steps: manifest.final_step,
        rollouts: None,
        epochs: None,
        units: None,
        data: manifest.data.clone(),
        sample: None,
        ignored_columns: BTreeMap::new(),
        longest: None,
        memory: None,
        fits: None,
    }
}

fn input_names(stage: &ResolvedStage) -> BTreeMap<Role, String> {
    let name = |source: &Source| match source {
        Source::Model => "model".to_owned(),
        Source::Stage(name) => name.clone(),
        Source::Uri { uri, revision } => locator(uri, revision.as_deref()),
    };
    stage.inputs.iter().map(|(role, source)| (*role, name(source))).collect()
}

/// Sum of the `count` largest; a batch larger than the data holds all of it several times.
fn largest(mut tokens: Vec<u64>, count: u32) -> u64 {
    tokens.sort_unstable_by(|a, b| b.cmp(a));
    let (count, there) = (count as usize, tokens.len().max(1));
    let whole: u64 = tokens.iter().sum();
    whole.saturating_mul((count / there) as u64) + tokens.iter().take(count % there).sum::<u64>()
}

/// Weights of PPO's reference and reward model where they are not the policy's own.
fn other_models(resolved: &Resolved, stage: &ResolvedStage, config: &ModelConfig) -> u64 {
    let one = config.parameter_count() as u64;
    let Some(policy) = stage.inputs.get(&Role::Policy) else { return 0 };
    let reference = stage.inputs.get(&Role::Reference).is_some_and(|reference| reference != policy);
    let shares = |source: &Source| match source {
        Source::Stage(name) => resolved.stage(name).is_some_and(|maker| {
            let over_policy = maker.inputs.get(&Role::Base) == Some(policy);
            over_policy && matches!(&maker.tuning, Tuning::Lora(lora) if lora.modules_to_save.is_empty())
        }),
        Source::Model | Source::Uri { .. } => false,
    };
    let reward = stage.inputs.get(&Role::Reward).is_some_and(|reward| !shares(reward));
    one * (u64::from(reference) + u64::from(reward))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_batch_repeats_rows_when_there_are_too_few() {
        assert_eq!(largest(vec![1, 5, 3], 2), 8);
        assert_eq!(largest(vec![1, 5, 3], 7), 9 + 9 + 5);
        assert_eq!(largest(Vec::new(), 4), 0);
    }
}
