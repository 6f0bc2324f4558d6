//! MedicalTrainings, run by the operator that the chart has installed under its own rights.

use anyhow::{Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use medtrain_crds::k8s::MedicalTraining;
use medtrain_e2e::{Scenario, training};
use serde_json::{Value, json};

async fn apply(scenario: &Scenario, training: &Value) -> Result<Api<MedicalTraining>> {
    let trainings: Api<MedicalTraining> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    trainings.create(&PostParams::default(), &serde_json::from_value(training.clone())?).await?;
    Ok(trainings)
}

/// Names of the stages' Jobs; those of preflights and probes are left out.
async fn stage_jobs(scenario: &Scenario) -> Result<Vec<String>> {
    let jobs: Api<Job> = Api::namespaced(scenario.client.clone(), &scenario.namespace);
    let found = jobs.list(&ListParams::default().labels("app.kubernetes.io/component=stage")).await?;
    Ok(found.items.into_iter().filter_map(|job| job.metadata.name).collect())
}

async fn assert_states(trainings: &Api<MedicalTraining>, name: &str, state: &str) -> Result<()> {
    let status = serde_json::to_value(trainings.get(name).await?.status)?;
    let stages = status["stages"].as_array().cloned().unwrap_or_default();
    ensure!(stages.len() == 4 && stages.iter().all(|stage| stage["state"] == state), "{name}: {stages:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_runs_its_four_stages_and_one_of_the_same_work_takes_them_from_the_store() -> Result<()> {
    let scenario = Scenario::begin("operator").await?;
    let first = training::tiny(&scenario.env, &scenario.store, "first", "out");
    let trainings = apply(&scenario, &first).await?;
    scenario.wait::<MedicalTraining>("first", "Complete").await?;
    assert_states(&trainings, "first", "Succeeded").await?;
    let mut jobs = stage_jobs(&scenario).await?;
    jobs.sort();
    ensure!(jobs == ["first-ppo-1", "first-pt-1", "first-rm-1", "first-sft-1"], "{jobs:?}");

    let mut second = first.clone();
    second["metadata"]["name"] = "second".into();
    apply(&scenario, &second).await?;
    scenario.wait::<MedicalTraining>("second", "Complete").await?;
    assert_states(&trainings, "second", "Cached").await?;
    ensure!(stage_jobs(&scenario).await?.len() == 4, "a finished stage ran again");

    let files = scenario.store.list("out/stages").await?.len();
    trainings.delete("first", &DeleteParams::default()).await?;
    scenario.until("the end of first's Jobs", async || Ok(stage_jobs(&scenario).await?.is_empty())).await?;
    ensure!(scenario.store.list("out/stages").await?.len() == files, "deleting a training removed artifacts");
    scenario.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_data_fails_a_training_before_any_stage_has_a_job() -> Result<()> {
    let scenario = Scenario::begin("missing").await?;
    let mut training = training::tiny(&scenario.env, &scenario.store, "missing", "out");
    training["spec"]["stages"][1]["dataset"] = json!({"train": [scenario.store.uri("data/nowhere.jsonl")]});
    let trainings = apply(&scenario, &training).await?;
    scenario.wait::<MedicalTraining>("missing", "Failed").await?;
    let status = serde_json::to_value(trainings.get("missing").await?.status)?;
    let said = status["conditions"].to_string();
    ensure!(said.contains("stages[1].dataset.train") && said.contains("nowhere.jsonl"), "{said}");
    ensure!(stage_jobs(&scenario).await?.is_empty(), "a stage was started");
    scenario.end().await
}
