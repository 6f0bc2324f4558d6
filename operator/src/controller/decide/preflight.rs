//! The look at models and data before anything expensive, and what its answer changes.

use medtrain_crds::contract::{ExitCode, PreflightMessage, Reason};
use medtrain_crds::training::status::{
    MedicalTrainingStatus, PlanStatus, PreflightState, PreflightStatus, StageState, StageStatus,
};

use super::{Deciding, Work, clip, is_open, set};
use crate::controller::outcome::{Ended, ended, is_last};
use crate::controller::seen::{JobEnd, SeenJob};
use crate::controller::validate::{ValidSpec, ValidStage};

/// What a finished preflight pod told.
pub(super) enum Answer {
    Ready(Box<PreflightMessage>),
    Problems { exit: Option<ExitCode>, message: Box<PreflightMessage> },
    Ended(Ended),
}

/// Reads the end of a preflight's or probe's Job.
pub(super) fn answer(job: &SeenJob) -> Answer {
    let said = job.pod().and_then(|pod| pod.terminated.as_ref());
    let said = said.and_then(|terminated| PreflightMessage::parse(&terminated.message));
    match (said, &job.end) {
        // A probe of one stage writes no plan.
        (Some(message), Some(JobEnd::Complete)) if message.errors.is_empty() => Answer::Ready(Box::new(message)),
        (Some(message), Some(JobEnd::Failed { .. })) if !message.errors.is_empty() => {
            let exit = ExitCode::ALL.into_iter().find(|exit| exit.reason() == message.reason);
            Answer::Problems { exit, message: Box::new(message) }
        }
        _ => Answer::Ended(ended(job)),
    }
}

impl Deciding<'_> {
    pub(super) fn preflight(&mut self) {
        let Ok(spec) = &self.training.spec else { return };
        let hash = &self.training.hash;
        if self.status.preflight.as_ref().is_none_or(|preflight| preflight.hash != *hash) {
            let image = self.image(spec);
            self.status.preflight = Some(PreflightStatus { hash: hash.clone(), image, ..Default::default() });
        }
        if self.status.stages.is_empty() {
            let entry = |stage: &ValidStage| {
                let mut entry = StageStatus::new(&stage.name, stage.kind);
                set(&mut entry, StageState::Preflight, Reason::Preflight, "");
                entry
            };
            self.status.stages = spec.stages.iter().map(entry).collect();
        }
        let Some(mut preflight) = self.status.preflight.take() else { return };
        match preflight.state {
            PreflightState::Succeeded | PreflightState::Failed => {}
            PreflightState::Pending | PreflightState::Retrying => self.start_preflight(&mut preflight),
            PreflightState::Running => self.watch_preflight(&mut preflight),
        }
        preflight.message = clip(&preflight.message);
        self.status.preflight = Some(preflight);
    }

    fn image(&self, spec: &ValidSpec) -> String {
        spec.pod_template.image.clone().unwrap_or_else(|| self.policy.trainer_image.clone())
    }

    fn start_preflight(&mut self, preflight: &mut PreflightStatus) {
        if self.training.suspend || self.waits_until(preflight.retry_time.as_ref()) {
            return;
        }
        preflight.attempt += 1;
        // After an edit and back, a Job of this hash may be there whose answer is out of date.
        let used =
            |attempt| self.seen.job(&Work::Preflight { attempt }.name(self.training)).is_some_and(|job| job.ours);
        while used(preflight.attempt) {
            preflight.attempt += 1;
        }
        preflight.state = PreflightState::Running;
        preflight.retry_time = None;
        preflight.reason = Reason::Created.name().to_string();
        preflight.message = String::new();
        self.look_again(1);
    }

    fn watch_preflight(&mut self, preflight: &mut PreflightStatus) {
        let work = Work::Preflight { attempt: preflight.attempt };
        let name = work.name(self.training);
        let Some(job) = self.seen.job(&name).filter(|job| job.ours) else {
            preflight.pending_since = None;
            if preflight.job_uid.take().is_some() {
                let stopped = preflight.stopping.take();
                match stopped.as_deref().and_then(Reason::parse) {
                    Some(lost @ Reason::NodeLost) => self.retry_preflight(preflight, lost, lost.meaning()),
                    Some(reason @ Reason::Superseded) => {
                        if let Ok(spec) = &self.training.spec {
                            preflight.image = self.image(spec);
                        }
                        self.retry_preflight(preflight, reason, reason.meaning());
                    }
                    Some(_) => preflight.state = PreflightState::Failed,
                    None => self.retry_preflight(preflight, Reason::JobLost, "its Job was deleted"),
                }
            } else if !self.training.suspend {
                let (reason, message) = self.create(&name, work);
                preflight.reason = reason.name().to_string();
                preflight.message = message;
            }
            return;
        };
        match &preflight.job_uid {
            None => preflight.job_uid = Some(job.uid.clone()),
            Some(uid) if *uid != job.uid => {
                preflight.job_uid = None;
                return self.retry_preflight(preflight, Reason::JobLost, "its Job was replaced");
            }
            Some(_) => {}
        }
        preflight.pending_since = self.pending_since(job, preflight.pending_since.take());
        if job.end.is_none() {
            if preflight.stopping.is_none() {
                let (_, reason, message) = self.pod_state(job);
                preflight.reason = reason.name().to_string();
                preflight.message = message;
            }
            self.look_at_events(job);
            if job.deleting {
                return self.look_again(30);
            }
            if preflight.stopping.is_none() {
                let cause = if self.is_on_lost_node(job) {
                    Some(Reason::NodeLost)
                } else if self.is_outdated(job, &work) {
                    Some(Reason::Superseded)
                } else {
                    self.is_pending_too_long(preflight.pending_since.as_ref())
                        .then_some(Reason::PendingDeadlineExceeded)
                };
                if cause == Some(Reason::PendingDeadlineExceeded) {
                    preflight.message = self.never_started(job);
                    preflight.reason = Reason::PendingDeadlineExceeded.name().to_string();
                }
                preflight.stopping = cause.map(|reason| reason.name().to_string());
            }
            if let Some(cause) = &preflight.stopping {
                self.delete(&job.name, &job.uid, cause == Reason::NodeLost.name());
            }
            self.look_again(self.policy.progress_interval_seconds);
            return self.ensure_config_map(job, work);
        }
        let answer = answer(job);
        if let Some(cause) = &preflight.stopping
            && !matches!(answer, Answer::Ready(_) | Answer::Problems { .. })
        {
            // Its end is that of our stop. What that was for counts once the Job is gone.
            if !job.deleting {
                self.delete(&job.name, &job.uid, cause == Reason::NodeLost.name());
            }
            return self.look_again(30);
        }
        preflight.stopping = None;
        match answer {
            Answer::Ready(message) if message.plan.is_some() => self.adopt(preflight, *message),
            Answer::Problems { exit, message } => {
                preflight.reason = message.reason.clone();
                let kept = message.errors.len().min(MedicalTrainingStatus::MAX_ERRORS);
                preflight.more_errors = message.more_errors + (message.errors.len() - kept) as u32;
                preflight.errors = message.errors.iter().take(kept).map(|error| clip(error)).collect();
                preflight.report_uri = message.report_uri;
                let first = preflight.errors.first().cloned().unwrap_or_default();
                preflight.job_uid = None;
                if exit.is_some_and(is_last) {
                    preflight.state = PreflightState::Failed;
                    preflight.message = first;
                } else {
                    let reason = exit.map_or(Reason::UnknownExitCode, Reason::from);
                    self.charge_preflight(preflight, reason, &first, false);
                }
            }
            Answer::Ended(Ended::Charged { reason, message, last }) => {
                preflight.job_uid = None;
                self.charge_preflight(preflight, reason, &message, last);
            }
            Answer::Ready(_) | Answer::Ended(_) => {
                preflight.job_uid = None;
                self.retry_preflight(preflight, Reason::OutcomeUnknown, "nobody saw how it ended");
            }
        }
    }

    fn charge_preflight(&mut self, preflight: &mut PreflightStatus, reason: Reason, message: &str, last: bool) {
        preflight.charged += 1;
        if last || preflight.charged >= self.policy.max_attempts {
            preflight.state = PreflightState::Failed;
            preflight.reason = reason.name().to_string();
            preflight.message = message.to_string();
        } else {
            self.retry_preflight(preflight, reason, message);
        }
    }

    fn retry_preflight(&mut self, preflight: &mut PreflightStatus, reason: Reason, message: &str) {
        let pause = self.policy.backoff(preflight.charged.max(1));
        preflight.state = PreflightState::Retrying;
        preflight.pending_since = None;
        preflight.reason = reason.name().to_string();
        preflight.message = message.to_string();
        preflight.retry_time = Some(self.after(pause));
        self.look_again(pause);
    }

    /// Takes the plan on once nothing runs any more that it has other work for.
    fn adopt(&mut self, preflight: &mut PreflightStatus, message: PreflightMessage) {
        let Some(plan) = message.plan else { return };
        let key_of = |name: &str| message.stages.iter().find(|stage| stage.name == name).map(|stage| &stage.key);
        let mut held = false;
        for stage in self.status.stages.iter_mut().filter(|stage| is_open(stage)) {
            if key_of(&stage.name) != Some(&stage.key) {
                held = true;
                stage.stopping.get_or_insert_with(|| Reason::Superseded.name().to_string());
            }
        }
        if held {
            preflight.message = "stages whose work has changed are being stopped".to_string();
            return self.look_again(30);
        }
        let Ok(spec) = &self.training.spec else { return };
        let mut stages = Vec::with_capacity(message.stages.len());
        for forecast in &message.stages {
            let Some(planned) = spec.stage(&forecast.name) else { continue };
            let old = self.status.stage(&forecast.name);
            let mut stage = match old.filter(|old| old.key == forecast.key && old.kind == planned.kind) {
                Some(same) => same.clone(),
                None => {
                    let mut new = StageStatus::new(&forecast.name, planned.kind);
                    // Names of Jobs are never used twice.
                    new.attempt = old.map_or(0, |old| old.attempt);
                    new
                }
            };
            stage.key = forecast.key.clone();
            stage.steps = Some(forecast.steps);
            // Nothing is estimated for a stage that is done.
            stage.mib = forecast.mib.or(stage.mib);
            if forecast.done && !stage.state.is_done() && !is_open(&stage) {
                set(&mut stage, StageState::Cached, Reason::CacheHit, "a finished stage with the same key was found");
                stage.manifest_uri = Some(self.manifest_uri(&stage));
                stage.completion_time.get_or_insert(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.now));
                (stage.probe, stage.retry_time) = (None, None);
            } else if !forecast.done && !is_open(&stage) && stage.state != StageState::Retrying {
                set(&mut stage, StageState::Waiting, Reason::WaitingForInputs, "");
                stage.charged_attempts = 0;
                (stage.completion_time, stage.manifest_uri, stage.manifest_digest) = (None, None, None);
                stage.artifact_bytes = None;
                stage.metrics.clear();
            }
            stages.push(stage);
        }
        self.status.stages = stages;
        self.status.plan = Some(PlanStatus {
            hash: preflight.hash.clone(),
            uri: plan.uri,
            sha256: plan.sha256,
            image: preflight.image.clone(),
        });
        preflight.state = PreflightState::Succeeded;
        preflight.reason = Reason::Completed.name().to_string();
        preflight.message = String::new();
        preflight.report_uri = message.report_uri;
        preflight.job_uid = None;
    }

    pub(super) fn manifest_uri(&self, stage: &StageStatus) -> String {
        let output = self.training.spec.as_ref().map_or("", |spec| spec.output.as_str());
        format!("{output}/stages/{}-{}/manifest.json", stage.kind.lower(), stage.key)
    }
}
