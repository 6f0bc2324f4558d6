//! What the trainings' statuses said, version by version.
//!
//! Holds: every version that the watch delivers is looked at, so a state that was left and entered again shows.

use std::collections::HashMap;

use anyhow::{Result, bail};
use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use medtrain_crds::k8s::MedicalTraining;
use medtrain_crds::training::status::{MedicalTrainingStatus, StageState, StageStatus, condition};

/// Namespace and name.
pub type Name = (String, String);

#[derive(Debug, Default)]
pub struct Ledger {
    /// The newest status of each training.
    pub last: HashMap<Name, MedicalTrainingStatus>,
    pub complete: usize,
    /// Changes of a stage's state.
    pub transitions: usize,
    /// How often a stage became Succeeded.
    pub succeeded: HashMap<(Name, String), usize>,
    /// What must never be seen.
    pub violations: Vec<String>,
}

impl Ledger {
    /// Takes down one version of a training's status.
    fn take(&mut self, name: &Name, status: MedicalTrainingStatus) {
        let old = self.last.remove(name).unwrap_or_default();
        for stage in &status.stages {
            let before = old.stage(&stage.name);
            if before.is_none_or(|before| before.state != stage.state) {
                self.transitions += 1;
                if stage.state == StageState::Succeeded {
                    *self.succeeded.entry((name.clone(), stage.name.clone())).or_default() += 1;
                }
            }
            if let Some(wrong) = before.and_then(|before| wrong(before, stage)) {
                self.violations.push(format!("{}/{} {}: {wrong}", name.0, name.1, stage.name));
            }
        }
        if status.is(condition::COMPLETE) && !old.is(condition::COMPLETE) {
            self.complete += 1;
        }
        self.last.insert(name.clone(), status);
    }

    /// Follows all trainings until so many are complete; says how many there are whenever `tell` is called for.
    ///
    /// # Errors
    /// One failed.
    pub async fn follow(&mut self, client: Client, count: usize, mut tell: impl FnMut(&Self)) -> Result<()> {
        let trainings: Api<MedicalTraining> = Api::all(client);
        let events = watcher(trainings, watcher::Config::default()).default_backoff().applied_objects();
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            // The watch begins anew by itself.
            let Ok(training) = event else { continue };
            let name = (training.namespace().unwrap_or_default(), training.name_any());
            let status = training.status.unwrap_or_default();
            if status.is(condition::FAILED) {
                bail!("{}/{} failed: {:?}", name.0, name.1, status.condition(condition::FAILED));
            }
            self.take(&name, status);
            tell(self);
            if self.complete == count {
                return Ok(());
            }
        }
        bail!("the watch of trainings ended")
    }

    /// A few trainings that are not complete, for the message of a failure.
    pub fn unfinished(&self) -> String {
        let rest = self.last.iter().filter(|(_, status)| !status.is(condition::COMPLETE)).take(3);
        let show = |((namespace, name), status): (&Name, &MedicalTrainingStatus)| {
            format!("{namespace}/{name}: {}", serde_json::to_string(status).unwrap_or_default())
        };
        rest.map(show).collect::<Vec<_>>().join("\n")
    }
}

fn wrong(before: &StageStatus, after: &StageStatus) -> Option<String> {
    if after.attempt < before.attempt {
        return Some(format!("attempt {} after {}", after.attempt, before.attempt));
    }
    let left = before.state.is_terminal() && after.state != before.state;
    left.then(|| format!("{} after {}", after.state.name(), before.state.name()))
}

#[cfg(test)]
mod tests {
    use medtrain_crds::stage::StageKind;

    use super::*;

    fn with(state: StageState, attempt: u32) -> MedicalTrainingStatus {
        let mut stage = StageStatus::new("pt", StageKind::PT);
        (stage.state, stage.attempt) = (state, attempt);
        MedicalTrainingStatus { stages: vec![stage], ..MedicalTrainingStatus::default() }
    }

    #[test]
    fn a_stage_that_succeeds_again_and_an_attempt_that_goes_back_are_noticed() {
        let name = ("ns".to_owned(), "t".to_owned());
        let mut ledger = Ledger::default();
        for (state, attempt) in
            [(StageState::Running, 2), (StageState::Succeeded, 2), (StageState::Running, 1), (StageState::Succeeded, 2)]
        {
            ledger.take(&name, with(state, attempt));
        }
        assert_eq!(ledger.succeeded[&(name, "pt".to_owned())], 2);
        assert_eq!(ledger.violations, ["ns/t pt: attempt 1 after 2"]);
        assert_eq!(ledger.transitions, 4);
    }
}
