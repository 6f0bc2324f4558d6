//! The trainer's image in restricted pods, without an operator: what a pod does must be what the same program does here.
//!
//! Tests in `host` reach into the node's machine and run only on our own cluster.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Api, api::EvictParams};
use medtrain_crds::contract::PlanRef;
use medtrain_e2e::{Scenario, training};
use serde_json::Value;

const STAGES: [&str; 4] = ["pt", "sft", "rm", "ppo"];
/// Where the pods write and where the run on this machine does, in the scenario's part of the store.
const PODS: &str = "pods";
const HERE: &str = "here";
/// Steps of a stage that a test disturbs.
const LONG: u64 = 1000;

/// What must not depend on where a stage ran or how often it was interrupted.
#[derive(Debug, PartialEq)]
struct Outcome {
    key: Value,
    adapter: Vec<u8>,
    adapter_config: String,
}

async fn outcome(scenario: &Scenario, output: &str, stage: &str) -> Result<Outcome> {
    let files = scenario.store.list(&format!("{output}/stages")).await?;
    let own = || files.iter().filter(|path| path.starts_with(&format!("{output}/stages/{stage}-")));
    let one = |end: &str| {
        let found = own().find(|path| path.ends_with(end) && !path.contains("/checkpoints/"));
        found.with_context(|| format!("{output}: stage {stage} left no {end}"))
    };
    Ok(Outcome {
        key: scenario.store.json(one("/manifest.json")?).await?["key"].clone(),
        adapter: scenario.store.get(one("/adapter/adapter_model.safetensors")?).await?.to_vec(),
        adapter_config: String::from_utf8(scenario.store.get(one("/adapter/adapter_config.json")?).await?.to_vec())?,
    })
}

/// The tiny training, with these of its stages. A stage alone is long enough to be disturbed.
fn tiny(scenario: &Scenario, output: &str, stages: &[&str]) -> Value {
    let mut training = training::tiny(&scenario.env, &scenario.store, "tiny", output);
    if let Some(all) = training["spec"]["stages"].as_array_mut() {
        all.retain(|stage| stages.iter().any(|name| stage["name"] == *name));
        if let [alone] = all.as_mut_slice() {
            alone["train"]["maxSteps"] = LONG.into();
            alone["train"]["saveSteps"] = (LONG / 50).into();
        }
    }
    training
}

/// Compares what pods wrote with what a run on this machine writes.
async fn assert_same_as_here(scenario: &Scenario, stages: &[&str]) -> Result<()> {
    let here = tiny(scenario, HERE, stages);
    training::run_here(&scenario.env, &here).await?;
    for stage in stages {
        let [pods, here] = [outcome(scenario, PODS, stage).await?, outcome(scenario, HERE, stage).await?];
        ensure!(pods.key == here.key, "{stage}: key {} in pods, {} here", pods.key, here.key);
        ensure!(pods.adapter == here.adapter, "{stage}: pods wrote other weights");
        ensure!(
            without_run(&pods.adapter_config) == without_run(&here.adapter_config),
            "{stage}: adapter_config.json\n{}\nin pods, here\n{}",
            pods.adapter_config,
            here.adapter_config
        );
    }
    Ok(())
}

/// The base's path holds the run that wrote it (`attempt-1-<run8>`).
fn without_run(config: &str) -> String {
    let part = |part: &str| if part.starts_with("attempt-") { "attempt".to_owned() } else { part.to_owned() };
    config.split('/').map(part).collect::<Vec<_>>().join("/")
}

async fn plan(scenario: &Scenario, stages: &[&str]) -> Result<PlanRef> {
    let answer = scenario.preflight("plan", &tiny(scenario, PODS, stages)).await?;
    answer.plan.with_context(|| format!("{}: {:?}", answer.reason, answer.errors))
}

/// Starts the first stage and waits until it has written a checkpoint; returns the pod, which is still at work.
async fn pod_with_a_checkpoint(scenario: &Scenario) -> Result<Pod> {
    let plan = plan(scenario, &["pt"]).await?;
    scenario.start_stage("pt", &plan, "pt").await?;
    let checkpoint = |path: &String| path.contains("/checkpoints/") && path.ends_with("/manifest.json");
    let stages = format!("{PODS}/stages");
    scenario.until("checkpoint of pt", async || Ok(scenario.store.list(&stages).await?.iter().any(checkpoint))).await?;
    // The status may come later than the checkpoint.
    let started = |pod: &Pod| pod.status.as_ref()?.container_statuses.as_ref()?.first()?.container_id.clone();
    let last = async || Ok::<_, anyhow::Error>(scenario.pods_of("pt").await?.pop());
    scenario.until("container of pt", async || Ok(last().await?.as_ref().and_then(started).is_some())).await?;
    last().await?.context("the pod is gone")
}

/// The stage was finished by another pod than `first`, with the bytes of an undisturbed run.
async fn assert_finished_by_another_pod(scenario: &Scenario, first: &Pod) -> Result<()> {
    scenario.wait::<Job>("pt", "Complete").await?;
    let last = scenario.pods_of("pt").await?.pop().context("the Job has no pod")?;
    ensure!(last.metadata.uid != first.metadata.uid, "the pod finished before it was disturbed");
    assert_same_as_here(scenario, &["pt"]).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
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
#[ignore = "needs a cluster: make e2e"]
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
    #[ignore = "needs a cluster: make e2e"]
    async fn a_killed_trainer_leaves_a_checkpoint_and_the_next_pod_ends_with_the_same_bytes() -> Result<()> {
        let scenario = Scenario::begin("kill").await?;
        let pod = pod_with_a_checkpoint(&scenario).await?;
        host::signal("KILL", host::pid_of(&pod)?)?;
        assert_finished_by_another_pod(&scenario, &pod).await?;
        scenario.end().await
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs a cluster: make e2e"]
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
