//! The loop: caches of our own objects, a controller for each watched scope, one reconcile at a time for a training.
//!
//! Holds: a reconcile that does anything holds one of [`Setup::slots`] and ends within `LONGEST`; who has all slots
//! knows that nothing is in progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Config as ControllerConfig, Error as ControllerError};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, WatchStreamExt, reflector, watcher};
use kube::{Client, Resource, ResourceExt};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tracing::Instrument;

use super::children::Children;
use super::{apply, decide, names, observe, report, validate};
use crate::config::Policy;
use crate::context::{Context, Failures, Refused, Written};
use crate::error::Error;
use crate::lease::Fence;
use crate::metrics::Metrics;
use crate::resource::RawTraining;
use crate::server::Health;

/// A reconcile that takes longer (an API server that accepts requests and does not answer) is given up and tried again.
const LONGEST: Duration = Duration::from_secs(120);

/// What every scope shares.
#[derive(Clone)]
pub struct Setup {
    pub client: Client,
    pub policy: Policy,
    pub metrics: Arc<Metrics>,
    pub fence: Fence,
    pub health: Arc<Health>,
    /// One for each reconcile that may be in progress, over all scopes.
    pub slots: Arc<Semaphore>,
}

/// Watches one namespace (or all) for ever.
pub async fn run(setup: Setup, namespace: Option<String>) {
    let client = &setup.client;
    let (jobs, job_writer) = reflector::store();
    let (pods, pod_writer) = reflector::store();
    let (jobs, pods) = (Children::new(jobs), Children::new(pods));
    let (maps, map_writer) = reflector::store();
    let (trainings, training_writer) = reflector::store();
    let ours = watcher::Config::default().labels(&format!("{}={}", names::MANAGED_BY, names::MANAGER)).any_semantic();
    let job_stream = watcher(scoped::<Job>(client, namespace.as_deref()), ours.clone())
        .default_backoff()
        .modify(prune_job)
        .reflect(job_writer)
        .inspect_ok({
            let jobs = jobs.clone();
            move |event| jobs.take(event)
        })
        .touched_objects();
    let pod_stream = watcher(scoped::<Pod>(client, namespace.as_deref()), ours.clone())
        .default_backoff()
        .modify(prune_pod)
        .reflect(pod_writer)
        .inspect_ok({
            let pods = pods.clone();
            move |event| pods.take(event)
        })
        .touched_objects();
    let map_stream = watcher(scoped::<PartialObjectMeta<ConfigMap>>(client, namespace.as_deref()), ours)
        .default_backoff()
        .modify(|map| prune_meta(&mut map.metadata))
        .reflect(map_writer)
        .touched_objects();
    let training_stream =
        watcher(scoped::<RawTraining>(client, namespace.as_deref()), watcher::Config::default().any_semantic())
            .default_backoff()
            .modify(|training| prune_meta(&mut training.metadata))
            .reflect(training_writer);
    setup.metrics.follow(trainings.clone());

    let reporter = Reporter { controller: names::MANAGER.into(), instance: std::env::var("POD_NAME").ok() };
    let (fill, filled) = watch::channel(false);
    let context = Arc::new(Context {
        client: client.clone(),
        policy: setup.policy.clone(),
        metrics: setup.metrics.clone(),
        fence: setup.fence.clone(),
        recorder: Recorder::new(client.clone(), reporter),
        slots: setup.slots.clone(),
        jobs: jobs.clone(),
        pods: pods.clone(),
        config_maps: maps.clone(),
        filled,
        trainings: trainings.clone(),
        failures: Failures::default(),
        written: Written::default(),
        refused: Refused::default(),
    });
    let training_stream = training_stream
        .inspect_ok({
            let context = context.clone();
            move |event| {
                if let watcher::Event::Delete(training) = event {
                    context.forget(&training.uid().unwrap_or_default());
                }
            }
        })
        .touched_objects();
    let health = setup.health.clone();
    // The only one that waits for these stores: kube's wait_until_ready wakes the last waiter alone (kube 5.0, seen: a
    // training whose reconcile waited there was never looked at again). All others wait for `filled`.
    tokio::spawn(async move {
        let stores =
            tokio::join!(jobs.store.wait_until_ready(), pods.store.wait_until_ready(), maps.wait_until_ready());
        if let (Ok(()), Ok(()), Ok(())) = stores {
            health.unfilled.fetch_sub(1, Ordering::Relaxed);
            fill.send_replace(true);
        }
    });
    // Slots bound what is in progress; the controller's own limit would let waiting for caches use it up.
    Controller::for_stream(training_stream, trainings)
        .with_config(ControllerConfig::default())
        .owns_stream(job_stream)
        .watches_stream(pod_stream, |pod: Pod| by_label(&pod))
        .watches_stream(map_stream, |map: PartialObjectMeta<ConfigMap>| by_label(&map))
        .run(reconcile, retry, context)
        .for_each(|result| async move {
            match result {
                // `retry` has said it.
                Ok(_) | Err(ControllerError::ReconcilerFailed(..)) => {}
                // A child of a training that is gone.
                Err(ControllerError::ObjectNotFound(_)) => {}
                Err(error) => tracing::warn!(%error, "a watch failed and is begun again"),
            }
        })
        .await;
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn by_label<K: ResourceExt>(child: &K) -> Option<ObjectRef<RawTraining>> {
    let name = child.labels().get(names::TRAINING)?;
    Some(ObjectRef::new(name).within(&child.namespace()?))
}

fn prune_meta(meta: &mut kube::core::ObjectMeta) {
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

fn prune_job(job: &mut Job) {
    prune_meta(&mut job.metadata);
    if let Some(spec) = &mut job.spec {
        spec.template = Default::default();
        spec.pod_failure_policy = None;
        spec.selector = None;
    }
}

/// Of a pod's spec only its node is read.
fn prune_pod(pod: &mut Pod) {
    prune_meta(&mut pod.metadata);
    if let Some(spec) = &mut pod.spec {
        let node_name = spec.node_name.take();
        *spec = k8s_openapi::api::core::v1::PodSpec { node_name, ..Default::default() };
    }
}

async fn reconcile(raw: Arc<RawTraining>, context: Arc<Context>) -> Result<Action, Error> {
    static TRACE: AtomicU64 = AtomicU64::new(0);
    let trace = format!("{:08x}{:08x}", std::process::id(), TRACE.fetch_add(1, Ordering::Relaxed));
    let span = tracing::info_span!("reconcile", trace_id = trace, namespace = raw.namespace(), name = raw.name_any());
    let _slot = slot(&context).await?;
    // It may have waited long, and on an old version nothing can be written.
    let Some(raw) = context.trainings.get(&ObjectRef::from_obj(raw.as_ref())) else {
        context.forget(&raw.uid().unwrap_or_default());
        return Ok(Action::await_change());
    };
    let began = Instant::now();
    let result = steps(&raw, &context).instrument(span).await;
    let outcome = result.as_ref().map(|(_, changed)| *changed).map_err(Error::label);
    context.metrics.reconciled(outcome, began.elapsed());
    let (action, _) = result?;
    context.failures.clear(&raw.uid().unwrap_or_default());
    Ok(action)
}

async fn slot(context: &Context) -> Result<SemaphorePermit<'_>, Error> {
    context.filled.clone().wait_for(|filled| *filled).await.map_err(|_| Error::NotLeader)?;
    context.metrics.queue_depth.inc();
    let slot = context.slots.acquire().await;
    context.metrics.queue_depth.dec();
    slot.map_err(|_| Error::NotLeader)
}

async fn steps(raw: &RawTraining, context: &Context) -> Result<(Action, bool), Error> {
    context.fence.check()?;
    let version = raw.resource_version().unwrap_or_default();
    if context.written.is_ahead_of(&raw.uid().unwrap_or_default(), &version) {
        // The watch brings it within moments, and with it the next reconcile.
        return Ok((Action::requeue(Duration::from_secs(1)), false));
    }
    tokio::time::timeout(LONGEST, once(raw, context)).await.map_err(|_| Error::Timeout(LONGEST.as_secs()))?
}

async fn once(raw: &RawTraining, context: &Context) -> Result<(Action, bool), Error> {
    let now = Timestamp::now();
    let training = validate::validate(raw, &context.policy.defaults);
    let seen = observe::observe(&training, context, now).await?;
    let decision = decide::decide(&training, &seen, now, &context.policy);
    tracing::debug!(actions = ?decision.actions, requeue = decision.requeue_seconds, "decided");
    let applied = apply::apply(&training, &decision.actions, context).await;
    if let Err(error @ (Error::Stale | Error::NotLeader)) = applied {
        return Err(error);
    }
    // Also where an action failed: what is known of the others is not to wait for it.
    let changed = report::report(&training, &decision.status, context).await?;
    applied?;
    Ok((Action::requeue(Duration::from_secs(decision.requeue_seconds)), changed))
}

fn retry(raw: Arc<RawTraining>, error: &Error, context: Arc<Context>) -> Action {
    let pause = context.failures.pause(&raw.uid().unwrap_or_default());
    match error {
        // The newer version is on its way.
        Error::Stale => tracing::debug!(name = raw.name_any(), "stale"),
        _ => tracing::warn!(namespace = raw.namespace(), name = raw.name_any(), %error, "reconcile failed"),
    }
    Action::requeue(pause)
}
