//! The inner loop of PPO against TRL's own trainers, 0.4.7 (as MedicalGPT began) and 0.24.0 (the last with PPO): ten
//! optimiser steps over one rollout (tests/parity/ppo_loop_fixtures.py), through the loop and the task that a PPO stage
//! runs. The rollout is given: tokens, scores, and of log-probabilities and values those of TRL, so that both train on
//! the same numbers; ours are compared with them.

use std::{collections::BTreeMap, path::PathBuf};

use burn_flex::Flex;
use medtrain_crds::contract::metrics;
use medtrain_crds::stage::{IntervalStrategy, LoraArgs, LrSchedulerType, PpoArgs, PpoPreset, Section, StageKind};
use medtrain_crds::stage::{KlController, TrainArgs, Tuning};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ppo::PpoTask,
    rollout::{Episode, RewardModel, Scored, score_episodes},
    task::Tuned,
    training::Training,
    trajectory_tests::{FREE, FREE_FLOOR, ONE_STEP, Run, floats, ids, logged, parameters_of, tensors_at},
};
use crate::{
    checkpoint::{State, Tensor as Stored},
    data::{Example, TokenizedDataset},
    model::{Parameter, load},
    objective::parity_tests::{fixture, numbers},
    weights::ModelFiles,
};

/// The one that shuffles minibatches as the fixture has them.
const SEED: u64 = 7;
const EPISODES: usize = 8;
/// Policy and value loss of a free run; not relative, since the policy loss begins at 0.
const PART: f64 = 1e-5;
const STEPS: usize = 10;
const EOS: u32 = 2;

/// A case of the fixtures.
struct Reference {
    name: &'static str,
    json: Value,
    states: ModelFiles,
}

/// A section of a PPO stage's hyperparameters: its defaults under `layers`.
fn args<T: for<'a> Deserialize<'a>>(section: Section, layers: &[Value]) -> T {
    let mut fields = section.defaults(StageKind::PPO);
    fields.extend(layers.iter().flat_map(|layer| layer.as_object().unwrap().clone()));
    T::deserialize(Value::Object(fields)).unwrap()
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/parity/fixtures/ppo_loop").join(name)
}

impl Reference {
    fn open(name: &'static str) -> Self {
        let json = fixture(&format!("ppo_loop/{name}/loop"));
        let states = ModelFiles::open_file(&folder(name).join("states.safetensors")).unwrap();
        Self { name, json, states }
    }

    fn setting(&self, name: &str) -> f64 {
        self.json["settings"][name].as_f64().unwrap()
    }

    /// TRL 0.4.7 is what the preset says, but for the sizes; of 0.24.0 every setting is written out.
    fn is_preset(&self) -> bool {
        self.name == "trl04"
    }

    fn train_args(&self) -> TrainArgs {
        let written = json!({
            "learningRate": self.setting("learning_rate"),
            "perDeviceTrainBatchSize": self.json["settings"]["rows_per_pass"],
            "saveSteps": 1,
            "loggingSteps": 1,
        });
        if self.is_preset() {
            let preset = PpoPreset::Trl2023.defaults(Section::Train).into();
            let args: TrainArgs = args(Section::Train, &[preset, written]);
            assert_eq!((args.adam_epsilon, args.max_grad_norm), (self.setting("adam_epsilon"), 0.0));
            assert_eq!((args.lr_scheduler_type, args.weight_decay), (LrSchedulerType::Constant, 0.0));
            return args;
        }
        TrainArgs {
            adam_epsilon: self.setting("adam_epsilon"),
            max_grad_norm: 0.0,
            lr_scheduler_type: LrSchedulerType::Constant,
            save_strategy: IntervalStrategy::Steps,
            ..args(Section::Train, &[written])
        }
    }

    fn ppo_args(&self) -> PpoArgs {
        let settings = &self.json["settings"];
        let sizes = json!({
            "batchSize": EPISODES,
            "miniBatchSize": settings["mini_batch_size"],
            "numPpoEpochs": settings["ppo_epochs"],
        });
        if self.is_preset() {
            let preset = PpoPreset::Trl2023.defaults(Section::Ppo).into();
            let args: PpoArgs = args(Section::Ppo, &[preset, sizes]);
            for (ours, name) in [
                (args.init_kl_coef, "kl_coef"),
                (args.kl_target, "kl_target"),
                (args.kl_horizon, "kl_horizon"),
                (args.gamma, "gamma"),
                (args.lam, "lam"),
                (args.cliprange, "cliprange"),
                (args.cliprange_value, "cliprange_value"),
                (args.vf_coef, "vf_coef"),
                (args.temperature, "temperature"),
                (args.missing_eos_penalty, "missing_eos_penalty"),
            ] {
                assert_eq!(ours, self.setting(name), "{name}");
            }
            assert_eq!((args.whiten_rewards, args.whiten_advantages), (false, true));
            assert_eq!(args.kl_controller, KlController::Adaptive);
            return args;
        }
        PpoArgs {
            init_kl_coef: self.setting("kl_coef"),
            kl_controller: KlController::Fixed,
            gamma: self.setting("gamma"),
            lam: self.setting("lam"),
            cliprange: self.setting("cliprange"),
            cliprange_value: self.setting("cliprange_value"),
            vf_coef: self.setting("vf_coef"),
            temperature: self.setting("temperature"),
            missing_eos_penalty: self.setting("missing_eos_penalty"),
            whiten_rewards: true,
            ..args(Section::Ppo, &[sizes])
        }
    }

    fn tuning(&self) -> Tuning {
        let lora = &self.json["lora"];
        Tuning::Lora(LoraArgs {
            rank: lora["r"].as_u64().unwrap() as u32,
            alpha: lora["lora_alpha"].as_f64().unwrap(),
            dropout: 0.0,
            target_modules: serde_json::from_value(lora["target_modules"].clone()).unwrap(),
            use_rslora: false,
            modules_to_save: vec![],
        })
    }

    fn episodes(&self) -> Vec<Episode> {
        let rollout = &self.json["rollout"];
        let list = |name: &str| rollout[name].as_array().unwrap().clone();
        let parts = list("prompts").into_iter().zip(list("responses")).zip(list("ended"));
        let episode = |((prompt, response), ended): ((Value, Value), Value)| Episode {
            prompt: ids(&prompt),
            response: ids(&response),
            ended: ended.as_bool().unwrap(),
        };
        parts.map(episode).collect()
    }

    /// As TRL scored the episodes.
    fn scored(&self) -> Scored {
        Scored {
            logprobs: numbers(&self.json["logprobs"]),
            ref_logprobs: numbers(&self.json["ref_logprobs"]),
            values: numbers(&self.json["values"]),
            entropy: 0.0,
            scores: numbers(&self.json["rollout"]["scores"]),
        }
    }

    fn tensors(&self, step: usize) -> BTreeMap<String, Stored> {
        tensors_at(&self.states, step)
    }

    /// A PPO task before its rollout, and the training that it is the task of.
    fn task(&self, train: TrainArgs, ppo: PpoArgs) -> (PpoTask<Flex>, Training<Flex>) {
        let device = Default::default();
        let base = load::load::<Flex>(&folder(self.name).join("base"), 64, &device).unwrap();
        let hidden = base.config().hidden_size;
        // Never asked: the rollout comes with its scores.
        let head = Parameter::new(vec![1, hidden], vec![0.0; hidden], &device);
        let reward = RewardModel { model: base.clone(), adapter: None, head, mean: 0.0, stop: EOS };
        let prompt = |episode: Episode| Example::single(episode.prompt.clone(), vec![false; episode.prompt.len()]);
        let prompts: Vec<Example> = self.episodes().into_iter().map(prompt).collect();
        let prompts = TokenizedDataset::of(&prompts, false);
        let eval = TokenizedDataset::of(&[], false);
        let reference = base.clone();
        let (tuned, fresh) = Tuned::new(base, &self.tuning(), SEED).unwrap();
        let parameters = parameters_of(&self.tensors(0));
        assert!(fresh.keys().all(|name| parameters.contains_key(name)));
        let task = PpoTask::new(prompts, eval, train, ppo, SEED, reference, reward, vec![EOS]).unwrap();
        (task, Training::new(tuned, parameters))
    }

    /// Ready for its first step on TRL's rollout.
    fn start(&self, train: TrainArgs, ppo: PpoArgs) -> Run {
        let (mut task, training) = self.task(train.clone(), ppo);
        task.begin(0, self.episodes(), self.scored()).unwrap();
        Run { args: train, task: Box::new(task), training }
    }
}

fn apart(ours: f64, theirs: f64) -> f64 {
    (ours - theirs).abs() / theirs.abs().max(1e-12)
}

/// ‖ours − theirs‖ / ‖theirs‖.
fn l2(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut ours.iter().zip(theirs).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut theirs.iter().map(|v| f64::from(*v))).max(1e-12)
}

/// Log-probabilities, reference and values of the same tokens.
fn hold_rollout(name: &'static str) {
    let reference = Reference::open(name);
    let (task, training) = reference.task(reference.train_args(), reference.ppo_args());
    let view = training.tuned.view(&training.parameters).unwrap();
    let temperature = task.ppo.temperature as f32;
    let ours = score_episodes(&view, &task.reference, &task.reward, &reference.episodes(), temperature, 3);
    let theirs = reference.scored();
    for (what, ours, theirs) in [
        ("logprobs", ours.logprobs, theirs.logprobs),
        ("ref_logprobs", ours.ref_logprobs, theirs.ref_logprobs),
        ("values", ours.values, theirs.values),
    ] {
        let error = l2(&ours, &theirs);
        println!("{name} {what}: {error:e}");
        assert!(error <= ONE_STEP, "{name}: {what} are off by {error:e}");
    }
}

/// Each step from TRL's own state: loss and norm of it, and all tensors after it.
fn hold_each_step(name: &'static str) {
    let reference = Reference::open(name);
    let start = || reference.start(reference.train_args(), reference.ppo_args());
    // Its states lend rollout, counters and log; parameters and moments are the reference's.
    let (free, _) = start().all();
    let (losses, norms) = (floats(&reference.json["loss"]), floats(&reference.json["grad_norm"]));
    let mut worst = BTreeMap::new();
    let mut hold = |what: &str, step: usize, error: f64| {
        let kind = what.split('/').next().unwrap().to_owned();
        let so_far: &mut f64 = worst.entry(kind).or_default();
        *so_far = so_far.max(error);
        assert!(error <= ONE_STEP, "{name}, step {step}, {what}: relative difference {error:e}");
    };
    let mut run = start();
    for step in 0..STEPS {
        if step > 0 {
            let before = &free[step - 1];
            let mut tensors = reference.tensors(step);
            let missing = before.tensors.iter().filter(|(name, _)| name.starts_with("rollout/"));
            tensors.extend(missing.map(|(name, tensor)| (name.clone(), tensor.clone())));
            assert_eq!(before.tensors.keys().collect::<Vec<_>>(), tensors.keys().collect::<Vec<_>>());
            run.restore(&State { tensors, ..before.clone() });
        }
        let after = run.go(1).remove(0);
        let values = &run.training.history.log_history.last().unwrap().values;
        hold("loss", step, apart(values["loss"], losses[step]));
        hold("grad_norm", step, apart(values["grad_norm"], norms[step]));
        for (tensor, theirs) in reference.tensors(step + 1) {
            hold(&tensor, step, l2(&after.tensors[&tensor].to_f32().unwrap(), &theirs.to_f32().unwrap()));
        }
    }
    println!("{name}, one step: {worst:#?}");
}

/// Ten steps in a row, in passes of so many episodes.
fn hold_free(name: &'static str, rows_per_pass: u32) {
    let reference = Reference::open(name);
    let train = TrainArgs { per_device_train_batch_size: rows_per_pass, ..reference.train_args() };
    let (states, history) = reference.start(train, reference.ppo_args()).all();
    for figure in ["loss", "grad_norm"] {
        let (ours, theirs) = (logged(&history, figure), floats(&reference.json[figure]));
        let envelope = floats(&reference.json["envelope"][figure]);
        assert_eq!((ours.len(), envelope.len()), (STEPS, STEPS));
        let errors: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| apart(*ours, theirs)).collect();
        for (step, (error, envelope)) in errors.iter().zip(envelope).enumerate() {
            let bound = (3.0 * envelope).clamp(FREE_FLOOR, FREE);
            assert!(*error <= bound, "{name}, step {step}: {figure} is off by {error:e}, allowed are {bound:e}");
        }
        println!("{name} {figure}, free: {:e}", errors.into_iter().fold(0.0, f64::max));
    }
    for (ours, theirs) in [(metrics::PPO_POLICY_LOSS, "policy_loss"), (metrics::PPO_VALUE_LOSS, "value_loss")] {
        let ours = logged(&history, ours);
        for (step, (ours, theirs)) in ours.iter().zip(floats(&reference.json[theirs])).enumerate() {
            assert!((ours - theirs).abs() <= PART, "{name}, step {step}: {ours} was {theirs}");
        }
    }
    for (tensor, theirs) in reference.tensors(STEPS) {
        let error = l2(&states[STEPS - 1].tensors[&tensor].to_f32().unwrap(), &theirs.to_f32().unwrap());
        assert!(error <= FREE, "{name}, at the end: {tensor} is off by {error:e}");
    }
}

#[test]
fn minibatches_come_as_in_the_fixture() {
    let reference = Reference::open("trl04");
    let (task, _) = reference.task(reference.train_args(), reference.ppo_args());
    let ours: Vec<Vec<usize>> = (0..5).flat_map(|epoch| task.minibatches(0, epoch)).collect();
    let theirs: Vec<Vec<usize>> = serde_json::from_value(reference.json["minibatches"].clone()).unwrap();
    assert_eq!(ours, theirs, "ORDER of ppo_loop_fixtures.py is not how seed {SEED} shuffles");
    assert!(ours[..2] != ours[2..4], "a PPO epoch shuffles anew");
}

#[test]
fn log_probabilities_and_values_of_a_rollout_are_those_of_trl() {
    hold_rollout("trl04");
    hold_rollout("trl024");
}

#[test]
fn each_step_is_the_one_of_trl_2023() {
    hold_each_step("trl04");
}

#[test]
fn each_step_is_the_one_of_the_last_trl() {
    hold_each_step("trl024");
}

#[test]
fn ten_steps_stay_with_trl_2023_in_whatever_passes() {
    hold_free("trl04", 4);
    hold_free("trl04", 1);
}

#[test]
fn ten_steps_stay_with_the_last_trl_in_whatever_passes() {
    hold_free("trl024", 8);
    hold_free("trl024", 3);
}

#[test]
fn the_kl_coefficient_after_a_rollout_is_the_one_of_trl_2023() {
    let reference = Reference::open("trl04");
    let state = reference.start(reference.train_args(), reference.ppo_args()).go(1).remove(0);
    let ours = state.meta["task"]["controller"]["value"].as_f64().unwrap();
    let theirs = reference.json["kl_coef_after"].as_f64().unwrap();
    assert!(theirs != reference.setting("kl_coef") && apart(ours, theirs) < 1e-9, "{ours} was {theirs}");
}

/// TRL 0.4 zeroes the gradients when the optimiser has stepped already; by default the step itself is left out.
#[test]
fn the_early_stop_of_the_preset_comes_behind_the_step_that_it_is_about() {
    let reference = Reference::open("trl04");
    let steps = reference.json["early_stop"]["steps"].as_u64().unwrap();
    let stopping = |after_step| PpoArgs {
        early_stopping: true,
        early_stopping_after_step: after_step,
        target_kl: reference.json["early_stop"]["target_kl"].as_f64().unwrap(),
        ..reference.ppo_args()
    };
    assert!(reference.ppo_args().early_stopping_after_step, "the preset's");
    for (after_step, updates) in [(true, steps), (false, steps - 1)] {
        let (states, _) = reference.start(reference.train_args(), stopping(after_step)).all();
        let last = states.last().unwrap();
        assert_eq!(last.meta["updates"], updates);
        for (tensor, theirs) in reference.tensors(updates as usize) {
            let error = l2(&last.tensors[&tensor].to_f32().unwrap(), &theirs.to_f32().unwrap());
            assert!(error <= FREE, "{tensor} is off by {error:e} after {updates} steps");
        }
    }
}
