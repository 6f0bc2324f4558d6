//! What all reconciles share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Client;
use kube::core::PartialObjectMeta;
use kube::runtime::events::Recorder;
use kube::runtime::reflector::Store;
use tokio::sync::{Semaphore, watch};

use crate::config::Policy;
use crate::controller::children::Children;
use crate::lease::Fence;
use crate::metrics::Metrics;

pub struct Context {
    pub client: Client,
    pub policy: Policy,
    pub metrics: Arc<Metrics>,
    pub fence: Fence,
    pub recorder: Recorder,
    /// Bounds reconciles over all watched namespaces.
    pub slots: Arc<Semaphore>,
    pub jobs: Children<Job>,
    pub pods: Children<Pod>,
    pub config_maps: Store<PartialObjectMeta<ConfigMap>>,
    /// Turns true when the three stores above have been filled.
    pub filled: watch::Receiver<bool>,
    pub failures: Failures,
}

/// Consecutive failures of each training, by UID.
#[derive(Default)]
pub struct Failures(Mutex<HashMap<String, u32>>);

impl Failures {
    /// Counts one more; the pause before the next try.
    pub fn pause(&self, uid: &str) -> Duration {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(uid.to_string()).or_default();
        *count = count.saturating_add(1);
        Duration::from_millis(500 << (*count - 1).min(9))
    }

    pub fn clear(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}
