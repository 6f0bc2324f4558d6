//! The whole of it once: a training's four stages by the operator that the chart has installed under its own rights, the
//! same work taken from the store, and what stays when the training goes.

use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use medtrain_crds::{
    k8s::MedicalTraining,
    training::status::{StageState, condition},
};
use medtrain_e2e::{Scenario, training};

const STAGES: usize = 4;

async fn assert_states(scenario: &Scenario, name: &str, state: StageState) -> Result<()> {
    let stages = scenario.reaches(name, condition::COMPLETE).await?.stages;
    ensure!(stages.len() == STAGES && stages.iter().all(|stage| stage.state == state), "{name}: {stages:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_runs_its_four_stages_and_one_of_the_same_work_takes_them_from_the_store() -> Result<()> {
    let scenario = Scenario::begin("operator").await?;
    let first = training::tiny(&scenario.env, &scenario.store, "first", "out");
    scenario.apply(&first).await?;
    assert_states(&scenario, "first", StageState::Succeeded).await?;
    let mut jobs = scenario.jobs_of("stage").await?;
    jobs.sort();
    ensure!(jobs == ["first-ppo-1", "first-pt-1", "first-rm-1", "first-sft-1"], "{jobs:?}");

    let mut second = first.clone();
    second["metadata"]["name"] = "second".into();
    scenario.apply(&second).await?;
    assert_states(&scenario, "second", StageState::Cached).await?;
    ensure!(scenario.jobs_of("stage").await?.len() == STAGES, "a finished stage ran again");

    let files = scenario.store.list("out/stages").await?.len();
    scenario.api::<MedicalTraining>().delete("first", &DeleteParams::default()).await?;
    scenario.until("the end of first's Jobs", async || Ok(scenario.jobs_of("stage").await?.is_empty())).await?;
    ensure!(scenario.store.list("out/stages").await?.len() == files, "deleting a training removed artifacts");
    scenario.end().await
}
