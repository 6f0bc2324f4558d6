//! The operator is killed, frozen and replaced while it runs trainings: nothing is doubled, nothing is lost.

use anyhow::{Context, Result, bail, ensure};
use medtrain_crds::{
    k8s::MedicalTraining,
    training::status::{MedicalTrainingStatus, PreflightState, StageState, condition},
};
use medtrain_e2e::{Scenario, training};

/// A training that nobody was allowed to disturb: each stage done by the one pod of the one Job of its only attempt.
async fn assert_run_once(scenario: &Scenario, name: &str, stages: &[&str]) -> Result<()> {
    let status = scenario.status(name).await?;
    for stage in stages {
        let found = status.stage(stage).with_context(|| format!("no stage {stage}"))?;
        let counts = (found.attempt, found.charged_attempts, found.uncharged_attempts, found.infra_restarts);
        ensure!(found.state == StageState::Succeeded && counts == (1, 0, 0, 0), "{stage}: {found:?}");
        let pods = scenario.pods_of(&format!("{name}-{stage}-1")).await?.len();
        ensure!(pods == 1, "{stage}: {pods} pods");
    }
    Ok(())
}

mod host {
    use std::{collections::BTreeSet, pin::pin, time::Duration};

    use futures::TryStreamExt;
    use k8s_openapi::api::{
        batch::v1::Job,
        core::v1::{Pod, ResourceQuota},
    };
    use kube::{
        ResourceExt,
        api::{DeleteParams, WatchEvent, WatchParams},
    };
    use medtrain_crds::contract::Reason;
    use medtrain_e2e::{
        disruption::{Cost, STAGE},
        host,
        operated::is_degraded_for,
        operator::{Leader, Operator},
        outcome,
    };
    use serde_json::{Value, json};
    use tokio::time::{sleep, timeout};

    use super::*;

    const STAGES: [&str; 4] = ["pt", "sft", "rm", "ppo"];
    /// Of the Lease, and what the next one may be late by: it looks every two seconds.
    const LEASE: f64 = 15.0;
    const LATE: f64 = 5.0;
    /// In which an old leader must have ended.
    const RENEW_WITHIN: Duration = Duration::from_secs(10);

    /// Kills the leader and takes its pod away, as a node does that burns down.
    async fn kill(operator: &Operator, leader: &Leader) -> Result<()> {
        host::signal("KILL", leader.pid)?;
        while host::is_alive(leader.pid) {
            sleep(Duration::from_millis(2)).await;
        }
        operator.forget(leader).await
    }

    /// Every Job that a training needs was created, once.
    fn assert_created_once(scenario: &Scenario, name: &str, stages: &[&str]) -> Result<()> {
        let created = host::created_jobs(&scenario.namespace)?;
        ensure!(created.values().all(|times| *times == 1), "created more than once: {created:?}");
        let of_stage = |job: &String| stages.iter().any(|stage| *job == format!("{name}-{stage}-1"));
        let stage_jobs = created.keys().filter(|job| of_stage(job)).count();
        let preflights = created.keys().filter(|job| job.starts_with(&format!("{name}-plan-"))).count();
        ensure!((stage_jobs, preflights) == (stages.len(), 1), "created: {created:?}");
        ensure!(created.len() == stages.len() + 1, "created: {created:?}");
        Ok(())
    }

    /// What has happened so far, as moments to kill the operator at.
    fn moments(status: &MedicalTrainingStatus) -> BTreeSet<String> {
        let mut moments = BTreeSet::new();
        if let Some(preflight) = status.preflight.as_ref().filter(|found| found.state == PreflightState::Running) {
            moments.insert(match &preflight.job_uid {
                None => "preflight is to get its Job".to_owned(),
                Some(_) => "preflight has its Job".to_owned(),
            });
        }
        for stage in &status.stages {
            let name = &stage.name;
            moments.extend(match stage.state {
                StageState::Starting if stage.job_uid.is_none() => Some(format!("{name} is to get its Job")),
                StageState::Running => Some(format!("{name} runs")),
                StageState::Succeeded => Some(format!("{name} is done")),
                _ => None,
            });
        }
        moments
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_operator_killed_at_every_step_of_a_training_doubles_and_loses_nothing() -> Result<()> {
        let scenario = Scenario::begin("kills").await?;
        let operator = Operator::installed(&scenario.client);
        operator.is_whole().await?;
        let mut leader = operator.leader(None).await?;
        scenario.apply(&training::tiny(&scenario.env, &scenario.store, "kills", "out")).await?;
        let watched = WatchParams::default().fields("metadata.name=kills").timeout(290);
        let trainings = scenario.api::<MedicalTraining>();
        let mut events = pin!(trainings.watch(&watched, "0").await?);
        let (mut seen, mut kills) = (BTreeSet::new(), Vec::new());
        loop {
            let training = match events.try_next().await?.context("not Complete within 290 s")? {
                WatchEvent::Added(training) | WatchEvent::Modified(training) => training,
                WatchEvent::Bookmark(_) => continue,
                other => bail!("{other:?}"),
            };
            let status = training.status.unwrap_or_default();
            ensure!(!status.is(condition::FAILED), "{:?}", status.conditions);
            if status.is(condition::COMPLETE) {
                break;
            }
            let news: Vec<_> = moments(&status).difference(&seen).cloned().collect();
            if news.is_empty() {
                continue;
            }
            kill(&operator, &leader).await?;
            // That a lease runs out is another test's.
            operator.end_lease().await?;
            leader = operator.leader(Some(&leader.identity)).await?;
            kills.push(news.join(", "));
            seen.extend(news);
        }
        println!("killed {} times: {kills:#?}", kills.len());
        // Moments that fall together while nobody leads are met by one kill: of ten, some may be.
        ensure!(kills.len() >= 7, "only {} kills: {kills:?}", kills.len());
        assert_run_once(&scenario, "kills", &STAGES).await?;
        assert_created_once(&scenario, "kills", &STAGES)?;
        operator.is_whole().await?;
        scenario.end().await
    }

    /// A quota holds the moment: status names the attempt, and its Job can't be created.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_leader_killed_between_status_and_job_is_followed_by_another_within_the_lease() -> Result<()> {
        let scenario = Scenario::begin("between").await?;
        let operator = Operator::installed(&scenario.client);
        operator.is_whole().await?;
        let leader = operator.leader(None).await?;
        let quotas = scenario.api::<ResourceQuota>();
        let quota = json!({"metadata": {"name": "one-job"}, "spec": {"hard": {"count/jobs.batch": "1"}}});
        scenario.create::<ResourceQuota>(quota).await?;
        let counted = |quota: &ResourceQuota| quota.status.as_ref().is_some_and(|status| status.hard.is_some());
        scenario.until("counted quota", async || Ok(counted(&quotas.get("one-job").await?))).await?;
        let stages = ["pt", "sft"];
        let training = training::of_stages(&scenario.env, &scenario.store, "between", "out", &stages);
        scenario.apply(&training).await?;
        let refused = |entry: &Value| {
            let about = &entry["objectRef"];
            about["resource"] == "jobs"
                && about["namespace"] == *scenario.namespace
                && entry["responseStatus"]["code"] == 403
        };
        scenario.until("refused Job", async || Ok(host::count_requests(refused)? > 0)).await?;
        let status = scenario.status("between").await?;
        let stage = status.stage("pt").context("status has no stage pt")?;
        ensure!((stage.attempt, stage.job_uid.is_none()) == (1, true), "{stage:?}");
        let told = |status: &MedicalTrainingStatus| is_degraded_for(status, "QuotaExceeded");
        scenario.status_until("between", "who refuses the Job", told).await?;

        kill(&operator, &leader).await?;
        quotas.delete("one-job", &DeleteParams::default()).await?;
        ensure!(
            scenario.api::<Job>().get_opt("between-pt-1").await?.is_none(),
            "the Job was created before the operator was killed"
        );
        let renewed = operator.lease().await?.renew_time.context("a lease that was never renewed")?;
        let next = operator.leader(Some(&leader.identity)).await?;
        ensure!(next.pod_name() != leader.pod_name(), "the killed pod leads again");
        let acquired = operator.lease().await?.acquire_time.context("a lease that was never taken")?;
        let vacant = acquired.0.duration_since(renewed.0).as_secs_f64();
        ensure!((LEASE..LEASE + LATE).contains(&vacant), "the lease was taken {vacant} s after its last renewal");

        scenario.wait::<MedicalTraining>("between", "Complete").await?;
        assert_run_once(&scenario, "between", &stages).await?;
        assert_created_once(&scenario, "between", &stages)?;
        operator.is_whole().await?;
        scenario.end().await
    }

    /// Its memory says that the stage runs; the world has moved on.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_leader_frozen_until_another_leads_changes_nothing_when_it_goes_on() -> Result<()> {
        let scenario = Scenario::begin("frozen").await?;
        let operator = Operator::installed(&scenario.client);
        operator.is_whole().await?;
        let old = operator.leader(None).await?;
        let first = scenario.start_to_disturb("frozen", json!({})).await?;
        // Else it would be done before the next one leads.
        let trainer = host::stop(host::pid_of(&first)?)?;
        scenario.stage_until("frozen", STAGE, "state Running", |stage| stage.state == StageState::Running).await?;

        let frozen = host::stop(old.pid)?;
        let next = operator.leader(Some(&old.identity)).await?;
        let transitions = operator.lease().await?.lease_transitions;
        trainer.go_on()?;
        scenario.patch::<MedicalTraining>("frozen", json!({"spec": {"suspend": true}})).await?;
        scenario.wait::<MedicalTraining>("frozen", "Suspended").await?;

        let writes_of_old = || {
            host::count_requests(|entry| {
                let pod = &entry["user"]["extra"]["authentication.kubernetes.io/pod-name"][0];
                *pod == *old.pod_name() && host::has_written(entry)
            })
        };
        let before = writes_of_old()?;
        ensure!(before > 0, "the audit log does not tell the operator's pods apart");
        frozen.go_on()?;
        let end = async {
            while host::is_alive(old.pid) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(RENEW_WITHIN, end).await.context("the old leader still runs")?;
        scenario.patch::<MedicalTraining>("frozen", json!({"spec": {"suspend": false}})).await?;
        scenario.assert_disturbed("frozen", &first, Cost::UNCHARGED_ATTEMPT, &[&[Reason::Suspended]]).await?;
        ensure!(writes_of_old()? == before, "the old leader has written after the new one");
        let lease = operator.lease().await?;
        ensure!(lease.holder_identity == Some(next.identity), "{lease:?}");
        ensure!(lease.lease_transitions == transitions, "{lease:?}");
        operator.is_whole().await?;
        scenario.end().await
    }

    const OTHER_IMAGE: &str = "docker.io/medtrain/trainer:of-the-next-release";

    /// The operator's Deployment with another image of the trainer, as an upgrade of the chart brings it.
    fn upgraded(arguments: &[String]) -> Value {
        let arguments: Vec<_> = arguments
            .iter()
            .map(|argument| match argument.strip_prefix("--trainer-image=") {
                Some(_) => format!("--trainer-image={OTHER_IMAGE}"),
                None => argument.clone(),
            })
            .collect();
        arguments_patch(&arguments)
    }

    fn arguments_patch(arguments: &[String]) -> Value {
        json!({"spec": {"template": {"spec": {"containers": [{"name": "operator", "args": arguments}]}}}})
    }

    async fn train_through_an_upgrade(scenario: &Scenario, operator: &Operator, arguments: &[String]) -> Result<()> {
        let stages = ["pt", "sft"];
        let mut training = training::of_stages(&scenario.env, &scenario.store, "upgraded", "out", &stages);
        training::lengthen(&mut training["spec"]["stages"][0]);
        scenario.apply(&training).await?;
        let pod = scenario.pod_with_a_checkpoint("upgraded-pt-1", "out", "pt").await?;
        let trainer = host::stop(host::pid_of(&pod)?)?;
        operator.patch(&upgraded(arguments)).await?;
        let vacant = operator.longest_vacancy(operator.is_whole()).await?;
        ensure!(vacant < LATE, "nobody led for {vacant} s, though the old leader had time to give up its lease");
        // From now on, the other image is what trainings get.
        training["metadata"]["name"] = "later".into();
        scenario.apply(&training).await?;
        scenario
            .until("preflight of the later training", async || {
                let status = scenario.status("later").await?;
                Ok(status.preflight.is_some_and(|preflight| preflight.image == OTHER_IMAGE))
            })
            .await?;
        scenario.api::<MedicalTraining>().delete("later", &DeleteParams::default()).await?;

        trainer.go_on()?;
        scenario.wait::<MedicalTraining>("upgraded", "Complete").await?;
        assert_run_once(scenario, "upgraded", &stages).await?;
        let run8 = outcome::finisher(&scenario.store, "out", "pt").await?.context("pt is not done")?;
        ensure!(pod.uid().is_some_and(|uid| uid.starts_with(&run8)), "another pod has finished pt");
        let image = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.clone());
        let next = scenario.pods_of("upgraded-sft-1").await?;
        ensure!(
            next.iter().map(image).eq([image(&pod)]),
            "sft ran with {:?}",
            next.iter().map(image).collect::<Vec<_>>()
        );
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_upgrade_of_the_operator_leaves_pods_and_image_of_a_running_training_alone() -> Result<()> {
        let scenario = Scenario::begin("upgrade").await?;
        let operator = Operator::installed(&scenario.client);
        operator.is_whole().await?;
        let arguments = operator.arguments().await?;
        let result = train_through_an_upgrade(&scenario, &operator, &arguments).await;
        operator.patch(&arguments_patch(&arguments)).await?;
        operator.is_whole().await?;
        result?;
        scenario.end().await
    }
}
