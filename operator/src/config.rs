//! Settings of the operator: limits of its policy, and the file with the platform's defaults.

use std::collections::BTreeMap;

use medtrain_crds::contract::Phase;
use medtrain_crds::training::PodTemplate;
use serde::Deserialize;

/// The numbers that policy depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Image of the trainer where neither resource nor platform defaults name one.
    pub trainer_image: String,
    pub image_pull_policy: Option<String>,
    /// Charged attempts of a stage (and of a preflight) before it fails.
    pub max_attempts: u32,
    /// Pause after the first charged attempt, doubled after each further one, at most ten minutes.
    pub backoff_seconds: i64,
    /// Pods replaced within one attempt before the attempt is ended and charged.
    pub max_disruptions: u32,
    /// Seconds a pod may take to start; 0: any.
    pub pending_deadline_seconds: i64,
    /// Seconds an attempt may take; 0: any.
    pub active_deadline_seconds: i64,
    pub lost_node_after_seconds: i64,
    /// Seconds between scrapes of a pod, and between status writes for progress alone.
    pub progress_interval_seconds: i64,
    pub defaults: Defaults,
}

impl Policy {
    /// With the operator's own defaults.
    pub fn new(trainer_image: impl Into<String>) -> Self {
        Self {
            trainer_image: trainer_image.into(),
            image_pull_policy: None,
            max_attempts: 3,
            backoff_seconds: 10,
            max_disruptions: 20,
            pending_deadline_seconds: 3600,
            active_deadline_seconds: 0,
            lost_node_after_seconds: 600,
            progress_interval_seconds: 30,
            defaults: Defaults::default(),
        }
    }

    /// The pause before the attempt after `charged` charged ones.
    pub fn backoff(&self, charged: u32) -> i64 {
        const LONGEST: i64 = 600;
        let doubled = self.backoff_seconds.saturating_mul(1 << charged.saturating_sub(1).min(16));
        doubled.min(LONGEST.max(self.backoff_seconds))
    }

    /// Seconds without movement of phase, step and bytes that are a stall.
    pub fn stall_after(&self, phase: Phase) -> i64 {
        if let Some(seconds) = self.defaults.stall_seconds.get(phase.name()) {
            return i64::from(*seconds);
        }
        const MINUTE: i64 = 60;
        match phase {
            Phase::Starting | Phase::Done => 10 * MINUTE,
            Phase::Fetching | Phase::Loading | Phase::Uploading | Phase::Training => 30 * MINUTE,
            Phase::Tokenizing | Phase::Rollout | Phase::Saving | Phase::Merging => 60 * MINUTE,
            Phase::Evaluating => 120 * MINUTE,
        }
    }
}

/// The operator's configuration file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Defaults {
    pub defaults: PodDefaults,
    /// Service accounts that pods may use; empty: any.
    pub service_accounts: Vec<String>,
    /// By phase: seconds without movement that are a stall.
    pub stall_seconds: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodDefaults {
    /// Lies under every training's own.
    pub pod_template: PodTemplate,
}

impl Defaults {
    /// # Errors
    /// Not YAML, an unknown field, an unknown phase.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        if yaml.trim().is_empty() {
            return Ok(Self::default());
        }
        let read: Self = serde_yaml::from_str(yaml).map_err(|error| error.to_string())?;
        for phase in read.stall_seconds.keys() {
            if !Phase::ALL.iter().any(|known| known.name() == phase) {
                let known = Phase::ALL.map(Phase::name).join(", ");
                return Err(format!("stallSeconds.{phase}: no such phase; known are {known}"));
            }
        }
        Ok(read)
    }
}
