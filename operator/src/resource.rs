//! The `MedicalTraining` as the API server sends it, unread: spec and status are JSON.
//!
//! Holds: any object of the kind can be read, so one that an older or newer schema let through can't stop the watch;
//! [`crate::controller::validate`] reads it and says what is wrong.

use std::borrow::Cow;

use kube::core::{NamespaceResourceScope, ObjectMeta};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawTraining {
    pub api_version: String,
    pub kind: String,
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub status: Value,
}

pub const GROUP: &str = "medtrain.io";
pub const VERSION: &str = "v1alpha1";
pub const PLURAL: &str = "medicaltrainings";

impl kube::Resource for RawTraining {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        medtrain_crds::training::KIND.into()
    }

    fn group(_: &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version(_: &()) -> Cow<'_, str> {
        VERSION.into()
    }

    fn plural(_: &()) -> Cow<'_, str> {
        PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The definition of the kind as YAML. Its schema is open: [`crate::controller::validate`] checks resources.
pub fn crd_yaml() -> String {
    let column = |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{PLURAL}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": medtrain_crds::training::KIND, "plural": PLURAL, "singular": "medicaltraining",
                "shortNames": ["mtrain"], "categories": ["ml"],
            },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {
                    "type": "object", "required": ["spec"], "properties": {"spec": open, "status": open},
                }},
                "additionalPrinterColumns": [
                    column("Stage", "string", ".status.summary.stage"),
                    column("Status", "string", ".status.summary.state"),
                    column("Progress", "string", ".status.summary.progress"),
                    column("Loss/Reward", "string", ".status.summary.metric"),
                    column("Restarts", "integer", ".status.summary.restarts"),
                    column("Age", "date", ".metadata.creationTimestamp"),
                ],
            }],
        },
    });
    serde_yaml::to_string(&definition).unwrap_or_default()
}
