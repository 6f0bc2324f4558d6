//! What users and queues do with a training while it runs and afterwards: suspend, resume, edit, retry, delete, fork.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::api::DeleteParams;
use medtrain_crds::{
    k8s::MedicalTraining,
    training::status::{MedicalTrainingStatus, StageState, StageStatus, condition},
};
use medtrain_e2e::{
    Scenario,
    operated::{costs, has_a_checkpoint},
    outcome, training,
};
use serde_json::{Value, json};

/// Where the trainings write, in their scenario's part of the store.
const OUTPUT: &str = "pods";

fn stage<'a>(status: &'a MedicalTrainingStatus, name: &str) -> Result<&'a StageStatus> {
    status.stage(name).with_context(|| format!("no stage {name} in {status:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_training_runs_nothing_and_goes_on_from_its_checkpoint() -> Result<()> {
    let scenario = Scenario::begin("suspend").await?;
    let mut training = training::long(&scenario.env, &scenario.store, "rest", OUTPUT);
    scenario.apply(&training).await?;
    scenario.stage_until("rest", "pt", "a checkpoint", has_a_checkpoint).await?;

    training["spec"]["suspend"] = true.into();
    scenario.apply(&training).await?;
    scenario.reaches("rest", condition::SUSPENDED).await?;
    ensure!(scenario.jobs_of("stage").await?.is_empty(), "a Job is left");
    ensure!(scenario.live_stage_pods().await?.is_empty(), "a pod runs");
    let status = scenario.status("rest").await?;
    ensure!(status.summary.is_some_and(|summary| summary.state == "Suspended"), "kubectl get shows something else");

    training["spec"]["suspend"] = false.into();
    scenario.apply(&training).await?;
    let status = scenario.reaches("rest", condition::COMPLETE).await?;
    let pt = stage(&status, "pt")?;
    ensure!((pt.attempt, costs(pt)) == (2, (0, 1, 0)), "{pt:?}");
    ensure!(outcome::runs(&scenario.store, OUTPUT, "pt").await? == 2, "the second attempt began anew");
    outcome::assert_same_as_here(&scenario, &training, OUTPUT).await?;
    scenario.end().await
}

/// Kueue admits a Job by `suspend: false` and takes it back by `suspend: true`.
async fn set_suspend(scenario: &Scenario, job: &str, suspend: bool) -> Result<()> {
    scenario.patch::<Job>(job, json!({"spec": {"suspend": suspend}})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_may_hold_release_and_take_back_a_job_and_nothing_is_charged() -> Result<()> {
    const QUEUE: &str = "kueue.x-k8s.io/queue-name";
    let scenario = Scenario::begin("queue").await?;
    let mut training = training::long(&scenario.env, &scenario.store, "queued", OUTPUT);
    training["spec"]["queueName"] = "research".into();
    scenario.apply(&training).await?;
    let queued = |stage: &StageStatus| stage.state == StageState::Queued;
    scenario.stage_until("queued", "pt", "a place in the queue", queued).await?;
    let jobs = scenario.api::<Job>();
    let job = jobs.get("queued-pt-1").await?;
    let label = |job: &Job| job.metadata.labels.as_ref().and_then(|labels| labels.get(QUEUE).cloned());
    ensure!(label(&job).as_deref() == Some("research"), "{:?}", job.metadata);
    for small in scenario.jobs_of("preflight").await? {
        ensure!(label(&jobs.get(&small).await?).is_none(), "preflight waits in the queue");
    }
    ensure!(scenario.live_stage_pods().await?.is_empty(), "a pod runs before the queue has released its Job");

    set_suspend(&scenario, "queued-pt-1", false).await?;
    scenario.stage_until("queued", "pt", "a checkpoint", has_a_checkpoint).await?;
    let [pod] = scenario.live_stage_pods().await?.try_into().map_err(|pods| anyhow::anyhow!("{pods:?}"))?;
    let annotations = pod.metadata.annotations.unwrap_or_default();
    for (name, value) in
        [("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true")]
    {
        ensure!(annotations.get(name).is_some_and(|found| found == value), "{name}: {annotations:?}");
    }

    set_suspend(&scenario, "queued-pt-1", true).await?;
    scenario.stage_until("queued", "pt", "a place in the queue again", queued).await?;
    scenario
        .until("end of the pod that was taken back", async || Ok(scenario.live_stage_pods().await?.is_empty()))
        .await?;
    let status = scenario.status("queued").await?;
    ensure!(!status.is(condition::DEGRADED) && !status.is(condition::FAILED), "{:?}", status.conditions);

    set_suspend(&scenario, "queued-pt-1", false).await?;
    let status = scenario.reaches("queued", condition::COMPLETE).await?;
    let pt = stage(&status, "pt")?;
    ensure!((pt.attempt, costs(pt)) == (1, (0, 0, 0)), "{pt:?}");
    ensure!(outcome::runs(&scenario.store, OUTPUT, "pt").await? == 2, "the second pod began anew");
    scenario.end().await
}

/// Names and states of the stages.
fn states(status: &MedicalTrainingStatus) -> Vec<(&str, StageState)> {
    status.stages.iter().map(|stage| (stage.name.as_str(), stage.state)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_not_run_again_by_an_edit_a_fork_or_a_new_beginning() -> Result<()> {
    use StageState::{Cached, Succeeded};
    let scenario = Scenario::begin("edit").await?;
    let mut first = training::tiny(&scenario.env, &scenario.store, "first", OUTPUT);
    scenario.apply(&first).await?;
    let before = scenario.reaches("first", condition::COMPLETE).await?;

    first["spec"]["stages"][3]["train"]["learningRate"] = "4e-3".into();
    scenario.apply(&first).await?;
    let after = scenario.reaches("first", condition::COMPLETE).await?;
    for name in ["pt", "sft", "rm"] {
        ensure!(stage(&after, name)? == stage(&before, name)?, "{name} was touched: {after:?}");
    }
    let (old, new) = (stage(&before, "ppo")?, stage(&after, "ppo")?);
    ensure!(new.state == Succeeded && new.key != old.key && (old.attempt, new.attempt) == (1, 2), "{new:?}");
    ensure!(new.manifest_digest != old.manifest_digest, "{new:?}");

    let mut fork = first.clone();
    fork["metadata"]["name"] = "fork".into();
    fork["spec"]["stages"][3]["ppo"]["initKlCoef"] = "0.2".into();
    scenario.apply(&fork).await?;
    let status = scenario.reaches("fork", condition::COMPLETE).await?;
    let wanted = [("pt", Cached), ("sft", Cached), ("rm", Cached), ("ppo", Succeeded)];
    ensure!(states(&status) == wanted, "{:?}", states(&status));

    // Its Jobs are still being collected when the next of its name comes.
    scenario.api::<MedicalTraining>().delete("first", &DeleteParams::background()).await?;
    scenario.apply(&first).await?;
    let status = scenario.reaches("first", condition::COMPLETE).await?;
    ensure!(states(&status) == ["pt", "sft", "rm", "ppo"].map(|name| (name, Cached)), "{:?}", states(&status));
    let only_forks = async || Ok(scenario.jobs_of("stage").await? == ["fork-ppo-1"]);
    scenario.until("end of the first one's Jobs", only_forks).await?;
    scenario.end().await
}

/// Changes a stage.
type Edit = fn(&Scenario, &mut Value);

/// The one pod that runs.
async fn running(scenario: &Scenario) -> Result<Pod> {
    let [pod] = scenario.live_stage_pods().await?.try_into().map_err(|pods| anyhow::anyhow!("{pods:?}"))?;
    Ok(pod)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_is_refused_stops_nothing_and_one_that_is_accepted_stops_what_changed() -> Result<()> {
    let scenario = Scenario::begin("change").await?;
    let mut training = training::long(&scenario.env, &scenario.store, "change", OUTPUT);
    // It must still run after three preflights, however quick the machine.
    training["spec"]["stages"][0]["train"]["maxSteps"] = (100 * training::LONG).into();
    scenario.apply(&training).await?;
    scenario.stage_until("change", "pt", "a checkpoint", has_a_checkpoint).await?;
    let pod = running(&scenario).await?;

    let refused = |reason: &'static str, about: &'static str| {
        move |status: &MedicalTrainingStatus| {
            status.condition(condition::ACCEPTED).is_some_and(|accepted| {
                accepted.status == "False" && accepted.reason == reason && accepted.message.contains(about)
            })
        }
    };
    let edits: [(&str, &str, Edit); 2] = [
        ("SpecInvalid", "stages[0].inputs", |_, stage| stage["inputs"] = json!({"policy": {"from": "nowhere"}})),
        ("InputUnavailable", "nowhere.txt", |scenario, stage| {
            stage["dataset"] = json!({"train": [scenario.store.uri("data/nowhere.txt")]});
        }),
    ];
    for (reason, about, edit) in edits {
        let mut bad = training.clone();
        edit(&scenario, &mut bad["spec"]["stages"][0]);
        scenario.apply(&bad).await?;
        let status = scenario.status_until("change", "refusal", refused(reason, about)).await?;
        let pt = stage(&status, "pt")?;
        ensure!(pt.state == StageState::Running && pt.attempt == 1, "{reason}: {pt:?}");
        ensure!(!status.is(condition::FAILED), "{reason}: {:?}", status.conditions);
        ensure!(running(&scenario).await?.metadata.uid == pod.metadata.uid, "{reason}: another pod runs");
    }
    scenario.apply(&training).await?;
    scenario.reaches("change", condition::ACCEPTED).await?;
    ensure!(running(&scenario).await?.metadata.uid == pod.metadata.uid, "another pod runs");
    let before = scenario.status("change").await?;

    training["spec"]["stages"][0]["train"]["maxSteps"] = training::STEPS.into();
    scenario.apply(&training).await?;
    let after = scenario.reaches("change", condition::COMPLETE).await?;
    let (old, new) = (stage(&before, "pt")?, stage(&after, "pt")?);
    ensure!(new.key != old.key && new.attempt == 2 && new.charged_attempts == 0, "{new:?}");
    let [folder] = outcome::finished(&scenario.store, OUTPUT, "pt").await?.try_into().map_err(|found: Vec<_>| {
        anyhow::anyhow!("what was stopped wrote a manifest all the same, or the new work none: {found:?}")
    })?;
    ensure!(folder.ends_with(&new.key), "{folder}, {new:?}");
    let manifest = scenario.store.json(&format!("{folder}/manifest.json")).await?;
    ensure!(manifest["finalStep"] == training::STEPS, "{manifest}");
    let checkpoints = scenario.store.list(&format!("{OUTPUT}/stages/pt-{}/checkpoints", old.key)).await?;
    ensure!(!checkpoints.is_empty(), "what was stopped left no checkpoint");
    scenario.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_token_reopens_a_failure_and_the_ttl_removes_the_training_but_no_artifact() -> Result<()> {
    let scenario = Scenario::begin("retry").await?;
    let mut training = training::of_stages(&scenario.env, &scenario.store, "retry", OUTPUT, &["pt", "sft"]);
    training["spec"]["stages"][0]["train"]["maxSteps"] = (training::LONG / 4).into();
    scenario.apply(&training).await?;
    // After preflight has seen it, the data changes under the second stage.
    let running = |stage: &StageStatus| stage.state == StageState::Running;
    scenario.stage_until("retry", "pt", "a start", running).await?;
    let rows = scenario.store.get("data/sft.jsonl").await?;
    scenario.store.put("data/sft.jsonl", [rows.clone(), rows.clone()].concat()).await?;
    let failed = scenario.reaches("retry", condition::FAILED).await?;
    let sft = stage(&failed, "sft")?;
    ensure!((sft.state, sft.reason.as_str()) == (StageState::Failed, "InputUnavailable"), "{sft:?}");
    ensure!(sft.message.contains("sft.jsonl"), "{sft:?}");

    scenario.store.put("data/sft.jsonl", rows).await?;
    training["spec"]["retryToken"] = "the data is back".into();
    scenario.apply(&training).await?;
    let done = |status: &MedicalTrainingStatus| status.is(condition::COMPLETE);
    let status = scenario.status_until("retry", "Complete", done).await?;
    ensure!(stage(&status, "pt")? == stage(&failed, "pt")?, "pt was touched: {status:?}");
    let sft = stage(&status, "sft")?;
    ensure!((sft.state, sft.attempt, costs(sft)) == (StageState::Succeeded, 2, (0, 0, 0)), "{sft:?}");

    let files = scenario.store.list(OUTPUT).await?;
    training["spec"]["ttlSecondsAfterFinished"] = 1.into();
    scenario.apply(&training).await?;
    let gone = async || Ok(scenario.api::<MedicalTraining>().get_opt("retry").await?.is_none());
    scenario.until("end of the training by its TTL", gone).await?;
    let gone = async || Ok(scenario.jobs_of("stage").await?.is_empty());
    scenario.until("end of its Jobs", gone).await?;
    ensure!(scenario.store.list(OUTPUT).await? == files, "the TTL removed artifacts");
    scenario.end().await
}

mod host {
    use std::time::Duration;

    use kube::api::LogParams;
    use medtrain_e2e::host;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// Seconds between two readings of progress, as tests/e2e/run.sh installs the operator.
    const INTERVAL: u64 = 2;

    /// Writes of a training's status.
    fn writes(scenario: &Scenario, name: &str) -> Result<usize> {
        host::count_requests(|entry| {
            let about = &entry["objectRef"];
            about["resource"] == "medicaltrainings"
                && about["subresource"] == "status"
                && about["namespace"] == *scenario.namespace
                && about["name"] == name
        })
    }

    async fn kill(scenario: &Scenario, attempt: u32) -> Result<()> {
        let begun = |stage: &StageStatus| stage.attempt == attempt && has_a_checkpoint(stage);
        scenario.stage_until("killed", "pt", "a start", begun).await?;
        host::signal("KILL", host::pid_of(&running(scenario).await?)?)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn progress_is_written_once_an_interval_and_the_last_failed_job_is_kept_for_its_log() -> Result<()> {
        let scenario = Scenario::begin("killed").await?;
        let training = training::long(&scenario.env, &scenario.store, "killed", OUTPUT);
        scenario.apply(&training).await?;
        scenario.stage_until("killed", "pt", "a checkpoint", has_a_checkpoint).await?;
        let (begin, written) = (Instant::now(), writes(&scenario, "killed")?);
        sleep(Duration::from_secs(3 * INTERVAL)).await;
        let (took, written) = (begin.elapsed().as_secs(), writes(&scenario, "killed")? - written);
        let most = usize::try_from(took / INTERVAL + 1)?;
        ensure!(
            (1..=most).contains(&written),
            "{written} writes of progress in {took} s, with {INTERVAL} s between them"
        );

        kill(&scenario, 1).await?;
        kill(&scenario, 2).await?;
        let status = scenario.reaches("killed", condition::COMPLETE).await?;
        let pt = stage(&status, "pt")?;
        ensure!((pt.attempt, costs(pt)) == (3, (2, 0, 0)), "{pt:?}");
        let kept = async || Ok(scenario.jobs_of("stage").await? == ["killed-pt-2", "killed-pt-3"]);
        scenario.until("end of the first Job", kept).await?;
        let pod = scenario.pods_of("killed-pt-2").await?.pop().context("the failed Job has no pod")?;
        let log = scenario.api::<Pod>().logs(&pod.metadata.name.unwrap_or_default(), &LogParams::default()).await?;
        ensure!(!log.is_empty(), "the failed pod left no log");
        scenario.end().await
    }
}
