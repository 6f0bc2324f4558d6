//! One pod from its node's first look at it to its end.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use medtrain_crds::contract::{ExitCode, pod};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Kubelet;
use super::node::HOST_ADDRESS;
use super::progress::Running;
use super::trainer::{self, Trainer};

/// Pulling, mounting and starting take this long or up to twice; so does the work.
const START_MS: u64 = 150;
const WORK_MS: u64 = 700;
const RETRY: Duration = Duration::from_millis(500);

/// What the API server is told of a pod.
struct Seen<'a> {
    kubelet: &'a Kubelet,
    pod: &'a Pod,
    api: Api<Pod>,
    address: Ipv4Addr,
    started: Timestamp,
}

/// # Errors
/// Requests that no repetition helps.
pub async fn live(kubelet: &Kubelet, pod: &Pod, mut stop: watch::Receiver<bool>) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(kubelet.client.clone(), &pod.namespace().unwrap_or_default());
    let seen = Seen { kubelet, pod, api, address: kubelet.address(), started: Timestamp::now() };
    seen.tell("Pending", json!({"waiting": {"reason": "ContainerCreating"}})).await?;
    let (exit, message) = seen.run(&mut stop).await?;
    kubelet.set_running(seen.address, None);
    let terminated = json!({
        "exitCode": exit.code(), "reason": if exit == ExitCode::Done { "Completed" } else { "Error" },
        "message": message, "startedAt": seen.started, "finishedAt": Timestamp::now(),
        "containerID": format!("fake://{}", pod.uid().unwrap_or_default()),
    });
    let phase = if exit == ExitCode::Done { "Succeeded" } else { "Failed" };
    seen.tell(phase, json!({"terminated": terminated})).await?;
    if *stop.borrow() { seen.remove().await } else { Ok(()) }
}

impl Seen<'_> {
    async fn run(&self, stop: &mut watch::Receiver<bool>) -> Result<(ExitCode, String)> {
        let Some(trainer) = self.start(stop).await? else { return Ok(trainer::checkpointed()) };
        let trainer = match trainer {
            Ok(trainer) => trainer,
            Err(problem) => {
                self.kubelet.complain(format!("pod {} got what no trainer takes: {problem:#}", self.pod.name_any()));
                return Ok((ExitCode::Config, format!("{problem:#}")));
            }
        };
        let takes = Duration::from_millis(trainer.work.milliseconds("work", WORK_MS));
        let running = Running { stage: trainer.work.stage.clone(), since: Instant::now(), takes };
        self.kubelet.set_running(self.address, Some(running));
        self.tell("Running", json!({"running": {"startedAt": Timestamp::now()}})).await?;
        let evicted = trainer.is_to_be_evicted() && self.kubelet.evicts(&trainer.work);
        if !stopped_within(stop, takes).await {
            if !evicted {
                return Ok(trainer.finish(&self.kubelet.store));
            }
            let (name, usual) = (self.pod.name_any(), EvictParams::default());
            persist(|| self.api.evict(&name, &usual)).await?;
            // An error: the pod is gone already.
            let _ = stop.wait_for(|stop| *stop).await;
        }
        Ok(trainer::checkpointed())
    }

    /// Waits for the pod's configuration as a kubelet does; `None`: it was stopped before.
    async fn start(&self, stop: &mut watch::Receiver<bool>) -> Result<Option<Result<Trainer>>> {
        let maps: Api<ConfigMap> =
            Api::namespaced(self.kubelet.client.clone(), &self.pod.namespace().unwrap_or_default());
        let name = match trainer::config_map_of(self.pod) {
            Ok(name) => name,
            Err(problem) => return Ok(Some(Err(problem))),
        };
        if stopped_within(stop, Duration::from_millis(START_MS)).await {
            return Ok(None);
        }
        loop {
            if let Some(Some(map)) = persist(|| maps.get_opt(&name)).await? {
                return Ok(Some(Trainer::start(self.pod, &map)));
            }
            if stopped_within(stop, RETRY).await {
                return Ok(None);
            }
        }
    }

    async fn tell(&self, phase: &str, state: Value) -> Result<()> {
        let ready = if phase == "Running" { "True" } else { "False" };
        let container = json!({
            "name": pod::CONTAINER, "image": "fake", "imageID": "", "restartCount": 0, "ready": ready == "True",
            "started": ready == "True", "state": state,
        });
        let status = json!({
            "phase": phase, "hostIP": HOST_ADDRESS, "podIP": self.address, "podIPs": [{"ip": self.address}],
            "startTime": self.started, "containerStatuses": [container],
            "conditions": [
                {"type": "Initialized", "status": "True"},
                {"type": "ContainersReady", "status": ready},
                {"type": "Ready", "status": ready},
            ],
        });
        let patch = Patch::Strategic(json!({"metadata": {"uid": self.pod.uid()}, "status": status}));
        let (name, usual) = (self.pod.name_any(), PatchParams::default());
        persist(|| self.api.patch_status(&name, &usual, &patch)).await?;
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: self.pod.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        let name = self.pod.name_any();
        persist(|| self.api.delete(&name, &now)).await?;
        Ok(())
    }
}

/// Whether the pod is to stop before the time is over. A pod that is gone is.
async fn stopped_within(stop: &mut watch::Receiver<bool>, time: Duration) -> bool {
    tokio::time::timeout(time, stop.wait_for(|stop| *stop)).await.is_ok()
}

/// Repeats what the API server could not do; `None`: there is no such pod any more.
async fn persist<T, F: Future<Output = kube::Result<T>>>(request: impl Fn() -> F) -> Result<Option<T>> {
    const TRIES: usize = 60;
    let mut tries = 0;
    loop {
        match request().await {
            Ok(answer) => return Ok(Some(answer)),
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => return Ok(None),
            Err(error) if tries == TRIES => return Err(error.into()),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(RETRY).await;
    }
}
