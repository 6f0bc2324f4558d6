//! A look into the store for an attempt whose end nobody saw.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use medtrain_crds::contract::Reason;
use medtrain_crds::training::status::{ProbeStatus, StageState, StageStatus};

use crate::controller::seen::SeenJob;

use super::preflight::{Answer, answer};
use super::stage::{UNCHARGED_PAUSE, close};
use super::{Action, Deciding, Work, clip, goes_well, set};

impl Deciding<'_> {
    fn is_too_late(&mut self, job: &SeenJob) -> bool {
        let since = job.waits_since().map(Time);
        self.is_pending_too_long(since.as_ref())
    }

    /// Asks the store whether the attempt whose end nobody saw has finished its work.
    pub(super) fn probe(&mut self, stage: &mut StageStatus, mut probe: ProbeStatus) {
        let work = Work::Probe { stage: stage.name.clone(), attempt: stage.attempt, probe: probe.attempt };
        let name = work.name(self.training);
        let again = |deciding: &mut Self, stage: &mut StageStatus| {
            let pause = deciding.policy.backoff(probe.attempt);
            let next =
                ProbeStatus { attempt: probe.attempt + 1, job_uid: None, retry_time: Some(deciding.after(pause)) };
            stage.probe = Some(next);
            deciding.look_again(pause);
        };
        let foreign_map = self.seen.foreign_config_maps.iter().any(|map| map.name == name);
        match (self.seen.job(&name), &probe.job_uid) {
            (None, Some(_)) => again(self, stage),
            // Nobody waits for the name of a probe: the next number is as good.
            (None, None) if foreign_map => again(self, stage),
            (None, None) => {
                let paused = self.waits_until(probe.retry_time.clone().as_ref());
                if !self.training.suspend && self.accepted() && !paused {
                    self.actions.push(Action::Create(work));
                    self.look_again(5);
                    if let Some((reason, words)) = self.refused(&name) {
                        stage.message = clip(&format!("its look into the store can't be made: {reason}: {words}"));
                    }
                }
                stage.probe = Some(probe);
            }
            (Some(job), None) if !job.ours => again(self, stage),
            (Some(job), Some(uid)) if job.uid != *uid => again(self, stage),
            (Some(job), _) if job.end.is_none() => {
                probe.job_uid = Some(job.uid.clone());
                stage.probe = Some(probe);
                let lost = self.is_on_lost_node(job);
                let gives_up = lost || self.training.suspend || self.is_outdated(job, &work) || self.is_too_late(job);
                if gives_up && !job.deleting {
                    self.delete(&job.name, &job.uid, lost);
                }
                let (_, reason, words) = self.pod_state(job);
                if !goes_well(reason.name()) {
                    stage.message = clip(&format!("its look into the store does not start: {reason}: {words}"));
                }
                self.look_at_events(job);
                self.ensure_config_map(job, work);
                self.look_again(30);
            }
            (Some(job), _) => match answer(job) {
                Answer::Ready(message) => {
                    let found = message
                        .stages
                        .iter()
                        .any(|found| found.name == stage.name && found.key == stage.key && found.done);
                    if found {
                        close(stage);
                        set(stage, StageState::Succeeded, Reason::Completed, "its manifest was found in the store");
                        stage.manifest_uri = Some(self.manifest_uri(stage));
                        stage.completion_time = Some(Time(self.now));
                    } else {
                        let reason = Reason::parse(&stage.reason).unwrap_or(Reason::OutcomeUnknown);
                        set(stage, StageState::Retrying, reason, "the store has no manifest of it; it runs again");
                        stage.retry_time = Some(self.after(UNCHARGED_PAUSE));
                        self.look_again(UNCHARGED_PAUSE);
                    }
                }
                _ => again(self, stage),
            },
        }
    }
}
