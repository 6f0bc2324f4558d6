//! What a person needs to see when a scenario fails: trainings, Jobs, pods, events and logs of its namespace.

use std::fmt::Write;

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Pod},
};
use kube::{
    Api, Client,
    api::{ListParams, LogParams},
};
use medtrain_crds::k8s::MedicalTraining;

/// Lines of each pod's log.
const LOG_LINES: i64 = 20;

/// As much as can be had; what can't be read is said so.
pub async fn describe(client: &Client, namespace: &str) -> String {
    let mut text = format!("namespace {namespace}:\n");
    let all = ListParams::default();
    match Api::<MedicalTraining>::namespaced(client.clone(), namespace).list(&all).await {
        Ok(trainings) => {
            for training in trainings {
                let status = serde_json::to_string(&training.status).unwrap_or_default();
                let _ = writeln!(text, "training {}: {status}", training.metadata.name.unwrap_or_default());
            }
        }
        Err(error) => drop(writeln!(text, "trainings: {error}")),
    }
    match Api::<Job>::namespaced(client.clone(), namespace).list(&all).await {
        Ok(jobs) => {
            for job in jobs {
                let status = serde_json::to_string(&job.status).unwrap_or_default();
                let _ = writeln!(text, "job {}: {status}", job.metadata.name.unwrap_or_default());
            }
        }
        Err(error) => drop(writeln!(text, "jobs: {error}")),
    }
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    match pods.list(&all).await {
        Ok(found) => {
            for pod in found {
                let name = pod.metadata.name.unwrap_or_default();
                let status = pod.status.unwrap_or_default();
                let containers = status.container_statuses.unwrap_or_default();
                let states: Vec<_> = containers.into_iter().map(|container| container.state).collect();
                let states = serde_json::to_string(&states).unwrap_or_default();
                let [phase, message] = [status.phase, status.message].map(Option::unwrap_or_default);
                let _ = writeln!(text, "pod {name}: {phase} {message} {states}");
                let last = LogParams { tail_lines: Some(LOG_LINES), ..LogParams::default() };
                let log = pods.logs(&name, &last).await.unwrap_or_else(|error| error.to_string());
                let _ = writeln!(text, "log of {name}:\n{log}");
            }
        }
        Err(error) => drop(writeln!(text, "pods: {error}")),
    }
    match Api::<Event>::namespaced(client.clone(), namespace).list(&all).await {
        Ok(events) => {
            for event in events {
                let about = event.involved_object.name.unwrap_or_default();
                let [reason, message] = [event.reason, event.message].map(Option::unwrap_or_default);
                let _ = writeln!(text, "event {about}: {reason}: {message}");
            }
        }
        Err(error) => drop(writeln!(text, "events: {error}")),
    }
    text
}
