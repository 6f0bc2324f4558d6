//! What users get wrong and what clusters lack. Each gives a condition with a reason of the closed table and words to
//! act by, is tried again or not as it deserves, and lets the training finish once it is mended.

mod given_up;
mod host;
mod memory;
mod refused;
mod waited_for;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use medtrain_crds::training::status::{MedicalTrainingStatus, condition};
use medtrain_e2e::{Scenario, operated::costs, training};
use serde_json::Value;

/// The only stage of [`small`].
const STAGE: &str = "sft";

/// One short stage over the tiny model, with an output of its own.
fn small(scenario: &Scenario, name: &str) -> Value {
    training::of_stages(&scenario.env, &scenario.store, name, name, &[STAGE])
}

/// Fails unless the condition has this status and reason, and a message with all of these parts.
fn assert_says(status: &MedicalTrainingStatus, kind: &str, is: &str, reason: &str, parts: &[&str]) -> Result<()> {
    let found = status.condition(kind).with_context(|| format!("no condition {kind}: {status:?}"))?;
    ensure!((found.status.as_str(), found.reason.as_str()) == (is, reason), "{found:?}");
    for part in parts {
        ensure!(found.message.contains(part), "no {part:?} in {found:?}");
    }
    Ok(())
}

/// What `kubectl get` shows in its column STATUS.
fn shown(status: &MedicalTrainingStatus) -> &str {
    status.summary.as_ref().map_or("", |summary| &summary.state)
}

/// Waits until `kubectl describe` shows a Warning with this reason.
async fn warns(scenario: &Scenario, training: &str, reason: &str) -> Result<()> {
    let events = scenario.api::<Event>();
    let ours = |event: &Event| {
        event.regarding.as_ref().is_some_and(|about| about.name.as_deref() == Some(training))
            && event.reason.as_deref() == Some(reason)
            && event.type_.as_deref() == Some("Warning")
    };
    let what = format!("Warning {reason} about {training}");
    scenario.until(&what, async || Ok(events.list(&ListParams::default()).await?.items.iter().any(ours))).await
}

/// Waits until the training is Complete, and fails unless its stage needed only this attempt, and none was charged or
/// lost.
async fn completes(scenario: &Scenario, training: &str, attempt: u32) -> Result<()> {
    let status = scenario.reaches(training, condition::COMPLETE).await?;
    ensure!(!status.is(condition::DEGRADED) && shown(&status) == "Complete", "{training}: {status:?}");
    let stage = status.stage(STAGE).with_context(|| format!("{training}: {status:?}"))?;
    ensure!((stage.attempt, costs(stage)) == (attempt, (0, 0, 0)), "{training}: {stage:?}");
    Ok(())
}

/// A new retry token: what one does after mending something outside of the spec.
async fn try_again(scenario: &Scenario, training: &mut Value) -> Result<()> {
    training["spec"]["retryToken"] = "mended".into();
    scenario.apply(training).await
}
