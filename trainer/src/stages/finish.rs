//! The artifact of a trained stage, and what its manifest says.

use std::{collections::BTreeMap, path::Path};

use medtrain_crds::{
    contract::{BaseModel, LossMask, ManifestInput, MergeCheck, TrainerBuild, metrics},
    resolve::{Plan, PlannedStage, Role},
    stage::StageKind,
};
use serde_json::{Value, json};

use super::{
    bootstrap::paired_change,
    build::{Job, StageTask},
    merging::Merging,
    outputs::{config_fields, flatten, write_adapter, write_reward_mean, write_tokenizer},
    reward::SCORE,
    rollout::{VALUE_BIAS, VALUE_WEIGHT},
    task::Tuned,
};
use crate::{
    failure::{Failure, Result},
    ops::LmBackend,
    telemetry::{
        ModelCard,
        model_card::{Evaluation as CardRow, Weights},
        trainer_state::save_metrics,
    },
    weights::{Dtype, ModelFiles, save::save_file},
};

/// What was written.
pub struct Artifact {
    pub metrics: BTreeMap<String, f64>,
    pub merge_check: Option<MergeCheck>,
    pub loss_mask: LossMask,
}

/// Writes adapter, merged model, results, trainer state and cards to `folder`.
pub fn write<B: LmBackend>(job: &mut Job<B>, plan: &Plan, stage: &PlannedStage, folder: &Path) -> Result<Artifact> {
    let loss_mask = job.task.loss_mask(job.training.step, &job.counts.train)?;
    let mut figures = figures(job, stage);
    let reward_mean = normalise(job, stage, &mut figures)?;
    let parameters = &job.training.parameters;
    let mut cards = Vec::new();
    if let (Tuned::Lora { base: model, lora }, Some(base)) = (&job.training.tuned, &job.base_record) {
        let dir = folder.join("adapter");
        write_adapter(&dir, stage.kind, (lora, model.config()), parameters, base)?;
        if let Some(mean) = reward_mean {
            write_reward_mean(&dir, mean)?;
        }
        write_tokenizer(&job.base.dir, &dir, &job.tokenizer, job.template.as_ref(), false)?;
        cards.push((dir, Weights::Adapter));
    }
    if parameters.contains_key(VALUE_WEIGHT) {
        let heads: Vec<_> = [VALUE_BIAS, VALUE_WEIGHT]
            .iter()
            .map(|name| ((*name).to_owned(), parameters[*name].shape.clone()))
            .collect();
        save_file(&folder.join("value_head.safetensors"), &heads, Dtype::Float32, |name| {
            Ok(parameters[name].to_host())
        })?;
    }

    let dir = folder.join("merged");
    std::fs::create_dir_all(&dir).map_err(|error| Failure::io(&dir, &error))?;
    // The check loads the directory, so the tokenizer goes first and the weights last.
    write_tokenizer(&job.base.dir, &dir, &job.tokenizer, job.template.as_ref(), stage.kind != StageKind::RM)?;
    let dtype = save_dtype(stage, &job.base.dir)?;
    let raw = &job.training.tuned.config().raw;
    let architecture =
        raw.get("architectures").and_then(|a| a.get(0)).and_then(Value::as_str).unwrap_or("LlamaForCausalLM");
    let config = config_fields(stage.kind, architecture, &job.tokenizer, reward_mean);
    let (model, lora) = match &job.training.tuned {
        Tuned::Lora { base, lora } => (base.clone(), Some(lora)),
        Tuned::Full { shell } => (shell.fill(parameters)?, None),
    };
    let merging = Merging { model: &model, lora, parameters, tokenizer: &job.tokenizer, dtype, config };
    let merge_check = merging.write(&dir)?;
    drop(model);
    cards.push((dir, Weights::Whole));

    for (dir, weights) in cards {
        let path = dir.join("README.md");
        let text = card(job, plan, stage, weights, &figures, &loss_mask)?.render()?;
        std::fs::write(&path, text).map_err(|error| Failure::io(&path, &error))?;
    }
    job.training.history.save(folder)?;
    let (eval, train): (BTreeMap<_, _>, BTreeMap<_, _>) = figures
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .partition(|(name, _)| name.starts_with("eval_"));
    save_metrics(folder, "train", &train)?;
    if !eval.is_empty() {
        save_metrics(folder, "eval", &eval)?;
    }
    Ok(Artifact { metrics: figures, merge_check: Some(merge_check), loss_mask })
}

/// All figures of a finished training by metric name.
fn figures<B: LmBackend>(job: &Job<B>, stage: &PlannedStage) -> BTreeMap<String, f64> {
    let training = &job.training;
    let mut figures = BTreeMap::from([
        (metrics::TRAIN_LOSS.to_owned(), training.mean_loss()),
        ("epoch".to_owned(), training.history.epoch),
        ("num_input_tokens_seen".to_owned(), training.history.num_input_tokens_seen as f64),
        ("optimizer_updates".to_owned(), training.updates() as f64),
    ]);
    if let Some(last) = training.history.log_history.iter().rev().find(|entry| entry.values.contains_key("loss")) {
        let shown = last.values.iter().filter(|(name, _)| name.contains('/'));
        figures.extend(shown.map(|(name, value)| (name.clone(), *value)));
    }
    // A rollout's figures are logged with its first minibatch, which may be some entries back.
    for entry in training.history.log_history.iter().rev() {
        for (name, value) in entry.values.iter().filter(|(name, _)| name.starts_with("objective/")) {
            figures.entry(name.clone()).or_insert(*value);
        }
    }
    if let Some(before) = &training.before {
        figures.extend(before.figures.iter().map(|(name, value)| (format!("{name}_before"), *value)));
    }
    if let Some((_, after)) = &training.latest {
        figures.extend(after.figures.clone());
        let change = training
            .before
            .as_ref()
            .and_then(|before| paired_change(&before.rows, &after.rows, &after.weights, stage.seed));
        if let Some(change) = change {
            figures.insert("eval_change".into(), change.mean);
            figures.insert("eval_change_low".into(), change.low);
            figures.insert("eval_change_high".into(), change.high);
        }
    }
    figures.retain(|_, value| value.is_finite());
    figures
}

/// RM: folds the scores' scale into the head and returns their mean.
fn normalise<B: LmBackend>(
    job: &mut Job<B>,
    stage: &PlannedStage,
    figures: &mut BTreeMap<String, f64>,
) -> Result<Option<f64>> {
    let (StageTask::Reward(task), Some(reward)) = (&job.task, &stage.reward) else { return Ok(None) };
    if !reward.normalize_scores {
        return Ok(None);
    }
    let view = job.training.tuned.view(&job.training.parameters)?;
    let (head, norm) = task.normalise(&view)?;
    drop(view);
    job.training.parameters.insert(SCORE.into(), head);
    let std = 1.0 / norm.head_scale();
    figures.insert(metrics::REWARD_MEAN.into(), norm.reward_mean());
    figures.insert(metrics::REWARD_STD.into(), std);
    Ok(Some(norm.reward_mean()))
}

/// `train.saveDtype`, else what the base is stored in.
fn save_dtype(stage: &PlannedStage, base: &Path) -> Result<Dtype> {
    match stage.train.save_dtype {
        Some(asked) => Ok(asked.into()),
        None => ModelFiles::open(base)?.dtype("model.embed_tokens.weight"),
    }
}

fn card<B: LmBackend>(
    job: &Job<B>,
    plan: &Plan,
    stage: &PlannedStage,
    weights: Weights,
    figures: &BTreeMap<String, f64>,
    loss_mask: &LossMask,
) -> Result<ModelCard> {
    let mut hyperparameters = BTreeMap::new();
    for (name, value) in hyperparameter_json(stage)? {
        flatten(&value, &name, &mut hyperparameters);
    }
    let counts = &job.counts;
    let mut data = vec![
        ("training rows".to_owned(), counts.train.rows),
        ("training examples".to_owned(), counts.train.examples),
        ("training tokens".to_owned(), counts.train.tokens),
        ("evaluation rows".to_owned(), counts.eval.rows),
    ];
    data.extend(
        counts.train.dropped.iter().map(|(reason, rows)| (format!("training rows left out ({reason})"), *rows)),
    );
    for (role, tokens) in &loss_mask.roles {
        data.push((format!("{} tokens seen in all steps", role.name()), tokens.seen));
        data.push((format!("{} tokens trained in all steps", role.name()), tokens.trained));
    }
    let evaluation = figures
        .iter()
        .filter(|(name, _)| name.starts_with("eval_") && !name.ends_with("_before"))
        .map(|(name, after)| CardRow {
            metric: name.clone(),
            before: figures.get(&format!("{name}_before")).copied(),
            after: *after,
        })
        .collect();
    Ok(ModelCard {
        title: format!("{} / {}", plan.training, stage.name),
        kind: stage.kind,
        weights,
        base_model: job.base.name.clone(),
        resized_to: resized_to(job),
        languages: Vec::new(),
        license: None,
        hyperparameters,
        data,
        evaluation,
        seed: stage.seed,
        key: stage.key.as_str().to_owned(),
        trainer_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Rows of the embedding, where the stage gave it more than its base has.
fn resized_to<B: LmBackend>(job: &Job<B>) -> Option<usize> {
    Some(job.training.tuned.config().vocab_size).filter(|rows| *rows > job.base_vocab_size)
}

fn hyperparameter_json(stage: &PlannedStage) -> Result<Vec<(String, Value)>> {
    let json = |value: serde_json::Result<Value>| {
        value.map_err(|error| Failure::internal(format!("hyperparameters are not JSON: {error}")))
    };
    Ok(vec![
        (String::new(), json(serde_json::to_value(&stage.train))?),
        ("vocabulary".into(), json(serde_json::to_value(&stage.vocabulary))?),
        ("tuning".into(), json(serde_json::to_value(&stage.tuning))?),
        ("ppo".into(), json(serde_json::to_value(&stage.ppo))?),
        ("reward".into(), json(serde_json::to_value(&stage.reward))?),
    ])
}

/// A stage's configuration as Markdown, for TensorBoard.
pub fn configuration(stage: &PlannedStage) -> Result<String> {
    let mut fields = BTreeMap::new();
    for (name, value) in hyperparameter_json(stage)? {
        flatten(&value, &name, &mut fields);
    }
    let rows: Vec<String> = fields.iter().map(|(name, value)| format!("| {name} | {value} |")).collect();
    Ok(format!("stage {} ({})\n\n| field | value |\n|---|---|\n{}\n", stage.name, stage.kind.name(), rows.join("\n")))
}

/// The inputs as they were used.
pub fn inputs<B: LmBackend>(job: &Job<B>) -> BTreeMap<Role, ManifestInput> {
    job.inputs
        .iter()
        .map(|(role, input)| {
            let input = ManifestInput {
                uri: input.uri.clone(),
                revision: input.revision.clone(),
                digest: input.digest.clone(),
                key: input.key.clone(),
            };
            (*role, input)
        })
        .collect()
}

/// Where the weights of the chain began.
pub fn chain_start<B: LmBackend>(job: &Job<B>) -> BaseModel {
    match &job.base.manifest {
        Some(manifest) => manifest.base_model.clone(),
        None => BaseModel {
            uri: job.base.uri.clone(),
            revision: job.base.revision.clone(),
            digest: job.base.digest.clone(),
        },
    }
}

/// What runs.
pub fn build_info() -> TrainerBuild {
    TrainerBuild {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git: option_env!("MEDTRAIN_GIT").map(str::to_owned),
        image_digest: std::env::var("MEDTRAIN_IMAGE_DIGEST").ok(),
    }
}
