//! The operator's own pods: which of them leads, by its Lease, and how to be rid of it.
//!
//! Holds: whoever uses this disturbs every training of the cluster, so only tests of the program `serial` do.

use std::{pin::pin, time::Duration};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::{Lease, LeaseSpec},
    core::v1::Pod,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::host;

/// Where `tests/e2e/run.sh` installs it, and the name that the chart gives Deployment and Lease.
const NAMESPACE: &str = "medtrain-system";
const NAME: &str = "medtrain";
/// How long a new pod may take to serve, and a lease to be taken, on two busy cores.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

pub struct Operator {
    deployments: Api<Deployment>,
    leases: Api<Lease>,
    pods: Api<Pod>,
}

/// The process that holds the lease.
pub struct Leader {
    pub pod: Pod,
    pub pid: u32,
    /// As in the lease; another process of the same pod has another.
    pub identity: String,
}

impl Leader {
    pub fn pod_name(&self) -> String {
        self.pod.name_any()
    }
}

impl Operator {
    pub fn installed(client: &Client) -> Self {
        Self {
            deployments: Api::namespaced(client.clone(), NAMESPACE),
            leases: Api::namespaced(client.clone(), NAMESPACE),
            pods: Api::namespaced(client.clone(), NAMESPACE),
        }
    }

    /// # Errors
    /// There is none.
    pub async fn lease(&self) -> Result<LeaseSpec> {
        self.leases.get(NAME).await?.spec.context("the operator's Lease is empty")
    }

    /// Waits until a process leads that the node still runs, another than `not`.
    ///
    /// # Errors
    /// None does in time.
    pub async fn leader(&self, not: Option<&str>) -> Result<Leader> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let identity = self.lease().await?.holder_identity.filter(|identity| !identity.is_empty());
            if let Some(identity) = identity.filter(|identity| Some(identity.as_str()) != not) {
                let name = identity.split('_').next().unwrap_or_default();
                let pod = self.pods.get_opt(name).await?;
                if let Some(pod) = pod.filter(|pod| pod.metadata.deletion_timestamp.is_none())
                    && let Ok(pid) = host::pid_of(&pod)
                {
                    return Ok(Leader { pod, pid, identity });
                }
            }
            sleep(POLL).await;
        }
        bail!("no operator leads within {} s", PATIENCE.as_secs())
    }

    /// Removes the pod of a killed process, so that its successor starts at once: the kubelet would wait longer each time.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn forget(&self, leader: &Leader) -> Result<()> {
        self.pods.delete(&leader.pod_name(), &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    }

    /// Lets the next one in without waiting until the lease runs out. Only for a holder that is dead.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn end_lease(&self) -> Result<()> {
        let nobody = json!({"spec": {"holderIdentity": null}});
        self.leases.patch(NAME, &PatchParams::default(), &Patch::Merge(nobody)).await?;
        Ok(())
    }

    /// Waits until as many pods as the Deployment wants are ready, all of its newest template, and no other is left.
    ///
    /// # Errors
    /// They aren't in time.
    pub async fn is_whole(&self) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let deployment = self.deployments.get(NAME).await?;
            let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
            let selector = ListParams::default().labels("app.kubernetes.io/component=operator");
            let pods = self.pods.list(&selector).await?.items.len();
            let status = deployment.status.clone().unwrap_or_default();
            if status.observed_generation == deployment.metadata.generation
                && [status.replicas, status.updated_replicas, status.available_replicas] == [wanted; 3]
                && i32::try_from(pods).ok() == wanted
            {
                return Ok(());
            }
            sleep(POLL * 10).await;
        }
        bail!("the operator has not all its replicas within {} s", PATIENCE.as_secs())
    }

    /// # Errors
    /// The API server refuses.
    pub async fn patch(&self, patch: &serde_json::Value) -> Result<()> {
        self.deployments.patch(NAME, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        Ok(())
    }

    /// The flags that its Deployment starts it with.
    ///
    /// # Errors
    /// There is no Deployment.
    pub async fn arguments(&self) -> Result<Vec<String>> {
        let template = self.deployments.get(NAME).await?.spec.map(|spec| spec.template);
        let containers = template.and_then(|template| template.spec).map(|spec| spec.containers).unwrap_or_default();
        containers.into_iter().next().and_then(|container| container.args).context("the operator has no arguments")
    }

    /// The longest time, in seconds, between the last renewal of a holder and the next one's first, while `work` goes on.
    ///
    /// # Errors
    /// Those of `work`; the Lease can't be read; nobody else came to lead.
    pub async fn longest_vacancy(&self, work: impl Future<Output = Result<()>>) -> Result<f64> {
        let mut last = self.lease().await?;
        let mut longest = None;
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => break done?,
                () = sleep(POLL * 5) => {}
            }
            let now = self.lease().await?;
            let Some(holder) = now.holder_identity.as_deref().filter(|holder| !holder.is_empty()) else { continue };
            if last.holder_identity.as_deref() != Some(holder) {
                let [renewed, acquired] = [&last.renew_time, &now.acquire_time].map(Option::as_ref);
                let (renewed, acquired) = renewed.zip(acquired).context("a Lease without times")?;
                let vacant = acquired.0.duration_since(renewed.0).as_secs_f64();
                longest = Some(longest.unwrap_or(vacant).max(vacant));
            }
            last = now;
        }
        longest.context("the same process leads as before")
    }
}
