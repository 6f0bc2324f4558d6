//! Jobs and ConfigMaps from decisions. Pure.
//!
//! Holds: pods are restricted (non-root, no capabilities, read-only root, no API token); secrets only by reference;
//! the pod failure policy follows the contract's exit table.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec};
use medtrain_crds::contract::{
    ExitCode, PlanRef, PreflightConfig, StageConfig, StageLimits, StoreAccess, canonical, pod,
};
use medtrain_crds::training::PodTemplate;
use serde_json::{Map, Value, json};

use super::decide::Work;
use super::names;
use super::validate::{Training, ValidSpec};
use crate::config::Policy;
use crate::resource::{GROUP, VERSION};

/// Seconds that a pod has to write a checkpoint.
const GRACE_SECONDS: u32 = 120;
const USER: i64 = 65532;

/// Whether the JSON parts of a template are what Kubernetes takes.
///
/// # Errors
/// Field and reason.
pub fn check_template(template: &PodTemplate) -> Result<(), String> {
    let container = json!({"name": "x", "resources": template.resources, "env": template.env,
        "envFrom": template.env_from, "volumeMounts": template.volume_mounts});
    serde_json::from_value::<Container>(without_nulls(container)).map_err(|error| error.to_string())?;
    serde_json::from_value::<PodSpec>(without_nulls(pod_fields(template, true))).map_err(|error| error.to_string())?;
    for (name, value) in [("labels", &template.labels), ("annotations", &template.annotations)] {
        if let Some(value) = value {
            serde_json::from_value::<BTreeMap<String, String>>(value.clone())
                .map_err(|error| format!("{name}: {error}"))?;
        }
    }
    Ok(())
}

fn pod_fields(template: &PodTemplate, whole: bool) -> Value {
    json!({
        "containers": [],
        "imagePullSecrets": template.image_pull_secrets,
        "resourceClaims": template.resource_claims.as_ref().filter(|_| whole),
        "nodeSelector": template.node_selector,
        "affinity": template.affinity,
        "tolerations": template.tolerations,
        "topologySpreadConstraints": template.topology_spread_constraints.as_ref().filter(|_| whole),
        "priorityClassName": template.priority_class_name,
        "runtimeClassName": template.runtime_class_name.as_ref().filter(|_| whole),
        "schedulerName": template.scheduler_name,
        "serviceAccountName": template.service_account_name,
        "volumes": template.volumes,
    })
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// What a Job and its ConfigMap have in common.
struct Child<'a> {
    training: &'a Training,
    spec: &'a ValidSpec,
    work: &'a Work,
    template: &'a PodTemplate,
    name: String,
}

fn child<'a>(training: &'a Training, spec: &'a ValidSpec, work: &'a Work) -> Option<Child<'a>> {
    let template = match work {
        Work::Stage { stage, .. } => &spec.stage(stage)?.pod_template,
        Work::Preflight { .. } | Work::Probe { .. } => &spec.pod_template,
    };
    Some(Child { training, spec, work, template, name: work.name(training) })
}

/// Of the template that a Job for this work would be made from now, 8 hex digits.
pub fn template_digest(training: &Training, work: &Work) -> Option<String> {
    child(training, training.spec.as_ref().ok()?, work).map(|child| digest(child.template))
}

fn digest(template: &PodTemplate) -> String {
    let json = serde_json::to_value(template).unwrap_or_default();
    canonical::sha256_hex(canonical::to_string(&json).unwrap_or_default().as_bytes())[..8].to_string()
}

/// The ConfigMap that a Job's pods read; `None` if the stage is in neither spec nor plan.
pub fn config_map(training: &Training, work: &Work) -> Option<ConfigMap> {
    let spec = training.spec.as_ref().ok()?;
    let child = child(training, spec, work)?;
    let (file, content) = match work {
        Work::Stage { stage, .. } => {
            let plan = training.status.plan.as_ref()?;
            let plan = PlanRef { uri: plan.uri.clone(), sha256: plan.sha256.clone() };
            let mut config = StageConfig::new(plan, stage);
            config.storage = spec
                .storage
                .iter()
                .enumerate()
                .map(|(index, storage)| StoreAccess {
                    uri_prefix: storage.uri_prefix.clone(),
                    endpoint: storage.endpoint.clone(),
                    region: storage.region.clone(),
                    ca_file: storage.ca_config_map_ref.as_ref().map(|_| pod::ca_file(index)),
                })
                .collect();
            (pod::STAGE_FILE, config.to_json())
        }
        Work::Preflight { .. } | Work::Probe { .. } => {
            let mut config = PreflightConfig::new(spec.resource.clone());
            if let Work::Probe { stage, .. } = work {
                config.only.push(stage.clone());
            }
            for stage in &spec.stages {
                let limits = limits(&stage.pod_template);
                if limits != StageLimits::default() {
                    config.limits.insert(stage.name.clone(), limits);
                }
            }
            (pod::PREFLIGHT_FILE, config.to_json())
        }
    };
    let value = json!({"metadata": child.metadata(), "immutable": true, "data": {file: content}});
    serde_json::from_value(value).ok()
}

fn limits(template: &PodTemplate) -> StageLimits {
    let limits = template.resources.as_ref().and_then(|resources| resources.get("limits"));
    let memory = limits.and_then(|limits| limits.get("memory")).and_then(quantity);
    StageLimits { memory, accelerator_memory: template.accelerator_memory.as_ref().and_then(|text| bytes(text)) }
}

fn quantity(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| bytes(value.as_str()?))
}

/// Bytes of a Kubernetes quantity, rounded down.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let factor = match &text[digits..] {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 2f64.powi(10),
        "Mi" => 2f64.powi(20),
        "Gi" => 2f64.powi(30),
        "Ti" => 2f64.powi(40),
        "Pi" => 2f64.powi(50),
        "Ei" => 2f64.powi(60),
        exponent => 10f64.powi(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some((text[..digits].parse::<f64>().ok()? * factor) as u64)
}

/// The Job; `None` if the stage is in neither spec nor plan.
///
/// # Errors
/// A template that Kubernetes' types don't take (validation has refused those before).
pub fn job(training: &Training, work: &Work, policy: &Policy) -> Option<Result<Job, serde_json::Error>> {
    let spec = training.spec.as_ref().ok()?;
    let child = child(training, spec, work)?;
    let pinned = match work {
        Work::Preflight { .. } => training.status.preflight.as_ref()?.image.clone(),
        Work::Probe { .. } | Work::Stage { .. } => training.status.plan.as_ref()?.image.clone(),
    };
    let suspended = matches!(work, Work::Stage { .. }) && spec.queue.is_some();
    let value = json!({
        "metadata": child.metadata(),
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": failure_policy(),
            "suspend": suspended,
            "template": {"metadata": child.pod_metadata(), "spec": child.pod(pinned, policy)},
        },
    });
    Some(serde_json::from_value(without_nulls(value)))
}

/// Disruptions and checkpoints are no failures; every failure of the contract has its rule, so that the Job's
/// condition keeps the code.
fn failure_policy() -> Value {
    let code = |action: &str, code: ExitCode| json!({"action": action, "onExitCodes": {"containerName": pod::CONTAINER, "operator": "In", "values": [code.code()]}});
    let mut rules = vec![
        json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}),
        code("Ignore", ExitCode::Checkpointed),
    ];
    let failures = ExitCode::ALL.into_iter().filter(|exit| !matches!(exit, ExitCode::Done | ExitCode::Checkpointed));
    rules.extend(failures.map(|exit| code("FailJob", exit)));
    json!({"rules": rules})
}

impl Child<'_> {
    fn labels(&self) -> Map<String, Value> {
        let mut labels = Map::new();
        let mut add = |name: &str, value: String| drop(labels.insert(name.to_string(), Value::String(value)));
        add(names::MANAGED_BY, names::MANAGER.into());
        add("app.kubernetes.io/name", "medtrain".into());
        add(names::TRAINING, self.training.name.clone());
        add(names::TRAINING_UID, self.training.uid.clone());
        match self.work {
            Work::Stage { stage, attempt } => {
                add(names::COMPONENT, "stage".into());
                add(names::STAGE, stage.clone());
                add(names::ATTEMPT, attempt.to_string());
                if let Some(stage) = self.spec.stage(stage) {
                    add(names::KIND, stage.kind.name().into());
                }
                if let Some(queue) = &self.spec.queue {
                    add(names::QUEUE, queue.clone());
                }
            }
            Work::Preflight { .. } | Work::Probe { .. } => add(names::COMPONENT, "preflight".into()),
        }
        labels
    }

    fn metadata(&self) -> Value {
        let key = match self.work {
            Work::Stage { stage, .. } => self.training.status.stage(stage).map(|stage| stage.key.clone()),
            _ => Some(self.training.hash.clone()),
        };
        json!({
            "name": self.name,
            "namespace": self.training.namespace,
            "labels": self.labels(),
            "annotations": {names::KEY: key.unwrap_or_default(), names::POD_TEMPLATE: digest(self.template)},
            "ownerReferences": [{
                "apiVersion": format!("{GROUP}/{VERSION}"), "kind": medtrain_crds::training::KIND,
                "name": self.training.name, "uid": self.training.uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        })
    }

    fn pod_metadata(&self) -> Value {
        let mut labels = self.template.labels.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        let ours = self.labels().into_iter().filter(|(name, _)| name != names::QUEUE);
        labels.extend(ours);
        let mut annotations = Map::new();
        // Moving a running stage costs what it did since its last checkpoint.
        annotations.insert("cluster-autoscaler.kubernetes.io/safe-to-evict".into(), "false".into());
        annotations.insert("karpenter.sh/do-not-disrupt".into(), "true".into());
        annotations.extend(self.template.annotations.as_ref().and_then(Value::as_object).cloned().unwrap_or_default());
        json!({"labels": labels, "annotations": annotations})
    }

    fn pod(&self, pinned: String, policy: &Policy) -> Value {
        let is_stage = matches!(self.work, Work::Stage { .. });
        let template = self.template;
        let mut pod = pod_fields(template, is_stage);
        let (command, file) = if is_stage { ("stage", pod::STAGE_FILE) } else { ("preflight", pod::PREFLIGHT_FILE) };
        let resources = if is_stage {
            template.resources.clone().unwrap_or(Value::Null)
        } else {
            json!({"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "4Gi"}})
        };
        let mut volumes = vec![
            json!({"name": "medtrain-config", "configMap": {"name": self.name}}),
            json!({"name": "medtrain-workdir", "emptyDir": {}}),
            json!({"name": "medtrain-shm", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}}),
        ];
        let own = |path: &str| {
            let mounts = template.volume_mounts.as_ref().and_then(Value::as_array);
            mounts.is_some_and(|mounts| mounts.iter().any(|mount| mount["mountPath"] == path))
        };
        let mut mounts = vec![json!({"name": "medtrain-config", "mountPath": pod::CONFIG_DIR, "readOnly": true})];
        for (name, path) in [("medtrain-workdir", pod::WORKDIR), ("medtrain-shm", "/dev/shm")] {
            if !own(path) {
                mounts.push(json!({"name": name, "mountPath": path}));
            }
        }
        for (index, storage) in self.spec.storage.iter().enumerate() {
            if let Some(ca) = &storage.ca_config_map_ref {
                let items = json!([{"key": pod::CA_KEY, "path": format!("ca/{index}/{}", pod::CA_KEY)}]);
                // One projected volume: a mount below a read-only mount would need its directory to exist.
                let source = json!({"configMap": {"name": ca.name, "items": items}});
                match volumes[0].get_mut("projected").and_then(|projected| projected["sources"].as_array_mut()) {
                    Some(sources) => sources.push(source),
                    None => {
                        let config = json!({"configMap": {"name": self.name}});
                        volumes[0] = json!({"name": "medtrain-config", "projected": {"sources": [config, source]}});
                    }
                }
            }
        }
        append(&mut pod["volumes"], volumes);
        let mut all_mounts = template.volume_mounts.clone().unwrap_or(Value::Null);
        append(&mut all_mounts, mounts);
        let image = template.image.clone().unwrap_or(pinned);
        pod["containers"] = json!([{
            "name": pod::CONTAINER,
            "imagePullPolicy": template.image_pull_policy.clone().or_else(|| policy.image_pull_policy.clone()),
            "args": [command, "--config", format!("{}/{file}", pod::CONFIG_DIR)],
            "env": self.env(&image),
            "envFrom": self.env_from(),
            "ports": [{"name": pod::METRICS_PORT_NAME, "containerPort": pod::METRICS_PORT}],
            "resources": resources,
            "volumeMounts": all_mounts,
            "image": image,
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
        }]);
        pod["restartPolicy"] = "Never".into();
        pod["automountServiceAccountToken"] = false.into();
        pod["enableServiceLinks"] = false.into();
        pod["terminationGracePeriodSeconds"] =
            template.termination_grace_period_seconds.unwrap_or(GRACE_SECONDS).into();
        pod["securityContext"] = json!({
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
        });
        pod
    }

    fn env(&self, image: &str) -> Value {
        let attempt = match self.work {
            Work::Stage { attempt, .. } | Work::Preflight { attempt } | Work::Probe { attempt, .. } => attempt,
        };
        let mut env = self.template.env.clone().unwrap_or(Value::Null);
        let mut ours = vec![
            json!({"name": pod::env::ATTEMPT, "value": attempt.to_string()}),
            json!({"name": pod::env::POD_UID, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}),
            json!({"name": pod::env::WORKDIR, "value": pod::WORKDIR}),
            json!({"name": "TMPDIR", "value": pod::WORKDIR}),
            json!({"name": pod::env::LISTEN, "value": format!("0.0.0.0:{}", pod::METRICS_PORT)}),
        ];
        // Only a pinned image says what will run; a tag's digest is known to the kubelet alone.
        if let Some((_, digest)) = image.split_once('@') {
            ours.push(json!({"name": pod::env::IMAGE_DIGEST, "value": digest}));
        }
        if let Some(hub) = &self.spec.hub {
            if let Some(secret) = &hub.secret_ref {
                let key = json!({"name": secret.name, "key": pod::env::HF_TOKEN, "optional": true});
                ours.push(json!({"name": pod::env::HF_TOKEN, "valueFrom": {"secretKeyRef": key}}));
            }
            if let Some(endpoint) = &hub.endpoint {
                ours.push(json!({"name": pod::env::HF_ENDPOINT, "value": endpoint}));
            }
        }
        append(&mut env, ours);
        env
    }

    fn env_from(&self) -> Value {
        let mut sources = self.template.env_from.clone().unwrap_or(Value::Null);
        let stores = self.spec.storage.iter().enumerate().filter_map(|(index, storage)| {
            let secret = storage.secret_ref.as_ref()?;
            Some(json!({"prefix": pod::env::store_prefix(index), "secretRef": {"name": secret.name}}))
        });
        append(&mut sources, stores.collect());
        sources
    }
}

fn append(list: &mut Value, items: Vec<Value>) {
    match list {
        Value::Array(list) => list.extend(items),
        other => *other = Value::Array(items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_does() {
        for (text, expected) in [
            ("1024", Some(1024)),
            ("1.5Gi", Some(3 << 29)),
            ("500M", Some(500_000_000)),
            ("2Pi", Some(2 << 50)),
            ("1E", Some(1_000_000_000_000_000_000)),
            ("2e8", Some(200_000_000)),
            ("2E8", Some(200_000_000)),
            ("128974848000m", Some(128_974_848)),
            ("1Xi", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
