//! The `MedicalTraining` resource as people write it.
//!
//! Holds: no floats (decimals are [`Decimal`]), nothing defaulted: [`crate::resolve`] does that. Fields that only
//! Kubernetes understands (metadata, the leaves of `podTemplate`) are carried as they are.

mod error;
mod overrides;
mod parse;
mod paths;
mod shape;
#[cfg(feature = "k8s")]
pub mod status;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::stage::{DataFormat, Decimal, LoraSpec, PpoSpec, RewardSpec, StageKind, TrainSpec};
pub use error::SpecError;
pub use overrides::set_override;
pub use parse::read;
pub(crate) use parse::{Checked, check};

pub const API_VERSION: &str = "medtrain.io/v1alpha1";
pub const KIND: &str = "MedicalTraining";

/// Trains a model in stages, each from the results of those before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MedicalTraining {
    pub api_version: String,
    pub kind: String,
    pub metadata: Metadata,
    pub spec: MedicalTrainingSpec,
    /// What a cluster reported, if the file came out of one; read and ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels, annotations and what a cluster adds.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MedicalTrainingSpec {
    /// The model that the first stages start from.
    pub model: ModelSpec,
    /// Where every artifact goes; `./outputs/<name>` if left out in a local run, needed in a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSpec>,
    /// Seed of every random choice, 42 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// LoRA settings of all stages; a stage may override each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSpec>,
    /// All stages train all weights, unless they have their own `lora`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<FullSpec>,
    /// Pods of all stages; a stage may override each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
    /// Credentials and endpoints of stores; the longest prefix wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storage: Vec<StorageSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubSpec>,
    /// Queue of Kueue to wait in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_name: Option<String>,
    /// Stops what runs (with a checkpoint) and starts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// A new text tries again what failed; changes no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_token: Option<String>,
    /// A new text makes every stage new work; changes all keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_salt: Option<String>,
    /// The resource is deleted this long after it finished; artifacts stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<u32>,
    pub stages: Vec<StageSpec>,
}

/// A model by its URI, or a random one from a configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelSpec {
    /// `hf://org/name[@revision]`, a folder or `.gguf` file by path, `file://`, `s3://`, `gs://`, `az://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Branch, tag or commit on the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Name of a built-in chat template, or a Jinja template, for stages that don't name their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// Content of a `config.json`: the model starts from random weights drawn with the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random: Option<Map<String, Value>>,
    /// Where a random model's tokenizer comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutputSpec {
    pub uri: String,
}

/// All weights are trained. Written `full: {}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FullSpec {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorageSpec {
    pub uri_prefix: String,
    /// None: the pod's own identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map_ref: Option<LocalRef>,
}

/// The model hub.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HubSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// An object of the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalRef {
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StageSpec {
    pub name: String,
    pub kind: StageKind,
    /// Where the models come from; what is left out is the nearest fitting stage before, else `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<InputsSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ppo: Option<PpoSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<RewardSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<FullSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// Inputs of a stage by role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InputsSpec {
    /// PT, SFT, PPO: the model to train.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<InputSpec>,
    /// RM: the model that gets a score head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<InputSpec>,
    /// PPO: the model that the policy must stay near to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<InputSpec>,
    /// PPO: the reward model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<InputSpec>,
    /// PT, SFT: an adapter to continue from, over `policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<InputSpec>,
}

/// `{from: stage}` or `{uri, revision?}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InputSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatasetSpec {
    /// Files or globs to train on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub train: Vec<String>,
    /// Files or globs to evaluate on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eval: Vec<String>,
    /// Without `eval`: the share of the training rows that is held out, chosen by content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_fraction: Option<Decimal>,
    /// How often an epoch shows the rows of each entry of `train`: 2 = twice, 0.5 = half of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<Decimal>,
    /// Shape of the rows; found out by the first row if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DataFormat>,
}

/// What of a pod may be set; the fields of Kubernetes' `PodSpec` and `Container`, their content unchecked here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodTemplate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_secrets: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_claims: Option<Value>,
    /// Memory of one accelerator (`80Gi`): preflight refuses a stage that needs more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator_memory: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_spread_constraints: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_from: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_mounts: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<u32>,
}

impl MedicalTraining {
    /// Reads a resource out of YAML; `source` is what an error about the text as a whole calls it.
    ///
    /// # Errors
    /// Every unknown field, missing field, wrong type and value out of range, not only the first.
    pub fn parse(yaml: &str, source: &str) -> Result<Self, Vec<SpecError>> {
        Self::from_value(&read(yaml, source)?)
    }

    /// The same for YAML that was read (and perhaps changed by [`set_override`]) before.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_value(value: &serde_yaml::Value) -> Result<Self, Vec<SpecError>> {
        let Checked { training, errors } = check(value);
        match training {
            Some(training) if errors.is_empty() => Ok(training),
            _ => Err(errors),
        }
    }
}

#[cfg(test)]
mod tests;
