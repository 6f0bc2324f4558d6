//! From the raw resource to values that can't be wrong.
//!
//! Holds: later steps never look into the raw JSON; the hash of a plan depends on nothing that the plan doesn't
//! follow from, so suspending, queueing or a TTL re-plans nothing.

use std::collections::BTreeMap;

use medtrain_crds::contract::canonical;
use medtrain_crds::resolve::{self, Source};
use medtrain_crds::stage::StageKind;
use medtrain_crds::training::status::MedicalTrainingStatus;
use medtrain_crds::training::{HubSpec, PodTemplate, StorageSpec};
use serde_json::{Map, Value, json};

use crate::config::Defaults;
use crate::resource::RawTraining;

/// A training with an identity and a status; its spec may be wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub generation: i64,
    pub deleting: bool,
    pub suspend: bool,
    pub ttl_seconds: Option<i64>,
    /// Of what the plan follows from and `retryToken`: 8 hex digits.
    pub hash: String,
    /// The spec, or everything that is wrong with it.
    pub spec: Result<ValidSpec, Vec<String>>,
    pub status: MedicalTrainingStatus,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ValidSpec {
    /// apiVersion, kind, metadata (name, namespace) and spec: what preflight reads.
    pub resource: Value,
    pub output: String,
    pub queue: Option<String>,
    pub storage: Vec<StorageSpec>,
    pub hub: Option<HubSpec>,
    /// The platform's and the training's: for Jobs that are no stage.
    pub pod_template: PodTemplate,
    pub stages: Vec<ValidStage>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ValidStage {
    pub name: String,
    pub kind: StageKind,
    /// Stages that must be done before.
    pub needs: Vec<String>,
    /// Platform < training < stage.
    pub pod_template: PodTemplate,
}

impl ValidSpec {
    pub fn stage(&self, name: &str) -> Option<&ValidStage> {
        self.stages.iter().find(|stage| stage.name == name)
    }
}

/// Reads a resource. A status that can't be read (an older operator's) counts as none.
pub fn validate(raw: &RawTraining, defaults: &Defaults) -> Training {
    let meta = &raw.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let namespace = meta.namespace.clone().unwrap_or_default();
    let resource = json!({
        "apiVersion": medtrain_crds::training::API_VERSION,
        "kind": medtrain_crds::training::KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": raw.spec,
    });
    let spec = |field: &str| raw.spec.get(field);
    Training {
        uid: meta.uid.clone().unwrap_or_default(),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        deleting: meta.deletion_timestamp.is_some(),
        suspend: spec("suspend").and_then(Value::as_bool).unwrap_or(false),
        ttl_seconds: spec("ttlSecondsAfterFinished").and_then(Value::as_i64),
        hash: plan_hash(&raw.spec),
        spec: read(resource, defaults),
        status: serde_json::from_value(raw.status.clone()).unwrap_or_default(),
        name,
        namespace,
    }
}

fn read(resource: Value, defaults: &Defaults) -> Result<ValidSpec, Vec<String>> {
    let yaml = serde_yaml::to_value(&resource).map_err(|error| vec![error.to_string()])?;
    let texts = |errors: Vec<medtrain_crds::training::SpecError>| -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    };
    let (training, resolved) = resolve::load(&yaml).map_err(texts)?;
    let Some(output) = resolved.output.clone() else {
        return Err(vec!["output: is missing; in a cluster say where artifacts go, like output: {uri: s3://…}".into()]);
    };
    let platform = merged(&defaults.defaults.pod_template, training.spec.pod_template.as_ref());
    let stages: Vec<ValidStage> = resolved
        .stages
        .iter()
        .zip(&training.spec.stages)
        .map(|(stage, written)| {
            let mut needs: Vec<String> = Vec::new();
            for source in stage.inputs.values() {
                if let Source::Stage(name) = source
                    && !needs.contains(name)
                {
                    needs.push(name.clone());
                }
            }
            let pod_template = merged(&platform, written.pod_template.as_ref());
            ValidStage { name: stage.name.clone(), kind: stage.kind, needs, pod_template }
        })
        .collect();
    let mut errors = Vec::new();
    let templates = stages.iter().enumerate().map(|(index, stage)| (format!("stages[{index}]."), &stage.pod_template));
    for (place, template) in std::iter::once((String::new(), &platform)).chain(templates) {
        let allowed = &defaults.service_accounts;
        if let Some(account) = &template.service_account_name
            && !allowed.is_empty()
            && !allowed.contains(account)
        {
            errors.push(format!(
                "{place}podTemplate.serviceAccountName: {account:?} is not on the operator's list ({}); \
                 use one of these or ask for it",
                allowed.join(", ")
            ));
        }
        if let Err(error) = crate::controller::build::check_template(template) {
            errors.push(format!("{place}podTemplate.{error}"));
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(ValidSpec {
        resource,
        output,
        queue: training.spec.queue_name.clone(),
        storage: training.spec.storage.clone(),
        hub: training.spec.hub.clone(),
        pod_template: platform,
        stages,
    })
}

/// `over` on top of `under`: maps of scalars and `resources` by key, everything else as a whole.
pub fn merged(under: &PodTemplate, over: Option<&PodTemplate>) -> PodTemplate {
    const BY_KEY: [&str; 4] = ["resources", "nodeSelector", "labels", "annotations"];
    let json = |template: &PodTemplate| match serde_json::to_value(template) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let mut fields = json(under);
    for (name, value) in over.map(json).unwrap_or_default() {
        match fields.get_mut(&name) {
            Some(below) if BY_KEY.contains(&name.as_str()) => merge_objects(below, value),
            _ => drop(fields.insert(name, value)),
        }
    }
    serde_json::from_value(Value::Object(fields)).unwrap_or_default()
}

fn merge_objects(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                match under.get_mut(&name) {
                    Some(below) => merge_objects(below, value),
                    None => drop(under.insert(name, value)),
                }
            }
        }
        (under, over) => *under = over,
    }
}

/// Everything but pods, queue, suspension and TTL. Memory limits stay: preflight judges by them.
fn plan_hash(spec: &Value) -> String {
    fn reduced(fields: &Map<String, Value>) -> Map<String, Value> {
        const NOT_PLANNED: [&str; 4] = ["podTemplate", "queueName", "suspend", "ttlSecondsAfterFinished"];
        let mut kept: Map<String, Value> = fields
            .iter()
            .filter(|(name, _)| !NOT_PLANNED.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let template = fields.get("podTemplate");
        let memory = template.and_then(|template| template.pointer("/resources/limits/memory"));
        let accelerator = template.and_then(|template| template.get("acceleratorMemory"));
        let limits: BTreeMap<_, _> = [("memory", memory), ("acceleratorMemory", accelerator)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        if !limits.is_empty() {
            kept.insert("limits".into(), json!(limits));
        }
        kept
    }
    let mut kept = spec.as_object().map(reduced).unwrap_or_default();
    if let Some(Value::Array(stages)) = kept.get_mut("stages") {
        for stage in stages {
            if let Value::Object(fields) = stage {
                *fields = reduced(fields);
            }
        }
    }
    let text = canonical::to_string(&Value::Object(kept)).unwrap_or_default();
    canonical::sha256_hex(text.as_bytes())[..8].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_admits_every_service_account() {
        let spec = json!({
            "model": {"uri": "s3://models/base"}, "output": {"uri": "s3://out"},
            "podTemplate": {"serviceAccountName": "mine"},
            "stages": [{"name": "sft", "kind": "SFT", "dataset": {"train": ["s3://data/x.jsonl"]}}],
        });
        let mut raw = RawTraining { spec, ..Default::default() };
        raw.metadata.name = Some("t".into());
        raw.metadata.namespace = Some("ns".into());
        for (allowed, admitted) in [("[]", true), ("[mine]", true), ("[theirs, ours]", false)] {
            let defaults = Defaults::parse(&format!("serviceAccounts: {allowed}")).unwrap();
            let errors = validate(&raw, &defaults).spec.err().unwrap_or_default();
            assert_eq!(errors.is_empty(), admitted, "{allowed}: {errors:?}");
            assert!(
                admitted || errors[0].contains("\"mine\" is not on the operator's list (theirs, ours)"),
                "{errors:?}"
            );
        }
    }
}
