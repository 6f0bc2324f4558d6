//! The trainer's image in restricted pods, without an operator: what a pod does must be what the same program does here.
//!
//! Tests in `host` reach into the node's machine and run only on our own cluster.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Api, api::EvictParams};
use medtrain_crds::contract::PlanRef;
use medtrain_e2e::{Scenario, outcome, training};
use serde_json::Value;

const STAGES: [&str; 4] = ["pt", "sft", "rm", "ppo"];
/// Where the pods write, in the scenario's part of the store.
const PODS: &str = "pods";

/// The tiny training, with these of its stages. A stage alone is long enough to be disturbed.
fn tiny(scenario: &Scenario, output: &str, stages: &[&str]) -> Value {
    match stages {
        ["pt"] => training::long(&scenario.env, &scenario.store, "tiny", output),
        stages => training::of_stages(&scenario.env, &scenario.store, "tiny", output, stages),
    }
}

async fn assert_same_as_here(scenario: &Scenario, stages: &[&str]) -> Result<()> {
    outcome::assert_same_as_here(scenario, &tiny(scenario, PODS, stages), PODS).await
}

async fn plan(scenario: &Scenario, stages: &[&str]) -> Result<PlanRef> {
    let answer = scenario.preflight("plan", &tiny(scenario, PODS, stages)).await?;
    answer.plan.with_context(|| format!("{}: {:?}", answer.reason, answer.errors))
}

/// Starts the first stage and waits until it has written a checkpoint; returns the pod, which is still at work.
async fn pod_with_a_checkpoint(scenario: &Scenario) -> Result<Pod> {
    let plan = plan(scenario, &["pt"]).await?;
    scenario.start_stage("pt", &plan, "pt").await?;
    scenario.pod_with_a_checkpoint("pt", PODS, "pt").await
}

/// The stage was finished by another pod than `first`, with the bytes of an undisturbed run.
async fn assert_finished_by_another_pod(scenario: &Scenario, first: &Pod) -> Result<()> {
    scenario.wait::<Job>("pt", "Complete").await?;
    let last = scenario.pods_of("pt").await?.pop().context("the Job has no pod")?;
    ensure!(last.metadata.uid != first.metadata.uid, "the pod finished before it was disturbed");
    assert_same_as_here(scenario, &["pt"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn four_stages_in_pods_write_the_bytes_of_a_run_on_this_machine() -> Result<()> {
    let scenario = Scenario::begin("chain").await?;
    let plan = plan(&scenario, &STAGES).await?;
    for stage in STAGES {
        scenario.start_stage(stage, &plan, stage).await?;
        scenario.wait::<Job>(stage, "Complete").await?;
    }
    assert_same_as_here(&scenario, &STAGES).await?;
    scenario.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evicted_pod_checkpoints_and_the_next_one_ends_with_the_same_bytes() -> Result<()> {
    let scenario = Scenario::begin("evict").await?;
    let pod = pod_with_a_checkpoint(&scenario).await?;
    let pods: Api<Pod> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    pods.evict(pod.metadata.name.as_deref().unwrap_or_default(), &EvictParams::default()).await?;
    assert_finished_by_another_pod(&scenario, &pod).await?;
    scenario.end().await
}

mod host {
    use medtrain_e2e::host;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_killed_trainer_leaves_a_checkpoint_and_the_next_pod_ends_with_the_same_bytes() -> Result<()> {
        let scenario = Scenario::begin("kill").await?;
        let pod = pod_with_a_checkpoint(&scenario).await?;
        host::signal("KILL", host::pid_of(&pod)?)?;
        assert_finished_by_another_pod(&scenario, &pod).await?;
        scenario.end().await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_audit_log_counts_who_created_what() -> Result<()> {
        let scenario = Scenario::begin("audit").await?;
        plan(&scenario, &["pt"]).await?;
        let created = |resource: &str| {
            host::count_requests(|entry| {
                let about = &entry["objectRef"];
                entry["verb"] == "create" && about["namespace"] == *scenario.namespace && about["resource"] == resource
            })
        };
        // The pod is the Job controller's, a part of the cluster.
        assert_eq!((created("jobs")?, created("configmaps")?, created("pods")?), (1, 1, 0));
        scenario.end().await
    }
}
