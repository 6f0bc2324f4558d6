//! Stage keys: the identity of a piece of work.
//!
//! A key is the sha256 of the canonical JSON of: contract version, kind and its recipe, seed, cache salt, what data
//! and inputs are (never where they lie; for inputs from stages their keys), and every hyperparameter that changes the
//! result. Holds: same key, same work; a hyperparameter added later is left out at the value that changes nothing, so
//! that old keys stay.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::PlannedStage;
use crate::contract::{CONTRACT_VERSION, StageKey, canonical};
use crate::stage::{InKey, IntervalStrategy, Section, StageKind, Tuning};

/// The key of a planned stage (whose own `key` is not looked at).
pub fn stage_key(stage: &PlannedStage) -> StageKey {
    StageKey::of(&canonical::to_string(&key_content(stage)).expect("JSON values are JSON"))
}

/// What the key is the hash of: for people who ask why two keys differ.
pub fn key_content(stage: &PlannedStage) -> Value {
    let mut content = Map::new();
    content.insert("contract".into(), CONTRACT_VERSION.into());
    content.insert("kind".into(), stage.kind.name().into());
    content.insert("recipe".into(), stage.recipe.into());
    content.insert("seed".into(), stage.seed.into());
    if let Some(salt) = &stage.cache_salt {
        content.insert("cacheSalt".into(), salt.as_str().into());
    }
    content.insert("data".into(), data(stage));
    if let Some(vocabulary) = &stage.vocabulary {
        content.insert("vocabulary".into(), json!(vocabulary));
    }
    let inputs: Map<_, _> =
        stage.inputs.iter().map(|(role, input)| (role.name().to_string(), input.identity().into())).collect();
    content.insert("inputs".into(), inputs.into());

    let mut train = section(Section::Train, stage.kind, &stage.train);
    if stage.kind != StageKind::PPO {
        let rows =
            u64::from(stage.train.per_device_train_batch_size) * u64::from(stage.train.gradient_accumulation_steps);
        train.insert("globalBatchSize".into(), (rows * u64::from(stage.world_size)).into());
    }
    if stage.train.evaluations_decide() {
        let every = match stage.train.eval_strategy {
            IntervalStrategy::Steps => stage.train.eval_steps.into(),
            other => json!(other),
        };
        train.insert("evaluateEvery".into(), every);
    }
    content.insert("train".into(), train.into());
    if let Some(ppo) = &stage.ppo {
        content.insert("ppo".into(), section(Section::Ppo, stage.kind, ppo).into());
    }
    if let Some(reward) = &stage.reward {
        content.insert("reward".into(), section(Section::Reward, stage.kind, reward).into());
    }
    let tuning = match &stage.tuning {
        Tuning::Lora(lora) => json!({"lora": section(Section::Lora, stage.kind, lora)}),
        Tuning::Full => json!("full"),
    };
    content.insert("tuning".into(), tuning);
    content.into()
}

/// Files in order, by content; weights file by file, left out if all are 1.
fn data(stage: &PlannedStage) -> Value {
    let ids = |files: &[super::FileIdentity]| files.iter().map(super::FileIdentity::content_id).collect::<Vec<_>>();
    let dataset = &stage.dataset;
    let mut data = Map::new();
    data.insert("train".into(), json!(ids(&dataset.train)));
    if !dataset.eval.is_empty() {
        data.insert("eval".into(), json!(ids(&dataset.eval)));
    }
    if dataset.eval_fraction > 0.0 {
        data.insert("evalFraction".into(), dataset.eval_fraction.into());
    }
    let weights: Vec<f64> =
        dataset.train.iter().map(|file| dataset.weights.get(file.entry).copied().unwrap_or(1.0)).collect();
    if weights.iter().any(|weight| weight.to_bits() != 1.0f64.to_bits()) {
        data.insert("weights".into(), json!(weights));
    }
    if let Some(format) = dataset.format {
        data.insert("format".into(), format.name().into());
    }
    data.into()
}

/// The hyperparameters of a section that belong in the key of a stage of this kind.
fn section<T: Serialize>(section: Section, kind: StageKind, args: &T) -> Map<String, Value> {
    let args = serde_json::to_value(args).expect("hyperparameters are JSON");
    let in_key = |value: &Value, rule: InKey| match rule {
        InKey::Always => true,
        InKey::Unless(neutral) => !same(value, &neutral.to_json()),
        InKey::Product | InKey::Deciding | InKey::Never(_) => false,
    };
    let parameters = section.parameters().iter().filter(|parameter| parameter.kinds.contains(&kind));
    parameters
        .filter_map(|parameter| Some((parameter, args.get(parameter.name)?)))
        .filter(|(parameter, value)| in_key(value, parameter.in_key))
        .map(|(parameter, value)| (parameter.name.to_string(), value.clone()))
        .collect()
}

/// Equality that takes `0` and `0.0` for one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
