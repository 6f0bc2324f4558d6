//! Policy, row by row, in a small model of the world.

mod always;
mod course;
mod ends;
mod starts;
mod taken;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use medtrain_crds::contract::{
    ExitCode, Phase, PlanRef, PreflightMessage, Progress, StageForecast, TerminationMessage,
};
use medtrain_crds::training::status::{MedicalTrainingStatus, StageState, condition};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Action, Work, clip, decide, is_open};
use crate::config::{Defaults, Policy};
use crate::controller::seen::{ForeignConfigMap, JobEnd, Observed, Orphan, SeenJob, SeenPod, Terminated};
use crate::controller::validate::{Training, validate};
use crate::controller::{build, names};
use crate::resource::RawTraining;

/// A training, its children and a clock.
struct World {
    raw: RawTraining,
    seen: Observed,
    now: Timestamp,
    policy: Policy,
    made: u32,
    /// Stages whose manifest is in the store.
    done: BTreeSet<String>,
    /// Part of every key.
    salt: u32,
    /// Jobs that are deleted stay until [`World::garbage_is_collected`].
    slow: bool,
}

impl World {
    fn new() -> Self {
        let data = json!({"train": ["s3://data/x.jsonl"]});
        let spec = json!({
            "model": {"uri": "s3://models/base"}, "output": {"uri": "s3://out"},
            "stages": [{"name": "sft", "kind": "SFT", "dataset": data}, {"name": "rm", "kind": "RM", "dataset": data},
                       {"name": "ppo", "kind": "PPO", "dataset": data}],
        });
        let mut raw = RawTraining { spec, ..Default::default() };
        raw.metadata.name = Some("t".into());
        raw.metadata.namespace = Some("ns".into());
        raw.metadata.uid = Some("u".into());
        raw.metadata.generation = Some(1);
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let policy = Policy::new("trainer:1");
        Self { raw, seen: Observed::default(), now, policy, made: 0, done: BTreeSet::new(), salt: 0, slow: false }
    }

    fn training(&self) -> Training {
        validate(&self.raw, &Defaults::default())
    }

    fn status(&self) -> MedicalTrainingStatus {
        self.training().status
    }

    /// STATUS of `kubectl get`.
    fn summary(&self) -> String {
        self.status().summary.unwrap().state
    }

    fn stage(&self, name: &str) -> medtrain_crds::training::status::StageStatus {
        self.status().stage(name).cloned().unwrap()
    }

    /// Decides once and lets the effects happen.
    fn step(&mut self) -> Vec<Action> {
        let training = self.training();
        let decision = decide(&training, &self.seen, self.now, &self.policy);
        for action in &decision.actions {
            match action {
                Action::Create(work) => self.create(&training, work),
                Action::CreateConfigMap(work) => self.seen.config_maps.push(work.name(&training)),
                Action::DeleteJob { uid, .. } if self.slow => {
                    let job = self.seen.jobs.iter_mut().find(|job| job.uid == *uid).expect("the Job to delete");
                    job.deleting = true;
                    job.pods.iter_mut().for_each(|pod| pod.deleting_since = Some(self.now));
                }
                Action::DeleteJob { uid, .. } => self.seen.jobs.retain(|job| job.uid != *uid),
                Action::DeletePod { uid, .. } => {
                    let pod = self.seen.orphans.iter_mut().find(|pod| pod.uid == *uid).expect("the pod to delete");
                    pod.deleting = true;
                }
                Action::DeleteTraining => {}
            }
        }
        self.raw.status = serde_json::to_value(&decision.status).unwrap();
        decision.actions
    }

    fn create(&mut self, training: &Training, work: &Work) {
        let job: Job = build::job(training, work, &self.policy).unwrap().unwrap();
        build::config_map(training, work).unwrap();
        let name = job.metadata.name.unwrap();
        assert!(self.seen.job(&name).is_none(), "{name} is created twice");
        self.made += 1;
        let (stage, attempt) = match work {
            Work::Stage { stage, attempt } => (Some(stage.clone()), *attempt),
            Work::Preflight { .. } | Work::Probe { .. } => (None, 0),
        };
        self.seen.config_maps.push(name.clone());
        self.seen.jobs.push(SeenJob {
            name,
            uid: format!("job{}", self.made),
            ours: true,
            leftover: false,
            stage,
            attempt,
            key: String::new(),
            pod_template: job.metadata.annotations.unwrap().get(names::POD_TEMPLATE).cloned(),
            deleting: false,
            suspended: job.spec.unwrap().suspend == Some(true),
            started: Some(self.now),
            created: Some(self.now),
            end: None,
            pods: vec![SeenPod {
                uid: format!("pod{}", self.made),
                created: Some(self.now),
                running: true,
                ..Default::default()
            }],
            warning: None,
            edited: None,
        });
    }

    fn settle(&mut self) {
        for _ in 0..30 {
            let before = self.raw.status.clone();
            if self.step().is_empty() && self.raw.status == before {
                return;
            }
        }
        panic!("does not settle: {:#}", self.raw.status);
    }

    fn wait(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        self.settle();
    }

    fn live(&mut self, stage: Option<&str>) -> &mut SeenJob {
        let name = stage.map(str::to_string);
        self.seen.jobs.iter_mut().find(|job| job.stage == name && job.end.is_none()).expect("a live Job")
    }

    fn say(&mut self, stage: Option<&str>, code: i32, message: String) {
        let job = self.live(stage);
        job.end = Some(match code {
            0 => JobEnd::Complete,
            code => JobEnd::Failed {
                reason: "PodFailurePolicy".into(),
                message: format!("Container trainer for pod ns/x failed with exit code {code} matching FailJob rule"),
            },
        });
        let pod = &mut job.pods[0];
        pod.running = false;
        pod.terminated = Some(Terminated { exit_code: code, reason: "Error".into(), message });
    }

    /// A Job that is being deleted gets its end before it goes, as that of a pod which was killed.
    fn is_killed_while_it_goes(&mut self, stage: Option<&str>) {
        let job = self.live(stage);
        assert!(job.deleting);
        let message = "Job has reached the specified backoff limit".into();
        job.end = Some(JobEnd::Failed { reason: "BackoffLimitExceeded".into(), message });
        if let Some(pod) = job.pods.first_mut() {
            pod.running = false;
            pod.terminated = Some(Terminated { exit_code: 137, reason: "Error".into(), message: String::new() });
        }
        self.settle();
    }

    fn garbage_is_collected(&mut self) {
        self.seen.jobs.retain(|job| !job.deleting);
        self.settle();
    }

    fn exit(&mut self, stage: &str, exit: ExitCode) {
        if exit == ExitCode::Done {
            self.done.insert(stage.to_string());
        }
        self.say(Some(stage), exit.code().into(), TerminationMessage::new(exit, "why").to_json());
        self.settle();
    }

    /// A live preflight or probe answers.
    fn answer(&mut self) {
        let stages: Vec<String> = self.training().spec.unwrap().stages.into_iter().map(|stage| stage.name).collect();
        let forecast = |name: String| StageForecast {
            done: self.done.contains(&name),
            key: format!("{:0>12}", format!("{name}{}", self.salt)),
            name,
            steps: 10,
            mib: None,
        };
        let plan = PlanRef { uri: "s3://out/plans/p.json".into(), sha256: "0".repeat(64) };
        let mut message = PreflightMessage::ready(plan, stages.into_iter().map(forecast).collect());
        if self.live(None).name.contains("-probe") {
            message.plan = None;
        }
        self.say(None, 0, message.to_json());
        self.settle();
    }

    fn running() -> Self {
        let mut world = Self::new();
        world.settle();
        world.answer();
        world
    }

    fn edit(&mut self, field: &str, value: Value) {
        self.raw.spec[field] = value;
        self.settle();
    }
}
