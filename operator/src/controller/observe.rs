//! Reads the world: caches first, the API server where a cache may lag behind what status says.
//!
//! Holds: a Job that status names and no cache has is looked up before it counts as gone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;
use medtrain_crds::contract::{Progress, pod};
use medtrain_crds::training::KIND;
use medtrain_crds::training::status::PreflightState;

use super::decide::{Work, is_open};
use super::names;
use super::seen::{ForeignConfigMap, JobEnd, Observed, Orphan, SeenJob, SeenPod, Terminated, USUAL_START_SECONDS};
use super::validate::Training;
use crate::context::Context;
use crate::error::Error;

/// # Errors
/// Requests to the API server that fail.
pub async fn observe(training: &Training, context: &Context, now: Timestamp) -> Result<Observed, Error> {
    let mut jobs = context.jobs.of(&training.uid);
    jobs.retain(|job| job.namespace().as_deref() == Some(&training.namespace));
    let api: Api<Job> = Api::namespaced(context.client.clone(), &training.namespace);
    let expected = expected(training);
    for name in &expected {
        if !jobs.iter().any(|job| job.name_any() == *name)
            && let Some(job) = api.get_opt(name).await.map_err(Error::api("reading a Job"))?
        {
            jobs.push(Arc::new(job));
        }
    }
    let mut pods = context.pods.of(&training.uid);
    pods.retain(|pod| pod.namespace().as_deref() == Some(&training.namespace));
    let mut observed = Observed { config_maps: config_maps(&jobs, training, context), ..Default::default() };
    for name in expected.iter().filter(|name| !observed.config_maps.contains(name)) {
        observed.foreign_config_maps.extend(foreign_config_map(name, training, context).await?);
    }
    observed.orphans = pods.iter().filter_map(|pod| orphan(pod)).collect();
    observed.refused = context.refused.of(&training.uid);
    for job in &jobs {
        let uid = job.uid().unwrap_or_default();
        let mut own = Vec::new();
        for pod in pods.iter().filter(|pod| pod.owner_references().iter().any(|owner| owner.uid == uid)) {
            let mut seen = seen_pod(pod);
            if job_end(job).is_none() {
                if seen.deleting_since.is_some() || (seen.running && !is_ready(pod)) {
                    seen.node_lost_since = lost_since(context, pod).await;
                }
                if is_due(training, job, context, now) && seen.running {
                    seen.progress = scrape(&seen).await;
                }
            }
            own.push(seen);
        }
        let mut seen = seen_job(job, training, own);
        // A list of events is dear to the API server, and most pods start at once.
        let waits = seen.waits_since().map(|since| now.duration_since(since).as_secs());
        if waits.is_some_and(|seconds| seconds >= USUAL_START_SECONDS) {
            seen.warning = warning(context, training, &seen).await;
        }
        observed.jobs.push(seen);
    }
    Ok(observed)
}

/// Of these Jobs, by name.
fn config_maps(jobs: &[Arc<Job>], training: &Training, context: &Context) -> Vec<String> {
    let ours = |name: &String| {
        let found = context.config_maps.get(&ObjectRef::new(name).within(&training.namespace));
        found.is_some_and(|map| owner(&map.metadata, training) == Owner::This)
    };
    jobs.iter().map(|job| job.name_any()).filter(ours).collect()
}

/// A ConfigMap that no cache of ours holds may be there without our labels.
async fn foreign_config_map(
    name: &str,
    training: &Training,
    context: &Context,
) -> Result<Option<ForeignConfigMap>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &training.namespace);
    let found = api.get_metadata_opt(name).await.map_err(Error::api("reading a ConfigMap"))?;
    Ok(found.and_then(|map| match owner(&map.metadata, training) {
        Owner::This => None,
        other => Some(ForeignConfigMap {
            name: name.to_string(),
            leaves: other == Owner::Former || map.metadata.deletion_timestamp.is_some(),
        }),
    }))
}

/// Whose a Job or ConfigMap is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    This,
    /// A training of this name that was there before.
    Former,
    Other,
}

fn owner(meta: &ObjectMeta, training: &Training) -> Owner {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    match owners.iter().find(|owner| owner.controller == Some(true)) {
        Some(owner) if owner.uid == training.uid => Owner::This,
        Some(owner) if owner.kind == KIND && owner.name == training.name => Owner::Former,
        _ => Owner::Other,
    }
}

/// Jobs that status speaks of.
fn expected(training: &Training) -> Vec<String> {
    let status = &training.status;
    let mut expected = Vec::new();
    if let Some(preflight) = status.preflight.as_ref().filter(|preflight| preflight.state == PreflightState::Running) {
        expected.push(names::preflight(&training.name, &preflight.hash, preflight.attempt));
    }
    for stage in &status.stages {
        if is_open(stage) {
            expected.push(names::stage(&training.name, &stage.name, stage.attempt));
        } else if let Some(probe) = &stage.probe {
            let work = Work::Probe { stage: stage.name.clone(), attempt: stage.attempt, probe: probe.attempt };
            expected.push(work.name(training));
        }
    }
    expected
}

fn is_due(training: &Training, job: &Job, context: &Context, now: Timestamp) -> bool {
    let stage = job.labels().get(names::STAGE).and_then(|name| training.status.stage(name));
    // Also of a pod that status does not know to be running: both then stand in one write.
    let Some(stage) = stage.filter(|stage| is_open(stage)) else { return false };
    stage.progress.as_ref().is_none_or(|progress| {
        now.duration_since(progress.observed_time.0).as_secs() >= context.policy.progress_interval_seconds
    })
}

fn job_end(job: &Job) -> Option<JobEnd> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().filter(|condition| condition.status == "True").find_map(|condition| {
        match condition.type_.as_str() {
            "Complete" => Some(JobEnd::Complete),
            "Failed" => Some(JobEnd::Failed {
                reason: condition.reason.clone().unwrap_or_default(),
                message: condition.message.clone().unwrap_or_default(),
            }),
            _ => None,
        }
    })
}

fn seen_job(job: &Job, training: &Training, pods: Vec<SeenPod>) -> SeenJob {
    let labels = job.labels();
    let spec = job.spec.clone().unwrap_or_default();
    let edits = [
        ("parallelism", spec.parallelism != Some(1)),
        ("backoffLimit", spec.backoff_limit != Some(0)),
        ("activeDeadlineSeconds", spec.active_deadline_seconds.is_some()),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished.is_some()),
    ];
    SeenJob {
        name: job.name_any(),
        uid: job.uid().unwrap_or_default(),
        ours: owner(&job.metadata, training) == Owner::This,
        leftover: owner(&job.metadata, training) == Owner::Former,
        stage: labels.get(names::STAGE).cloned(),
        attempt: labels.get(names::ATTEMPT).and_then(|attempt| attempt.parse().ok()).unwrap_or(0),
        key: job.annotations().get(names::KEY).cloned().unwrap_or_default(),
        pod_template: job.annotations().get(names::POD_TEMPLATE).cloned(),
        deleting: job.metadata.deletion_timestamp.is_some(),
        suspended: spec.suspend == Some(true),
        started: job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0),
        created: job.metadata.creation_timestamp.as_ref().map(|time| time.0),
        end: job_end(job),
        pods,
        warning: None,
        edited: edits.into_iter().find(|(_, edited)| *edited).map(|(field, _)| format!("spec.{field}")),
    }
}

fn seen_pod(pod: &Pod) -> SeenPod {
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let is = |kind: &str, value: &str| conditions.iter().find(|one| one.type_ == kind && one.status == value);
    let state = status
        .container_statuses
        .unwrap_or_default()
        .into_iter()
        .find(|container| container.name == pod::CONTAINER)
        .and_then(|container| container.state)
        .unwrap_or_default();
    SeenPod {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        ip: status.pod_ip,
        created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
        deleting_since: pod.metadata.deletion_timestamp.as_ref().map(|time| time.0),
        disrupted: is("DisruptionTarget", "True").is_some() || status.reason.as_deref() == Some("Evicted"),
        unschedulable: is("PodScheduled", "False").map(|condition| condition.message.clone().unwrap_or_default()),
        waiting: state.waiting.map(|waiting| (waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default())),
        running: state.running.is_some(),
        terminated: state.terminated.map(|terminated| Terminated {
            exit_code: terminated.exit_code,
            reason: terminated.reason.unwrap_or_default(),
            message: terminated.message.unwrap_or_default(),
        }),
        node_lost_since: None,
        progress: None,
    }
}

fn orphan(pod: &Pod) -> Option<Orphan> {
    if pod.owner_references().iter().any(|owner| owner.controller == Some(true)) {
        return None;
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    Some(Orphan {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        stage: pod.labels().get(names::STAGE).cloned(),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        ended: matches!(phase, Some("Succeeded" | "Failed")),
    })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

/// Since when the pod's node is not ready. Without the right to read nodes: nothing.
async fn lost_since(context: &Context, pod: &Pod) -> Option<Timestamp> {
    let name = pod.spec.as_ref()?.node_name.as_ref()?;
    let node = Api::<Node>::all(context.client.clone()).get_opt(name).await.ok()?;
    let Some(node) = node else { return pod.metadata.deletion_timestamp.as_ref().map(|time| time.0) };
    let conditions = node.status?.conditions?;
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready")?;
    if ready.status == "True" { None } else { ready.last_transition_time.map(|time| time.0) }
}

/// The newest warning about a Job or its pod.
async fn warning(context: &Context, training: &Training, job: &SeenJob) -> Option<String> {
    let api: Api<Event> = Api::namespaced(context.client.clone(), &training.namespace);
    let uid = job.pod().map_or(&job.uid, |pod| &pod.uid);
    let about = ListParams::default().fields(&format!("involvedObject.uid={uid},type=Warning")).limit(20);
    let events = api.list(&about).await.ok()?.items;
    let newest = events.into_iter().max_by_key(|event| {
        let series = event.last_timestamp.as_ref().map(|time| time.0);
        series.or(event.event_time.as_ref().map(|time| time.0))
    })?;
    newest.message
}

/// `/progress` of a pod; none if it doesn't answer in two seconds.
async fn scrape(seen: &SeenPod) -> Option<Progress> {
    const LONGEST: usize = 64 * 1024;
    let ip = seen.ip.as_ref()?;
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
    let uri = format!("http://{host}:{}/progress", pod::METRICS_PORT).parse().ok()?;
    let client: HttpClient<_, Empty<Bytes>> = HttpClient::builder(TokioExecutor::new()).build_http();
    let answer = async {
        let body = client.get(uri).await.ok()?.into_body();
        let bytes = Limited::new(body, LONGEST).collect().await.ok()?.to_bytes();
        serde_json::from_slice(&bytes).ok()
    };
    tokio::time::timeout(Duration::from_secs(2), answer).await.ok()?
}
