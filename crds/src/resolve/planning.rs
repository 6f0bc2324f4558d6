//! The plan: resolved stages together with what their inputs and data are, and the keys that follow.
//!
//! Holds: a plan is a value, its JSON is canonical, its name in the store is its sha256; a stage needs nothing but
//! the plan to know what to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ModelSource, Resolved, ResolvedStage, Role, Source, VocabularyArgs, key, source};
use crate::contract::{self, CONTRACT_VERSION, ContractError, Digest, StageKey, canonical, layout};
use crate::stage::{DataFormat, PpoArgs, RewardArgs, StageKind, TrainArgs, Tuning};
use crate::training::SpecError;

/// What someone who looked at models and data found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identities {
    /// Of `spec.model`; of a random model, of its tokenizer.
    pub model: Digest,
    /// Of inputs by URI, called by their [`locator`](super::locator).
    pub inputs: BTreeMap<String, Digest>,
    /// Of each stage's data, by stage name.
    pub data: BTreeMap<String, DataIdentity>,
}

/// The files of one stage, in the order they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataIdentity {
    pub train: Vec<FileIdentity>,
    pub eval: Vec<FileIdentity>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileIdentity {
    pub uri: String,
    /// 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where content could not be hashed: the store's own tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Which entry of `dataset.train` (or `.eval`) matched the file.
    #[serde(default)]
    pub entry: usize,
}

impl FileIdentity {
    /// The file's part of a stage key: what is in it, not where it lies.
    pub fn content_id(&self) -> Option<String> {
        let etag = || self.etag.as_ref().map(|etag| format!("etag:{etag}:{}", self.size));
        self.sha256.as_ref().map(|sha256| format!("sha256:{sha256}")).or_else(etag)
    }
}

/// A training whose every stage is known to the last digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    pub contract: u32,
    pub training: String,
    pub namespace: String,
    pub output: Option<String>,
    /// Every stage after those it takes inputs from.
    pub stages: Vec<PlannedStage>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedStage {
    pub name: String,
    pub kind: StageKind,
    pub key: StageKey,
    pub recipe: u32,
    pub seed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_salt: Option<String>,
    /// Devices a stage: one, for now.
    pub world_size: u32,
    pub inputs: BTreeMap<Role, PlannedInput>,
    pub dataset: PlannedDataset,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<VocabularyArgs>,
    pub tuning: Tuning,
    pub train: TrainArgs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ppo: Option<PpoArgs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<RewardArgs>,
}

/// An input with its identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type", deny_unknown_fields)]
pub enum PlannedInput {
    External {
        uri: String,
        revision: Option<String>,
        digest: Digest,
    },
    /// The merged model (or adapter) of a stage before; `manifest` is relative to `<output.uri>/`.
    Stage {
        stage: String,
        key: StageKey,
        manifest: String,
    },
    /// Random weights by `config`, drawn with the stage's seed.
    Random {
        config: Map<String, Value>,
        tokenizer: String,
        tokenizer_revision: Option<String>,
        /// Of configuration, tokenizer and seed together.
        digest: Digest,
    },
}

impl PlannedInput {
    /// The input's part of a stage key.
    pub fn identity(&self) -> &str {
        match self {
            Self::External { digest, .. } | Self::Random { digest, .. } => digest.as_str(),
            Self::Stage { key, .. } => key.as_str(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedDataset {
    pub train: Vec<FileIdentity>,
    pub eval: Vec<FileIdentity>,
    /// Share of the training rows held out; 0 with `eval`.
    pub eval_fraction: f64,
    /// By [`FileIdentity::entry`] of the training files.
    pub weights: Vec<f64>,
    pub format: Option<DataFormat>,
}

impl Plan {
    /// Canonical JSON: the bytes of `plans/<sha256>.json`.
    pub fn to_json(&self) -> String {
        canonical::to_string(self).expect("structs under string keys are JSON")
    }

    /// sha256 of [`Self::to_json`], 64 hex digits.
    pub fn digest(&self) -> String {
        canonical::sha256_hex(self.to_json().as_bytes())
    }

    /// `plans/<sha256>.json`.
    pub fn path(&self) -> String {
        layout::plan_path(&self.digest())
    }

    /// # Errors
    /// Not JSON, another contract version, a missing, unknown or ill-typed field.
    pub fn parse(bytes: &[u8]) -> Result<Self, ContractError> {
        contract::parse("the plan", bytes)
    }

    pub fn stage(&self, name: &str) -> Option<&PlannedStage> {
        self.stages.iter().find(|stage| stage.name == name)
    }
}

impl PlannedStage {
    /// `stages/<kind>-<key12>`, relative to `<output.uri>/`.
    pub fn dir(&self) -> String {
        layout::stage_dir(self.kind, &self.key)
    }

    pub fn manifest_path(&self) -> String {
        layout::manifest_path(self.kind, &self.key)
    }
}

/// Puts identities to a resolved training and computes every stage's key.
///
/// # Errors
/// An input or data file without identity: one error for each.
pub fn plan(resolved: &Resolved, identities: &Identities) -> Result<Plan, Vec<SpecError>> {
    let mut errors = Vec::new();
    let mut stages: Vec<PlannedStage> = Vec::with_capacity(resolved.stages.len());
    for (index, stage) in resolved.stages.iter().enumerate() {
        let dataset = dataset(stage, identities, &format!("stages[{index}].dataset"), &mut errors);
        let mut inputs = BTreeMap::new();
        for (role, source) in &stage.inputs {
            let path = format!("stages[{index}].inputs.{role}");
            if let Some(input) = input(resolved, source, identities, &stages, &path, &mut errors) {
                inputs.insert(*role, input);
            }
        }
        let mut planned = PlannedStage {
            name: stage.name.clone(),
            kind: stage.kind,
            key: StageKey::of(""),
            recipe: stage.kind.recipe(),
            seed: resolved.seed,
            cache_salt: resolved.cache_salt.clone(),
            world_size: 1,
            inputs,
            dataset,
            vocabulary: stage.vocabulary.clone(),
            tuning: stage.tuning.clone(),
            train: stage.train.clone(),
            ppo: stage.ppo.clone(),
            reward: stage.reward.clone(),
        };
        planned.key = key::stage_key(&planned);
        stages.push(planned);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Plan {
        contract: CONTRACT_VERSION,
        training: resolved.name.clone(),
        namespace: resolved.namespace.clone(),
        output: resolved.output.clone(),
        stages,
    })
}

fn input(
    resolved: &Resolved,
    source: &Source,
    identities: &Identities,
    before: &[PlannedStage],
    path: &str,
    errors: &mut Vec<SpecError>,
) -> Option<PlannedInput> {
    let (uri, revision, digest) = match source {
        Source::Stage(name) => {
            let stage = before.iter().find(|stage| stage.name == *name)?;
            return Some(PlannedInput::Stage {
                stage: name.clone(),
                key: stage.key.clone(),
                manifest: stage.manifest_path(),
            });
        }
        Source::Model => match &resolved.model {
            ModelSource::Random { config, tokenizer, tokenizer_revision } => {
                return Some(PlannedInput::Random {
                    config: config.clone(),
                    tokenizer: tokenizer.clone(),
                    tokenizer_revision: tokenizer_revision.clone(),
                    digest: random_digest(config, &identities.model, resolved.seed),
                });
            }
            ModelSource::Uri { uri, revision } => (uri, revision, Some(&identities.model)),
        },
        Source::Uri { uri, revision } => {
            (uri, revision, identities.inputs.get(&source::locator(uri, revision.as_deref())))
        }
    };
    let Some(digest) = digest else {
        errors.push(SpecError::new(path, format!("nobody has looked at {uri}; its digest is not known")));
        return None;
    };
    Some(PlannedInput::External { uri: uri.clone(), revision: revision.clone(), digest: digest.clone() })
}

/// The identity of a random model: `tokenizer` is that of its tokenizer.
pub fn random_digest(config: &Map<String, Value>, tokenizer: &Digest, seed: u64) -> Digest {
    let identity = serde_json::json!({"config": config, "tokenizer": tokenizer, "seed": seed});
    Digest::of(canonical::to_string(&identity).expect("JSON values are JSON").as_bytes())
}

fn dataset(stage: &ResolvedStage, identities: &Identities, path: &str, errors: &mut Vec<SpecError>) -> PlannedDataset {
    let found = identities.data.get(&stage.name).cloned().unwrap_or_default();
    for (field, entries, files) in
        [("train", &stage.dataset.train, &found.train), ("eval", &stage.dataset.eval, &found.eval)]
    {
        for (index, entry) in entries.iter().enumerate() {
            if !files.iter().any(|file| file.entry == index) {
                errors.push(SpecError::new(format!("{path}.{field}[{index}]"), format!("{entry} matches no file")));
            }
        }
        for file in files {
            let place = format!("{path}.{field}");
            if file.content_id().is_none() {
                errors.push(SpecError::new(&place, format!("{}: neither sha256 nor ETag is known", file.uri)));
            }
            if file.entry >= entries.len() {
                errors.push(SpecError::new(&place, format!("{}: belongs to no entry of the list", file.uri)));
            }
        }
    }
    PlannedDataset {
        train: found.train,
        eval: found.eval,
        eval_fraction: stage.dataset.eval_fraction,
        weights: stage.dataset.weights.clone(),
        format: stage.dataset.format,
    }
}
