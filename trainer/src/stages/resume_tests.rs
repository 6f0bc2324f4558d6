//! A stage of twenty steps, begun again from the checkpoint of each of its steps, ends with the same bits: tensors,
//! moments, log, held-out figures. tests/resume.rs kills processes instead, wherever it hits them.

use std::collections::BTreeMap;

use burn_flex::Flex;
use medtrain_crds::{contract::BestModel, stage::TrainArgs};

use super::{
    build::{Job, StageTask},
    monitor::Monitor,
    recipe_tests::job,
    task::{Evaluation, Watch},
    training::{Checkpoints, Ended},
};
use crate::{
    checkpoint::{self, State},
    failure::Result,
    model::{Parameter, Parameters},
    telemetry::{StopSignal, Style, TrainerState},
};

const STEPS: u64 = 20;

/// The state after every step.
#[derive(Default)]
struct Kept(Vec<State>);

impl Checkpoints<Flex> for Kept {
    fn save(&mut self, state: State, _: u64, _: &Parameters<Flex>, _: &TrainerState) -> Result<()> {
        self.0.push(state);
        Ok(())
    }
}

fn args(task: &StageTask<Flex>) -> TrainArgs {
    match task {
        StageTask::Causal(task) => task.args.clone(),
        StageTask::Reward(task) => task.args.clone(),
        StageTask::Ppo(task) => task.args.clone(),
    }
}

/// What a stage leaves beside the states of its steps.
#[derive(Clone, Debug, PartialEq)]
struct Left {
    step: u64,
    history: TrainerState,
    figures: Option<(u64, Evaluation)>,
    best: Option<BestModel>,
    parameters: BTreeMap<String, Vec<u32>>,
}

/// `saveSteps` stands in the history.
fn without_saves(mut left: Left) -> Left {
    left.history.save_steps = 0;
    left
}

/// Trains to the end. Returns the state after each step that was taken, and what is left.
fn train(job: &mut Job<Flex>, steps: u64) -> (Vec<State>, Left) {
    let mut monitor = Monitor::new(Style::Quiet, "stage", "kind").unwrap();
    let stop = StopSignal::default();
    let mut kept = Kept::default();
    let args = args(&job.task);
    let mut watch = Watch { monitor: &mut monitor, stop: &stop };
    let ended = job.training.run(job.task.as_task(), &args, &mut kept, &mut watch).unwrap();
    assert_eq!((ended, job.training.step), (Ended::Finished, steps));
    let training = &mut job.training;
    training.load_best(&args, &Default::default()).unwrap();
    let bits = |p: &Parameter<Flex>| p.to_host().iter().map(|value| value.to_bits()).collect();
    let left = Left {
        step: training.step,
        history: training.history.clone(),
        figures: training.latest.clone(),
        best: training.best.record(&args),
        parameters: training.parameters.iter().map(|(name, p)| (name.clone(), bits(p))).collect(),
    };
    (kept.0, left)
}

fn resumes_at_every_step(stage: &str) {
    let (states, _) = resumes_everywhere(STEPS, stage);
    assert_eq!(states.len() as u64, STEPS);
}

/// Returns the states that were saved, and what is left.
fn resumes_everywhere(steps: u64, stage: &str) -> (Vec<State>, Left) {
    let (_lab, mut whole, _) = job(stage);
    let (states, left) = train(&mut whole, steps);
    let certificate = |job: &Job<Flex>| job.task.loss_mask(job.training.step, &job.counts.train).unwrap();
    if !matches!(whole.task, StageTask::Ppo(_)) {
        assert_eq!(certificate(&whole).tokens_seen, left.history.num_input_tokens_seen, "what the loop has read");
    }
    let folder = tempfile::tempdir().unwrap();
    for state in &states {
        let saved = checkpoint::load(&checkpoint::save(folder.path(), state).unwrap()).unwrap();
        let (_lab, mut job, _) = job(stage);
        let args = args(&job.task);
        assert!(job.training.restore(&saved, job.task.as_task(), &args, &Default::default()).unwrap());
        let (after, left_after) = train(&mut job, steps);
        let rest: Vec<&State> = states.iter().filter(|later| later.step > state.step).collect();
        assert_eq!(after.len(), rest.len());
        let wrong = after.iter().zip(rest).find(|(ours, whole)| ours != whole);
        assert!(wrong.is_none(), "begun again after step {}, step {} differs", state.step, wrong.unwrap().0.step);
        assert_eq!(left_after, left, "begun again after step {}", state.step);
        assert_eq!(certificate(&job), certificate(&whole), "begun again after step {}", state.step);
    }
    (states, left)
}

const TRAIN: &str = "saveSteps: 1, evalStrategy: steps, evalSteps: 3, loggingSteps: 4, learningRate: \"5e-3\"";
const LORA: &str = "lora: {rank: 4, alpha: \"8\", dropout: \"0.2\"}";

#[test]
fn pretraining_begun_again_at_any_step_ends_with_the_same_bits() {
    resumes_at_every_step(&format!(
        "    - {{name: pt, kind: PT, dataset: {{train: [pt.txt], evalFraction: \"0.2\"}}, {LORA},
       train: {{{TRAIN}, maxSteps: 20, blockSize: 64, perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 2}}}}"
    ));
}

#[test]
fn fine_tuning_begun_again_at_any_step_ends_with_the_same_bits() {
    resumes_at_every_step(&format!(
        "    - {{name: sft, kind: SFT, dataset: {{train: [sft.jsonl], evalFraction: \"0.2\"}}, {LORA},
       train: {{{TRAIN}, maxSteps: 20, maxLength: 160, packing: true, perDeviceTrainBatchSize: 2,
               gradientAccumulationSteps: 1}}}}"
    ));
}

#[test]
fn reward_modelling_begun_again_at_any_step_ends_with_the_same_bits() {
    resumes_at_every_step(&format!(
        "    - {{name: rm, kind: RM, dataset: {{train: [rm.jsonl], eval: [rm-eval.jsonl]}}, {LORA},
       train: {{{TRAIN}, maxSteps: 20, maxLength: 200, perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 2}}}}"
    ));
}

/// Evaluations after steps 3, 6 and 9: none is better than the first by the threshold, so the second vain one ends it.
/// The best is found by any gain, as transformers does.
fn stops_early_at_every_step(stage: &str) {
    let best = "earlyStoppingPatience: 2, earlyStoppingThreshold: \"1000\", loadBestModelAtEnd: true";
    let stage = stage.replace("BEST", best);
    let (states, left) = resumes_everywhere(9, &stage);
    assert_eq!(states.len(), 9);
    // A checkpoint that is written after the last evaluation stops at once.
    let (seldom, same) = resumes_everywhere(9, &stage.replace("saveSteps: 1", "saveSteps: 4"));
    assert_eq!(seldom.iter().map(|state| state.step).collect::<Vec<_>>(), [4, 8, 9]);
    assert_eq!(without_saves(same), without_saves(left.clone()));
    let found = left.best.clone().unwrap();
    let losses: Vec<(u64, f64)> = left
        .history
        .log_history
        .iter()
        .filter(|entry| entry.step > 0)
        .filter_map(|entry| Some((entry.step, *entry.values.get("eval_loss")?)))
        .collect();
    assert_eq!(losses.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [3, 6, 9]);
    let least = losses.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!((found.step, found.value, found.loaded), (least.0, least.1, true));
    assert_eq!((left.history.best_global_step, left.history.best_metric), (Some(least.0), Some(least.1)));
    let (step, figures) = left.figures.unwrap();
    assert_eq!((step, figures.figures["eval_loss"]), least, "the figures are those of the weights that are left");
    for (name, bits) in &left.parameters {
        let then = states[least.0 as usize - 1].tensors[&format!("parameter/{name}")].to_f32().unwrap();
        assert_eq!(&then.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), bits, "{name}");
    }
}

#[test]
fn pretraining_that_stops_early_leaves_its_best_weights_wherever_it_is_begun_again() {
    stops_early_at_every_step(&format!(
        "    - {{name: pt, kind: PT, dataset: {{train: [pt.txt], evalFraction: \"0.2\"}}, {LORA},
       train: {{{TRAIN}, BEST, maxSteps: 20, blockSize: 64, perDeviceTrainBatchSize: 2}}}}"
    ));
}

#[test]
fn fine_tuning_that_stops_early_leaves_its_best_weights_wherever_it_is_begun_again() {
    stops_early_at_every_step(&format!(
        "    - {{name: sft, kind: SFT, dataset: {{train: [sft.jsonl], evalFraction: \"0.2\"}}, full: {{}},
       train: {{{TRAIN}, BEST, maxSteps: 20, maxLength: 160, perDeviceTrainBatchSize: 2}}}}"
    ));
}

#[test]
fn reward_modelling_that_stops_early_leaves_its_best_weights_wherever_it_is_begun_again() {
    stops_early_at_every_step(&format!(
        "    - {{name: rm, kind: RM, dataset: {{train: [rm.jsonl], eval: [rm-eval.jsonl]}}, {LORA},
       train: {{{TRAIN}, BEST, maxSteps: 20, maxLength: 200, perDeviceTrainBatchSize: 2}}}}"
    ));
}

/// Five rollouts of four optimiser steps: most checkpoints are in the middle of one.
#[test]
fn ppo_begun_again_at_any_step_ends_with_the_same_bits() {
    resumes_at_every_step(&format!(
        "    - {{name: ppo, kind: PPO, dataset: {{train: [ppo.jsonl], eval: [ppo-eval.jsonl]}},
       inputs: {{reference: {{uri: reference}}, reward: {{uri: reward}}}},
       train: {{{TRAIN}, maxSteps: 5, perDeviceTrainBatchSize: 2, perDeviceEvalBatchSize: 8}},
       ppo: {{batchSize: 4, miniBatchSize: 2, numPpoEpochs: 2, maxNewTokens: 8}}}}"
    ));
}
