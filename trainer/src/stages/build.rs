//! From a planned stage to something that can be trained: inputs fetched, data tokenised, model loaded.
//!
//! Holds: data is read and checked before weights are; nothing is written to the store.

use std::{collections::BTreeMap, sync::Arc};

use medtrain_crds::{
    contract::{DataCounts, LossMask, Phase, SplitCounts, metrics},
    resolve::{PlannedStage, Role},
    stage::{LoraArgs, StageKind, Tuning},
};

use super::{
    causal::CausalTask,
    inputs::{ModelInput, model_input},
    monitor::Monitor,
    ppo::{PpoTask, init_value_head},
    reward::{RewardTask, SCORE, init_head},
    rollout::RewardModel,
    task::{Task, Tuned},
    training::Training,
};
use crate::{
    adapter::{self, BaseRecord},
    data::{ChatTemplate, DataReport, Prepared, Tokenizer, certify, example::DropReason, vocabulary},
    failure::{Failure, Result},
    model::{Decoder, ModelConfig, Parameter, Parameters, load},
    ops::LmBackend,
    preflight::{self, Units, Workspace},
    weights::ModelFiles,
};

/// A stage's task, by kind.
pub enum StageTask<B: LmBackend> {
    Causal(Box<CausalTask>),
    Reward(Box<RewardTask>),
    Ppo(Box<PpoTask<B>>),
}

impl<B: LmBackend> StageTask<B> {
    pub fn as_task(&mut self) -> &mut dyn Task<B> {
        match self {
            Self::Causal(task) => &mut **task,
            Self::Reward(task) => &mut **task,
            Self::Ppo(task) => &mut **task,
        }
    }
}

impl<B: LmBackend> StageTask<B> {
    /// The certificate of the first `steps` steps; `counts` are those of the training files.
    ///
    /// # Errors
    /// As [`certify`].
    pub fn loss_mask(&self, steps: u64, counts: &SplitCounts) -> Result<LossMask> {
        let rows = |units: &Units, step: u64| -> Vec<usize> {
            units.of_step(step).into_iter().flat_map(|(_, unit)| units.rows(unit)).collect()
        };
        match self {
            Self::Causal(task) => certify(&task.train, (0..steps).map(|step| rows(&task.units, step)), counts),
            Self::Reward(task) => certify(&task.train, (0..steps).map(|step| rows(&task.units, step)), counts),
            Self::Ppo(task) => {
                let rollouts = steps.div_ceil(task.steps().per_rollout.max(1));
                certify(&task.prompts, (0..rollouts).map(|number| task.rows(number)), counts)
            }
        }
    }
}

/// A stage ready to train.
pub struct Job<B: LmBackend> {
    /// The model that is trained, or trained upon.
    pub base: ModelInput,
    /// Rows of its embedding, before the stage gave it more.
    pub base_vocab_size: usize,
    /// What an adapter says of that model; `None` where all weights are trained.
    pub base_record: Option<BaseRecord>,
    /// All inputs by role.
    pub inputs: Vec<(Role, ModelInput)>,
    pub tokenizer: Arc<Tokenizer>,
    pub template: Option<ChatTemplate>,
    pub counts: DataCounts,
    pub task: StageTask<B>,
    pub training: Training<B>,
}

/// Fetches, checks and loads all that `stage` needs.
///
/// # Errors
/// 65 for inputs, 66 for data, 64 for arguments that do not fit the model.
pub fn build<B: LmBackend>(
    workspace: &Workspace,
    stage: &PlannedStage,
    monitor: &mut Monitor,
    device: &B::Device,
) -> Result<Job<B>> {
    monitor.phase(Phase::Fetching);
    let mut inputs = Vec::new();
    for role in stage.inputs.keys() {
        if let Some(input) = model_input::<B>(workspace, stage, *role, device)? {
            inputs.push((*role, input));
        }
    }
    let main = if stage.kind == StageKind::RM { Role::Base } else { Role::Policy };
    let base = find(&inputs, main)
        .cloned()
        .ok_or_else(|| Failure::config(format!("{}: the plan names no {main} model", stage.name)))?;

    monitor.phase(Phase::Tokenizing);
    let known = Tokenizer::load(&base.dir)?;
    let config = ModelConfig::load(&base.dir)?;
    known.check_fits(config.vocab_size).map_err(|failure| failure.at(base.dir.display()))?;
    let in_stage = |failure: Failure| Failure { message: format!("{}.{}", stage.name, failure.message), ..failure };
    let (tokenizer, new_tokens) = match &stage.vocabulary {
        None => (known, BTreeMap::new()),
        Some(vocabulary) => {
            let grown = Tokenizer::load_grown(&base.dir, &[&vocabulary.add_tokens])?;
            let pieces = vocabulary::pieces(&known, &grown, &vocabulary.add_tokens).map_err(in_stage)?;
            (grown, pieces)
        }
    };
    let template = preflight::stage_template(stage, &tokenizer)?;
    let data = preflight::stage_data(workspace, stage, &tokenizer, template.as_ref())?;
    preflight::check_context(stage.kind, &stage.train, stage.ppo.as_ref(), &config, &data).map_err(in_stage)?;
    announce(&data.train_report, "training", monitor);
    announce(&data.eval_report, "evaluation", monitor);
    let counts = DataCounts { train: data.train_report.counts(), eval: data.eval_report.counts() };

    monitor.phase(Phase::Loading);
    let model = load::load::<B>(&base.dir, positions(stage, &data), device)?;
    let base_record = match &stage.tuning {
        Tuning::Lora(_) => Some(BaseRecord::of(&model, &base.name)?),
        Tuning::Full => None,
    };
    if let (Some(adapter), Some(ours)) = (find(&inputs, Role::Adapter), &base_record)
        && let Some(theirs) = BaseRecord::read(adapter.adapter_dir())?
        && let Some(other) = theirs.contradicts(adapter.adapter_dir(), &base.uri, &ours.weights_sha256)
    {
        return Err(Failure::input(format!("{other}; name that model as the policy, or drop the adapter"))
            .at(format!("{}.inputs.adapter", stage.name)));
    }
    let (model, tuning) = match stage.vocabulary {
        None => (model, stage.tuning.clone()),
        Some(_) => (
            model.grown(tokenizer.vocab_size(), &new_tokens)?,
            adapter::with_vocabulary(&stage.tuning, config.tie_word_embeddings),
        ),
    };
    let stage = &PlannedStage { tuning, ..stage.clone() };
    let (task, training) = task(stage, &inputs, &base, model, data, &tokenizer, template.as_ref(), device)?;
    let (tokenizer, base_vocab_size) = (Arc::new(tokenizer), config.vocab_size);
    Ok(Job { base, base_vocab_size, base_record, inputs, tokenizer, template, counts, task, training })
}

fn find(inputs: &[(Role, ModelInput)], role: Role) -> Option<&ModelInput> {
    inputs.iter().find(|(found, _)| *found == role).map(|(_, input)| input)
}

/// Room for the longest sequence of the stage, and for the texts that the merge is checked on.
fn positions(stage: &PlannedStage, data: &Prepared) -> usize {
    let longest = data.train_report.max_len.max(data.eval_report.max_len) as usize;
    // A cut-off response is scored with a stop token after it.
    let new = stage.ppo.as_ref().map_or(0, |ppo| ppo.max_new_tokens as usize + 1);
    (longest + new + 1).max(256)
}

fn announce(report: &DataReport, split: &str, monitor: &mut Monitor) {
    for (reason, rows) in &report.dropped {
        monitor.metrics().rows_dropped(reason, *rows);
        let why = DropReason::explain(reason);
        monitor.warn(&format!("{split} data: {rows} of {} rows left out: {why}", report.rows));
    }
    if report.truncated > 0 {
        monitor.warn(&format!("{split} data: {} rows cut to maxLength", report.truncated));
    }
}

fn task<B: LmBackend>(
    stage: &PlannedStage,
    inputs: &[(Role, ModelInput)],
    base: &ModelInput,
    model: Decoder<B>,
    data: Prepared,
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    device: &B::Device,
) -> Result<(StageTask<B>, Training<B>)> {
    let (args, seed) = (stage.train.clone(), stage.seed);
    let hidden_size = model.config().hidden_size;
    // Only PPO keeps the untuned model; elsewhere full fine-tuning would hold its weights twice.
    let original = (stage.kind == StageKind::PPO).then(|| model.clone());
    let (tuned, mut parameters) = Tuned::new(model, &stage.tuning, seed)?;
    if let (Some(adapter), Tuning::Lora(lora)) = (find(inputs, Role::Adapter), &stage.tuning) {
        continue_from(&mut parameters, adapter, lora, base, tuned.config(), device)?;
    }
    let units = Units::new(stage.kind, &data.train, &args, seed);
    let stop_ids = template.map_or_else(|| tokenizer.eos_ids(), ChatTemplate::stop_ids).to_vec();
    let Prepared { train, eval, .. } = data;
    let task = match (stage.kind, original) {
        (StageKind::PT | StageKind::SFT, _) => {
            StageTask::Causal(Box::new(CausalTask { train, eval, units, args, seed, stop_ids }))
        }
        (StageKind::RM, _) => {
            parameters.insert(SCORE.into(), init_head::<B>(hidden_size, seed, device));
            let reward = stage.reward.clone().ok_or_else(|| missing(stage, "reward"))?;
            StageTask::Reward(Box::new(RewardTask { train, eval, units, args, reward, seed }))
        }
        (StageKind::PPO, Some(policy)) => {
            let ppo = stage.ppo.clone().ok_or_else(|| missing(stage, "ppo"))?;
            init_value_head(&mut parameters, hidden_size, ppo.v_head_init_strategy, seed, device);
            let stop = template.and_then(ChatTemplate::turn_end_id).or(tokenizer.eos()).ok_or_else(|| {
                Failure::config(format!(
                    "{}: neither template nor tokenizer has a token that ends an answer",
                    stage.name
                ))
            })?;
            let reward = reward_model(stage, inputs, base, &policy, stop, device)?;
            let reference = reference_model(inputs, base, policy, device)?;
            let task = PpoTask::new(train, eval, args, ppo, seed, reference, reward, stop_ids)?;
            StageTask::Ppo(Box::new(task))
        }
        (StageKind::PPO, None) => return Err(Failure::internal("PPO without its starting policy")),
    };
    Ok((task, Training::new(tuned, parameters)))
}

fn missing(stage: &PlannedStage, section: &str) -> Failure {
    Failure::config(format!("{}: the plan has no {section} section for a {} stage", stage.name, stage.kind.name()))
}

/// Puts an adapter's tensors in place of fresh ones.
fn continue_from<B: LmBackend>(
    parameters: &mut Parameters<B>,
    adapter: &ModelInput,
    lora: &LoraArgs,
    base: &ModelInput,
    config: &ModelConfig,
    device: &B::Device,
) -> Result<()> {
    let dir = adapter.adapter_dir();
    let loaded = adapter::load::<B>(dir, &base.dir, config, device)?;
    if loaded.vocab_size > config.vocab_size {
        return Err(adapter::has_more_tokens(dir.display(), loaded.vocab_size, config.vocab_size));
    }
    if loaded.config.r != lora.rank as usize || (loaded.config.scaling() - lora.scale()).abs() > 1e-6 * lora.scale() {
        return Err(Failure::config(format!(
            "{}: the adapter has rank {} and alpha {}, the stage lora.rank {} and lora.alpha {}; write the adapter's \
             values into the stage to train it on",
            dir.display(),
            loaded.config.r,
            loaded.config.lora_alpha,
            lora.rank,
            lora.alpha
        )));
    }
    for (name, parameter) in parameters.iter_mut() {
        *parameter = loaded.parameters.get(name).cloned().ok_or_else(|| {
            Failure::input(format!(
                "{}: has no tensor \"{name}\", which lora.targetModules calls for; list the adapter's own modules",
                dir.display()
            ))
        })?;
    }
    Ok(())
}

/// The reward model of a PPO stage: an adapter over the policy's own base if it was trained over just that, else a model
/// of its own.
fn reward_model<B: LmBackend>(
    stage: &PlannedStage,
    inputs: &[(Role, ModelInput)],
    base: &ModelInput,
    policy: &Decoder<B>,
    stop: u32,
    device: &B::Device,
) -> Result<RewardModel<B>> {
    let input = find(inputs, Role::Reward)
        .ok_or_else(|| Failure::config(format!("{}: the plan names no reward model", stage.name)))?;
    let mean = input.manifest.as_ref().and_then(|manifest| manifest.metrics.get(metrics::REWARD_MEAN).copied());
    let trained_over = input.manifest.as_ref().and_then(|manifest| manifest.inputs.get(&Role::Base));
    let same_base = trained_over.is_some_and(|trained| {
        trained.key.as_ref().map_or(trained.digest.as_str(), |key| key.as_str()) == base.identity()
    });
    if let (true, Some(dir)) = (same_base, &input.adapter) {
        let loaded = adapter::load::<B>(dir, &base.dir, policy.config(), device)?;
        let saves_embedding =
            loaded.parameters.keys().any(|name| name.contains("embed_tokens") || name == "lm_head.weight");
        if let (Some(score), false) = (&loaded.score, saves_embedding) {
            let head = Parameter::new(vec![1, score.len()], score.clone(), device);
            let adapter = Some(loaded.view(policy.config()));
            return Ok(RewardModel { model: policy.clone(), adapter, head, mean: mean.unwrap_or(0.0), stop });
        }
    }
    let files = ModelFiles::open(&input.dir)?;
    if !files.contains(SCORE) {
        return Err(Failure::input(format!(
            "{}: has no score.weight; a reward model is what an RM stage writes",
            input.uri
        )));
    }
    let (shape, values) = files.read_f32(SCORE)?;
    let model = load::load::<B>(&input.dir, policy.max_positions(), device)?;
    if model.config().vocab_size != policy.config().vocab_size {
        return Err(Failure::input(format!(
            "{}: the reward model has {} tokens, the policy {}; a reward model with a tokenizer of its own is not \
             supported yet",
            input.uri,
            model.config().vocab_size,
            policy.config().vocab_size
        )));
    }
    let stored = model.config().raw.get("reward_mean").and_then(serde_json::Value::as_f64);
    let head = Parameter::new(shape, values, device);
    Ok(RewardModel { model, adapter: None, head, mean: mean.or(stored).unwrap_or(0.0), stop })
}

fn reference_model<B: LmBackend>(
    inputs: &[(Role, ModelInput)],
    base: &ModelInput,
    policy: Decoder<B>,
    device: &B::Device,
) -> Result<Decoder<B>> {
    match find(inputs, Role::Reference) {
        Some(reference) if reference.identity() != base.identity() => {
            load::load::<B>(&reference.dir, policy.max_positions(), device)
        }
        _ => Ok(policy),
    }
}
