//! From a resource to a plan, in two pure steps.
//!
//! [`resolve`] fills in defaults, chains stages and checks everything that can be checked without looking at data;
//! [`plan`] adds the identities of models and data and computes stage keys.
//! Holds: all problems are reported at once; what comes out has nothing left to default.

mod edges;
pub(crate) mod hyperparameters;
pub mod key;
mod names;
mod planning;
mod source;
mod stages;
mod vocabulary;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use names::{MAX_ATTEMPT_DIGITS, MAX_JOB_NAME, MAX_STAGE_NAME, MAX_TRAINING_NAME, RESERVED_STAGE_NAMES};
pub use planning::{
    DataIdentity, FileIdentity, Identities, Plan, PlannedDataset, PlannedInput, PlannedStage, plan, random_digest,
};
pub use source::{ModelSource, Source, locator};
pub use stages::{DatasetArgs, ResolvedStage};
pub use vocabulary::VocabularyArgs;

use crate::training::{Checked, HubSpec, MedicalTraining, SpecError, StorageSpec, check};

/// Seed of a training that names none.
pub const DEFAULT_SEED: u64 = 42;
/// Namespace of a training that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What a stage uses an input for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// PT, SFT, PPO: the model that is trained.
    Policy,
    /// RM: the model that gets a score head.
    Base,
    /// PPO: the model that the policy is held near to.
    Reference,
    /// PPO: the reward model.
    Reward,
    /// PT, SFT: the adapter that is trained on, over the policy.
    Adapter,
}

impl Role {
    /// Its field in `inputs`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Base => "base",
            Self::Reference => "reference",
            Self::Reward => "reward",
            Self::Adapter => "adapter",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A training with defaults filled in and stages chained, before anyone has looked at models or data.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    pub name: String,
    pub namespace: String,
    /// Where artifacts go, without a slash at the end; `None`: the runner's default.
    pub output: Option<String>,
    pub seed: u64,
    pub cache_salt: Option<String>,
    pub model: ModelSource,
    pub hub: Option<HubSpec>,
    pub storage: Vec<StorageSpec>,
    /// Every stage after those it takes inputs from.
    pub stages: Vec<ResolvedStage>,
}

impl Resolved {
    pub fn stage(&self, name: &str) -> Option<&ResolvedStage> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// URI and revision of every input that is neither the model nor a stage: what [`Identities::inputs`] must know.
    pub fn external_inputs(&self) -> BTreeSet<(&str, Option<&str>)> {
        let sources = self.stages.iter().flat_map(|stage| stage.inputs.values());
        sources
            .filter_map(|source| match source {
                Source::Uri { uri, revision } => Some((uri.as_str(), revision.as_deref())),
                Source::Model | Source::Stage(_) => None,
            })
            .collect()
    }
}

/// Reads and resolves in one go, so that problems of form and of meaning are reported together.
///
/// # Errors
/// Everything that [`MedicalTraining::from_value`] and [`resolve`] find. Of a field whose form is wrong, only that is said.
pub fn load(value: &serde_yaml::Value) -> Result<(MedicalTraining, Resolved), Vec<SpecError>> {
    let Checked { training, mut errors } = check(value);
    let Some(training) = training else { return Err(errors) };
    match resolve(&training) {
        Ok(resolved) if errors.is_empty() => Ok((training, resolved)),
        Ok(_) => Err(errors),
        Err(more) => {
            let news = |error: &SpecError| !errors.iter().any(|known| error.is_within(known) || known.is_within(error));
            let news: Vec<_> = more.into_iter().filter(news).collect();
            errors.extend(news);
            Err(errors)
        }
    }
}

/// Fills in defaults, chains stages, checks everything that needs no look at data.
///
/// # Errors
/// Every problem found, each with its path and the way out.
pub fn resolve(training: &MedicalTraining) -> Result<Resolved, Vec<SpecError>> {
    let mut errors = training.check();
    let spec = &training.spec;
    let namespace = training.metadata.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_string());
    names::check_training(&training.metadata.name, &namespace, &mut errors);
    if let Some(queue) = &spec.queue_name {
        names::check_queue(queue, &mut errors);
    }
    let output = spec.output.as_ref().map(|output| source::output(&output.uri, &mut errors));
    for (index, storage) in spec.storage.iter().enumerate() {
        let same = spec.storage[..index].iter().any(|other| other.uri_prefix == storage.uri_prefix);
        if same {
            errors.push(SpecError::new(format!("storage[{index}].uriPrefix"), "is there twice; keep one of them"));
        }
    }
    let model = source::model(&spec.model, &mut errors);
    if spec.lora.is_some() && spec.full.is_some() {
        errors.push(SpecError::new("full", "lora and full exclude each other; remove one"));
    }
    let stages = stages::resolve(spec, &mut errors);
    let mut seen = BTreeSet::new();
    errors.retain(|error| seen.insert(error.to_string()));
    match (errors.is_empty(), model) {
        (true, Some(model)) => Ok(Resolved {
            name: training.metadata.name.clone(),
            namespace,
            output,
            seed: spec.seed.unwrap_or(DEFAULT_SEED),
            cache_salt: spec.cache_salt.clone(),
            model,
            hub: spec.hub.clone(),
            storage: spec.storage.clone(),
            stages,
        }),
        _ => Err(errors),
    }
}

#[cfg(test)]
mod tests;
