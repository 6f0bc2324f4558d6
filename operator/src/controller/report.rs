//! Writes status, then says what changed: events and metrics.
//!
//! Holds: status is written only where it differs, always on top of the version that was read; events follow a
//! write that succeeded.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, PostParams};
use kube::runtime::events::{Event, EventType};
use medtrain_crds::contract::Reason;
use medtrain_crds::training::status::{MedicalTrainingStatus, PreflightStatus, StageState, StageStatus, condition};
use serde_json::json;

use super::decide::{goes_well, is_troubled};
use super::validate::Training;
use crate::context::Context;
use crate::error::Error;
use crate::resource::{GROUP, RawTraining, VERSION};

/// Whether something was written.
///
/// # Errors
/// The write; a conflict means that the training changed meanwhile.
pub async fn report(training: &Training, status: &MedicalTrainingStatus, context: &Context) -> Result<bool, Error> {
    if *status == training.status {
        return Ok(false);
    }
    context.fence.check()?;
    let api: Api<RawTraining> = Api::namespaced(context.client.clone(), &training.namespace);
    let body = RawTraining {
        api_version: format!("{GROUP}/{VERSION}"),
        kind: medtrain_crds::training::KIND.to_string(),
        metadata: kube::core::ObjectMeta {
            name: Some(training.name.clone()),
            namespace: Some(training.namespace.clone()),
            uid: Some(training.uid.clone()),
            resource_version: Some(training.resource_version.clone()),
            ..Default::default()
        },
        spec: json!({}),
        status: serde_json::to_value(status)?,
    };
    let written = api.replace_status(&training.name, &PostParams::default(), &body).await;
    let written = match written {
        Err(kube::Error::Api(answer)) if answer.code == 409 => return Err(Error::Stale),
        other => other.map_err(Error::api("writing the status"))?,
    };
    context.written.set(&training.uid, written.metadata.resource_version.as_deref().unwrap_or_default());
    for change in changes(&training.status, status) {
        tracing::info!(reason = change.reason, stage = change.stage, note = change.note, "transition");
        let event = Event {
            type_: if change.bad { EventType::Warning } else { EventType::Normal },
            reason: change.reason.clone(),
            note: Some(change.note.clone()),
            // Action and secondary also keep events apart: of those that differ in the note alone, the first's is kept.
            action: change.action.to_string(),
            secondary: (!change.stage.is_empty()).then(|| ObjectReference {
                field_path: Some(format!("spec.stages{{{}}}", change.stage)),
                ..reference(training)
            }),
        };
        if let Err(error) = context.recorder.publish(&event, &reference(training)).await {
            tracing::warn!(%error, "an event could not be written");
        }
    }
    context.metrics.count(training, status);
    Ok(true)
}

fn reference(training: &Training) -> ObjectReference {
    ObjectReference {
        api_version: Some(format!("{GROUP}/{VERSION}")),
        kind: Some(medtrain_crds::training::KIND.to_string()),
        name: Some(training.name.clone()),
        namespace: Some(training.namespace.clone()),
        uid: Some(training.uid.clone()),
        ..Default::default()
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub reason: String,
    /// Empty: it is about the training.
    pub stage: String,
    pub action: &'static str,
    pub note: String,
    pub bad: bool,
}

/// What differs between two statuses in a way that a person wants to know.
pub fn changes(old: &MedicalTrainingStatus, new: &MedicalTrainingStatus) -> Vec<Change> {
    let mut changes = Vec::new();
    for stage in &new.stages {
        let before = old.stage(&stage.name);
        let same = |before: &&StageStatus| before.state == stage.state && before.reason == stage.reason;
        // What every attempt goes through within a second is no news.
        let starts = |before: &StageStatus| {
            [before, stage].iter().all(|one| one.state == StageState::Starting && is_usual(&one.reason))
        };
        if before.is_some_and(starts) {
            continue;
        }
        if before.filter(same).is_none() && !stage.reason.is_empty() && stage.state != StageState::Preflight {
            let colon = if stage.message.is_empty() { "" } else { ": " };
            let note = format!("{} {}{colon}{}", stage.name, stage.state.name(), stage.message);
            let bad = match stage.state {
                StageState::Failed | StageState::Retrying => true,
                StageState::Starting | StageState::Running => !goes_well(&stage.reason),
                _ => false,
            };
            changes.push(Change { reason: stage.reason.clone(), stage: stage.name.clone(), action: "Run", note, bad });
        }
    }
    if let Some(preflight) = new.preflight.as_ref().filter(|preflight| is_troubled(preflight)) {
        let same =
            |before: &&PreflightStatus| (before.attempt, &before.reason) == (preflight.attempt, &preflight.reason);
        if old.preflight.as_ref().filter(same).is_none() {
            let note = format!("preflight: {}", preflight.message);
            changes.push(Change {
                reason: preflight.reason.clone(),
                stage: String::new(),
                action: "Preflight",
                note,
                bad: true,
            });
        }
    }
    for kind in [condition::ACCEPTED, condition::SUSPENDED, condition::COMPLETE, condition::FAILED] {
        let Some(now) = new.condition(kind) else { continue };
        let before = old.condition(kind).map(|before| before.status.as_str());
        let bad = kind == condition::FAILED || (kind == condition::ACCEPTED && now.status == "False");
        let news = now.status == "True" || (kind == condition::ACCEPTED && now.status == "False");
        if news && before != Some(now.status.as_str()) {
            let note = if now.message.is_empty() { kind.to_string() } else { now.message.clone() };
            changes.push(Change { reason: now.reason.clone(), stage: String::new(), action: kind, note, bad });
        }
    }
    changes
}

fn is_usual(reason: &str) -> bool {
    [Reason::Created, Reason::PodStarting].iter().any(|usual| usual.name() == reason)
}

#[cfg(test)]
mod tests {
    use medtrain_crds::stage::StageKind;
    use medtrain_crds::training::status::PreflightState;

    use super::*;

    fn status(state: StageState, reason: Reason) -> MedicalTrainingStatus {
        let mut stage = StageStatus::new("pt", StageKind::PT);
        (stage.state, stage.reason) = (state, reason.name().to_string());
        MedicalTrainingStatus { stages: vec![stage], ..Default::default() }
    }

    #[test]
    fn a_usual_start_is_one_event_and_one_that_goes_wrong_is_another() {
        let created = status(StageState::Starting, Reason::Created);
        let starting = status(StageState::Starting, Reason::PodStarting);
        let pulling = status(StageState::Starting, Reason::ImagePullFailed);
        let told = |old: &MedicalTrainingStatus, new: &MedicalTrainingStatus| -> Vec<(String, bool)> {
            changes(old, new).into_iter().map(|change| (change.note, change.bad)).collect()
        };
        assert_eq!(told(&MedicalTrainingStatus::default(), &created), [("pt Starting".to_string(), false)]);
        assert!(told(&created, &starting).is_empty());
        assert_eq!(told(&starting, &pulling), [("pt Starting".to_string(), true)]);
        let running = status(StageState::Running, Reason::Running);
        assert_eq!(told(&pulling, &running), [("pt Running".to_string(), false)]);
        let stopped = status(StageState::Running, Reason::Checkpointed);
        assert_eq!(told(&running, &stopped), [("pt Running".to_string(), false)]);
    }

    #[test]
    fn what_keeps_preflight_from_starting_is_a_warning_once() {
        let status = |reason: Reason| {
            let (state, reason) = (PreflightState::Running, reason.name().to_string());
            let preflight = PreflightStatus { state, reason, message: "why".into(), ..Default::default() };
            MedicalTrainingStatus { preflight: Some(preflight), ..Default::default() }
        };
        let [starting, failing] = [Reason::PodStarting, Reason::ContainerConfigError].map(status);
        let told = changes(&starting, &failing);
        assert_eq!(
            told.iter().map(|change| (change.note.as_str(), change.bad)).collect::<Vec<_>>(),
            [("preflight: why", true)]
        );
        assert!(changes(&failing, &failing).is_empty() && changes(&failing, &starting).is_empty());
    }
}
