//! Conditions, the summary line, and the end of a training.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use medtrain_crds::contract::{Reason, metrics};
use medtrain_crds::training::status::{
    MedicalTrainingStatus, PreflightState, PreflightStatus, StageState, StageStatus, Summary, condition,
};

use super::{Action, Deciding, clip, clip_to, goes_well, is_open};

/// What a condition is and why.
struct Verdict {
    status: &'static str,
    reason: String,
    message: String,
}

fn verdict(is: bool, reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict { status: if is { "True" } else { "False" }, reason: reason.name().into(), message: message.into() }
}

impl Deciding<'_> {
    pub(super) fn conditions(&mut self) {
        let busy = self.is_busy();
        let done = self.accepted() && self.status.stages.iter().all(|stage| stage.state.is_done());
        let refused = self.refusal();
        let failed_stage = self.failed_stage();
        let going = self.accepted() && self.can_go_on();
        let failed = match (&refused, &failed_stage) {
            (Some((reason, message)), _) if !busy => Some((reason.clone(), message.clone())),
            (None, Some((reason, message))) if !busy && !going && self.accepted() => {
                Some((reason.clone(), message.clone()))
            }
            _ => None,
        };
        let over = done || failed.is_some();

        let accepted = match &refused {
            Some((reason, message)) => Verdict { status: "False", reason: reason.clone(), message: message.clone() },
            None if self.accepted() => verdict(true, Reason::Accepted, "a plan is in the store"),
            None => {
                let preflight = self.status.preflight.as_ref();
                let message = preflight.map_or(String::new(), |preflight| preflight.message.clone());
                Verdict { status: "Unknown", reason: Reason::Preflight.name().into(), message }
            }
        };
        let suspended = self.training.suspend && !busy && !over;
        let progressing = match () {
            () if over => verdict(false, Reason::Finished, ""),
            () if suspended => verdict(false, Reason::SuspendRequested, ""),
            () if !self.accepted() => verdict(true, Reason::Preflight, ""),
            () => verdict(true, Reason::StagesRunning, ""),
        };
        let suspended = match suspended {
            true => verdict(true, Reason::SuspendRequested, "set spec.suspend to false to go on"),
            false if self.training.suspend && !over => verdict(false, Reason::NotYet, "what runs is being stopped"),
            false => verdict(false, Reason::NotSuspended, ""),
        };
        let degraded = match self.trouble() {
            Some((reason, message)) if !over => Verdict { status: "True", reason, message },
            _ => verdict(false, Reason::AsExpected, ""),
        };
        let complete = match done {
            true => verdict(true, Reason::AllStagesDone, "every stage is done"),
            false => verdict(false, Reason::NotYet, ""),
        };
        let failed = match failed {
            Some((reason, message)) => {
                let message = with_way_out(&reason, &message);
                Verdict { status: "True", reason, message }
            }
            None => verdict(false, Reason::NotYet, ""),
        };
        for (kind, verdict) in [
            (condition::ACCEPTED, accepted),
            (condition::PROGRESSING, progressing),
            (condition::SUSPENDED, suspended),
            (condition::DEGRADED, degraded),
            (condition::COMPLETE, complete),
            (condition::FAILED, failed),
        ] {
            self.set_condition(kind, verdict);
        }
        self.status.completion_time = over.then(|| self.status.completion_time.clone().unwrap_or(Time(self.now)));
        self.summary(done);
        self.expire();
    }

    /// Whether a Job of ours is live or about to be.
    fn is_busy(&self) -> bool {
        let stages = self.status.stages.iter().any(|stage| is_open(stage) || stage.stopping.is_some());
        let jobs = self.seen.jobs.iter().any(|job| job.ours && job.is_live());
        let creating = self.actions.iter().any(|action| matches!(action, Action::Create(_)));
        stages || jobs || creating || self.seen.orphans.iter().any(|pod| !pod.ended)
    }

    /// Why the newest spec can't run.
    fn refusal(&self) -> Option<(String, String)> {
        if let Err(errors) = &self.training.spec {
            let more = errors.len().saturating_sub(1);
            let first = errors.first().cloned().unwrap_or_default();
            let message = if more > 0 { format!("{} (and {more} more)", clip_to(&first, 230)) } else { first };
            return Some((Reason::SpecInvalid.name().to_string(), message));
        }
        let preflight = self.status.preflight.as_ref()?;
        (preflight.hash == self.training.hash && preflight.state == PreflightState::Failed)
            .then(|| (preflight.reason.clone(), preflight.message.clone()))
    }

    fn failed_stage(&self) -> Option<(String, String)> {
        let failed = self.status.stages.iter().find(|stage| stage.state == StageState::Failed)?;
        Some((failed.reason.clone(), format!("{}: {}", failed.name, failed.message)))
    }

    /// Whether some stage may still start: one whose inputs are not waiting for a failed one.
    fn can_go_on(&self) -> bool {
        let Ok(spec) = &self.training.spec else { return false };
        let mut blocked: Vec<&str> = Vec::new();
        for stage in &self.status.stages {
            let needs = spec.stage(&stage.name).map(|stage| stage.needs.as_slice()).unwrap_or_default();
            if stage.state == StageState::Failed || needs.iter().any(|need| blocked.contains(&need.as_str())) {
                blocked.push(&stage.name);
            }
        }
        self.status.stages.iter().any(|stage| !stage.state.is_terminal() && !blocked.contains(&stage.name.as_str()))
    }

    /// Reason and message of what does not go as it should: a stage, else preflight.
    fn trouble(&self) -> Option<(String, String)> {
        let stage = self.status.stages.iter().find(|stage| match stage.state {
            StageState::Retrying | StageState::Failed => true,
            StageState::Starting | StageState::Running => !goes_well(&stage.reason),
            _ => false,
        });
        let preflight = self.status.preflight.as_ref().filter(|preflight| is_troubled(preflight));
        let of = |name: &str, reason: &String, message: &str| (reason.clone(), format!("{name}: {message}"));
        stage
            .map(|stage| of(&stage.name, &stage.reason, &stage.message))
            .or(preflight.map(|preflight| of("preflight", &preflight.reason, &preflight.message)))
    }

    fn set_condition(&mut self, kind: &str, verdict: Verdict) {
        let message = clip(&verdict.message);
        let old = self.status.conditions.iter().find(|old| old.type_ == kind);
        let since = old.filter(|old| old.status == verdict.status).map(|old| old.last_transition_time.clone());
        let new = Condition {
            type_: kind.to_string(),
            status: verdict.status.to_string(),
            reason: verdict.reason,
            message,
            last_transition_time: since.unwrap_or(Time(self.now)),
            observed_generation: Some(self.training.generation),
        };
        match self.status.conditions.iter_mut().find(|old| old.type_ == kind) {
            Some(old) => *old = new,
            None => self.status.conditions.push(new),
        }
    }

    fn summary(&mut self, done: bool) {
        let stages = &self.status.stages;
        let order = [
            StageState::Running,
            StageState::Starting,
            StageState::Queued,
            StageState::Retrying,
            StageState::Failed,
            StageState::Preflight,
            StageState::Waiting,
        ];
        let shown = order.iter().find_map(|state| stages.iter().find(|stage| stage.state == *state)).or(stages.last());
        let preflight = self.status.preflight.as_ref();
        let state = match () {
            () if done => "Complete",
            () if self.status.is(condition::FAILED) => "Failed",
            () if self.status.is(condition::SUSPENDED) => "Suspended",
            () if !self.accepted() => match preflight.filter(|preflight| is_troubled(preflight)) {
                Some(troubled) if troubled.state == PreflightState::Running => &troubled.reason,
                _ => "Preflight",
            },
            () => match shown {
                // Starting alone does not tell that nothing will come of it.
                Some(stage) if stage.state == StageState::Starting && !goes_well(&stage.reason) => &stage.reason,
                Some(stage) => stage.state.name(),
                None => "Waiting",
            },
        };
        let restarts = stages.iter().map(|stage| {
            // Nothing follows the last attempt of a failed stage.
            let last = u32::from(stage.state == StageState::Failed);
            (stage.charged_attempts + stage.uncharged_attempts).saturating_sub(last) + stage.infra_restarts
        });
        let image = self.status.plan.as_ref().map(|plan| plan.image.clone());
        let image = image.or_else(|| self.status.preflight.as_ref().map(|preflight| preflight.image.clone()));
        self.status.summary = Some(Summary {
            stage: shown.map_or(String::new(), |stage| stage.name.clone()),
            state: state.to_string(),
            progress: shown.map_or(String::new(), progress),
            metric: shown.map_or(String::new(), metric),
            restarts: restarts.sum(),
            image: image.unwrap_or_default(),
        });
    }

    /// `ttlSecondsAfterFinished`.
    fn expire(&mut self) {
        let Some(ttl) = self.training.ttl_seconds else { return };
        let Some(end) = self.status.completion_time.clone() else { return };
        // The end must be in status before the training goes.
        let written = self.training.status.completion_time.is_some();
        let left = ttl - self.seconds_since(end.0);
        if left <= 0 && written {
            self.actions.push(Action::DeleteTraining);
        } else {
            self.look_again(left);
        }
    }
}

/// Between two attempts, or waiting for something that nobody may ever make.
pub fn is_troubled(preflight: &PreflightStatus) -> bool {
    match preflight.state {
        PreflightState::Retrying => true,
        PreflightState::Running => !goes_well(&preflight.reason),
        _ => false,
    }
}

/// An edit of what the plan follows from is looked at by itself; that anything else was mended, nobody tells us.
fn with_way_out(reason: &str, message: &str) -> String {
    const AGAIN: &str = "; once mended, a new spec.retryToken tries again";
    match Reason::parse(reason) {
        Some(Reason::SpecInvalid | Reason::ConfigInvalid) => message.to_string(),
        _ => clip_to(message, MedicalTrainingStatus::MAX_MESSAGE - AGAIN.len()) + AGAIN,
    }
}

fn progress(stage: &StageStatus) -> String {
    match (&stage.progress, stage.steps) {
        _ if stage.state.is_done() => "done".to_string(),
        (Some(progress), _) => format!("{}/{}", progress.step, progress.total),
        (None, Some(steps)) => format!("0/{steps}"),
        (None, None) => String::new(),
    }
}

fn metric(stage: &StageStatus) -> String {
    let names = [metrics::EVAL_REWARD, metrics::EVAL_LOSS, metrics::TRAIN_LOSS];
    let known = names.into_iter().find_map(|name| Some((name, stage.metrics.get(name)?)));
    let loss = stage.progress.as_ref().and_then(|progress| progress.loss.as_ref()).map(|loss| ("loss", loss));
    known.or(loss).map_or(String::new(), |(name, value)| format!("{name} {value}"))
}
