//! Training steps: the stages' own tasks over the workload's sequences, as often as they are asked for.

use std::collections::BTreeMap;

use burn_flex::Flex;
use medtrain_crds::stage::{LoraArgs, PpoArgs, RewardArgs, Section, StageKind, TrainArgs, Tuning};
use medtrain_trainer::{
    data::{
        Example, PreferencePair, TokenizedDataset,
        cache::{CacheWriter, Origin},
    },
    failure::{Failure, Result},
    model::{Decoder, Gradients, Parameter, Parameters},
    optim::{AdamW, adamw::clip_factor},
    preflight::{MemoryShape, PpoSteps, Units, estimate_memory},
    stages::{
        causal::CausalTask,
        monitor::Monitor,
        ppo::{PpoTask, init_value_head},
        reward::{RewardTask, SCORE},
        rollout::RewardModel,
        task::{Task, Tuned, Watch},
    },
    telemetry::{StopSignal, Style},
    weights::Dtype,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{Done, SEED, Work, roofline::Shape};

/// Steps that nobody reaches: a task must never run out of them.
const ENDLESS: u32 = 1_000_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Train {
    /// `None` trains all weights.
    lora: Option<LoraArgs>,
    /// Laid over the defaults of the stage.
    train: Map<String, Value>,
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Kind {
    /// Every token of a sequence but the first is a target.
    Causal {},
    /// Pairs of neighbours; `head` is where the score head starts, so that both sides start with the same.
    Reward { head: Vec<f32> },
    /// `ppo` is laid over the defaults of the stage, `head` makes the model a reward model, too, and `stop` is the
    /// token that ends what it scores. No token ends a response early.
    Ppo { ppo: Map<String, Value>, head: Vec<f32>, stop: u32 },
}

impl Train {
    /// New tokens that a step samples after each prompt.
    pub fn max_new_tokens(&self) -> usize {
        match &self.kind {
            Kind::Ppo { ppo, .. } => ppo.get("maxNewTokens").and_then(Value::as_u64).unwrap_or(0) as usize,
            Kind::Causal {} | Kind::Reward { .. } => 0,
        }
    }

    /// `stored` is the type of the model's file.
    pub fn start(self, model: Decoder<Flex>, stored: Dtype, ids: Vec<Vec<u32>>) -> Result<Work> {
        let Self { lora, mut train, kind } = self;
        let rows = if matches!(kind, Kind::Reward { .. }) { ids.len() / 2 } else { ids.len() };
        train.insert("maxSteps".into(), ENDLESS.into());
        train.insert("gradientAccumulationSteps".into(), 1.into());
        train.entry("perDeviceTrainBatchSize").or_insert_with(|| rows.into());
        let (config, device) = (model.config().clone(), *model.device());
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let language_model = matches!(kind, Kind::Causal {});
        let rank = lora.as_ref().map(|lora| lora.rank as usize);
        let head = |values: Vec<f32>| Parameter::<Flex>::new(vec![1, values.len()], values, &device);
        // Only PPO keeps the untuned model; full fine-tuning would hold its weights twice.
        let original = matches!(kind, Kind::Ppo { .. }).then(|| model.clone());
        let tuning = lora.map_or(Tuning::Full, Tuning::Lora);
        let (tuned, mut parameters) = Tuned::new(model, &tuning, SEED)?;
        let eval = dataset(&[], false)?;
        let mut schedule = Schedule { updates_a_step: 1, new_tokens: None };
        let kind_of_stage = match kind {
            Kind::Causal {} => StageKind::PT,
            Kind::Reward { .. } => StageKind::RM,
            Kind::Ppo { .. } => StageKind::PPO,
        };
        let mut rollouts = None;
        let (task, args): (Box<dyn Task<Flex>>, TrainArgs) = match (kind, original) {
            (Kind::Reward { head: values }, _) => {
                let args: TrainArgs = laid_over(Section::Train, StageKind::RM, train)?;
                let train = dataset(&ids.chunks_exact(2).map(pair).collect::<Vec<_>>(), true)?;
                let units = Units::new(StageKind::RM, &train, &args, SEED);
                let reward = RewardArgs { center_rewards_coefficient: 0.0, normalize_scores: false };
                parameters.insert(SCORE.into(), head(values));
                (Box::new(RewardTask { train, eval, units, args: args.clone(), reward, seed: SEED }), args)
            }
            (Kind::Ppo { ppo, head: values, stop }, Some(original)) => {
                let args: TrainArgs = laid_over(Section::Train, StageKind::PPO, train)?;
                let ppo: PpoArgs = laid_over(Section::Ppo, StageKind::PPO, ppo)?;
                let prompts = dataset(&ids.into_iter().map(prompt).collect::<Vec<_>>(), false)?;
                rollouts = Some(ppo.clone());
                schedule.updates_a_step = PpoSteps::new(prompts.len(), &args, &ppo).per_rollout;
                schedule.new_tokens = Some(prompts.len() * ppo.max_new_tokens as usize);
                init_value_head(&mut parameters, config.hidden_size, ppo.v_head_init_strategy, SEED, &device);
                let reward =
                    RewardModel { model: original.clone(), adapter: None, head: head(values), mean: 0.0, stop };
                let task = PpoTask::new(prompts, eval, args.clone(), ppo, SEED, original, reward, Vec::new())?;
                (Box::new(task), args)
            }
            (Kind::Causal {} | Kind::Ppo { .. }, _) => {
                let args: TrainArgs = laid_over(Section::Train, StageKind::PT, train)?;
                let train = dataset(&ids.into_iter().map(whole).collect::<Vec<_>>(), false)?;
                let units = Units::new(StageKind::PT, &train, &args, SEED);
                (Box::new(CausalTask { train, eval, units, args: args.clone(), seed: SEED, stop_ids: vec![] }), args)
            }
        };
        let trained_parameters = parameters.values().map(|p| p.shape.iter().product::<usize>()).sum();
        let gradient_checkpointing = args.gradient_checkpointing;
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let batch_tokens = match &rollouts {
            Some(ppo) => longest * args.per_device_train_batch_size.min(ppo.mini_batch_size) as usize,
            None => lengths.iter().sum(),
        };
        let forecast = estimate_memory(&MemoryShape {
            kind: kind_of_stage,
            config: &config,
            tuning: &tuning,
            train: &args,
            ppo: rollouts.as_ref(),
            batch_tokens: batch_tokens as u64,
            eval_tokens: 0,
            longest: longest as u64,
            other_models: 0,
            stored,
            saved: stored,
        });
        let roofline = schedule.new_tokens.is_none().then(|| {
            let shape = Shape { config, lengths, rank, gradient_checkpointing, language_model };
            Box::new(move || shape.measure()) as Box<dyn FnOnce() -> Value>
        });
        let mut running = Running {
            task,
            args,
            tuned,
            parameters,
            optimizer: AdamW::default(),
            monitor: Monitor::new(Style::Quiet, "bench", "bench")?,
            stop: StopSignal::default(),
            updates: 0,
            schedule,
        };
        Ok(Work { step: Box::new(move || running.step()), trained_parameters, forecast: json!(forecast), roofline })
    }
}

/// What a step is made of.
#[derive(Clone, Copy)]
struct Schedule {
    updates_a_step: u64,
    /// Of PPO: new tokens a step, which its speed is told in.
    new_tokens: Option<usize>,
}

/// A task in progress, with all that its loop holds.
struct Running {
    task: Box<dyn Task<Flex>>,
    args: TrainArgs,
    tuned: Tuned<Flex>,
    parameters: Parameters<Flex>,
    optimizer: AdamW<Flex>,
    monitor: Monitor,
    stop: StopSignal,
    updates: u64,
    schedule: Schedule,
}

impl Running {
    /// As [`medtrain_trainer::stages::training`] does it, at a constant learning rate and without its records.
    fn step(&mut self) -> Result<Done> {
        let mut done = Done::default();
        for first in (0..self.schedule.updates_a_step).map(|update| update == 0) {
            let view = self.tuned.view(&self.parameters)?;
            let mut gradients = Gradients::default();
            let mut watch = Watch { monitor: &mut self.monitor, stop: &self.stop };
            let outcome = self
                .task
                .gradients(self.updates, &view, &mut gradients, &mut watch)?
                .ok_or_else(|| Failure::internal("a step that nobody interrupts was interrupted"))?;
            drop(view);
            if !outcome.update {
                return Err(Failure::internal("a step without an update: the workload lets PPO stop early"));
            }
            let factor = clip_factor(gradients.global_norm(), self.args.max_grad_norm);
            let rate = self.args.learning_rate;
            self.optimizer.step(&mut self.parameters, &gradients, rate, factor, &self.args);
            self.updates += 1;
            done.tokens += outcome.tokens as usize;
            if first {
                done.loss = Some(outcome.loss);
            }
        }
        if let Some(tokens) = self.schedule.new_tokens {
            done.tokens = tokens;
            // The first rollout alone is compared: policy and reference are the same then, whatever A's random values.
            if self.updates == self.schedule.updates_a_step {
                done.rollout = Some(self.rollout()?);
            }
        }
        Ok(done)
    }

    /// Prompts, responses, log-probabilities and mean score, as the task has them for its checkpoints.
    fn rollout(&self) -> Result<Value> {
        let mut tensors = BTreeMap::new();
        let saved = self.task.save(&mut tensors);
        let missing = || Failure::internal("a PPO task saves no rollout");
        let tensor = |name: &str| tensors.get(name).ok_or_else(missing);
        Ok(json!({
            "promptLengths": saved["rollout"]["prompt_lengths"],
            "responseLengths": saved["rollout"]["response_lengths"],
            "score": saved["rollout"]["summary"]["objective/scores"],
            "prompts": tensor("rollout/prompts")?.to_u32(),
            "responses": tensor("rollout/responses")?.to_u32(),
            "logprobs": tensor("rollout/old_logprobs")?.to_f32(),
        }))
    }
}

/// A section's arguments: the stage's defaults, and what the workload sets.
fn laid_over<T: DeserializeOwned>(section: Section, kind: StageKind, set: Map<String, Value>) -> Result<T> {
    let mut fields = section.defaults(kind);
    fields.extend(set);
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Failure::config(format!("the workload's arguments of a {} stage: {error}", kind.name())))
}

fn whole(ids: Vec<u32>) -> Example {
    let all = vec![true; ids.len()];
    Example::single(ids, all)
}

fn prompt(ids: Vec<u32>) -> Example {
    let none = vec![false; ids.len()];
    Example { prompt_len: ids.len() as u32, ..Example::single(ids, none) }
}

fn pair(sides: &[Vec<u32>]) -> Example {
    PreferencePair { chosen: sides[0].clone(), rejected: sides[1].clone(), prompt_len: 0 }.into_example(Vec::new())
}

/// The examples as a stage reads them: from a token cache.
fn dataset(examples: &[Example], pairs: bool) -> Result<TokenizedDataset> {
    let folder = std::env::temp_dir().join(format!("bench_step.{}", std::process::id()));
    let mut cache = CacheWriter::create(&folder.join("rows"))?;
    for (line, example) in (1..).zip(examples) {
        cache.push(example, pairs, Origin { line, ..Origin::default() })?;
    }
    let cache = cache.commit(b"")?;
    // The cache holds its file open; the names may go.
    std::fs::remove_dir_all(&folder).map_err(|error| Failure::io(&folder, &error))?;
    Ok(TokenizedDataset::whole(cache, "workload"))
}
