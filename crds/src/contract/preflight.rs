//! `preflight.json` and what a preflight pod answers.
//!
//! Holds: the answer is at most 3,000 bytes of JSON whatever the training (Kubernetes keeps 4,096 of a termination
//! message); no text of a data row is in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CONTRACT_VERSION, ContractError, ExitCode, PlanRef, version};

/// The input of `medtrain preflight`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreflightConfig {
    pub contract: u32,
    /// The resource, as `kubectl apply` takes it: apiVersion, kind, metadata (name, namespace), spec.
    pub training: Value,
    /// By stage: what its pod may use, where that is known. A stage whose forecast is above it is refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, StageLimits>,
    /// Look at these stages only: a probe after a pod whose end nobody saw. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
}

/// Memory of a stage's pod, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StageLimits {
    /// `resources.limits.memory`; counts where the stage runs on the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// `acceleratorMemory`; counts where the stage asks for an accelerator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator_memory: Option<u64>,
}

impl PreflightConfig {
    pub fn new(training: Value) -> Self {
        Self { contract: CONTRACT_VERSION, training, limits: BTreeMap::new(), only: Vec::new() }
    }

    /// # Errors
    /// Not JSON, another contract version, a missing, unknown or ill-typed field.
    pub fn parse(bytes: &[u8]) -> Result<Self, ContractError> {
        version::parse("preflight.json", bytes)
    }

    /// The bytes of `preflight.json`.
    pub fn to_json(&self) -> String {
        super::pretty(self)
    }
}

/// The termination message of a preflight pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreflightMessage {
    /// [`ExitCode::reason`]: `Completed` if the training can start.
    pub reason: String,
    /// Where the plan was written; none after errors, and none of a probe (`only`), which sees a part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanRef>,
    /// In the plan's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageForecast>,
    /// The first problems, each with field, file or line and the way out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// How many more there are than fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_errors: u32,
    /// The whole report, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_uri: Option<String>,
}

/// One stage in a [`PreflightMessage`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageForecast {
    pub name: String,
    /// The first 12 digits of the stage's key, as in its path in the store.
    pub key: String,
    /// Its manifest exists.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
    /// Optimiser steps.
    pub steps: u64,
    /// Peak memory; none of a finished stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mib: Option<u64>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl PreflightMessage {
    pub const MAX_BYTES: usize = 3000;
    /// Characters that one problem may take.
    const MAX_ERROR: usize = 600;

    /// The answer when the training can't start. `exit` is the first problem's.
    pub fn failed(exit: ExitCode, errors: Vec<String>) -> Self {
        Self {
            reason: exit.reason().to_string(),
            plan: None,
            stages: Vec::new(),
            errors,
            more_errors: 0,
            report_uri: None,
        }
    }

    /// The answer when it can.
    pub fn ready(plan: PlanRef, stages: Vec<StageForecast>) -> Self {
        Self {
            reason: ExitCode::Done.reason().to_string(),
            plan: Some(plan),
            stages,
            errors: Vec::new(),
            more_errors: 0,
            report_uri: None,
        }
    }

    /// JSON within [`Self::MAX_BYTES`]: long problems are cut, then the last ones are left out and counted.
    pub fn to_json(&self) -> String {
        let mut fitted = self.clone();
        for error in &mut fitted.errors {
            if error.chars().count() > Self::MAX_ERROR {
                *error = error.chars().take(Self::MAX_ERROR - 1).chain(['…']).collect();
            }
        }
        while fitted.json().len() > Self::MAX_BYTES {
            if fitted.errors.pop().is_some() {
                fitted.more_errors += 1;
            } else if fitted.report_uri.take().is_none() {
                break;
            }
        }
        fitted.json()
    }

    /// `None` if `text` is something else: a pod may die without a word, or leave the end of its log.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text.trim()).ok()
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers under string keys are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::canonical::sha256_hex;

    #[test]
    fn preflight_json_reads_back_and_names_what_is_wrong() {
        let mut config = PreflightConfig::new(serde_json::json!({"kind": "MedicalTraining"}));
        config.limits.insert("sft".into(), StageLimits { memory: Some(1 << 30), accelerator_memory: None });
        config.only.push("sft".into());
        assert_eq!(PreflightConfig::parse(config.to_json().as_bytes()), Ok(config));
        assert_eq!(
            PreflightConfig::parse(b"{\"contract\": 1, \"training\": {}, \"x\": 1}").unwrap_err().to_string(),
            "preflight.json: x: unknown field `x`, expected one of `contract`, `training`, `limits`, `only`"
        );
    }

    #[test]
    fn sixteen_stages_fit() {
        let sha256 = sha256_hex(b"plan");
        let uri = format!("s3://{}/plans/{sha256}.json", "bucket-and-prefix/".repeat(20));
        let stage = |index: usize| StageForecast {
            name: format!("stage{index:07}"),
            key: "0123456789ab".into(),
            done: true,
            steps: 1_000_000,
            mib: Some(100_000),
        };
        let message = PreflightMessage::ready(PlanRef { uri, sha256 }, (0..16).map(stage).collect());
        let json = message.to_json();
        assert!(json.len() <= PreflightMessage::MAX_BYTES, "{} bytes", json.len());
        assert_eq!(PreflightMessage::parse(&json), Some(message));
    }

    #[test]
    fn problems_that_do_not_fit_are_counted() {
        let errors = (0..40).map(|index| format!("stages[{index}]: {}", "病".repeat(2000))).collect();
        let mut message = PreflightMessage::failed(ExitCode::Data, errors);
        message.report_uri = Some("s3://models/reports/x.json".into());
        let json = message.to_json();
        assert!(json.len() <= PreflightMessage::MAX_BYTES);
        let read = PreflightMessage::parse(&json).unwrap();
        assert_eq!(read.reason, "DataInvalid");
        assert_eq!(read.errors.len() as u32 + read.more_errors, 40);
        assert!(read.errors[0].starts_with("stages[0]: 病") && read.errors[0].ends_with('…'));
        assert!(read.report_uri.is_some());
    }
}
