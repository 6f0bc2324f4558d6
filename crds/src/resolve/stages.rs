//! One stage after the other: kind, inputs, data, hyperparameters.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Role, Source, VocabularyArgs, edges, hyperparameters, names, source, vocabulary};
use crate::stage::{DataFormat, LoraArgs, PpoArgs, RewardArgs, Section, StageKind, TrainArgs, Tuning};
use crate::training::{DatasetSpec, MedicalTrainingSpec, SpecError, StageSpec};

/// A stage with nothing left to default.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedStage {
    pub name: String,
    pub kind: StageKind,
    pub inputs: BTreeMap<Role, Source>,
    pub dataset: DatasetArgs,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<VocabularyArgs>,
    pub tuning: Tuning,
    pub train: TrainArgs,
    /// Of a PPO stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ppo: Option<PpoArgs>,
    /// Of an RM stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<RewardArgs>,
}

/// Which files a stage reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatasetArgs {
    /// Files or globs, never empty.
    pub train: Vec<String>,
    pub eval: Vec<String>,
    /// Share of the training rows held out; 0 with `eval`.
    pub eval_fraction: f64,
    /// One for each entry of `train`.
    pub weights: Vec<f64>,
    pub format: Option<DataFormat>,
    /// Of more bytes of files as they are stored, rows are sampled before the stage itself reads all.
    pub max_scan_bytes: u64,
}

/// Minutes of tokenising on two cores.
const MAX_SCAN_BYTES: u64 = 1 << 30;

pub(super) fn resolve(spec: &MedicalTrainingSpec, errors: &mut Vec<SpecError>) -> Vec<ResolvedStage> {
    if spec.stages.is_empty() {
        errors.push(SpecError::new("stages", "is empty; a training needs at least one stage"));
    }
    let pipeline_lora = hyperparameters::written(Section::Lora, spec.lora.as_ref());
    let mut resolved = Vec::with_capacity(spec.stages.len());
    for (index, stage) in spec.stages.iter().enumerate() {
        let path = format!("stages[{index}]");
        names::check_stage(&stage.name, &format!("{path}.name"), errors);
        if spec.stages[..index].iter().any(|other| other.name == stage.name) {
            errors.push(SpecError::new(
                format!("{path}.name"),
                format!("{:?} is there twice; names must differ", stage.name),
            ));
        }
        check_sections(stage, &path, errors);
        let dataset = dataset(stage.dataset.as_ref(), stage.kind, &path, errors);
        let vocabulary = vocabulary::resolve(stage, &path, errors);
        let tuning = tuning(spec, stage, &pipeline_lora, &path, errors);
        let inputs = edges::resolve(&spec.stages, index, &resolved, &tuning, errors);
        let train = train(spec, stage, &dataset, &path, errors);
        let ppo = (stage.kind == StageKind::PPO).then(|| ppo(stage, &path, errors));
        let reward = (stage.kind == StageKind::RM).then(|| {
            let written = hyperparameters::written(Section::Reward, stage.reward.as_ref());
            hyperparameters::args(Section::Reward, stage.kind, &[&written])
        });
        resolved.push(ResolvedStage {
            name: stage.name.clone(),
            kind: stage.kind,
            inputs,
            dataset,
            vocabulary,
            tuning,
            train,
            ppo,
            reward,
        });
    }
    resolved
}

fn check_sections(stage: &StageSpec, path: &str, errors: &mut Vec<SpecError>) {
    let sections = [("ppo", StageKind::PPO, stage.ppo.is_some()), ("reward", StageKind::RM, stage.reward.is_some())];
    for (section, kind, written) in sections {
        if written && stage.kind != kind {
            let message = format!("is for {kind} stages, but {:?} is {}; remove it or move it", stage.name, stage.kind);
            errors.push(SpecError::new(format!("{path}.{section}"), message));
        }
    }
}

fn dataset(spec: Option<&DatasetSpec>, kind: StageKind, path: &str, errors: &mut Vec<SpecError>) -> DatasetArgs {
    let default = DatasetSpec::default();
    let spec = spec.unwrap_or(&default);
    let place = |field: &str| format!("{path}.dataset.{field}");
    if spec.train.is_empty() {
        let message = format!("{kind} stages need data; list files or globs, like train: [\"data/*.jsonl\"]");
        errors.push(SpecError::new(place("train"), message));
    }
    for (field, uris) in [("train", &spec.train), ("eval", &spec.eval)] {
        for (index, uri) in uris.iter().enumerate() {
            source::data(uri, &format!("{}[{index}]", place(field)), errors);
        }
    }
    let eval_fraction = spec.eval_fraction.map_or(0.0, |fraction| fraction.to_f64());
    if eval_fraction > 0.0 && !spec.eval.is_empty() {
        errors.push(SpecError::new(place("evalFraction"), "eval and evalFraction exclude each other; remove one"));
    }
    let weights = if spec.weights.is_empty() {
        vec![1.0; spec.train.len()]
    } else {
        spec.weights.iter().map(|weight| weight.to_f64()).collect()
    };
    if weights.len() != spec.train.len() {
        let message =
            format!("has {} entries for {} of train; give one weight for each", weights.len(), spec.train.len());
        errors.push(SpecError::new(place("weights"), message));
    }
    if let Some(format) = spec.format.filter(|format| !format.serves(kind)) {
        let fitting = DataFormat::ALL.into_iter().filter(|format| format.serves(kind)).map(DataFormat::name);
        let message =
            format!("{kind} stages can't read {}; they read {}", format.name(), fitting.collect::<Vec<_>>().join(", "));
        errors.push(SpecError::new(place("format"), message));
    }
    DatasetArgs {
        train: spec.train.clone(),
        eval: spec.eval.clone(),
        eval_fraction,
        weights,
        format: spec.format,
        max_scan_bytes: spec.max_scan_bytes.unwrap_or(MAX_SCAN_BYTES),
    }
}

fn tuning(
    spec: &MedicalTrainingSpec,
    stage: &StageSpec,
    pipeline: &Map<String, Value>,
    path: &str,
    errors: &mut Vec<SpecError>,
) -> Tuning {
    if stage.lora.is_some() && stage.full.is_some() {
        errors.push(SpecError::new(format!("{path}.full"), "lora and full exclude each other; remove one"));
    }
    if stage.full.is_some() || (spec.full.is_some() && stage.lora.is_none()) {
        return Tuning::Full;
    }
    let written = hyperparameters::written(Section::Lora, stage.lora.as_ref());
    hyperparameters::check_kinds(Section::Lora, stage.kind, &written, path, errors);
    let mut lora: LoraArgs = hyperparameters::args(Section::Lora, stage.kind, &[pipeline, &written]);
    hyperparameters::settle_lora(&mut lora, &written, path, errors);
    Tuning::Lora(lora)
}

fn train(
    spec: &MedicalTrainingSpec,
    stage: &StageSpec,
    dataset: &DatasetArgs,
    path: &str,
    errors: &mut Vec<SpecError>,
) -> TrainArgs {
    let written = hyperparameters::written(Section::Train, stage.train.as_ref());
    hyperparameters::check_kinds(Section::Train, stage.kind, &written, path, errors);
    let preset = preset(stage, Section::Train);
    let mut pipeline = Map::new();
    if let Some(template) = &spec.model.chat_template {
        pipeline.insert("chatTemplate".to_string(), template.as_str().into());
    }
    let mut train: TrainArgs = hyperparameters::args(Section::Train, stage.kind, &[&preset, &pipeline, &written]);
    let has_eval = !dataset.eval.is_empty() || dataset.eval_fraction > 0.0;
    hyperparameters::settle_train(&mut train, &written, has_eval, path, errors);
    train
}

/// What the stage's preset makes the defaults of a section.
fn preset(stage: &StageSpec, section: Section) -> Map<String, Value> {
    let preset = stage.ppo.as_ref().filter(|_| stage.kind == StageKind::PPO).and_then(|ppo| ppo.preset);
    preset.map(|preset| preset.defaults(section)).unwrap_or_default()
}

fn ppo(stage: &StageSpec, path: &str, errors: &mut Vec<SpecError>) -> PpoArgs {
    let written = hyperparameters::written(Section::Ppo, stage.ppo.as_ref());
    let ppo: PpoArgs = hyperparameters::args(Section::Ppo, stage.kind, &[&preset(stage, Section::Ppo), &written]);
    let place = |field: &str| format!("{path}.ppo.{field}");
    if !ppo.batch_size.is_multiple_of(ppo.mini_batch_size) {
        let message =
            format!("batchSize {} is no multiple of miniBatchSize {}; change one", ppo.batch_size, ppo.mini_batch_size);
        errors.push(SpecError::new(place("miniBatchSize"), message));
    }
    if ppo.min_new_tokens > ppo.max_new_tokens {
        let message = format!("{} is more than maxNewTokens {}; change one", ppo.min_new_tokens, ppo.max_new_tokens);
        errors.push(SpecError::new(place("minNewTokens"), message));
    }
    ppo
}
