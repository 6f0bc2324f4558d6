//! What `decide` may know of the world: Jobs, pods and scrapes, reduced to what policy depends on.
//!
//! Holds: plain values without IO; everything here was read from the API server or a pod in this reconcile or lies
//! in a cache that follows it.

use jiff::Timestamp;
use medtrain_crds::contract::Progress;

/// Everything seen of one training's children.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    pub jobs: Vec<SeenJob>,
    /// Names of our ConfigMaps that exist.
    pub config_maps: Vec<String>,
    /// ConfigMaps of others under names that open work needs.
    pub foreign_config_maps: Vec<ForeignConfigMap>,
    /// Pods of ours whose Job was deleted and left them behind.
    pub orphans: Vec<Orphan>,
    /// Names of Jobs that the API server refused to make, with its words.
    pub refused: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    pub name: String,
    pub uid: String,
    pub stage: Option<String>,
    pub deleting: bool,
    pub ended: bool,
}

/// A ConfigMap under one of our names that is not this training's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignConfigMap {
    pub name: String,
    /// It goes by itself: deleted, or of a deleted training of the same name.
    pub leaves: bool,
}

impl Observed {
    pub fn job(&self, name: &str) -> Option<&SeenJob> {
        self.jobs.iter().find(|job| job.name == name)
    }
}

/// A Job under one of our names or with our labels.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenJob {
    pub name: String,
    pub uid: String,
    /// Controlled by this very training (by UID).
    pub ours: bool,
    /// Controlled by a deleted training of the same name: garbage collection takes it.
    pub leftover: bool,
    /// Of a stage's attempt; none: preflight or probe.
    pub stage: Option<String>,
    pub attempt: u32,
    /// The stage's key or the plan's hash that it was made for.
    pub key: String,
    /// Digest of the pod template that it was made from; none: by an older operator.
    pub pod_template: Option<String>,
    pub deleting: bool,
    pub suspended: bool,
    /// When the Job controller started (or resumed) it.
    pub started: Option<Timestamp>,
    pub created: Option<Timestamp>,
    pub end: Option<JobEnd>,
    pub pods: Vec<SeenPod>,
    /// Why pods do not appear or start, by the newest warning event.
    pub warning: Option<String>,
    /// A field that someone changed by hand.
    pub edited: Option<String>,
}

/// The Job's terminal condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    Complete,
    Failed { reason: String, message: String },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeenPod {
    pub name: String,
    pub uid: String,
    pub ip: Option<String>,
    pub created: Option<Timestamp>,
    pub deleting_since: Option<Timestamp>,
    /// Condition DisruptionTarget, or evicted.
    pub disrupted: bool,
    pub unschedulable: Option<String>,
    /// Reason and message of a waiting container.
    pub waiting: Option<(String, String)>,
    pub running: bool,
    pub terminated: Option<Terminated>,
    /// Since when the pod's node has not been ready.
    pub node_lost_since: Option<Timestamp>,
    /// Answer of `/progress`; none: not asked or no answer.
    pub progress: Option<Progress>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terminated {
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
}

/// Seconds in which a pod appears and starts where nothing is wrong.
pub const USUAL_START_SECONDS: i64 = 5;

impl SeenJob {
    pub fn is_live(&self) -> bool {
        self.end.is_none()
    }

    /// Since when its newest pod, or the first one, has been waited for; none: nobody waits.
    pub fn waits_since(&self) -> Option<Timestamp> {
        if !self.is_live() || self.suspended || self.deleting {
            return None;
        }
        match self.pod() {
            None => self.started.or(self.created),
            Some(pod) if pod.running || pod.terminated.is_some() => None,
            Some(pod) => pod.created,
        }
    }

    /// The pod that counts: the newest.
    pub fn pod(&self) -> Option<&SeenPod> {
        self.pods.iter().max_by_key(|pod| (pod.created, &pod.uid))
    }
}
