//! Nodes: their registration and the leases by which they count as alive.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// Of the node in the network of tests/cluster.
pub const HOST_ADDRESS: &str = "10.88.0.1";
const PREFIX: &str = "fake-";
/// As kubelets do; the controller waits 50 s for them.
const RENEW: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(40);

pub fn name(number: usize) -> String {
    format!("{PREFIX}{number}")
}

pub fn is_ours(node: &str) -> bool {
    node.starts_with(PREFIX)
}

pub async fn register(client: &Client, name: &str) -> Result<()> {
    let now = Timestamp::now();
    let size = json!({"cpu": "1000", "memory": "4000Gi", "pods": "250", "ephemeral-storage": "4000Gi"});
    let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "lastHeartbeatTime": now, "lastTransitionTime": now});
    let node = json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}},
        "status": {
            "capacity": size, "allocatable": size,
            "addresses": [{"type": "InternalIP", "address": HOST_ADDRESS}, {"type": "Hostname", "address": name}],
            "conditions": [
                condition("Ready", "True", "KubeletReady"),
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID")
            ]
        }
    });
    let lease = json!({
        "metadata": {"name": name},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE.as_secs(), "renewTime": micro(now)}
    });
    leases(client).create(&PostParams::default(), &serde_json::from_value(lease)?).await.context("lease of a node")?;
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await.context("registering a node")?;
    Ok(())
}

/// Renews the leases of nodes 0 to `count`, for ever. As with a kubelet, one renewal may fail, and a node is lost only
/// once its lease has run out.
pub async fn keep_leases(client: Client, count: usize) -> Result<()> {
    let mut renewed = vec![Instant::now(); count];
    loop {
        tokio::time::sleep(RENEW).await;
        for (number, renewed) in renewed.iter_mut().enumerate() {
            let name = name(number);
            let now = json!({"spec": {"renewTime": micro(Timestamp::now())}});
            match leases(&client).patch(&name, &PatchParams::default(), &Patch::Merge(&now)).await {
                Ok(_) => *renewed = Instant::now(),
                Err(error) if renewed.elapsed() >= LEASE => {
                    return Err(error).with_context(|| format!("renewing the lease of {name}"));
                }
                Err(_) => {}
            }
        }
    }
}

fn leases(client: &Client) -> Api<Lease> {
    Api::namespaced(client.clone(), "kube-node-lease")
}

/// The API server wants exactly six decimals.
fn micro(time: Timestamp) -> Value {
    format!("{time:.6}").into()
}
