//! What only a test on the node's own machine can do: kill a container's process, stop a part of the cluster, count
//! what the audit log saw. `MEDTRAIN_E2E_STATE` is the state directory of a cluster that tests/cluster/up.sh started.

use std::{
    collections::BTreeMap,
    fs::File,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

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

/// A process that does not run until this is dropped: a node that hangs, an operator that was not scheduled for long.
#[must_use = "it goes on when this is dropped"]
pub struct Stopped(u32);

/// # Errors
/// As [`signal`].
pub fn stop(pid: u32) -> Result<Stopped> {
    signal("STOP", pid)?;
    Ok(Stopped(pid))
}

impl Stopped {
    /// # Errors
    /// It was not stopped any more: killed, or continued by someone else.
    pub fn go_on(self) -> Result<()> {
        ensure!(state_of(self.0) == Some('T'), "process {} is {:?}, and not stopped", self.0, state_of(self.0));
        Ok(())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may have been killed, which is not this one's to say.
        let _ = signal("CONT", self.0);
    }
}

fn pid_file(component: &str) -> Result<PathBuf> {
    Ok(state()?.join("pid").join(component))
}

/// The id of a part of the cluster: `kubelet`, `kube-apiserver`, `s3`, ….
///
/// # Errors
/// It was not started.
pub fn pid_of_component(component: &str) -> Result<u32> {
    let file = pid_file(component)?;
    let line = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let pid = line.split(' ').next().unwrap_or_default();
    pid.parse().with_context(|| file.display().to_string())
}

/// A part of the cluster under other flags, until this is dropped.
#[must_use = "it gets its old flags when this is dropped"]
pub struct Reflagged {
    component: String,
    command: Vec<String>,
}

/// Starts a part of the cluster anew with these flags in addition.
///
/// # Errors
/// It does not run, or does not end.
pub fn restart_with(component: &str, flags: &[String]) -> Result<Reflagged> {
    let pid = pid_of_component(component)?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).with_context(|| format!("{component}, {pid}"))?;
    let command = String::from_utf8(command)?.split_terminator('\0').map(str::to_owned).collect();
    let old = Reflagged { component: component.to_owned(), command };
    restart(component, old.command.iter().chain(flags))?;
    Ok(old)
}

impl Drop for Reflagged {
    fn drop(&mut self) {
        if let Err(problem) = restart(&self.component, self.command.iter()) {
            eprintln!("{} could not be started as before: {problem:#}", self.component);
        }
    }
}

/// As `start` in tests/cluster/cluster.sh does: a session of its own, output to its log, id and start time in its file.
fn restart<'a>(component: &str, mut command: impl Iterator<Item = &'a String>) -> Result<()> {
    let old = pid_of_component(component)?;
    signal("TERM", old)?;
    let begin = Instant::now();
    while is_alive(old) {
        ensure!(begin.elapsed() < Duration::from_secs(30), "{component} does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = File::options().append(true).open(state()?.join("log").join(format!("{component}.log")))?;
    let program = command.next().with_context(|| format!("{component} has no command line"))?;
    let mut setsid = Command::new("setsid");
    setsid.arg(program).args(command).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let pid = setsid.spawn()?.id();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let began = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19));
    let began = began.with_context(|| format!("{component} has ended at once"))?;
    Ok(std::fs::write(pid_file(component)?, format!("{pid} {began}\n"))?)
}

/// Whether a process is there and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    state_of(pid).is_some_and(|state| state != 'Z')
}

/// `R`unning, `S`leeping, s`T`opped, `Z`ombie, …: the third field of `/proc/PID/stat`, behind the name in parentheses.
pub fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Requests to the API server that were answered, of everyone but the cluster's own parts, that `wanted` takes. An entry
/// is an `audit.k8s.io/v1` Event.
///
/// # Errors
/// There is no audit log.
pub fn requests(wanted: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
    let file = state()?.join("log/audit.jsonl");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    // The last line may be half written.
    let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(entries.filter(|entry| entry["stage"] == "ResponseComplete" && wanted(entry)).collect())
}

/// How many [`requests`] there were.
///
/// # Errors
/// There is no audit log.
pub fn count_requests(wanted: impl Fn(&Value) -> bool) -> Result<usize> {
    Ok(requests(wanted)?.len())
}

/// Whether the request of an audit entry changed something.
pub fn has_written(entry: &Value) -> bool {
    let verb = entry["verb"].as_str().unwrap_or_default();
    let code = entry["responseStatus"]["code"].as_u64().unwrap_or_default();
    !matches!(verb, "get" | "list" | "watch") && (200..300).contains(&code)
}

/// How often Jobs of a namespace were created, by name.
///
/// # Errors
/// There is no audit log.
pub fn created_jobs(namespace: &str) -> Result<BTreeMap<String, usize>> {
    let created = requests(|entry| {
        let about = &entry["objectRef"];
        about["resource"] == "jobs"
            && about["namespace"] == namespace
            && entry["verb"] == "create"
            && has_written(entry)
    })?;
    let mut counts = BTreeMap::new();
    for entry in created {
        *counts.entry(entry["objectRef"]["name"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    Ok(counts)
}
