//! What all reconciles share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use crate::resource::RawTraining;

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
    pub trainings: Store<RawTraining>,
    pub failures: Failures,
    pub written: Written,
    pub refused: Refused,
}

impl Context {
    /// The training of this UID is gone.
    pub fn forget(&self, uid: &str) {
        self.failures.clear(uid);
        self.written.forget(uid);
        self.refused.forget(uid);
    }
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

/// Jobs that the API server refused to make when they were tried last, with its words: by the training's UID, by name.
#[derive(Default)]
pub struct Refused(Mutex<HashMap<String, BTreeMap<String, String>>>);

impl Refused {
    /// What the last try came to; no words: it was not refused.
    pub fn note(&self, uid: &str, job: &str, words: Option<String>) {
        let mut refused = self.lock();
        match words {
            Some(words) => {
                refused.entry(uid.to_string()).or_default().insert(job.to_string(), words);
            }
            None => {
                if let Some(jobs) = refused.get_mut(uid) {
                    jobs.remove(job);
                }
            }
        }
        refused.retain(|_, jobs| !jobs.is_empty());
    }

    pub fn of(&self, uid: &str) -> Vec<(String, String)> {
        self.lock().get(uid).into_iter().flatten().map(|(job, words)| (job.clone(), words.clone())).collect()
    }

    fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<String, String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The version of each training, by UID, that this process wrote and no watch has brought yet.
#[derive(Default)]
pub struct Written(Mutex<HashMap<String, u64>>);

impl Written {
    pub fn set(&self, uid: &str, version: &str) {
        if let Ok(version) = version.parse() {
            self.lock().insert(uid.to_string(), version);
        }
    }

    /// Whether `version`, a cache's, is older than what was written: what follows from it, has happened already.
    pub fn is_ahead_of(&self, uid: &str, version: &str) -> bool {
        let mut written = self.lock();
        let ahead = match (written.get(uid), version.parse::<u64>()) {
            (Some(written), Ok(version)) => *written > version,
            _ => false,
        };
        if !ahead {
            written.remove(uid);
        }
        ahead
    }

    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_behind_until_it_has_what_was_written_or_something_newer() {
        let written = Written::default();
        written.set("u", "100");
        assert!(written.is_ahead_of("u", "99"));
        assert!(!written.is_ahead_of("v", "99"));
        assert!(!written.is_ahead_of("u", "100"));
        assert!(written.lock().is_empty());
        written.set("u", "100");
        assert!(!written.is_ahead_of("u", "101"));
    }

    #[test]
    fn versions_that_are_no_numbers_hold_nothing_up() {
        let written = Written::default();
        written.set("u", "opaque");
        assert!(!written.is_ahead_of("u", "99"));
        written.set("u", "100");
        assert!(!written.is_ahead_of("u", "opaque"));
    }
}
