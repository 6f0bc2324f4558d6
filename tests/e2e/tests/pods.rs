//! The trainer's image in restricted pods, without an operator: what a pod does must be what the same program does here.
//!
//! Tests in `host` reach into the node's machine and run only on our own cluster.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use medtrain_crds::contract::PlanRef;
use medtrain_e2e::{Scenario, training};
use serde_json::Value;

const STAGES: [&str; 4] = ["pt", "sft", "rm", "ppo"];

/// The files of a finished stage that must not depend on where it ran, and the stage's key.
async fn result(
    scenario: &Scenario,
    output: &str,
    namespace: &str,
    name: &str,
    stage: &str,
) -> Result<(Value, Vec<Vec<u8>>)> {
    let pointer = scenario.store.json(&format!("{output}/trainings/{namespace}.{name}/{stage}.json")).await?;
    let stages = scenario.store.list(&format!("{output}/stages")).await?;
    let manifest = stages.iter().find(|path| {
        path.contains(&format!("/{stage}-")) && path.ends_with("/manifest.json") && !path.contains("/checkpoints/")
    });
    let manifest = manifest.with_context(|| format!("{output} has no manifest of {stage}: {pointer}"))?;
    let key = scenario.store.json(manifest).await?["key"].clone();
    let mut files = Vec::new();
    for file in ["adapter/adapter_model.safetensors", "adapter/adapter_config.json"] {
        let path = stages.iter().find(|path| path.contains(&format!("/{stage}-")) && path.ends_with(file));
        files.push(
            scenario.store.get(path.with_context(|| format!("{output}: {stage} has no {file}"))?).await?.to_vec(),
        );
    }
    Ok((key, files))
}

async fn plan_in_a_pod(scenario: &Scenario, training: &Value) -> Result<PlanRef> {
    let answer = scenario.preflight("plan", training).await?;
    answer.plan.with_context(|| format!("{}: {:?}", answer.reason, answer.errors))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make e2e"]
async fn four_stages_in_pods_write_the_bytes_of_a_run_on_this_machine() -> Result<()> {
    let scenario = Scenario::begin("chain").await?;
    let training = training::tiny(&scenario.env, &scenario.store, "tiny", "pods");
    let plan = plan_in_a_pod(&scenario, &training).await?;
    for stage in STAGES {
        scenario.start_stage(stage, &plan, stage).await?;
        scenario.wait::<Job>(stage, "Complete").await?;
    }
    let here = training::tiny(&scenario.env, &scenario.store, "tiny", "here");
    training::run_here(&scenario.env, &here).await?;
    for stage in STAGES {
        let pods = result(&scenario, "pods", "default", "tiny", stage).await?;
        let here = result(&scenario, "here", "default", "tiny", stage).await?;
        ensure!(pods.0 == here.0, "{stage} has key {} in pods, {} here", pods.0, here.0);
        for (pods, here) in pods.1.iter().zip(&here.1) {
            ensure!(
                pods == here,
                "{stage} wrote other bytes in pods:\n{}\n{}",
                String::from_utf8_lossy(&pods[..pods.len().min(400)]),
                String::from_utf8_lossy(&here[..here.len().min(400)])
            );
        }
    }
    scenario.end().await
}
