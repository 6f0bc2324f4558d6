//! The fields of `podTemplate` that Kubernetes defines, typed as it does.
//!
//! Holds: volumes are of the kinds that restricted Pod Security admits, and images; no rule reads any of this, so
//! nothing here needs a bound.

use k8s_openapi::api::core::v1::{
    Affinity, EnvFromSource, EnvVar, LocalObjectReference, PodResourceClaim, ResourceRequirements, Toleration,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::structural::{object, quantity, schema};

/// What a volume may be.
pub const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// The schema of one field; `None`: it is text or a number of our own.
pub(super) fn field(name: &str) -> Option<Map<String, Value>> {
    Some(match name {
        "imagePullPolicy" => object(json!({"type": "string", "enum": ["Always", "IfNotPresent", "Never"]})),
        "acceleratorMemory" => {
            let pattern = quantity().remove("pattern").unwrap_or_default();
            object(json!({"type": "string", "maxLength": 32, "pattern": pattern}))
        }
        "imagePullSecrets" => list::<LocalObjectReference>(None),
        "resources" => schema::<ResourceRequirements>(),
        "resourceClaims" => list::<PodResourceClaim>(Some("name")),
        "affinity" => schema::<Affinity>(),
        "tolerations" => list::<Toleration>(None),
        "topologySpreadConstraints" => list::<TopologySpreadConstraint>(None),
        "env" => list::<EnvVar>(None),
        "envFrom" => list::<EnvFromSource>(None),
        "volumes" => volumes(),
        "volumeMounts" => list::<VolumeMount>(Some("mountPath")),
        "nodeSelector" | "labels" | "annotations" => texts(),
        _ => return None,
    })
}

fn texts() -> Map<String, Value> {
    object(json!({"type": "object", "additionalProperties": {"type": "string"}}))
}

/// A list of which Kubernetes wants every `key` once, if one is given.
fn list<T: JsonSchema>(key: Option<&str>) -> Map<String, Value> {
    list_of(schema::<T>(), key)
}

fn list_of(mut items: Map<String, Value>, key: Option<&str>) -> Map<String, Value> {
    items.shift_remove("description");
    let mut list = object(json!({"type": "array", "items": items}));
    match key {
        Some(key) => list.extend(object(json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}))),
        None => list.extend(object(json!({"x-kubernetes-list-type": "atomic"}))),
    }
    list
}

fn volumes() -> Map<String, Value> {
    let mut volume = schema::<Volume>();
    if let Some(Value::Object(properties)) = volume.get_mut("properties") {
        properties.retain(|name, _| name == "name" || VOLUMES.contains(&name.as_str()));
        let claim = properties
            .get_mut("ephemeral")
            .and_then(|ephemeral| ephemeral.pointer_mut("/properties/volumeClaimTemplate/properties/metadata"));
        if let Some(metadata) = claim {
            *metadata = json!({
                "type": "object",
                "description": "Labels and annotations of the claim.",
                "properties": {
                    "labels": described("Labels.", texts()),
                    "annotations": described("Annotations.", texts()),
                },
            });
        }
    }
    list_of(volume, Some("name"))
}

fn described(description: &str, mut schema: Map<String, Value>) -> Map<String, Value> {
    schema.insert("description".to_string(), description.into());
    schema
}
