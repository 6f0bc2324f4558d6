//! What befalls a stage's pod, what that costs the training, and that it changes no bit of the result. Each test is a
//! row of the table in README.md; those that take the node's kubelet away are in `serial`.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, EvictParams},
};
use medtrain_crds::{contract::Reason, k8s::MedicalTraining, training::status::StageStatus};
use medtrain_e2e::{
    Scenario,
    disruption::{Cost, STAGE},
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_evicted_pod_is_replaced_within_its_attempt() -> Result<()> {
    let scenario = Scenario::begin("evicted").await?;
    let pod = scenario.start_to_disturb("evicted", json!({})).await?;
    scenario.api::<Pod>().evict(&pod.name_any(), &EvictParams::default()).await?;
    scenario.assert_disturbed("evicted", &pod, Cost::ANOTHER_POD, &[&[]]).await?;
    scenario.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pod_is_replaced_within_its_attempt() -> Result<()> {
    let scenario = Scenario::begin("deleted").await?;
    let pod = scenario.start_to_disturb("deleted", json!({})).await?;
    scenario.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default()).await?;
    scenario.assert_disturbed("deleted", &pod, Cost::ANOTHER_POD, &[&[]]).await?;
    scenario.end().await
}

/// tests/e2e/run.sh lets an attempt be disrupted three times.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_disrupted_too_often_is_charged_and_the_next_one_goes_on() -> Result<()> {
    let scenario = Scenario::begin("unlucky").await?;
    let mut pod = scenario.start_to_disturb("unlucky", json!({})).await?;
    for disruptions in 1..=3 {
        scenario.api::<Pod>().evict(&pod.name_any(), &EvictParams::default()).await?;
        // One that the operator did not see would not be counted.
        let counted = |stage: &StageStatus| stage.infra_restarts == disruptions;
        scenario.stage_until("unlucky", STAGE, "a replaced pod in its count", counted).await?;
        if disruptions < 3 {
            pod = scenario.pod_with_a_checkpoint(&format!("unlucky-{STAGE}-1"), "unlucky", STAGE).await?;
        }
    }
    scenario.wait::<MedicalTraining>("unlucky", "Complete").await?;
    scenario.assert_result("unlucky").await?;
    let cost = Cost { replaced: 3, ..Cost::CHARGED_ATTEMPT };
    scenario.assert_cost("unlucky", cost, &[&[Reason::TooManyDisruptions]]).await?;
    scenario.end().await
}

mod host {
    use medtrain_e2e::host;

    use super::*;

    /// The pod has mostly gone when its Job has failed, and the store is asked.
    const UNSEEN: &[&[Reason]] = &[&[Reason::OutcomeUnknown], &[Reason::Disrupted]];

    /// By force it has no time to write a checkpoint, if its process is not at work on one just then: it is stopped.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_pod_deleted_by_force_is_not_charged() -> Result<()> {
        let scenario = Scenario::begin("forced").await?;
        let pod = scenario.start_to_disturb("forced", json!({})).await?;
        host::signal("STOP", host::pid_of(&pod)?)?;
        scenario.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
        scenario.assert_disturbed("forced", &pod, Cost::UNCHARGED_ATTEMPT, UNSEEN).await?;
        scenario.end().await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_pod_that_outlives_its_grace_and_is_killed_is_not_charged() -> Result<()> {
        let scenario = Scenario::begin("overrun").await?;
        let pod = scenario.start_to_disturb("overrun", json!({})).await?;
        host::signal("STOP", host::pid_of(&pod)?)?;
        scenario.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default().grace_period(3)).await?;
        scenario.assert_disturbed("overrun", &pod, Cost::UNCHARGED_ATTEMPT, UNSEEN).await?;
        scenario.end().await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_trainer_killed_while_nobody_deletes_its_pod_is_charged() -> Result<()> {
        let scenario = Scenario::begin("killed").await?;
        let pod = scenario.start_to_disturb("killed", json!({})).await?;
        host::signal("KILL", host::pid_of(&pod)?)?;
        scenario.assert_disturbed("killed", &pod, Cost::CHARGED_ATTEMPT, &[&[Reason::Killed]]).await?;
        scenario.end().await
    }
}
