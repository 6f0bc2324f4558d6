//! What a cluster reports about a training: `status` of the resource.
//!
//! Holds: at most 32 KiB as JSON ([`MedicalTrainingStatus::MAX_BYTES`]): messages are at most 256 characters and
//! numbers of stages, conditions, errors and metrics are bounded; no text of a data row; nothing in it is needed to
//! know whether a stage is done (the manifest in the store says that). Only the operator writes it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::Phase;
use crate::stage::StageKind;

/// Types of [`MedicalTrainingStatus::conditions`].
pub mod condition {
    /// The spec is valid and a plan for it is in the store.
    pub const ACCEPTED: &str = "Accepted";
    /// Something runs or is about to.
    pub const PROGRESSING: &str = "Progressing";
    /// Nothing runs because `spec.suspend` is true.
    pub const SUSPENDED: &str = "Suspended";
    /// It goes on, but not as it should.
    pub const DEGRADED: &str = "Degraded";
    /// Every stage is done.
    pub const COMPLETE: &str = "Complete";
    /// It ended without that.
    pub const FAILED: &str = "Failed";

    pub const ALL: [&str; 6] = [ACCEPTED, PROGRESSING, SUSPENDED, DEGRADED, COMPLETE, FAILED];
}

/// What the cluster has done about the training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MedicalTrainingStatus {
    /// The generation of the resource that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted, Progressing, Suspended, Degraded, Complete and Failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// One line for `kubectl get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// The look at models and data for the newest spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<PreflightStatus>,
    /// The plan that stages run by: of the newest spec that was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// In the order of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub stages: Vec<StageStatus>,
    /// When the operator first saw the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it became Complete or Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
}

impl MedicalTrainingStatus {
    pub const MAX_BYTES: usize = 32 * 1024;
    /// Characters of any message.
    pub const MAX_MESSAGE: usize = 256;
    /// Errors of a preflight that are kept.
    pub const MAX_ERRORS: usize = 8;
    /// Metrics of a stage that are kept.
    pub const MAX_METRICS: usize = 16;

    pub fn stage(&self, name: &str) -> Option<&StageStatus> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// Whether the condition is there and True.
    pub fn is(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|condition| condition.status == "True")
    }
}

/// Columns of `kubectl get`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The stage that matters most now.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stage: String,
    /// Preflight, a stage's state, Suspended, Complete or Failed; why, where a pod does not start.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Steps done and planned, like 120/400.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub progress: String,
    /// Loss or reward of that stage.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metric: String,
    /// Attempts after the first and pods replaced within attempts, of all stages.
    #[serde(default)]
    pub restarts: u32,
    /// Image of the trainer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
}

/// A plan in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Of the parts of the spec that the plan follows from, 8 hex digits.
    pub hash: String,
    /// Where the plan lies.
    pub uri: String,
    /// Of the plan's bytes.
    pub sha256: String,
    /// Image of the trainer for all stages that name none: an upgrade of the operator changes nothing that runs.
    pub image: String,
}

/// How far the look at models and data is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PreflightState {
    #[default]
    Pending,
    Running,
    Retrying,
    Succeeded,
    Failed,
}

/// The preflight Job of the newest spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreflightStatus {
    /// As in `plan`.
    pub hash: String,
    /// Pending, Running, Retrying, Succeeded or Failed.
    pub state: PreflightState,
    /// Image of the trainer, pinned for this hash.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// From 1.
    #[serde(default)]
    pub attempt: u32,
    /// UID of the attempt's Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "jobUID")]
    pub job_uid: Option<String>,
    /// Attempts that failed by their own fault.
    #[serde(default)]
    pub charged: u32,
    /// Why it is in its state.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub message: String,
    /// Since when the attempt has waited for a pod to run; none while one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<Time>,
    /// The first problems, each with field, file or line and the way out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub errors: Vec<String>,
    /// How many more there are; the report has them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_errors: u32,
    /// The whole report in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_uri: Option<String>,
    /// The next attempt starts no earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_time: Option<Time>,
    /// The attempt's Job is being deleted; this is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<String>,
}

/// What a stage is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StageState {
    /// For its inputs, or because the training is suspended.
    #[default]
    Waiting,
    /// Its inputs and data are being looked at.
    Preflight,
    /// Its Job is suspended, mostly by a queue.
    Queued,
    /// Its pod is being scheduled and started.
    Starting,
    Running,
    /// Between two attempts.
    Retrying,
    /// Done before, by this training or another.
    Cached,
    Succeeded,
    Failed,
}

impl StageState {
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Preflight,
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Retrying,
        Self::Cached,
        Self::Succeeded,
        Self::Failed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Preflight => "Preflight",
            Self::Queued => "Queued",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Retrying => "Retrying",
            Self::Cached => "Cached",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// Its manifest is in the store.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Cached | Self::Succeeded)
    }

    /// Nothing changes any more.
    pub fn is_terminal(self) -> bool {
        self.is_done() || self == Self::Failed
    }
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// As in the spec.
    pub name: String,
    /// PT, SFT, RM or PPO.
    #[schemars(with = "String")]
    pub kind: StageKind,
    /// Waiting, Preflight, Queued, Starting, Running, Retrying, Cached, Succeeded or Failed.
    #[serde(default)]
    pub state: StageState,
    /// Why; one word of a closed list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub message: String,
    /// The first 12 digits of the stage's key, as in its path in the store.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Number of the newest attempt; it is here before its Job exists. 0: none yet.
    #[serde(default)]
    pub attempt: u32,
    /// UID of the newest attempt's Job; none before it was created and after the attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "jobUID")]
    pub job_uid: Option<String>,
    /// UID of the pod seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "podUID")]
    pub pod_uid: Option<String>,
    /// Since when the attempt has waited for a pod to run; none while one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<Time>,
    /// Attempts that failed by their own fault; they count against the budget.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub charged_attempts: u32,
    /// Attempts that ended by disruption, lost nodes or our own stop.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uncharged_attempts: u32,
    /// Pods replaced within attempts; a lower bound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub infra_restarts: u32,
    /// The same within the newest attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt_disruptions: u32,
    /// The attempt's Job is being deleted; this is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<String>,
    /// The store must be asked before the next attempt, because nobody saw how the last one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeStatus>,
    /// The next attempt starts no earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_time: Option<Time>,
    /// What the pod said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<StageProgress>,
    /// Optimiser steps that preflight expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Peak memory that preflight expects, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mib: Option<u64>,
    /// The manifest of the finished stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_uri: Option<String>,
    /// sha256 of the manifest, where the pod told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// Bytes of the finished stage's files, where the pod told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_bytes: Option<u64>,
    /// Figures of the finished stage, as decimals.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub metrics: BTreeMap<String, String>,
    /// When the newest attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the stage was done or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
}

impl StageStatus {
    pub fn new(name: impl Into<String>, kind: StageKind) -> Self {
        Self {
            name: name.into(),
            kind,
            state: StageState::Waiting,
            reason: String::new(),
            message: String::new(),
            key: String::new(),
            attempt: 0,
            job_uid: None,
            pod_uid: None,
            pending_since: None,
            charged_attempts: 0,
            uncharged_attempts: 0,
            infra_restarts: 0,
            attempt_disruptions: 0,
            stopping: None,
            probe: None,
            retry_time: None,
            progress: None,
            steps: None,
            mib: None,
            manifest_uri: None,
            manifest_digest: None,
            artifact_bytes: None,
            metrics: BTreeMap::new(),
            start_time: None,
            completion_time: None,
        }
    }
}

/// A small Job that looks into the store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeStatus {
    /// From 1.
    pub attempt: u32,
    /// UID of its Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "jobUID")]
    pub job_uid: Option<String>,
    /// The next one starts no earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_time: Option<Time>,
}

/// What a running pod said about itself, at most every 30 seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageProgress {
    /// What it is doing: starting, fetching, tokenizing, loading, training, rollout, evaluating, saving, merging,
    /// uploading or done.
    #[schemars(with = "String")]
    pub phase: Phase,
    /// Optimiser steps done.
    pub step: u64,
    /// Optimiser steps planned.
    pub total: u64,
    /// Bytes read or written in this phase.
    #[serde(default)]
    pub bytes: u64,
    /// Loss of the last logged step, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// Tokens a second, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<String>,
    /// Seconds left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
    /// Step of the newest checkpoint in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_checkpoint: Option<u64>,
    /// When this was read.
    pub observed_time: Time,
    /// When phase, step or bytes last moved.
    pub moved_time: Time,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}
