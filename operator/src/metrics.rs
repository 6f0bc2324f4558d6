//! Numbers about the operator's own work, prefix `medtrain_operator_`.
//!
//! Holds: labels come from closed lists, but for namespace, training and stage of live objects; a training that is
//! gone leaves no series of its own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use medtrain_crds::contract::Reason;
use medtrain_crds::stage::StageKind;
use medtrain_crds::training::status::{MedicalTrainingStatus, StageState, StageStatus, condition};
use prometheus::{
    CounterVec, Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::controller::decide::is_open;
use crate::controller::validate::Training;
use crate::error::Error;
use crate::resource::RawTraining;

pub const BUILD_INFO: &str = "medtrain_operator_build_info";
pub const LEADER: &str = "medtrain_operator_leader";
pub const RECONCILE_TOTAL: &str = "medtrain_operator_reconcile_total";
pub const RECONCILE_DURATION_SECONDS: &str = "medtrain_operator_reconcile_duration_seconds";
pub const RECONCILE_ERRORS_TOTAL: &str = "medtrain_operator_reconcile_errors_total";
pub const API_REQUEST_DURATION_SECONDS: &str = "medtrain_operator_api_request_duration_seconds";
pub const QUEUE_DEPTH: &str = "medtrain_operator_queue_depth";
pub const STAGE_STATE: &str = "medtrain_operator_stage_state";
pub const TRAINING_CONDITION: &str = "medtrain_operator_training_condition";
pub const STAGE_DURATION_SECONDS: &str = "medtrain_operator_stage_duration_seconds";
pub const STAGE_ATTEMPTS_TOTAL: &str = "medtrain_operator_stage_attempts_total";
pub const ACCELERATOR_SECONDS_TOTAL: &str = "medtrain_operator_accelerator_seconds_total";
pub const ARTIFACT_BYTES_TOTAL: &str = "medtrain_operator_artifact_bytes_total";
pub const CACHE_HITS_TOTAL: &str = "medtrain_operator_cache_hits_total";
pub const CACHE_MISSES_TOTAL: &str = "medtrain_operator_cache_misses_total";

pub struct Metrics {
    registry: Registry,
    trainings: Mutex<Vec<Store<RawTraining>>>,
    leader: IntGauge,
    reconciles: IntCounterVec,
    duration: Histogram,
    errors: IntCounterVec,
    requests: HistogramVec,
    pub queue_depth: Gauge,
    stage_state: IntGaugeVec,
    condition: IntGaugeVec,
    stage_duration: HistogramVec,
    artifact_bytes: IntCounterVec,
    attempts: IntCounterVec,
    accelerator_seconds: CounterVec,
    cache_hits: IntCounterVec,
    cache_misses: IntCounterVec,
}

impl Metrics {
    /// # Errors
    /// A name that is registered twice.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let build = IntGaugeVec::new(Opts::new(BUILD_INFO, "Always 1; what was built."), &["version", "git"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), option_env!("MEDTRAIN_GIT").unwrap_or("unknown")]).set(1);
        registry.register(Box::new(build))?;
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let reconciles = counters(RECONCILE_TOTAL, "Reconciles by result (changed, unchanged, error).", &["result"])?;
        let errors = counters(RECONCILE_ERRORS_TOTAL, "Reconciles that failed, by reason.", &["reason"])?;
        let attempts = counters(STAGE_ATTEMPTS_TOTAL, "Attempts that ended.", &["kind", "outcome", "charged"])?;
        // A counter that begins with 1 has no increase that an alert or a panel could see.
        for reason in Error::LABELS {
            errors.with_label_values(&[reason]);
        }
        for kind in StageKind::ALL {
            for reason in Reason::ALL.iter().filter(|reason| reason.is_charged()) {
                attempts.with_label_values(&[kind.name(), reason.name(), "true"]);
            }
        }
        let cache_hits = counters(CACHE_HITS_TOTAL, "Stages found finished.", &["kind"])?;
        let cache_misses = counters(CACHE_MISSES_TOTAL, "Stages that had to run.", &["kind"])?;
        let leader = IntGauge::new(LEADER, "1 while this replica leads.")?;
        let duration = Histogram::with_opts(
            HistogramOpts::new(RECONCILE_DURATION_SECONDS, "Seconds a reconcile took.")
                .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
        )?;
        let queue_depth = Gauge::new(QUEUE_DEPTH, "Reconciles that wait for a slot.")?;
        let stage_state = IntGaugeVec::new(
            Opts::new(STAGE_STATE, "1 for the state that a stage is in."),
            &["namespace", "training", "stage", "kind", "state"],
        )?;
        let condition = IntGaugeVec::new(
            Opts::new(TRAINING_CONDITION, "1 while the condition is True."),
            &["namespace", "training", "condition"],
        )?;
        let requests = HistogramVec::new(
            HistogramOpts::new(API_REQUEST_DURATION_SECONDS, "Seconds until the Kubernetes API answered a request.")
                .buckets(vec![0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0]),
            &["verb", "resource", "status"],
        )?;
        let artifact_bytes =
            counters(ARTIFACT_BYTES_TOTAL, "Bytes of the artifacts of stages that succeeded.", &["kind"])?;
        let stage_duration = HistogramVec::new(
            HistogramOpts::new(STAGE_DURATION_SECONDS, "Seconds of the last attempt of stages that ended.")
                .buckets(vec![10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0, 345600.0]),
            &["kind", "outcome"],
        )?;
        let accelerator_seconds = CounterVec::new(
            Opts::new(ACCELERATOR_SECONDS_TOTAL, "Accelerator-seconds of attempts that ended, productive or lost."),
            &["class"],
        )?;
        registry.register(Box::new(leader.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(queue_depth.clone()))?;
        registry.register(Box::new(stage_state.clone()))?;
        registry.register(Box::new(condition.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(stage_duration.clone()))?;
        registry.register(Box::new(accelerator_seconds.clone()))?;
        Ok(Self {
            registry,
            trainings: Mutex::default(),
            leader,
            reconciles,
            duration,
            errors,
            requests,
            queue_depth,
            stage_state,
            condition,
            stage_duration,
            artifact_bytes,
            attempts,
            accelerator_seconds,
            cache_hits,
            cache_misses,
        })
    }

    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Counts a reconcile; `result` is changed, unchanged or the label of an error.
    pub fn reconciled(&self, result: Result<bool, &'static str>, took: Duration) {
        let label = match result {
            Ok(true) => "changed",
            Ok(false) => "unchanged",
            Err(_) => "error",
        };
        self.reconciles.with_label_values(&[label]).inc();
        if let Err(reason) = result {
            self.errors.with_label_values(&[reason]).inc();
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// Times a request to the Kubernetes API; `status`: of HTTP, none without an answer.
    pub fn requested(&self, verb: &str, resource: &str, status: Option<u16>, took: Duration) {
        let status = status.map_or("none".to_string(), |status| status.to_string());
        self.requests.with_label_values(&[verb, resource, status.as_str()]).observe(took.as_secs_f64());
    }

    /// Trainings whose states are shown, those of every store that was given.
    pub fn follow(&self, trainings: Store<RawTraining>) {
        self.trainings.lock().unwrap_or_else(PoisonError::into_inner).push(trainings);
    }

    /// Sets the gauges of states to what is there now: nothing that is gone leaves a series.
    fn show_states(&self) {
        let stores = self.trainings.lock().unwrap_or_else(PoisonError::into_inner);
        self.condition.reset();
        self.stage_state.reset();
        for raw in stores.iter().flat_map(Store::state) {
            let (namespace, name) = (raw.namespace().unwrap_or_default(), raw.name_any());
            let Ok(status) = serde_json::from_value::<MedicalTrainingStatus>(raw.status.clone()) else { continue };
            for kind in condition::ALL {
                let labels = [namespace.as_str(), name.as_str(), kind];
                self.condition.with_label_values(&labels).set(i64::from(status.is(kind)));
            }
            for stage in &status.stages {
                for state in StageState::ALL {
                    let labels =
                        [namespace.as_str(), name.as_str(), stage.name.as_str(), stage.kind.name(), state.name()];
                    self.stage_state.with_label_values(&labels).set(i64::from(state == stage.state));
                }
            }
        }
    }

    /// Counts what a status that was just written says to have happened.
    pub fn count(&self, training: &Training, new: &MedicalTrainingStatus) {
        for stage in &new.stages {
            let kind = stage.kind.name();
            let Some(old) = training.status.stage(&stage.name).filter(|old| old.state != stage.state) else { continue };
            if stage.state == StageState::Cached {
                self.cache_hits.with_label_values(&[kind]).inc();
            }
            if stage.attempt == 1 && old.attempt == 0 {
                self.cache_misses.with_label_values(&[kind]).inc();
            }
            if is_open(old) && !is_open(stage) {
                self.attempt_ended(training, old, stage);
            }
        }
    }

    fn attempt_ended(&self, training: &Training, old: &StageStatus, new: &StageStatus) {
        let kind = new.kind.name();
        let charged = new.charged_attempts > old.charged_attempts;
        self.attempts.with_label_values(&[kind, &new.reason, if charged { "true" } else { "false" }]).inc();
        let Some(start) = &old.start_time else { return };
        let seconds = Timestamp::now().duration_since(start.0).as_secs_f64().max(0.0);
        let done = new.state == StageState::Succeeded;
        if new.state.is_terminal() {
            let outcome = if done { "succeeded" } else { "failed" };
            self.stage_duration.with_label_values(&[kind, outcome]).observe(seconds);
        }
        if let Some(bytes) = new.artifact_bytes.filter(|_| done) {
            self.artifact_bytes.with_label_values(&[kind]).inc_by(bytes);
        }
        let devices = accelerators(training, &new.name);
        self.accelerator_seconds
            .with_label_values(&[if done { "productive" } else { "lost" }])
            .inc_by(seconds * devices);
    }

    /// In Prometheus' text format.
    pub fn text(&self) -> String {
        self.show_states();
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics can't be encoded");
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

/// Accelerators of a stage's pod: limits with a domain in their name, like nvidia.com/gpu.
fn accelerators(training: &Training, stage: &str) -> f64 {
    let Ok(spec) = &training.spec else { return 0.0 };
    let resources = spec.stage(stage).and_then(|stage| stage.pod_template.resources.as_ref());
    let limits = resources.and_then(|resources| resources.get("limits")).and_then(serde_json::Value::as_object);
    let count = |value: &serde_json::Value| value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0.0);
    let devices = limits.into_iter().flatten().filter(|(name, _)| name.contains('/'));
    devices.map(|(_, value)| count(value)).sum()
}

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector, watcher::Event};
    use serde_json::json;

    use super::*;

    #[test]
    fn states_are_those_of_what_is_there_whoever_wrote_them() {
        let (trainings, mut writer) = reflector::store();
        let metrics = Metrics::new().unwrap();
        metrics.follow(trainings);
        let mut raw = RawTraining::default();
        raw.metadata.name = Some("t".into());
        raw.metadata.namespace = Some("ns".into());
        raw.status = json!({
            "conditions": [{"type": "Failed", "status": "True", "reason": "x", "message": "",
                            "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "stages": [{"name": "pt", "kind": "PT", "state": "Failed"}],
        });
        let failed = format!("{TRAINING_CONDITION}{{condition=\"Failed\",namespace=\"ns\",training=\"t\"}} 1");
        let state = "kind=\"PT\",namespace=\"ns\",stage=\"pt\",state=\"Failed\",training=\"t\"";
        let stage = format!("{STAGE_STATE}{{{state}}} 1");
        assert!(!metrics.text().contains(&failed));
        for event in [Event::Init, Event::InitApply(raw.clone()), Event::InitDone] {
            writer.apply_watcher_event(&event);
        }
        let text = metrics.text();
        assert!(text.contains(&failed) && text.contains(&stage), "{text}");
        writer.apply_watcher_event(&Event::Delete(raw));
        let text = metrics.text();
        assert!(!text.contains(TRAINING_CONDITION) && !text.contains(STAGE_STATE), "{text}");
    }

    #[test]
    fn every_reason_of_an_error_is_there_before_the_first_one() {
        let text = Metrics::new().unwrap().text();
        let template = serde_json::from_str::<u8>("x").unwrap_err();
        for error in [Error::Stale, Error::Timeout(1), Error::NotLeader, Error::NameTaken("x".into()), template.into()]
        {
            let series = format!("{RECONCILE_ERRORS_TOTAL}{{reason=\"{}\"}} 0", error.label());
            assert!(text.contains(&series), "{series}");
        }
    }
}
