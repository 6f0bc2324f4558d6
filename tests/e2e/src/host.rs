//! What only a test on the node's own machine can do: kill a container's process, stop a part of the cluster, count
//! what the audit log saw. `MEDTRAIN_E2E_STATE` is the state directory of a cluster that tests/cluster/up.sh started.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::environment::variable;

fn state() -> Result<PathBuf> {
    Ok(variable("MEDTRAIN_E2E_STATE")?.into())
}

/// The id that the first process of a pod's only container has on this machine.
///
/// # Errors
/// The container does not run.
pub fn pid_of(pod: &Pod) -> Result<u32> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let id = statuses.iter().find_map(|status| status.container_id.as_deref()?.strip_prefix("containerd://"));
    let id = id.context("the pod has no container yet")?;
    let file = state()?.join("containerd/state/io.containerd.runtime.v2.task/k8s.io").join(id).join("init.pid");
    let pid = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    pid.trim().parse().with_context(|| file.display().to_string())
}

/// Sends a signal (`KILL`, `STOP`, `CONT`) to a process.
///
/// # Errors
/// There is no such process.
pub fn signal(signal: &str, pid: u32) -> Result<()> {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status()?;
    ensure!(status.success(), "kill -{signal} {pid}: {status}");
    Ok(())
}

/// The id of a part of the cluster: `kubelet`, `kube-apiserver`, `s3`, ….
///
/// # Errors
/// It was not started.
pub fn pid_of_component(component: &str) -> Result<u32> {
    let file = state()?.join("pid").join(component);
    let line = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let pid = line.split(' ').next().unwrap_or_default();
    pid.parse().with_context(|| file.display().to_string())
}

/// Requests to the API server that were answered, of everyone but the cluster's own parts: how many does `wanted` take?
/// An entry is an `audit.k8s.io/v1` Event.
///
/// # Errors
/// There is no audit log.
pub fn count_requests(wanted: impl Fn(&Value) -> bool) -> Result<usize> {
    let file = state()?.join("log/audit.jsonl");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    // The last line may be half written.
    let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(entries.filter(|entry| entry["stage"] == "ResponseComplete" && wanted(entry)).count())
}
