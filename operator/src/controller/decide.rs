//! All policy: what to do about a training, given what was seen of it. Pure.
//!
//! Holds: at most one live Job a stage (a lost node's excepted); attempts never decrease and stand in status before
//! their Job is created; a terminal stage stays as it is under its key; nothing is created while suspended; a stage
//! is done only if a pod said so or preflight found its manifest; status stays below its limit.

mod conditions;
mod preflight;
mod probe;
mod stage;
mod start;

pub use conditions::is_troubled;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use medtrain_crds::contract::Reason;
use medtrain_crds::training::status::{MedicalTrainingStatus, PreflightState, StageState, StageStatus};

use super::names;
use super::seen::Observed;
use super::validate::Training;
use crate::config::Policy;

/// Seconds between looks at a name that something else has.
const TAKEN_PAUSE: i64 = 10;

/// What is to be done, in this order: actions, status, events.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub actions: Vec<Action>,
    pub status: MedicalTrainingStatus,
    /// Look again after so many seconds even if nothing happens.
    pub requeue_seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The Job (and its ConfigMap before it); it must not exist.
    Create(Work),
    /// The ConfigMap of a live Job that lost it.
    CreateConfigMap(Work),
    /// In the foreground unless the node is lost. The ConfigMap goes too.
    DeleteJob { name: String, uid: String, background: bool },
    /// With its own grace, so that it can write a checkpoint.
    DeletePod { name: String, uid: String },
    /// The training itself, when its TTL is over.
    DeleteTraining,
}

/// What a Job is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    Preflight { attempt: u32 },
    Probe { stage: String, attempt: u32, probe: u32 },
    Stage { stage: String, attempt: u32 },
}

impl Work {
    /// Name of its Job and ConfigMap.
    pub fn name(&self, training: &Training) -> String {
        match self {
            Self::Preflight { attempt } => names::preflight(&training.name, &training.hash, *attempt),
            Self::Probe { stage, attempt, probe } => names::probe(&training.name, stage, *attempt, *probe),
            Self::Stage { stage, attempt } => names::stage(&training.name, stage, *attempt),
        }
    }
}

pub fn decide(training: &Training, seen: &Observed, now: Timestamp, policy: &Policy) -> Decision {
    let mut deciding = Deciding {
        training,
        seen,
        // The API server keeps whole seconds.
        now: Timestamp::from_second(now.as_second()).unwrap_or(now),
        policy,
        status: training.status.clone(),
        actions: Vec::new(),
        requeue: 600,
    };
    if training.deleting {
        return Decision { actions: Vec::new(), status: deciding.status, requeue_seconds: 600 };
    }
    deciding.status.observed_generation = Some(training.generation);
    deciding.status.start_time.get_or_insert(Time(deciding.now));
    deciding.preflight();
    for index in 0..deciding.status.stages.len() {
        deciding.stage(index);
    }
    deciding.delete_strays();
    deciding.delete_orphans();
    deciding.conditions();
    deciding.prune();
    deciding.fit();
    Decision { actions: deciding.actions, status: deciding.status, requeue_seconds: deciding.requeue }
}

struct Deciding<'a> {
    training: &'a Training,
    seen: &'a Observed,
    now: Timestamp,
    policy: &'a Policy,
    status: MedicalTrainingStatus,
    actions: Vec<Action>,
    requeue: u64,
}

impl Deciding<'_> {
    /// Whether new attempts may start: the newest spec is the one that the plan is for.
    fn accepted(&self) -> bool {
        self.training.spec.is_ok() && self.status.plan.as_ref().is_some_and(|plan| plan.hash == self.training.hash)
    }

    fn look_again(&mut self, seconds: i64) {
        self.requeue = self.requeue.min(u64::try_from(seconds).unwrap_or(0).max(1));
    }

    fn seconds_since(&self, then: Timestamp) -> i64 {
        self.now.duration_since(then).as_secs()
    }

    fn after(&self, seconds: i64) -> Time {
        Time(self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(self.now))
    }

    /// Whether `time` lies ahead; looks again when it has come.
    fn waits_until(&mut self, time: Option<&Time>) -> bool {
        let Some(time) = time.filter(|time| time.0 > self.now) else { return false };
        self.look_again(time.0.duration_since(self.now).as_secs());
        true
    }

    fn delete(&mut self, name: &str, uid: &str, background: bool) {
        let action = Action::DeleteJob { name: name.to_string(), uid: uid.to_string(), background };
        if !self.actions.contains(&action) {
            self.actions.push(action);
        }
    }

    /// Makes the Job of this name and its ConfigMap, or waits for the name; which of both, as reason and message. Where
    /// the API server refused it, it is tried again, and said.
    fn create(&mut self, name: &str, work: Work) -> (Reason, String) {
        self.taken(name).unwrap_or_else(|| {
            self.actions.push(Action::Create(work));
            self.look_again(5);
            self.refused(name).unwrap_or((Reason::Created, String::new()))
        })
    }

    fn refused(&self, name: &str) -> Option<(Reason, String)> {
        let (_, words) = self.seen.refused.iter().find(|(refused, _)| refused == name)?;
        Some((start::refusal(words), start::without_preamble(words).to_string()))
    }

    /// Why a Job of this name and its ConfigMap can't be made: something else has the name. Looks again, because
    /// objects of others are not watched.
    fn taken(&mut self, name: &str) -> Option<(Reason, String)> {
        let job = self.seen.job(name).filter(|job| !job.ours).map(|job| ("Job", job.leftover || job.deleting));
        let maps = &self.seen.foreign_config_maps;
        let map = maps.iter().find(|map| map.name == name).map(|map| ("ConfigMap", map.leaves));
        let (kind, leaves) = job.or(map)?;
        self.look_again(TAKEN_PAUSE);
        Some(if leaves {
            (Reason::Created, format!("waits until the {kind} {name} of before is gone"))
        } else {
            let message = format!("a {kind} {name} exists that is not this training's: delete it to let this go on");
            (Reason::NameConflict, message)
        })
    }

    /// Live Jobs of ours that nothing in status waits for: of earlier attempts, of removed stages, preflights of an
    /// earlier spec.
    fn delete_strays(&mut self) {
        for job in self.seen.jobs.iter().filter(|job| job.ours && job.is_live() && !job.deleting) {
            let current = match &job.stage {
                Some(name) => {
                    self.status.stage(name).is_some_and(|stage| stage.attempt == job.attempt && is_open(stage))
                }
                None => self.looks().any(|work| work.name(self.training) == job.name),
            };
            if !current {
                self.delete(&job.name, &job.uid, false);
            }
        }
    }

    /// Whoever deletes a Job without a propagation policy leaves its pod behind, at work and without an owner.
    fn delete_orphans(&mut self) {
        for pod in self.seen.orphans.iter().filter(|pod| !pod.deleting) {
            self.actions.push(Action::DeletePod { name: pod.name.clone(), uid: pod.uid.clone() });
        }
    }

    /// The preflight and the probes that status waits for.
    fn looks(&self) -> impl Iterator<Item = Work> {
        let preflight = self.status.preflight.as_ref().filter(|preflight| preflight.state == PreflightState::Running);
        let probes = self.status.stages.iter().filter_map(|stage| {
            let probe = stage.probe.as_ref()?;
            Some(Work::Probe { stage: stage.name.clone(), attempt: stage.attempt, probe: probe.attempt })
        });
        preflight.map(|preflight| Work::Preflight { attempt: preflight.attempt }).into_iter().chain(probes)
    }

    /// Finished Jobs: of each stage the newest and the last failed one stay for their logs; of preflights and probes
    /// the newest.
    fn prune(&mut self) {
        let mut finished: Vec<_> =
            self.seen.jobs.iter().filter(|job| job.ours && !job.is_live() && !job.deleting).collect();
        finished.sort_by_key(|job| std::cmp::Reverse((job.created, job.attempt)));
        let mut kept: Vec<(Option<&str>, bool)> = Vec::new();
        for job in finished {
            let failed = matches!(job.end, Some(super::seen::JobEnd::Failed { .. }));
            let referenced = self.is_referenced(&job.uid);
            let stage = job.stage.as_deref();
            let newest = !kept.iter().any(|(other, _)| *other == stage);
            let last_failed = stage.is_some() && failed && !kept.contains(&(stage, true));
            if referenced || newest || last_failed {
                kept.push((stage, failed));
            } else {
                self.delete(&job.name.clone(), &job.uid.clone(), false);
            }
        }
    }

    fn is_referenced(&self, uid: &str) -> bool {
        let uid = Some(uid);
        self.status.preflight.as_ref().is_some_and(|preflight| preflight.job_uid.as_deref() == uid)
            || self.status.stages.iter().any(|stage| {
                stage.job_uid.as_deref() == uid
                    || stage.probe.as_ref().is_some_and(|probe| probe.job_uid.as_deref() == uid)
            })
    }

    /// Drops what the status can do without until it fits.
    fn fit(&mut self) {
        let size = |status: &MedicalTrainingStatus| serde_json::to_string(status).map_or(0, |json| json.len());
        let mut index = 0;
        while size(&self.status) > MedicalTrainingStatus::MAX_BYTES && index < self.status.stages.len() {
            self.status.stages[index].metrics.clear();
            self.status.stages[index].manifest_uri = None;
            index += 1;
        }
        if size(&self.status) > MedicalTrainingStatus::MAX_BYTES {
            self.status.stages.iter_mut().for_each(|stage| stage.message.clear());
        }
    }
}

/// Whether an attempt is in progress.
pub fn is_open(stage: &StageStatus) -> bool {
    matches!(stage.state, StageState::Starting | StageState::Queued | StageState::Running)
}

fn set(stage: &mut StageStatus, state: StageState, reason: Reason, message: impl Into<String>) {
    stage.state = state;
    stage.reason = reason.name().to_string();
    stage.message = clip(&message.into());
}

/// Whether what starts or runs with this reason goes as it should.
pub fn goes_well(reason: &str) -> bool {
    [
        Reason::Created,
        Reason::PodStarting,
        Reason::Running,
        // Its pod has ended so because we stop it, and its Job is about to go.
        Reason::Checkpointed,
        Reason::JobSuspended,
        Reason::WaitingForInputs,
        Reason::Preflight,
    ]
    .map(Reason::name)
    .contains(&reason)
}

/// At most [`MedicalTrainingStatus::MAX_MESSAGE`] characters.
fn clip(text: &str) -> String {
    clip_to(text, MedicalTrainingStatus::MAX_MESSAGE)
}

/// At most so many characters. The middle goes: messages begin with the place and end with the cause or the way out.
fn clip_to(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_string();
    }
    let head = most * 2 / 3;
    let tail = text.chars().skip(length - (most - head - 1));
    text.chars().take(head).chain(['…']).chain(tail).collect()
}

#[cfg(test)]
mod tests;
