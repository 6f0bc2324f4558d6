//! The `MedicalTraining` as the API server sends it, unread: spec and status are JSON.
//!
//! Holds: any object of the kind can be read, so one that an older or newer schema let through can't stop the watch;
//! [`crate::controller::validate`] reads it and says what is wrong.

use std::borrow::Cow;

use kube::core::{NamespaceResourceScope, ObjectMeta};
pub use medtrain_crds::k8s::{GROUP, PLURAL, VERSION};
use medtrain_crds::training::KIND;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

impl kube::Resource for RawTraining {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        KIND.into()
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
