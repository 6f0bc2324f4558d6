//! Guards the `recipe` of RM and PPO: figures of single steps over random weights that no step has touched, so that
//! nothing amplifies how a processor rounds and the figures can be held closely.
//!
//! Whoever changes what a step computes changes a figure, and must then raise the stage's recipe (crds/src/stage), or
//! finished stages would be taken for the new ones.

use std::{collections::BTreeMap, fs, path::Path};

use burn_flex::Flex;
use medtrain_crds::contract::Phase;
use serde_json::json;

use super::{
    build::{Job, StageTask, build},
    monitor::Monitor,
    reward::SCORE,
    task::Watch,
};
use crate::{
    generate::rng::{Purpose, Stream},
    model::{Gradients, Parameter, Parameters, fixture},
    preflight::fixture::{Lab, SPEC, config},
    telemetry::{StopSignal, Style},
};

type Figures = BTreeMap<String, f64>;

/// A model directory of random weights; with a head, a reward model.
fn write_random(dir: &Path, seed: u64, is_reward: bool) {
    let (mut config, mut heads) = (config(), BTreeMap::new());
    config["initializer_range"] = json!(0.25);
    if is_reward {
        config["architectures"] = json!(["LlamaForSequenceClassification"]);
        let hidden = config["hidden_size"].as_u64().unwrap() as usize;
        heads.insert(SCORE.to_owned(), (vec![1, hidden], normal(seed, 0, hidden, 0.2)));
    }
    let _ = fs::remove_dir_all(dir);
    fixture::write_random(dir, &config, seed, heads);
}

fn normal(seed: u64, index: u64, count: usize, std: f64) -> Vec<f32> {
    let mut values = vec![0.0; count];
    Stream::new(seed, Purpose::Init, 2_000_000 + index).fill_normal(&mut values, 0, 0.0, std);
    values
}

/// Moves every parameter, as training would: of fresh ones, half are zero and hide mistakes.
fn stir(parameters: &mut Parameters<Flex>, seed: u64, std: f64) {
    for (index, parameter) in parameters.values_mut().enumerate() {
        let mut values = parameter.to_host();
        let moves = normal(seed, index as u64, values.len(), std);
        values.iter_mut().zip(moves).for_each(|(value, by)| *value += by);
        *parameter = Parameter::new(parameter.shape.clone(), values, &Default::default());
    }
}

/// The one stage of a training, built as a run builds it, over random models; its parameters stirred.
pub(super) fn job(stage: &str) -> (Lab, Job<Flex>, Monitor) {
    let lab = Lab::new().with_data();
    for (name, seed, is_reward) in [("model", 1, false), ("reference", 2, false), ("reward", 3, true)] {
        write_random(&lab.path(name), seed, is_reward);
    }
    lab.lines("rm-eval.jsonl", 7, |i| {
        format!(r#"{{"question":"What helps at {i} o'clock?","response_chosen":"Sleep.","response_rejected":"{i}"}}"#)
    })
    .lines("ppo-eval.jsonl", 7, |i| format!(r#"{{"prompt":"What helps at {i} o'clock?"}}"#));
    lab.training(SPEC, stage);
    let plan = lab.preflight().unwrap().plan;
    let (_, ws) = lab.open().unwrap();
    let mut monitor = Monitor::new(Style::Quiet, "stage", "kind").unwrap();
    let mut job = build::<Flex>(&ws, &plan.stages[0], &mut monitor, &Default::default()).unwrap();
    monitor.phase(Phase::Training);
    stir(&mut job.training.parameters, 11, 0.1);
    (lab, job, monitor)
}

/// Figures, loss and gradient norm of step `step`, each behind `prefix`.
fn step(job: &mut Job<Flex>, monitor: &mut Monitor, step: u64, prefix: &str, into: &mut Figures) {
    let stop = StopSignal::default();
    let mut watch = Watch { monitor, stop: &stop };
    let mut gradients = Gradients::default();
    let view = job.training.tuned.view(&job.training.parameters).unwrap();
    let outcome = job.task.as_task().gradients(step, &view, &mut gradients, &mut watch).unwrap().unwrap();
    let own = [("loss".to_owned(), outcome.loss), ("grad_norm".to_owned(), gradients.global_norm())];
    into.extend(outcome.figures.into_iter().chain(own).map(|(name, value)| (format!("{prefix} {name}"), value)));
}

fn evaluate(job: &mut Job<Flex>, monitor: &mut Monitor, into: &mut Figures) {
    let stop = StopSignal::default();
    let view = job.training.tuned.view(&job.training.parameters).unwrap();
    let found = job.task.as_task().evaluate(&view, &mut Watch { monitor, stop: &stop }).unwrap().unwrap();
    into.extend(found.figures);
}

/// Tells every figure that is not what it was, in the form of the table.
fn hold(found: &Figures, golden: &[(&str, f64)]) {
    let golden: Figures = golden.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let is_held = |name: &String, value: f64| {
        golden.get(name).is_some_and(|golden| (value - golden).abs() <= 1e-4 * golden.abs().max(1e-2))
    };
    let wrong: Vec<_> = found.iter().filter(|(name, value)| !is_held(name, **value)).collect();
    let gone: Vec<_> = golden.keys().filter(|name| !found.contains_key(*name)).collect();
    let lines: String = wrong.iter().map(|(name, value)| format!("        (\"{name}\", {value:.6e}),\n")).collect();
    assert!(wrong.is_empty() && gone.is_empty(), "no longer there: {gone:?}; found now:\n{lines}");
}

#[test]
fn reward_modelling_computes_what_its_recipe_stands_for() {
    let stage = r#"    - {name: rm, kind: RM, dataset: {train: [rm.jsonl], eval: [rm-eval.jsonl]},
       train: {maxLength: 200, perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 2, perDeviceEvalBatchSize: 8},
       lora: {rank: 4, alpha: "8", dropout: "0.2"}, reward: {centerRewardsCoefficient: "0.05"}}"#;
    let (_lab, mut job, mut monitor) = job(stage);
    let mut found = Figures::new();
    step(&mut job, &mut monitor, 0, "first", &mut found);
    evaluate(&mut job, &mut monitor, &mut found);
    let StageTask::Reward(task) = &job.task else { panic!("not reward modelling") };
    let (head, norm) = task.normalise(&job.training.tuned.view(&job.training.parameters).unwrap()).unwrap();
    found.insert("mean".into(), norm.reward_mean());
    found.insert("head".into(), head.to_host().iter().map(|w| f64::from(w * w)).sum::<f64>().sqrt());
    hold(&found, &RM);
}

#[test]
fn ppo_computes_what_its_recipe_stands_for() {
    let stage = r#"    - {name: ppo, kind: PPO, dataset: {train: [ppo.jsonl], eval: [ppo-eval.jsonl]},
       inputs: {reference: {uri: reference}, reward: {uri: reward}},
       train: {perDeviceTrainBatchSize: 4, perDeviceEvalBatchSize: 8},
       ppo: {batchSize: 8, miniBatchSize: 4, numPpoEpochs: 2, maxNewTokens: 40, minNewTokens: 2, temperature: "0.8",
             initKlCoef: "0.05", klHorizon: "500", gamma: "0.98", missingEosPenalty: "0.7", rewardBaseline: "0.1"}}"#;
    let (_lab, mut job, mut monitor) = job(stage);
    let mut found = Figures::new();
    step(&mut job, &mut monitor, 0, "first", &mut found);
    // The same rollout under another policy: ratios and values leave their ranges.
    stir(&mut job.training.parameters, 12, 0.03);
    step(&mut job, &mut monitor, 1, "second", &mut found);
    // The next one, with the controller's new coefficient.
    step(&mut job, &mut monitor, 4, "fifth", &mut found);
    evaluate(&mut job, &mut monitor, &mut found);
    hold(&found, &PPO);
}

/// By `cargo test recipe_tests`, which prints what it found instead.
const RM: [(&str, f64); 9] = [
    ("eval_accuracy", 0.0),
    ("eval_loss", 1.488392),
    ("eval_margin", -1.220843),
    ("first accuracy", 0.25),
    ("first grad_norm", 8.91315),
    ("first loss", 1.184586),
    ("first margin", -0.5645385),
    ("head", 3.617049),
    ("mean", 1.897681),
];

const PPO: [(&str, f64); 50] = [
    ("eval_kl", 99.59689),
    ("eval_kl_k3", 92.96444),
    ("eval_kl_stderr", 10.89163),
    ("eval_response_length", 36.42857),
    ("eval_reward", -2.895378),
    ("fifth grad_norm", 2.530991),
    ("fifth loss", 0.2382455),
    ("fifth loss/policy_avg", 0.0),
    ("fifth loss/value_avg", 2.382455),
    ("fifth objective/entropy", 4.187104),
    ("fifth objective/kl", 109.4978),
    ("fifth objective/kl_coef", 0.05016),
    ("fifth objective/kl_k3", 91.93267),
    ("fifth objective/kl_stderr", 10.26684),
    ("fifth objective/rlhf_reward", -7.609156),
    ("fifth objective/scores", -1.579244),
    ("fifth policy/approxkl_avg", 0.0),
    ("fifth policy/clipfrac_avg", 0.0),
    ("fifth policy/ratio", 1.0),
    ("fifth tokens/responses_len_mean", 36.375),
    ("fifth val/clipfrac_avg", 0.0),
    ("fifth val/ended", 0.375),
    ("fifth val/var_explained", -19.7859),
    ("first grad_norm", 2.021702),
    ("first loss", 0.249882),
    ("first loss/policy_avg", 0.0),
    ("first loss/value_avg", 2.49882),
    ("first objective/entropy", 4.219421),
    ("first objective/kl", 113.3401),
    ("first objective/kl_coef", 0.05),
    ("first objective/kl_k3", 106.937),
    ("first objective/kl_stderr", 10.42427),
    ("first objective/rlhf_reward", -7.658394),
    ("first objective/scores", -1.278888),
    ("first policy/approxkl_avg", 0.0),
    ("first policy/clipfrac_avg", 0.0),
    ("first policy/ratio", 1.0),
    ("first tokens/responses_len_mean", 36.75),
    ("first val/clipfrac_avg", 0.0),
    ("first val/ended", 0.125),
    ("first val/var_explained", -10.06537),
    ("second grad_norm", 1.707324),
    ("second loss", 0.3335207),
    ("second loss/policy_avg", 0.06598786),
    ("second loss/value_avg", 2.675329),
    ("second policy/approxkl_avg", 0.2110383),
    ("second policy/clipfrac_avg", 0.3507463),
    ("second policy/ratio", 1.043563),
    ("second val/clipfrac_avg", 0.1791045),
    ("second val/var_explained", -22.84439),
];
