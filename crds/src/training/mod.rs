//! The `MedicalTraining` resource as people write it.
//!
//! Holds: no floats (decimals are [`Decimal`]), nothing defaulted: [`crate::resolve`] does that. Fields that only
//! Kubernetes understands (metadata, the leaves of `podTemplate`) are carried as they are.

mod error;
mod overrides;
mod parse;
mod paths;
pub(crate) mod shape;
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
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MedicalTrainingSpec {
    /// The model that the first stages start from.
    pub model: ModelSpec,
    /// Where every artifact goes; `./outputs/<name>` if left out in a local run, needed in a cluster. Can't be changed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSpec>,
    /// Seed of every random choice, 42 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// LoRA settings of all stages; a stage may override each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "k8s", schemars(with = "Value"))]
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
    /// The model hub that hf:// names are looked up in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubSpec>,
    /// LocalQueue of Kueue in which stages wait for quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_name: Option<String>,
    /// Stops what runs (with a checkpoint) and starts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// A new text tries again what failed for a reason outside of the spec; it makes no finished stage new work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_token: Option<String>,
    /// A new text makes every stage new work, as if it had never been done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_salt: Option<String>,
    /// The resource is deleted this many seconds after it finished; artifacts stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<u32>,
    /// The stages, each after those whose results it takes. Stages whose inputs are ready run side by side.
    pub stages: Vec<StageSpec>,
}

/// A model by its URI, or a random one from a configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutputSpec {
    /// s3://bucket/folder, gs://…, az://…, or file:// of a mounted volume.
    pub uri: String,
}

/// All weights are trained. Written `full: {}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FullSpec {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorageSpec {
    /// The URIs that this is for, like s3:// or s3://bucket/; the longest prefix that fits counts.
    pub uri_prefix: String,
    /// Secret with the store's settings under their usual names (AWS_ACCESS_KEY_ID, …). None: the pod's own identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
    /// URL of the store, if it is not the provider's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// ConfigMap whose key ca.crt holds the certificate authorities to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map_ref: Option<LocalRef>,
}

/// The model hub.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HubSpec {
    /// Secret whose key HF_TOKEN holds the token for gated and private repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalRef>,
    /// URL of a mirror.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// An object of the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LocalRef {
    /// Its name.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StageSpec {
    /// Name of the stage: part of its Job's name and what other stages call it.
    pub name: String,
    /// PT (continued pre-training), SFT (supervised fine-tuning), RM (reward model) or PPO (reinforcement learning).
    #[cfg_attr(feature = "k8s", schemars(with = "Value"))]
    pub kind: StageKind,
    /// Where the models come from; what is left out is the nearest fitting stage before, else `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<InputsSpec>,
    /// What it learns from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetSpec>,
    /// PT, SFT: tokens that the model learns besides those it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<VocabularySpec>,
    /// Hyperparameters that all kinds share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "k8s", schemars(with = "Value"))]
    pub train: Option<TrainSpec>,
    /// Hyperparameters of PPO stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "k8s", schemars(with = "Value"))]
    pub ppo: Option<PpoSpec>,
    /// Hyperparameters of RM stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "k8s", schemars(with = "Value"))]
    pub reward: Option<RewardSpec>,
    /// LoRA settings of this stage, field by field over those of the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "k8s", schemars(with = "Value"))]
    pub lora: Option<LoraSpec>,
    /// This stage trains all weights. Written full: {}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<FullSpec>,
    /// Pod of this stage, field by field over that of the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// Inputs of a stage by role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InputSpec {
    /// Name of a stage listed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// A model by URI: `hf://organisation/name[@revision]`, s3://, gs://, az://, file://.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Branch, tag or commit on the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
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
    #[cfg_attr(feature = "k8s", schemars(with = "Value"))]
    pub eval_fraction: Option<Decimal>,
    /// How often an epoch shows the rows of each entry of `train`: 2 = twice, 0.5 = half of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "k8s", schemars(with = "Value"))]
    pub weights: Vec<Decimal>,
    /// Shape of the rows; found out by the first row if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "k8s", schemars(with = "Value"))]
    pub format: Option<DataFormat>,
    /// Of more bytes of files as they are stored (packed, if they are) the preflight samples rows and estimates; the stage
    /// checks all of them. 1 GiB if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_scan_bytes: Option<u64>,
}

/// How a stage grows the vocabulary of the model that it trains.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VocabularySpec {
    /// Texts that become one token each, as transformers' tokenizer.add_tokens adds them; ids follow in this order.
    pub add_tokens: Vec<String>,
}

/// What of a pod may be set; the fields of Kubernetes' `PodSpec` and `Container`, their content unchecked here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "k8s", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodTemplate {
    /// Image of the trainer. Left out: the operator's default, pinned when the training is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// When the image is pulled: Always, IfNotPresent or Never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Secrets that open the image's registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_secrets: Option<Value>,
    /// CPU, memory and accelerators (nvidia.com/gpu) of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Value>,
    /// Devices by ResourceClaim or ResourceClaimTemplate; resources.claims names those that the container takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_claims: Option<Value>,
    /// Memory of one accelerator (`80Gi`): preflight refuses a stage that needs more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator_memory: Option<String>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<Value>,
    /// Rules about nodes and about other pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Value>,
    /// Taints of nodes that are put up with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Value>,
    /// How pods spread over zones, racks or nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_spread_constraints: Option<Value>,
    /// PriorityClass of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// RuntimeClass of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,
    /// Scheduler of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_name: Option<String>,
    /// ServiceAccount of the pod, for workload identity; the operator may restrict which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Environment variables of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Value>,
    /// ConfigMaps and Secrets whose keys become environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_from: Option<Value>,
    /// Volumes that volumeMounts may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Value>,
    /// Where volumes appear in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_mounts: Option<Value>,
    /// Labels of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Value>,
    /// Annotations of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Value>,
    /// Seconds that a stage has for its checkpoint before it is killed.
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
