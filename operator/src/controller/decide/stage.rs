//! One stage: attempts, their ends, and what follows.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use medtrain_crds::contract::{Reason, TerminationMessage};
use medtrain_crds::training::status::{MedicalTrainingStatus, ProbeStatus, StageProgress, StageState, StageStatus};

use super::{Action, Deciding, Work, clip, is_open, set};
use crate::controller::outcome::{Ended, ended};
use crate::controller::seen::SeenJob;

/// Seconds before the next attempt after an uncharged end.
pub(super) const UNCHARGED_PAUSE: i64 = 5;

/// Said while a Job has no pod after it had one: its controller waits 10 s, then 20 s, up to 10 minutes.
const REPLACED: &str = "its pod was disrupted; the Job controller makes the next one after a pause, longer each time";

impl Deciding<'_> {
    pub(super) fn stage(&mut self, index: usize) {
        let mut stage = self.status.stages[index].clone();
        if is_open(&stage) {
            self.open(&mut stage);
        } else if !stage.state.is_terminal() {
            self.closed(&mut stage);
        }
        self.status.stages[index] = stage;
    }

    /// An attempt is in progress.
    fn open(&mut self, stage: &mut StageStatus) {
        let work = Work::Stage { stage: stage.name.clone(), attempt: stage.attempt };
        let name = work.name(self.training);
        let job = self.seen.job(&name);
        let Some(uid) = stage.job_uid.clone() else {
            return match job {
                Some(job) if job.ours => {
                    stage.job_uid = Some(job.uid.clone());
                    self.live(stage, job, work);
                }
                _ if self.training.suspend || stage.stopping.is_some() || !self.accepted() => {
                    stage.stopping = None;
                    let reason = if self.training.suspend { Reason::Suspended } else { Reason::Preflight };
                    set(stage, StageState::Waiting, reason, "");
                }
                _ => {
                    let (reason, message) = self.create(&name, work);
                    set(stage, StageState::Starting, reason, message);
                }
            };
        };
        match job.filter(|job| job.uid == uid) {
            None => self.gone(stage),
            Some(job) if job.end.is_some() => self.finish(stage, ended(job)),
            Some(job) => self.live(stage, job, work),
        }
    }

    fn live(&mut self, stage: &mut StageStatus, job: &SeenJob, work: Work) {
        if job.end.is_some() {
            return self.finish(stage, ended(job));
        }
        self.count_pods(stage, job);
        let is_replaced = is_replaced(stage, job);
        stage.pending_since = self.pending_since(job, stage.pending_since.take()).filter(|_| !is_replaced);
        if job.deleting {
            // A pod that ends well while its Job goes has still ended well.
            if let done @ Ended::Done(_) = ended(job) {
                return self.finish(stage, done);
            }
            if stage.stopping.is_none() {
                stage.stopping = Some(Reason::JobLost.name().to_string());
            }
            if stage.stopping.as_deref() == Some(Reason::Suspended.name()) && has_ended_with_word(job) {
                stage.reason = Reason::Checkpointed.name().to_string();
            }
            return self.look_again(30);
        }
        if stage.stopping.is_none()
            && let Some(reason) = self.stop_reason(stage, job, &work)
        {
            stage.stopping = Some(reason.name().to_string());
            if reason == Reason::PendingDeadlineExceeded {
                stage.message = clip(&self.never_started(job));
            }
        }
        if let Some(cause) = &stage.stopping {
            let lost = cause == Reason::NodeLost.name();
            // What kept the pod from starting is all that is left of it once its Job is gone.
            if cause != Reason::PendingDeadlineExceeded.name() {
                stage.message = clip(&format!("stopping: {cause}"));
            }
            self.delete(&job.name, &job.uid, lost);
            return self.look_again(30);
        }
        let (state, reason, message) = self.pod_state(job);
        set(stage, state, reason, message);
        if is_replaced {
            stage.message = REPLACED.into();
        }
        if let Some(edited) = &job.edited {
            stage.message = clip(&format!("edited by hand: {edited}"));
            stage.reason = Reason::JobEdited.name().to_string();
        }
        if let Some((reason, message)) = self.taken(&job.name) {
            set(stage, state, reason, message);
        }
        self.progress(stage, job);
        self.ensure_config_map(job, work);
        self.look_at_events(job);
        self.look_again(self.policy.progress_interval_seconds);
    }

    /// The pod's own words, at most once an interval.
    fn progress(&self, stage: &mut StageStatus, job: &SeenJob) {
        let Some(said) = job.pod().and_then(|pod| pod.progress.as_ref()) else { return };
        let old = stage.progress.as_ref();
        if old.is_some_and(|old| self.seconds_since(old.observed_time.0) < self.policy.progress_interval_seconds) {
            return;
        }
        let moved = old.is_none_or(|old| (old.phase, old.step, old.bytes) != (said.phase, said.step, said.bytes));
        let moved_time = old.filter(|_| !moved).map_or(Time(self.now), |old| old.moved_time.clone());
        stage.progress = Some(StageProgress {
            phase: said.phase,
            step: said.step,
            total: said.total,
            bytes: said.bytes,
            loss: said.loss.map(decimal),
            tokens_per_second: said.tokens_per_second.map(|rate| format!("{rate:.1}")),
            eta_seconds: said.eta_seconds.filter(|eta| (0.0..1e12).contains(eta)).map(|eta| eta as u64),
            last_checkpoint: said.last_checkpoint,
            observed_time: Time(self.now),
            moved_time,
        });
    }

    /// A pod with another UID in the same Job: the one before was disrupted.
    fn count_pods(&self, stage: &mut StageStatus, job: &SeenJob) {
        // Pods that a queue takes back are not disrupted.
        if job.suspended {
            stage.pod_uid = None;
            return;
        }
        let Some(pod) = job.pod() else { return };
        if stage.pod_uid.is_none() && pod.deleting_since.is_some() {
            return;
        }
        if stage.pod_uid.as_ref().is_some_and(|seen| *seen != pod.uid) {
            stage.infra_restarts += 1;
            stage.attempt_disruptions += 1;
        }
        stage.pod_uid = Some(pod.uid.clone());
    }

    fn stop_reason(&mut self, stage: &StageStatus, job: &SeenJob, work: &Work) -> Option<Reason> {
        if self.training.suspend {
            return Some(Reason::Suspended);
        }
        if stage.attempt_disruptions >= self.policy.max_disruptions {
            return Some(Reason::TooManyDisruptions);
        }
        if self.accepted() && self.is_outdated(job, work) {
            return Some(Reason::Superseded);
        }
        if self.is_on_lost_node(job) {
            return Some(Reason::NodeLost);
        }
        if self.is_pending_too_long(stage.pending_since.as_ref()) {
            return Some(Reason::PendingDeadlineExceeded);
        }
        let limit = self.policy.active_deadline_seconds;
        if limit > 0 && !job.suspended && job.started.is_some_and(|started| self.seconds_since(started) >= limit) {
            return Some(Reason::ActiveDeadlineExceeded);
        }
        let said = job.pod().and_then(|pod| pod.progress.as_ref())?;
        let old = stage.progress.as_ref()?;
        let same = (old.phase, old.step, old.bytes) == (said.phase, said.step, said.bytes);
        // Progress of an earlier pod says nothing about this one.
        let since =
            job.pod().and_then(|pod| pod.created).map_or(old.moved_time.0, |created| created.max(old.moved_time.0));
        (same && self.seconds_since(since) >= self.policy.stall_after(said.phase)).then_some(Reason::Stalled)
    }

    pub(super) fn ensure_config_map(&mut self, job: &SeenJob, work: Work) {
        let there = self.seen.config_maps.contains(&job.name)
            || self.seen.foreign_config_maps.iter().any(|map| map.name == job.name);
        if !job.deleting && job.end.is_none() && !there && self.accepted_for(&work) {
            self.actions.push(Action::CreateConfigMap(work));
        }
    }

    fn accepted_for(&self, work: &Work) -> bool {
        matches!(work, Work::Preflight { .. }) || self.accepted()
    }

    /// The attempt's Job is not there any more.
    fn gone(&mut self, stage: &mut StageStatus) {
        let cause = stage.stopping.take();
        match cause.as_deref().and_then(Reason::parse) {
            Some(Reason::PendingDeadlineExceeded) => {
                let message = stage.message.clone();
                self.end(stage, Ended::Charged { reason: Reason::PendingDeadlineExceeded, message, last: true });
            }
            Some(Reason::ActiveDeadlineExceeded) => {
                let message = format!("the attempt took longer than {} s", self.policy.active_deadline_seconds);
                self.end(stage, Ended::Charged { reason: Reason::ActiveDeadlineExceeded, message, last: true });
            }
            Some(reason @ (Reason::Stalled | Reason::TooManyDisruptions)) => {
                self.end(stage, Ended::Charged { reason, message: reason.meaning().to_string(), last: false });
            }
            Some(Reason::Suspended) if stage.reason == Reason::Checkpointed.name() => {
                self.end(stage, Ended::Uncharged { reason: Reason::Suspended, message: String::new() });
            }
            Some(reason) => self.unseen(stage, reason),
            None => self.unseen(stage, Reason::JobLost),
        }
    }

    fn finish(&mut self, stage: &mut StageStatus, end: Ended) {
        // A Job that is being deleted may get its end before it is gone: by then, what it was stopped for is the cause.
        let decided = stage.stopping.as_deref().and_then(Reason::parse).is_some_and(|cause| {
            use Reason::{ActiveDeadlineExceeded, PendingDeadlineExceeded, Stalled, TooManyDisruptions};
            matches!(cause, ActiveDeadlineExceeded | PendingDeadlineExceeded | Stalled | TooManyDisruptions)
        });
        match end {
            Ended::Done(message) => {
                stage.stopping = None;
                self.done(stage, &message);
            }
            _ if decided => self.gone(stage),
            Ended::Unknown => self.unseen(stage, Reason::OutcomeUnknown),
            other => self.end(stage, other),
        }
    }

    fn done(&mut self, stage: &mut StageStatus, message: &TerminationMessage) {
        close(stage);
        set(stage, StageState::Succeeded, Reason::Completed, "");
        stage.manifest_uri = message.manifest_uri.clone().or_else(|| Some(self.manifest_uri(stage)));
        stage.manifest_digest = message.manifest_digest.as_ref().map(ToString::to_string);
        stage.artifact_bytes = message.artifact_bytes;
        let metrics = message.metrics.iter().take(MedicalTrainingStatus::MAX_METRICS);
        stage.metrics = metrics.map(|(name, value)| (name.chars().take(40).collect(), decimal(*value))).collect();
        stage.completion_time = Some(Time(self.now));
    }

    fn end(&mut self, stage: &mut StageStatus, end: Ended) {
        close(stage);
        match end {
            Ended::Charged { reason, message, last } => {
                stage.charged_attempts += 1;
                if last || stage.charged_attempts >= self.policy.max_attempts {
                    set(stage, StageState::Failed, reason, message);
                    stage.completion_time = Some(Time(self.now));
                } else {
                    let pause = self.policy.backoff(stage.charged_attempts);
                    set(stage, StageState::Retrying, reason, message);
                    stage.retry_time = Some(self.after(pause));
                    self.look_again(pause);
                }
            }
            Ended::Uncharged { reason, message } => {
                stage.uncharged_attempts += 1;
                set(stage, StageState::Retrying, reason, message);
                stage.retry_time = Some(self.after(UNCHARGED_PAUSE));
                self.look_again(UNCHARGED_PAUSE);
            }
            Ended::Done(_) | Ended::Unknown => {}
        }
    }

    /// Not charged; the store is asked before the next attempt.
    fn unseen(&mut self, stage: &mut StageStatus, reason: Reason) {
        close(stage);
        stage.uncharged_attempts += 1;
        set(stage, StageState::Retrying, reason, reason.meaning());
        stage.probe = Some(ProbeStatus { attempt: 1, ..Default::default() });
        self.look_again(1);
    }

    /// No attempt is in progress and the stage is not over.
    fn closed(&mut self, stage: &mut StageStatus) {
        // It may still finish its work, which the probe is to see.
        if self.seen.orphans.iter().any(|pod| pod.stage.as_ref() == Some(&stage.name) && !pod.ended) {
            return self.look_again(5);
        }
        if let Some(probe) = stage.probe.take() {
            return self.probe(stage, probe);
        }
        if !self.accepted() {
            return;
        }
        if self.training.suspend {
            let reason = Reason::Suspended;
            return set(stage, StageState::Waiting, reason, "the training is suspended");
        }
        let Ok(spec) = &self.training.spec else { return };
        let Some(planned) = spec.stage(&stage.name) else { return };
        let missing: Vec<_> = planned
            .needs
            .iter()
            .filter(|need| !self.status.stage(need).is_some_and(|stage| stage.state.is_done()))
            .cloned()
            .collect();
        if !missing.is_empty() {
            let message = format!("waits for {}", missing.join(", "));
            return set(stage, StageState::Waiting, Reason::WaitingForInputs, message);
        }
        if self.waits_until(stage.retry_time.clone().as_ref()) {
            return;
        }
        let used = self.seen.jobs.iter().filter(|job| job.stage.as_ref() == Some(&stage.name)).map(|job| job.attempt);
        stage.attempt = stage.attempt.max(used.max().unwrap_or(0)) + 1;
        stage.retry_time = None;
        stage.start_time = Some(Time(self.now));
        stage.progress = None;
        set(stage, StageState::Starting, Reason::Created, "");
        self.look_again(1);
    }
}

/// The attempt is over.
pub(super) fn close(stage: &mut StageStatus) {
    stage.job_uid = None;
    stage.pod_uid = None;
    stage.pending_since = None;
    stage.stopping = None;
    stage.probe = None;
    stage.retry_time = None;
    stage.attempt_disruptions = 0;
}

/// Whether the Job controller is about to make the next pod, after a pause, and nothing keeps it from that.
fn is_replaced(stage: &StageStatus, job: &SeenJob) -> bool {
    stage.pod_uid.is_some() && job.pod().is_none() && job.warning.is_none() && !job.suspended
}

fn has_ended_with_word(job: &SeenJob) -> bool {
    let said = job.pod().and_then(|pod| pod.terminated.as_ref());
    said.is_some_and(|terminated| TerminationMessage::parse(&terminated.message).is_some())
}

fn decimal(value: f64) -> String {
    if value.abs() >= 1e-3 && value.abs() < 1e6 { format!("{value:.4}") } else { format!("{value:.4e}") }
}
