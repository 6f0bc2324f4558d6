//! Pods that can't start as the spec has them: told at once, given up when the pending deadline (60 s here) is over, with
//! the words of who refuses; a corrected spec needs a new retry token.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use medtrain_crds::training::status::{MedicalTrainingStatus, StageState, condition};
use medtrain_e2e::{
    Scenario,
    operated::{costs, is_degraded_for},
};
use serde_json::{Value, json};

use super::{STAGE, assert_says, completes, shown, small, try_again, warns};

/// The top-level domain that no name server knows.
const NOWHERE: &str = "nowhere.invalid/medtrain/trainer:1";

struct Hopeless {
    training: &'static str,
    /// Of the training; else of its stage.
    for_preflight: bool,
    pod_template: fn() -> Value,
    reason: &'static str,
    says: &'static [&'static str],
}

static HOPELESS: [Hopeless; 3] = [
    Hopeless {
        training: "image",
        for_preflight: false,
        pod_template: || json!({"image": NOWHERE, "imagePullPolicy": "IfNotPresent"}),
        reason: "ImagePullFailed",
        says: &["sft: ", "nowhere.invalid"],
    },
    Hopeless {
        training: "platform",
        for_preflight: true,
        pod_template: || json!({"image": NOWHERE, "imagePullPolicy": "IfNotPresent"}),
        reason: "ImagePullFailed",
        says: &["nowhere.invalid"],
    },
    Hopeless {
        training: "policy",
        for_preflight: false,
        pod_template: || json!({"annotations": {"container.apparmor.security.beta.kubernetes.io/trainer": "unconfined"}}),
        reason: "PodForbidden",
        says: &["sft: ", "violates PodSecurity \"restricted:latest\"", "AppArmor"],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_cannot_start_is_given_up_with_the_words_of_who_refuses() -> Result<()> {
    let scenario = Scenario::begin("hopeless").await?;
    try_join_all(HOPELESS.iter().map(|hopeless| is_given_up(&scenario, hopeless))).await?;
    scenario.end().await
}

async fn is_given_up(scenario: &Scenario, hopeless: &Hopeless) -> Result<()> {
    let &Hopeless { training: name, for_preflight, reason, says, .. } = hopeless;
    let mut training = small(scenario, name);
    let place = if for_preflight { &mut training["spec"] } else { &mut training["spec"]["stages"][0] };
    place["podTemplate"] = (hopeless.pod_template)();
    scenario.apply(&training).await?;
    let status = scenario.status_until(name, reason, |status| is_degraded_for(status, reason)).await?;
    assert_says(&status, condition::DEGRADED, "True", reason, says)?;
    ensure!(shown(&status) == reason, "kubectl get shows {:?}", status.summary);
    warns(scenario, name, reason).await?;

    let status = scenario.reaches(name, condition::FAILED).await?;
    assert_says(&status, condition::FAILED, "True", "PendingDeadlineExceeded", says)?;
    assert_says(&status, condition::FAILED, "True", "PendingDeadlineExceeded", &[reason, "within 60 s", "retryToken"])?;
    warns(scenario, name, "PendingDeadlineExceeded").await?;
    let attempt = if for_preflight {
        let preflight = status.preflight.as_ref().context("no preflight")?;
        ensure!(preflight.attempt == 1 && !status.is(condition::ACCEPTED), "{status:?}");
        1
    } else {
        let stage = status.stage(STAGE).with_context(|| format!("{status:?}"))?;
        ensure!((stage.state, stage.attempt, costs(stage)) == (StageState::Failed, 1, (1, 0, 0)), "{stage:?}");
        2
    };

    match training["spec"]["stages"][0].as_object_mut() {
        Some(stage) if !for_preflight => drop(stage.remove("podTemplate")),
        _ => training["spec"]["podTemplate"] = Value::Null,
    }
    try_again(scenario, &mut training).await?;
    completes(scenario, name, attempt).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_replaces_a_pod_that_has_not_started_without_charge() -> Result<()> {
    let scenario = Scenario::begin("corrected").await?;
    let mut training = small(&scenario, "corrected");
    training["spec"]["podTemplate"] = json!({"image": NOWHERE});
    scenario.apply(&training).await?;
    let pulls = |status: &MedicalTrainingStatus| is_degraded_for(status, "ImagePullFailed");
    scenario.status_until("corrected", "ImagePullFailed in preflight", pulls).await?;
    training["spec"]["podTemplate"] = Value::Null;
    training["spec"]["stages"][0]["podTemplate"] = json!({"image": NOWHERE});
    scenario.apply(&training).await?;
    let pulls = |status: &MedicalTrainingStatus| status.stage(STAGE).is_some_and(|it| it.reason == "ImagePullFailed");
    scenario.status_until("corrected", "ImagePullFailed of the stage", pulls).await?;
    training["spec"]["stages"][0]["podTemplate"] = json!({"image": scenario.env.trainer_image});
    scenario.apply(&training).await?;
    let status = scenario.reaches("corrected", condition::COMPLETE).await?;
    ensure!(status.preflight.as_ref().is_some_and(|preflight| preflight.charged == 0), "{status:?}");
    let stage = status.stage(STAGE).with_context(|| format!("{status:?}"))?;
    ensure!((stage.attempt, costs(stage)) == (2, (0, 1, 0)), "{stage:?}");
    scenario.end().await
}
