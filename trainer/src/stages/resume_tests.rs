//! A stage of twenty steps, begun again from the checkpoint of each of its steps, ends with the same bits: tensors,
//! moments, log, held-out figures. tests/resume.rs kills processes instead, wherever it hits them.

use burn_flex::Flex;
use medtrain_crds::stage::TrainArgs;

use super::{
    build::{Job, StageTask},
    monitor::Monitor,
    recipe_tests::job,
    task::Watch,
    training::{Checkpoints, Ended},
};
use crate::{
    checkpoint::{self, State},
    failure::Result,
    model::Parameters,
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

/// Trains to the end. Returns the state after each step that was taken.
fn train(job: &mut Job<Flex>) -> Vec<State> {
    let mut monitor = Monitor::new(Style::Quiet, "stage", "kind").unwrap();
    let stop = StopSignal::default();
    let mut kept = Kept::default();
    let args = args(&job.task);
    let mut watch = Watch { monitor: &mut monitor, stop: &stop };
    let ended = job.training.run(job.task.as_task(), &args, &mut kept, &mut watch).unwrap();
    assert_eq!((ended, job.training.step), (Ended::Finished, STEPS));
    kept.0
}

fn resumes_at_every_step(stage: &str) {
    let (_lab, mut whole, _) = job(stage);
    let states = train(&mut whole);
    assert_eq!(states.len() as u64, STEPS);
    let folder = tempfile::tempdir().unwrap();
    for state in &states[..states.len() - 1] {
        let saved = checkpoint::load(&checkpoint::save(folder.path(), state).unwrap()).unwrap();
        let (_lab, mut job, _) = job(stage);
        let args = args(&job.task);
        assert!(job.training.restore(&saved, job.task.as_task(), &args, &Default::default()).unwrap());
        let after = train(&mut job);
        assert_eq!(after.len() as u64, STEPS - state.step);
        let wrong = after.iter().zip(&states[state.step as usize..]).find(|(ours, whole)| ours != whole);
        assert!(wrong.is_none(), "begun again after step {}, step {} differs", state.step, wrong.unwrap().0.step);
    }
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
