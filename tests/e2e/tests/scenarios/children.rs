//! What others do to the operator's Jobs, pods and ConfigMaps: deleted, edited, or there under its names.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::api::{DeleteParams, PropagationPolicy};
use medtrain_crds::training::status::{MedicalTrainingStatus, StageState, StageStatus, condition};
use medtrain_e2e::{
    Scenario,
    operated::{checkpoint, costs, has_a_checkpoint, is_degraded_for},
    outcome, training,
};
use serde_json::{Value, json};

/// Where the trainings write, in their scenario's part of the store.
const OUTPUT: &str = "pods";

async fn uid_of_config_map(scenario: &Scenario, name: &str) -> Result<Option<String>> {
    Ok(scenario.api::<ConfigMap>().get_opt(name).await?.and_then(|map| map.metadata.uid))
}

#[tokio::test(flavor = "multi_thread")]
async fn children_deleted_or_edited_by_hand_cost_no_attempt_of_the_budget_and_no_byte() -> Result<()> {
    let scenario = Scenario::begin("hand").await?;
    let training = training::long(&scenario.env, &scenario.store, "hand", OUTPUT);
    scenario.apply(&training).await?;
    scenario.stage_until("hand", "pt", "a checkpoint", has_a_checkpoint).await?;

    // A ConfigMap is made again while its Job lives.
    let maps = scenario.api::<ConfigMap>();
    let old = maps.get("hand-pt-1").await?;
    maps.delete("hand-pt-1", &DeleteParams::default()).await?;
    scenario
        .until("new ConfigMap hand-pt-1", async || {
            let uid = uid_of_config_map(&scenario, "hand-pt-1").await?;
            Ok(uid.is_some() && uid != old.metadata.uid)
        })
        .await?;
    let new = maps.get("hand-pt-1").await?;
    ensure!((&new.data, new.immutable) == (&old.data, Some(true)), "{new:?}");
    ensure!(new.metadata.owner_references == old.metadata.owner_references, "{new:?}");

    // An edit is reported, and not repaired.
    scenario.patch::<Job>("hand-pt-1", json!({"spec": {"activeDeadlineSeconds": 3600}})).await?;
    let edited = |status: &MedicalTrainingStatus| is_degraded_for(status, "JobEdited");
    let status = scenario.status_until("hand", "a report of the edit", edited).await?;
    let stage = status.stage("pt").context("no stage pt")?;
    ensure!(stage.state == StageState::Running && stage.message.contains("activeDeadlineSeconds"), "{stage:?}");
    let spec = scenario.api::<Job>().get("hand-pt-1").await?.spec.unwrap_or_default();
    ensure!(spec.active_deadline_seconds == Some(3600), "the edit was undone");
    scenario.patch::<Job>("hand-pt-1", json!({"spec": {"activeDeadlineSeconds": null}})).await?;
    let fine = |status: &MedicalTrainingStatus| !status.is(condition::DEGRADED);
    scenario.status_until("hand", "the end of the trouble", fine).await?;

    // A pod is replaced within its Job.
    let [pod] = scenario.live_stage_pods().await?.try_into().map_err(|pods| anyhow::anyhow!("{pods:?}"))?;
    let name = pod.metadata.name.unwrap_or_default();
    scenario.api::<Pod>().delete(&name, &DeleteParams::default()).await?;
    let replaced = |stage: &StageStatus| costs(stage).2 == 1 && stage.state == StageState::Running;
    let before = scenario.status("hand").await?;
    let stage = scenario.stage_until("hand", "pt", "another pod", replaced).await?;
    ensure!((stage.attempt, costs(&stage)) == (1, (0, 0, 1)), "{stage:?}");

    // A Job: the store is asked how it ended, then the next attempt follows.
    let old = before.stage("pt").and_then(checkpoint);
    scenario.stage_until("hand", "pt", "a checkpoint of the other pod", |stage| checkpoint(stage) > old).await?;
    scenario.api::<Job>().delete("hand-pt-1", &DeleteParams::background()).await?;
    let next = |stage: &StageStatus| stage.attempt == 2 && stage.state == StageState::Running;
    scenario.stage_until("hand", "pt", "another attempt", next).await?;
    let small = scenario.jobs_of("preflight").await?;
    ensure!(small.iter().any(|name| name == "hand-pt-1-probe1"), "the store was not asked: {small:?}");

    let status = scenario.reaches("hand", condition::COMPLETE).await?;
    let stage = status.stage("pt").context("no stage pt")?;
    ensure!((stage.attempt, costs(stage)) == (2, (0, 1, 1)), "{stage:?}");
    ensure!(outcome::runs(&scenario.store, OUTPUT, "pt").await? == 3, "a pod began anew");
    outcome::assert_same_as_here(&scenario, &training, OUTPUT).await?;
    scenario.end().await
}

/// So does a client that names no policy, and `kubectl delete job --cascade=orphan`.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_its_deleted_job_left_behind_is_ended_before_the_next_attempt() -> Result<()> {
    let scenario = Scenario::begin("orphan").await?;
    let training = training::long(&scenario.env, &scenario.store, "orphan", OUTPUT);
    scenario.apply(&training).await?;
    scenario.stage_until("orphan", "pt", "a checkpoint", has_a_checkpoint).await?;
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..Default::default() };
    scenario.api::<Job>().delete("orphan-pt-1", &orphan).await?;

    let next = |stage: &StageStatus| stage.attempt == 2 && stage.state == StageState::Running;
    scenario.stage_until("orphan", "pt", "another attempt", next).await?;
    let pods = scenario.live_stage_pods().await?;
    ensure!(pods.len() == 1, "two pods are at work: {:?}", pods.iter().map(|pod| &pod.metadata).collect::<Vec<_>>());
    let status = scenario.reaches("orphan", condition::COMPLETE).await?;
    let stage = status.stage("pt").context("no stage pt")?;
    ensure!((stage.attempt, costs(stage)) == (2, (0, 1, 0)), "{stage:?}");
    outcome::assert_same_as_here(&scenario, &training, OUTPUT).await?;
    scenario.end().await
}

/// A Job of someone else; it makes no pods.
fn foreign_job(name: &str) -> Value {
    let container = json!({"name": "other", "image": "none"});
    let pod = json!({"restartPolicy": "Never", "containers": [container]});
    json!({"metadata": {"name": name}, "spec": {"suspend": true, "template": {"spec": pod}}})
}

/// Waits for the conflict, sees that what others own is left alone, and takes it away.
async fn assert_conflict<K>(
    scenario: &Scenario,
    name: &str,
    message: impl Fn(&MedicalTrainingStatus) -> String,
) -> Result<()>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    let conflict =
        |status: &MedicalTrainingStatus| is_degraded_for(status, "NameConflict") && message(status).contains(name);
    let status = scenario.status_until("names", &format!("a conflict about {name}"), conflict).await?;
    let kind = K::kind(&());
    ensure!(message(&status).contains(&*kind), "{}", message(&status));
    let found = scenario.api::<K>().get(name).await?;
    ensure!(found.meta().owner_references.is_none() && found.meta().deletion_timestamp.is_none(), "{found:?}");
    scenario.api::<K>().delete(name, &DeleteParams::background()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_a_name_of_ours_is_left_alone_and_waited_for() -> Result<()> {
    let scenario = Scenario::begin("names").await?;
    let mut training = training::of_stages(&scenario.env, &scenario.store, "names", OUTPUT, &["pt", "sft"]);
    training["spec"]["suspend"] = true.into();
    scenario.apply(&training).await?;
    let status = scenario.reaches("names", condition::SUSPENDED).await?;
    let plan = format!("names-plan-{}", status.preflight.context("no preflight")?.hash);
    scenario.create::<Job>(foreign_job(&plan)).await?;
    scenario.create::<Job>(foreign_job("names-pt-1")).await?;
    scenario.create::<ConfigMap>(json!({"metadata": {"name": "names-sft-1"}, "data": {"mine": "1"}})).await?;
    training["spec"]["suspend"] = false.into();
    scenario.apply(&training).await?;

    let of_stage = |name: &'static str| {
        move |status: &MedicalTrainingStatus| status.stage(name).map(|stage| stage.message.clone()).unwrap_or_default()
    };
    let of_preflight = |status: &MedicalTrainingStatus| {
        status.preflight.as_ref().map(|preflight| preflight.message.clone()).unwrap_or_default()
    };
    assert_conflict::<Job>(&scenario, &plan, of_preflight).await?;
    assert_conflict::<Job>(&scenario, "names-pt-1", of_stage("pt")).await?;
    assert_conflict::<ConfigMap>(&scenario, "names-sft-1", of_stage("sft")).await?;
    let status = scenario.reaches("names", condition::COMPLETE).await?;
    for stage in &status.stages {
        ensure!((stage.attempt, costs(stage)) == (1, (0, 0, 0)), "{stage:?}");
    }
    scenario.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_job_whose_pod_is_gone_is_looked_up_in_the_store() -> Result<()> {
    let scenario = Scenario::begin("unseen").await?;
    let training = training::of_stages(&scenario.env, &scenario.store, "unseen", OUTPUT, &["pt", "sft"]);
    scenario.apply(&training).await?;
    // Without this label the operator does not see the pod, so that it is gone, to the operator, before it ends.
    let pod = async || Ok::<_, anyhow::Error>(scenario.pods_of("unseen-pt-1").await?.pop());
    scenario.until("pod of unseen-pt-1", async || Ok(pod().await?.is_some())).await?;
    let name = pod().await?.and_then(|pod| pod.metadata.name).context("the pod is gone")?;
    scenario.patch::<Pod>(&name, json!({"metadata": {"labels": {"medtrain.io/training-uid": null}}})).await?;
    scenario.wait::<Job>("unseen-pt-1", "Complete").await?;
    scenario.api::<Pod>().delete(&name, &DeleteParams::default()).await?;

    let done = |stage: &StageStatus| stage.state.is_done();
    let stage = scenario.stage_until("unseen", "pt", "the end", done).await?;
    ensure!(stage.message == "its manifest was found in the store", "the pod was seen: {stage:?}");
    ensure!((stage.attempt, costs(&stage)) == (1, (0, 1, 0)), "{stage:?}");
    let small = scenario.jobs_of("preflight").await?;
    ensure!(small.iter().any(|name| name == "unseen-pt-1-probe1"), "the store was not asked: {small:?}");
    // What was found serves as an input like what was told.
    scenario.reaches("unseen", condition::COMPLETE).await?;
    ensure!(scenario.jobs_of("stage").await? == ["unseen-pt-1", "unseen-sft-1"], "a stage ran twice");
    scenario.end().await
}
