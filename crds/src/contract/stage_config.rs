//! `stage.json`: what a pod is told. Everything else is in the plan it points at.

use serde::{Deserialize, Serialize};

use super::{CONTRACT_VERSION, ContractError, version};

/// The input of `medtrain stage`. Attempt and pod identity come by environment, secrets only by environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StageConfig {
    pub contract: u32,
    pub plan: PlanRef,
    /// Name of the stage within the plan.
    pub stage: String,
    /// `spec.storage`, in its order: the credentials of entry i are in the environment under
    /// [`store_prefix(i)`](super::pod::env::store_prefix).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storage: Vec<StoreAccess>,
}

/// How to reach the stores whose URIs begin with a prefix; the longest prefix wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreAccess {
    pub uri_prefix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A PEM bundle in the pod, trusted besides the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
}

/// Where a plan lies and what its bytes hash to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanRef {
    pub uri: String,
    /// 64 hex digits.
    pub sha256: String,
}

impl StageConfig {
    pub fn new(plan: PlanRef, stage: impl Into<String>) -> Self {
        Self { contract: CONTRACT_VERSION, plan, stage: stage.into(), storage: Vec::new() }
    }

    /// # Errors
    /// Not JSON, another contract version, a missing, unknown or ill-typed field.
    pub fn parse(bytes: &[u8]) -> Result<Self, ContractError> {
        version::parse("stage.json", bytes)
    }

    /// The bytes of `stage.json`.
    pub fn to_json(&self) -> String {
        super::pretty(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = r#"{
  "contract": 1,
  "plan": {
    "uri": "s3://models/med/plans/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.json",
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
  },
  "stage": "sft"
}
"#;

    #[test]
    fn stage_json_is_the_golden_one_and_reads_back() {
        let sha256 = crate::contract::canonical::sha256_hex(b"abc");
        let uri = format!("s3://models/med/{}", crate::contract::layout::plan_path(&sha256));
        let config = StageConfig::new(PlanRef { uri, sha256 }, "sft");
        assert_eq!(config.to_json(), GOLDEN);
        assert_eq!(StageConfig::parse(GOLDEN.as_bytes()), Ok(config));
    }

    #[test]
    fn what_is_no_stage_json_says_why() {
        let error = |text: &str| StageConfig::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            error("{\"contract\": 1"),
            "stage.json is not valid JSON: line 1 column 14; it was cut short or written by something else"
        );
        assert_eq!(
            error("{}"),
            "stage.json has no contract version (field \"contract\"): it was not written by MedTrain"
        );
        assert_eq!(
            error("[1]"),
            "stage.json has no contract version (field \"contract\"): it was not written by MedTrain"
        );
        assert_eq!(
            error("{\"contract\": 9}"),
            "stage.json has contract version 9; this program reads 1 to 1: use a newer medtrain"
        );
        assert_eq!(
            error("{\"contract\": 1, \"plan\": {\"uri\": 3, \"sha256\": \"\"}, \"stage\": \"sft\"}"),
            "stage.json: plan.uri: invalid type: integer `3`, expected a string"
        );
        assert!(
            error("{\"contract\": 1, \"plan\": {\"uri\": \"\", \"sha256\": \"\"}, \"stage\": \"sft\", \"x\": 1}")
                .contains("unknown field `x`")
        );
    }
}
