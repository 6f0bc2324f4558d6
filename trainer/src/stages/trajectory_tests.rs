//! Fifty steps of PT, SFT and RM against transformers' Trainer and TRL's RewardTrainer, with the same rows in the same
//! order (tests/parity/trajectory_fixtures.py), through the loop that stages run.
//!
//! Two comparisons. *From the reference's state*: each step starts from parameters and moments that the reference had
//! there, so a step's error stands alone. *Free*: fifty steps in a row, where rounding grows; how fast it may grow is
//! what the reference does when its own weights are moved by 1e-7.

use std::{collections::BTreeMap, path::PathBuf};

use burn_flex::Flex;
use medtrain_crds::{
    contract::Phase,
    stage::{IntervalStrategy, LoraArgs, LrSchedulerType, RewardArgs, StageKind, TrainArgs, Tuning},
};
use serde_json::Value;

use super::{
    causal::CausalTask,
    monitor::Monitor,
    reward::RewardTask,
    task::{Task, Tuned, Watch},
    training::{Checkpoints, Training},
};
use crate::{
    checkpoint::{State, Tensor as Stored},
    data::{Example, Packing, PreferencePair, Sampler, TokenizedDataset, prepare::tests::train_args},
    failure::{Failure, Result},
    model::{Parameter, Parameters, load},
    parity::{self, fixture, numbers},
    preflight::Units,
    telemetry::{StopSignal, Style, TrainerState},
    weights::ModelFiles,
};

/// One step from the reference's state, L2 over a tensor, relative to the reference's tensor.
pub(super) const ONE_STEP: f64 = 1e-5;
/// Free-running: what no step may exceed, and what any step may have.
pub(super) const FREE: f64 = 1e-3;
const FREE_FLOOR: f64 = 1e-5;
const SEED: u64 = 7;

/// A case of the fixtures.
struct Reference {
    name: &'static str,
    json: Value,
    states: ModelFiles,
    /// The state after each of these steps is stored.
    state_steps: Vec<u64>,
}

/// How a step's rows are cut into passes, and what else must not change a result.
#[derive(Clone, Copy)]
struct Cut {
    /// Rows, or packs of rows, a pass.
    per_pass: u32,
    passes: u32,
    /// Rows a pack; 1 = no packing.
    pack: usize,
    gradient_checkpointing: bool,
}

fn folder(name: &str) -> PathBuf {
    parity::fixture_path("trajectories").join(name)
}

impl Reference {
    fn open(name: &'static str) -> Self {
        let json = fixture(&format!("trajectories/{name}/trajectory"));
        let states = ModelFiles::open_file(&folder(name).join("states.safetensors")).unwrap();
        let state_steps = serde_json::from_value(json["state_steps"].clone()).unwrap();
        Self { name, json, states, state_steps }
    }

    fn number(&self, name: &str) -> f64 {
        self.json["arguments"][name].as_f64().unwrap()
    }

    fn count(&self, name: &str) -> u32 {
        self.json[name].as_u64().unwrap() as u32
    }

    fn cut(&self) -> Cut {
        let (per_pass, passes) = (self.count("rows_per_pass"), self.count("passes"));
        Cut { per_pass, passes, pack: 1, gradient_checkpointing: false }
    }

    /// A figure of every step.
    fn curve(&self, name: &str) -> Vec<f64> {
        floats(&self.json[name])
    }

    fn args(&self, cut: Cut) -> TrainArgs {
        TrainArgs {
            learning_rate: self.number("learning_rate"),
            lr_scheduler_type: LrSchedulerType::Cosine,
            warmup_steps: self.number("warmup_steps") as u32,
            weight_decay: self.number("weight_decay"),
            adam_beta1: self.number("adam_beta1"),
            adam_beta2: self.number("adam_beta2"),
            adam_epsilon: self.number("adam_epsilon"),
            max_grad_norm: self.number("max_grad_norm"),
            per_device_train_batch_size: cut.per_pass,
            gradient_accumulation_steps: cut.passes,
            gradient_checkpointing: cut.gradient_checkpointing,
            packing: cut.pack > 1,
            save_strategy: IntervalStrategy::Steps,
            ..train_args()
        }
    }

    fn tuning(&self) -> Tuning {
        let lora = &self.json["lora"];
        if lora.is_null() {
            return Tuning::Full;
        }
        Tuning::Lora(LoraArgs {
            rank: lora["r"].as_u64().unwrap() as u32,
            alpha: lora["lora_alpha"].as_f64().unwrap(),
            dropout: 0.0,
            target_modules: serde_json::from_value(lora["target_modules"].clone()).unwrap(),
            use_rslora: false,
            modules_to_save: vec![],
        })
    }

    fn is_reward(&self) -> bool {
        self.name == "rm"
    }

    /// All rows in the order of training.
    fn examples(&self) -> Vec<Example> {
        self.json["rows"].as_array().unwrap().iter().map(if self.is_reward() { pair } else { row }).collect()
    }

    /// Parameters and moments after `step` steps, by their names in a checkpoint.
    fn tensors(&self, step: u64) -> BTreeMap<String, Stored> {
        let index = self.state_steps.iter().position(|stored| *stored == step).unwrap();
        tensors_at(&self.states, index)
    }

    /// A training before its first step, and what it trains on.
    fn start(&self, cut: Cut) -> Run {
        let args = self.args(cut);
        let base = folder(if self.is_reward() { "rm" } else { "sft" }).join("base");
        let model = load::load::<Flex>(&base, 64, &Default::default()).unwrap();
        let (tuned, mut parameters) = Tuned::new(model, &self.tuning(), SEED).unwrap();
        if self.state_steps[0] == 0 {
            parameters = parameters_of(&self.tensors(0));
        }
        let examples = self.examples();
        let (train, units) = self.in_order(&examples, &args, cut);
        let eval = TokenizedDataset::of(&[], false);
        let task: Box<dyn Task<Flex>> = if self.is_reward() {
            let reward = RewardArgs { center_rewards_coefficient: 0.0, normalize_scores: false };
            Box::new(RewardTask { train, eval, units, args: args.clone(), reward, seed: SEED })
        } else {
            Box::new(CausalTask { train, eval, units, args: args.clone(), seed: SEED, stop_ids: vec![] })
        };
        Run { args, task, training: Training::new(tuned, parameters) }
    }

    /// Puts each example where the stage's seeded order finds it at its turn.
    fn in_order(&self, examples: &[Example], args: &TrainArgs, cut: Cut) -> (TokenizedDataset, Units) {
        let count = examples.len() / cut.pack;
        let sampler = Sampler::new(count, SEED);
        if cut.pack > 1 {
            let mut packs = vec![Vec::new(); count];
            for turn in 0..count {
                let first = (turn * cut.pack) as u32;
                packs[sampler.sample(turn as u64)] = (first..first + cut.pack as u32).collect();
            }
            let units = Units::counted(count, Some(Packing { packs }), args, SEED);
            return (TokenizedDataset::of(examples, false), units);
        }
        let mut placed = examples.to_vec();
        for (turn, example) in examples.iter().enumerate() {
            placed[sampler.sample(turn as u64)] = example.clone();
        }
        let data = TokenizedDataset::of(&placed, self.is_reward());
        let units = Units::new(if self.is_reward() { StageKind::RM } else { StageKind::SFT }, &data, args, SEED);
        (data, units)
    }
}

/// The state at place `index` of the stacked ones, by names in a checkpoint.
pub(super) fn tensors_at(states: &ModelFiles, index: usize) -> BTreeMap<String, Stored> {
    let tensor = |name: &str| {
        let (shape, values) = states.read_f32(name).unwrap();
        let size = values.len() / shape[0];
        // Moments are flat there.
        let shape = if name.starts_with("adam") { vec![size] } else { shape[1..].to_vec() };
        (name.to_owned(), Stored::of_f32(shape, &values[index * size..(index + 1) * size]))
    };
    states.names().map(tensor).collect()
}

pub(super) fn parameters_of(tensors: &BTreeMap<String, Stored>) -> Parameters<Flex> {
    let parameter = |(name, stored): (&String, &Stored)| {
        let name = name.strip_prefix("parameter/")?.to_owned();
        Some((name, Parameter::new(stored.shape.clone(), stored.to_f32().unwrap(), &Default::default())))
    };
    tensors.iter().filter_map(parameter).collect()
}

pub(super) fn floats(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

pub(super) fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn row(value: &Value) -> Example {
    let mut loss_mask: Vec<bool> = numbers(&value["labels"]).into_iter().map(|label| label >= 0.0).collect();
    loss_mask[0] = false;
    Example { ids: ids(&value["ids"]), loss_mask, segments: ids(&value["segments"]), prompt_len: 0, roles: vec![] }
}

fn pair(value: &Value) -> Example {
    let (chosen, rejected) = (ids(&value["chosen_ids"]), ids(&value["rejected_ids"]));
    PreferencePair { chosen, rejected, prompt_len: 0 }.into_example(Vec::new())
}

/// A training and what it trains on.
pub(super) struct Run {
    pub args: TrainArgs,
    pub task: Box<dyn Task<Flex>>,
    pub training: Training<Flex>,
}

/// What ends a training that has gone far enough.
const ENOUGH: &str = "enough";

/// Keeps the state after every step; ends the training after `enough` of them.
struct Keep {
    states: Vec<State>,
    enough: usize,
}

impl Checkpoints<Flex> for Keep {
    fn save(&mut self, state: State, _: u64, _: &Parameters<Flex>, _: &TrainerState) -> Result<()> {
        self.states.push(state);
        if self.states.len() < self.enough { Ok(()) } else { Err(Failure::internal(ENOUGH)) }
    }
}

impl Run {
    /// The states after the next `steps` steps each.
    pub fn go(&mut self, steps: usize) -> Vec<State> {
        let mut monitor = Monitor::new(Style::Quiet, "stage", "kind").unwrap();
        monitor.phase(Phase::Training);
        let stop = StopSignal::default();
        let mut watch = Watch { monitor: &mut monitor, stop: &stop };
        let mut keep = Keep { states: Vec::new(), enough: steps };
        let end = self.training.run(&mut *self.task, &self.args, &mut keep, &mut watch);
        assert_eq!(end.unwrap_err().message, ENOUGH);
        keep.states
    }

    pub fn all(mut self) -> (Vec<State>, TrainerState) {
        let states = self.go(self.task.total_steps() as usize);
        (states, self.training.history)
    }

    pub fn restore(&mut self, state: &State) {
        assert!(self.training.restore(state, &mut *self.task, &self.args, &Default::default()).unwrap());
    }
}

pub(super) fn logged(history: &TrainerState, name: &str) -> Vec<f64> {
    history.log_history.iter().map(|entry| entry.values[name]).collect()
}

/// Each step from the reference's own state: loss, norm and rate of it, and all tensors after it.
fn hold_each_step(name: &'static str) {
    let reference = Reference::open(name);
    let cut = reference.cut();
    // Its states lend the counters and the log; tensors are the reference's.
    let (free, _) = reference.start(cut).all();
    let (losses, norms) = (reference.curve("loss"), reference.curve("grad_norm"));
    let quantity = |what: &str| format!("{name}, one step: {what}");
    let mut run = reference.start(cut);
    for step in reference.state_steps.windows(2).filter(|pair| pair[1] == pair[0] + 1).map(|pair| pair[0]) {
        if step > 0 {
            let tensors = reference.tensors(step);
            let before = &free[step as usize - 1];
            assert_eq!(before.tensors.keys().collect::<Vec<_>>(), tensors.keys().collect::<Vec<_>>());
            run.restore(&State { tensors, ..before.clone() });
        }
        let after = run.go(1).remove(0);
        let values = &run.training.history.log_history.last().unwrap().values;
        let case = format!("step {step}");
        for (what, theirs) in [("loss", losses[step as usize]), ("grad_norm", norms[step as usize])] {
            parity::hold_relative(&quantity(what), &case, values[what], theirs, ONE_STEP);
        }
        for (tensor, theirs) in reference.tensors(step + 1) {
            let (kind, name) = tensor.split_once('/').unwrap();
            let (ours, theirs) = (after.tensors[&tensor].to_f32().unwrap(), theirs.to_f32().unwrap());
            parity::hold_l2(&quantity(kind), &format!("{case}, {name}"), &ours, &theirs, ONE_STEP);
        }
    }
}

/// Every step of a free run within three times what the reference does to itself.
pub(super) fn hold_curve(quantity: &str, ours: &[f64], theirs: &[f64], envelope: &[f64]) {
    assert_eq!((ours.len(), envelope.len()), (theirs.len(), theirs.len()));
    for (step, ((ours, theirs), envelope)) in ours.iter().zip(theirs).zip(envelope).enumerate() {
        let bound = (3.0 * envelope).clamp(FREE_FLOOR, FREE);
        parity::hold_relative(quantity, &format!("step {step}"), *ours, *theirs, bound);
    }
}

/// Fifty steps in a row under `cut`: losses and norms within what the reference does to itself. Returns the states.
fn hold_free(reference: &Reference, cut: Cut, against: &Value) -> Vec<State> {
    let (states, history) = reference.start(cut).all();
    let rates = logged(&history, "learning_rate");
    for (step, (ours, theirs)) in rates.iter().zip(reference.curve("learning_rate")).enumerate() {
        let quantity = format!("{}, free: learning_rate", reference.name);
        parity::hold(&quantity, &format!("step {step}"), *ours, theirs, (ours - theirs).abs(), 1e-15);
    }
    for name in ["loss", "grad_norm"] {
        let envelope = floats(&reference.json["envelope"][name]);
        let quantity = format!("{}, free: {name}", reference.name);
        hold_curve(&quantity, &logged(&history, name), &floats(&against[name]), &envelope);
    }
    let (ours, last) = (&states[states.len() - 1].tensors, reference.state_steps[reference.state_steps.len() - 1]);
    if last == states.len() as u64 {
        for (name, theirs) in reference.tensors(last) {
            let (ours, theirs) = (ours[&name].to_f32().unwrap(), theirs.to_f32().unwrap());
            let quantity = format!("{}, free: tensors at the end", reference.name);
            parity::hold_l2(&quantity, &name, &ours, &theirs, FREE);
        }
    }
    states
}

fn hold_free_as_it_is(name: &'static str) {
    let reference = Reference::open(name);
    hold_free(&reference, reference.cut(), &reference.json);
}

fn sft_variant(name: &str) -> (Reference, Cut) {
    let reference = Reference::open("sft");
    let options = &reference.json["variants"][name]["options"];
    let number = |name: &str| options[name].as_u64();
    let plain = reference.cut();
    let cut = Cut {
        per_pass: number("rows_per_pass").map_or(plain.per_pass, |n| n as u32),
        passes: number("passes").map_or(plain.passes, |n| n as u32),
        pack: number("pack").unwrap_or(1) as usize,
        gradient_checkpointing: options["gradient_checkpointing"].as_bool().unwrap_or(false),
    };
    (reference, cut)
}

/// The variant against the reference's own run of it.
fn hold_variant(name: &str) -> Vec<State> {
    let (reference, cut) = sft_variant(name);
    hold_free(&reference, cut, &reference.json["variants"][name])
}

#[test]
fn each_pretraining_step_is_the_one_of_transformers() {
    hold_each_step("pt");
}

#[test]
fn each_fine_tuning_step_is_the_one_of_transformers() {
    hold_each_step("sft");
}

#[test]
fn steps_of_all_weights_decay_neither_biases_nor_norms() {
    hold_each_step("full");
}

#[test]
fn each_reward_modelling_step_is_the_one_of_trl() {
    hold_each_step("rm");
}

#[test]
fn fifty_steps_of_pretraining_stay_with_transformers() {
    hold_free_as_it_is("pt");
}

#[test]
fn fifty_steps_of_fine_tuning_stay_with_transformers() {
    hold_free_as_it_is("sft");
}

#[test]
fn fifty_steps_of_all_weights_stay_with_transformers() {
    hold_free_as_it_is("full");
}

#[test]
fn fifty_steps_of_reward_modelling_stay_with_trl() {
    hold_free_as_it_is("rm");
}

#[test]
fn rows_that_are_packed_train_as_behind_a_block_diagonal_mask() {
    hold_variant("packed");
}

#[test]
fn one_row_accumulated_eight_times_trains_as_eight_rows_at_once() {
    hold_variant("accumulated");
    let reference = Reference::open("sft");
    hold_free(&reference, Cut { per_pass: 2, passes: 4, ..reference.cut() }, &reference.json);
    hold_free(&reference, Cut { per_pass: 4, passes: 2, ..reference.cut() }, &reference.json);
}

#[test]
fn gradient_checkpointing_changes_no_bit_of_fifty_steps() {
    let checkpointed = hold_variant("checkpointed");
    let reference = Reference::open("sft");
    let (plain, _) = reference.start(reference.cut()).all();
    assert!(plain.iter().zip(&checkpointed).all(|(a, b)| a.tensors == b.tensors));
}
