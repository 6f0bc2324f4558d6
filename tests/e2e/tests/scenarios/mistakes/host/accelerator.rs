//! Accelerators: asked for by stages only, waited for while no node has one, and held by one stage at a time. The node's
//! are entries of its status; a kubelet leaves them there and the scheduler takes them for real.

use anyhow::{Context, Result, ensure};
use k8s_openapi::{
    api::core::v1::{Node, Pod},
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use medtrain_crds::training::status::{MedicalTrainingStatus, StageState, condition};
use medtrain_e2e::{
    Scenario,
    operated::{costs, is_degraded_for},
    training,
};
use serde_json::{Value, json};

use super::super::{assert_says, shown, warns};

const GPU: &str = "nvidia.com/gpu";

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_is_waited_for_and_held_by_one_stage_at_a_time() -> Result<()> {
    let scenario = Scenario::begin("gpu").await?;
    let nodes = Api::<Node>::all(scenario.client.clone());
    let node = nodes.list(&ListParams::default()).await?.items.into_iter().next().context("no node")?;
    let node = node.metadata.name.context("a node without a name")?;
    set_gpus(&nodes, &node, json!("0")).await?;
    let ends = shares_one_gpu(&scenario, &nodes, &node).await;
    set_gpus(&nodes, &node, Value::Null).await?;
    ends?;
    scenario.end().await
}

async fn set_gpus(nodes: &Api<Node>, node: &str, count: Value) -> Result<()> {
    let status = json!({"status": {"capacity": {GPU: count}, "allocatable": {GPU: count}}});
    nodes.patch_status(node, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

async fn shares_one_gpu(scenario: &Scenario, nodes: &Api<Node>, node: &str) -> Result<()> {
    let both = ["one", "two"];
    for name in both {
        let mut training = training::long(&scenario.env, &scenario.store, name, name);
        training["spec"]["podTemplate"] =
            json!({"resources": {"limits": {GPU: 1}}, "nodeSelector": {"kubernetes.io/hostname": node}});
        scenario.apply(&training).await?;
    }
    for name in both {
        let waits = |status: &MedicalTrainingStatus| is_degraded_for(status, "Unschedulable");
        let status = scenario.status_until(name, "Unschedulable", waits).await?;
        let says = [format!("Insufficient {GPU}")];
        assert_says(&status, condition::DEGRADED, "True", "Unschedulable", &["pt: ", says[0].as_str()])?;
        ensure!(shown(&status) == "Unschedulable", "{:?}", status.summary);
        warns(scenario, name, "Unschedulable").await?;
    }

    set_gpus(nodes, node, json!("1")).await?;
    let runs = |status: &MedicalTrainingStatus| is(status, StageState::Running);
    let running = async || {
        let statuses = [scenario.status("one").await?, scenario.status("two").await?];
        anyhow::Ok(statuses.iter().filter(|status| runs(status)).count())
    };
    scenario.until("a stage that runs", async || Ok(running().await? > 0)).await?;
    ensure!(running().await? == 1, "two stages run on one GPU");
    let mut held = Vec::new();
    for name in both {
        let status = scenario.reaches(name, condition::COMPLETE).await?;
        let stage = status.stage("pt").with_context(|| format!("{status:?}"))?;
        ensure!((stage.attempt, costs(stage)) == (1, (0, 0, 0)), "{name}: {stage:?}");
        let [pod] =
            scenario.pods_of(&format!("{name}-pt-1")).await?.try_into().map_err(|pods| anyhow::anyhow!("{pods:?}"))?;
        ensure!(limit(&pod).as_deref() == Some("1"), "{:?}", pod.spec);
        held.push(time_of(&pod)?);
    }
    held.sort();
    ensure!(held[0].1 <= held[1].0, "both held the GPU: {held:?}");

    let small =
        scenario.api::<Pod>().list(&ListParams::default().labels("app.kubernetes.io/component=preflight")).await?;
    ensure!(small.items.len() == 2, "{} preflight pods", small.items.len());
    ensure!(small.items.iter().all(|pod| limit(pod).is_none()), "preflight takes a GPU");
    Ok(())
}

fn is(status: &MedicalTrainingStatus, state: StageState) -> bool {
    status.stage("pt").is_some_and(|stage| stage.state == state)
}

/// GPUs of a pod's container.
fn limit(pod: &Pod) -> Option<String> {
    let resources = pod.spec.as_ref()?.containers.first()?.resources.as_ref()?;
    Some(resources.limits.as_ref()?.get(GPU)?.0.clone())
}

/// When a pod's container began and ended.
fn time_of(pod: &Pod) -> Result<(Timestamp, Timestamp)> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let ended = statuses.iter().find_map(|status| status.state.as_ref()?.terminated.as_ref());
    let times = ended.and_then(|ended| Some((ended.started_at.as_ref()?.0, ended.finished_at.as_ref()?.0)));
    times.with_context(|| format!("{:?}", pod.status))
}
