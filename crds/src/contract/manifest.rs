//! `manifest.json`: the truth about a stage, and its smaller sibling for checkpoints.
//!
//! Holds: a stage is done if and only if its manifest exists; every file it lists was complete before it was
//! written; no text of a data row is in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CONTRACT_VERSION, ContractError, Digest, LossMask, StageKey, version};
use crate::resolve::Role;
use crate::stage::StageKind;

/// Everything a reader needs to know about a finished stage. Fields added later are optional, unknown ones ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub contract: u32,
    pub key: StageKey,
    pub kind: StageKind,
    /// Name of the stage in the training that did the work; others share the result under their own names.
    pub stage: String,
    pub recipe: u32,
    pub seed: u64,
    pub inputs: BTreeMap<Role, ManifestInput>,
    /// Where the weights of the chain began.
    pub base_model: BaseModel,
    /// Directory of the winning attempt, relative to the manifest's: `attempt-<n>-<run8>`.
    pub prefix: String,
    /// Sorted by path.
    pub files: Vec<FileEntry>,
    pub final_step: u64,
    /// Finite numbers by [`super::metrics`] name.
    pub metrics: BTreeMap<String, f64>,
    pub data: DataCounts,
    /// What the loss fell on. Absent in manifests of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_mask: Option<LossMask>,
    /// Of a stage that compared its evaluations (`train.metricForBestModel`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_model: Option<BestModel>,
    /// Set if `train.earlyStoppingPatience` ended the stage before its last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<EarlyStop>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_check: Option<MergeCheck>,
    /// False if a resume changed processor model or device, so that the bits may differ from an undisturbed run.
    pub bit_exact: bool,
    pub trainer: TrainerBuild,
    pub attempt: u32,
    /// What the store's writer held when it committed (the pod's UID); decides nothing, explains a lot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing_token: Option<String>,
    /// Wall clock: not compared between runs.
    pub timings: Timings,
}

/// One input as it was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestInput {
    pub uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Of the content, or of the manifest if the input is a stage.
    pub digest: Digest,
    /// Key of the stage that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<StageKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseModel {
    pub uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    pub digest: Digest,
}

/// One file, by its path relative to the manifest's directory, `/` between parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    pub path: String,
    /// 64 hex digits.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataCounts {
    pub train: SplitCounts,
    pub eval: SplitCounts,
}

/// What became of the rows of one split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SplitCounts {
    pub rows: u64,
    /// What the rows became: blocks, dialogues, pairs, prompts.
    pub examples: u64,
    pub tokens: u64,
    /// Tokens that bear loss.
    pub target_tokens: u64,
    /// Rows cut to `maxLength`.
    pub truncated: u64,
    /// Rows left out, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// The best evaluation of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BestModel {
    /// Name of the figure that evaluations were compared by.
    pub metric: String,
    pub value: f64,
    pub step: u64,
    /// Whether the artifact's weights, and the manifest's held-out figures, are those of this step
    /// (`train.loadBestModelAtEnd`); else they are those of the last one.
    pub loaded: bool,
}

/// Where a stage ended, and where it would have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EarlyStop {
    pub step: u64,
    pub total_steps: u64,
}

/// How far the merged model is from base and adapter, after rounding to the dtype it is saved in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MergeCheck {
    pub max_logit_diff: f64,
    pub mean_logit_diff: f64,
    /// Mean Kullback-Leibler divergence a token, nats.
    pub token_kl: f64,
    /// `tokenKl` above this fails the stage.
    pub threshold: f64,
    /// Share of the weights whose change was lost in rounding, 0 to 1.
    pub lost_deltas: f64,
    /// Of the prompts the check ran on.
    pub prompts_sha256: String,
}

/// What ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainerBuild {
    pub version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// RFC 3339, UTC.
    pub started_at: String,
    pub finished_at: String,
    /// Seconds by phase, over all attempts that the winning one resumed from.
    pub seconds: BTreeMap<String, f64>,
}

impl Manifest {
    /// # Errors
    /// Not JSON, another contract version, a missing or ill-typed field.
    pub fn parse(bytes: &[u8]) -> Result<Self, ContractError> {
        version::parse("manifest.json", bytes)
    }

    /// The bytes of `manifest.json`.
    pub fn to_json(&self) -> String {
        super::pretty(self)
    }

    /// Path of `name` (`merged/config.json`) relative to the manifest's directory.
    pub fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// The entry of `name` (`merged/config.json`) in the winning attempt.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        let path = self.path_of(name);
        self.files.iter().find(|file| file.path == path)
    }

    /// The entries in the winning attempt's directory `dir` (`merged`).
    pub fn files_in<'a>(&'a self, dir: &str) -> impl Iterator<Item = &'a FileEntry> {
        let prefix = format!("{}/", self.path_of(dir));
        self.files.iter().filter(move |file| file.path.starts_with(&prefix))
    }
}

/// `checkpoints/<step>-<run8>/manifest.json`: written last, so that a checkpoint with a manifest is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointManifest {
    pub contract: u32,
    pub key: StageKey,
    pub kind: StageKind,
    pub recipe: u32,
    /// Optimiser steps done.
    pub step: u64,
    /// Optimiser steps of the whole stage.
    pub total_steps: u64,
    pub run8: String,
    pub attempt: u32,
    /// Sorted by path, relative to this manifest's directory.
    pub files: Vec<FileEntry>,
    /// False once a resume changed processor model or device.
    pub bit_exact: bool,
    /// Processor or device that computed it (`cpu: …`, `cuda: …`, `wgpu: …`); another one can't continue to the bit.
    pub device: String,
    pub trainer: TrainerBuild,
}

impl CheckpointManifest {
    /// # Errors
    /// Not JSON, another contract version, a missing or ill-typed field.
    pub fn parse(bytes: &[u8]) -> Result<Self, ContractError> {
        version::parse("the checkpoint's manifest.json", bytes)
    }

    pub fn to_json(&self) -> String {
        super::pretty(self)
    }
}

/// `trainings/<namespace>.<name>/<stage>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pointer {
    pub contract: u32,
    pub key: StageKey,
    /// Relative to `<output.uri>/`.
    pub manifest: String,
}

impl Pointer {
    pub fn new(kind: StageKind, key: StageKey) -> Self {
        let manifest = super::layout::manifest_path(kind, &key);
        Self { contract: CONTRACT_VERSION, key, manifest }
    }

    /// # Errors
    /// Not JSON, another contract version, a missing or ill-typed field.
    pub fn parse(bytes: &[u8]) -> Result<Self, ContractError> {
        version::parse("the pointer to a stage", bytes)
    }

    pub fn to_json(&self) -> String {
        super::pretty(self)
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
