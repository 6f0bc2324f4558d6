//! Policy, row by row, in a small model of the world.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use medtrain_crds::contract::{
    ExitCode, Phase, PlanRef, PreflightMessage, Progress, StageForecast, TerminationMessage,
};
use medtrain_crds::training::status::{MedicalTrainingStatus, StageState, condition};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Action, Work, decide, is_open};
use crate::config::{Defaults, Policy};
use crate::controller::seen::{ForeignConfigMap, JobEnd, Observed, SeenJob, SeenPod, Terminated};
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
        Self { raw, seen: Observed::default(), now, policy, made: 0, done: BTreeSet::new(), salt: 0 }
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
                Action::DeleteJob { uid, .. } => self.seen.jobs.retain(|job| job.uid != *uid),
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

#[test]
fn a_training_runs_stage_after_stage() {
    let mut world = World::running();
    for stage in ["sft", "rm", "ppo"] {
        assert_eq!(world.stage(stage).state, StageState::Running, "{stage}");
        world.exit(stage, ExitCode::Done);
    }
    assert!(world.status().is(condition::COMPLETE));
    assert_eq!(world.made, 4);
    assert!(world.status().completion_time.is_some());
}

#[test]
fn no_stage_starts_before_preflight_has_answered() {
    let mut world = World::new();
    world.settle();
    assert_eq!(world.seen.jobs.len(), 1);
    assert_eq!(world.stage("sft").state, StageState::Preflight);
}

#[test]
fn a_finished_stage_is_cached_without_a_job() {
    let mut world = World::new();
    world.done = ["sft", "rm", "ppo"].map(String::from).into();
    world.settle();
    world.answer();
    assert!(world.status().is(condition::COMPLETE));
    assert_eq!(world.made, 1);
    assert_eq!(world.stage("rm").state, StageState::Cached);
}

#[test]
fn exits_are_charged_and_retried_by_the_table() {
    let rows = [
        (ExitCode::Config, StageState::Failed, 1),
        (ExitCode::Input, StageState::Failed, 1),
        (ExitCode::Data, StageState::Failed, 1),
        (ExitCode::Permission, StageState::Failed, 1),
        (ExitCode::Internal, StageState::Retrying, 1),
        (ExitCode::Device, StageState::Retrying, 1),
        (ExitCode::TransientIo, StageState::Retrying, 1),
        (ExitCode::Checkpointed, StageState::Retrying, 0),
    ];
    for (exit, state, charged) in rows {
        let mut world = World::running();
        world.exit("sft", exit);
        let stage = world.stage("sft");
        assert_eq!((stage.state, stage.charged_attempts), (state, charged), "{exit:?}");
        assert_eq!(stage.reason, exit.reason());
        assert_eq!(world.status().is(condition::FAILED), state == StageState::Failed, "{exit:?}");
    }
}

#[test]
fn the_third_charged_attempt_is_the_last() {
    let mut world = World::running();
    for attempt in 1..=3 {
        assert_eq!(world.stage("sft").attempt, attempt);
        world.exit("sft", ExitCode::Internal);
        world.wait(700);
    }
    assert_eq!(world.stage("sft").state, StageState::Failed);
    assert!(world.status().is(condition::FAILED));
    assert_eq!(world.status().summary.unwrap().restarts, 2);
}

#[test]
fn an_out_of_memory_kill_is_charged_and_says_what_to_do() {
    let mut world = World::running();
    world.say(Some("sft"), 137, String::new());
    world.seen.jobs.last_mut().unwrap().pods[0].terminated.as_mut().unwrap().reason = "OOMKilled".into();
    world.settle();
    let stage = world.stage("sft");
    assert_eq!((stage.reason.as_str(), stage.charged_attempts), ("OOMKilled", 1));
    assert!(stage.message.contains("resources.limits.memory"));
}

#[test]
fn a_kill_is_charged_unless_the_pod_was_being_deleted() {
    for (deleted, charged) in [(false, 1), (true, 0)] {
        let mut world = World::running();
        world.say(Some("sft"), 137, String::new());
        let now = world.now;
        world.seen.jobs.last_mut().unwrap().pods[0].deleting_since = deleted.then_some(now);
        world.settle();
        assert_eq!(world.stage("sft").charged_attempts, charged, "deleted: {deleted}");
    }
}

#[test]
fn the_code_in_the_jobs_condition_counts_when_the_pod_is_gone() {
    let mut world = World::running();
    world.say(Some("sft"), 66, String::new());
    world.seen.jobs.last_mut().unwrap().pods.clear();
    world.settle();
    assert_eq!(world.stage("sft").reason, "DataInvalid");
}

#[test]
fn a_deleted_job_is_not_charged_and_the_store_is_asked_before_the_next_attempt() {
    for manifest in [true, false] {
        let mut world = World::running();
        world.seen.jobs.retain(|job| job.stage.is_none());
        if manifest {
            world.done.insert("sft".into());
        }
        world.settle();
        assert!(world.seen.jobs.iter().all(|job| job.stage.is_none()), "no stage's Job before the answer");
        world.answer();
        world.wait(30);
        let stage = world.stage("sft");
        let expected = if manifest { (StageState::Succeeded, 1) } else { (StageState::Running, 2) };
        assert_eq!((stage.state, stage.attempt), expected);
        assert_eq!((stage.charged_attempts, stage.uncharged_attempts), (0, 1));
    }
}

#[test]
fn a_complete_job_without_a_message_is_probed_not_believed() {
    let mut world = World::running();
    world.say(Some("sft"), 0, "half a lo".into());
    world.settle();
    assert_eq!(world.stage("sft").state, StageState::Retrying);
    world.done.insert("sft".into());
    world.answer();
    assert_eq!(world.stage("sft").state, StageState::Succeeded);
}

#[test]
fn suspending_stops_and_resuming_is_an_uncharged_attempt() {
    let mut world = World::running();
    world.edit("suspend", true.into());
    assert!(world.status().is(condition::SUSPENDED));
    assert!(world.seen.jobs.iter().all(|job| !job.is_live()));
    world.edit("suspend", false.into());
    world.answer();
    world.wait(30);
    let stage = world.stage("sft");
    assert_eq!((stage.attempt, stage.charged_attempts, stage.state), (2, 0, StageState::Running));
}

#[test]
fn a_job_of_the_same_name_is_a_conflict_and_stays() {
    let mut world = World::new();
    world.settle();
    world.say(None, 0, String::new());
    world.seen.jobs[0].ours = false;
    world.seen.jobs[0].end = None;
    world.raw.status = Value::Null;
    world.settle();
    assert_eq!(world.status().preflight.unwrap().reason, "NameConflict");
    assert_eq!(world.seen.jobs.len(), 1);
}

#[test]
fn a_name_that_another_has_holds_a_stage_until_it_goes_and_costs_nothing() {
    type Take = fn(&mut World);
    let take: [(&str, Take); 2] = [
        ("Job", |world| {
            let job = SeenJob { name: "t-sft-1".into(), uid: "x".into(), ours: false, ..world.seen.jobs[0].clone() };
            world.seen.jobs.push(job);
        }),
        ("ConfigMap", |world| {
            world.seen.foreign_config_maps.push(ForeignConfigMap { name: "t-sft-1".into(), leaves: false })
        }),
    ];
    for (kind, take) in take {
        let mut world = World::new();
        world.settle();
        take(&mut world);
        world.answer();
        let stage = world.stage("sft");
        assert_eq!((stage.state, stage.reason.as_str()), (StageState::Starting, "NameConflict"), "{kind}");
        assert!(stage.message.contains(kind), "{}", stage.message);
        assert_eq!(world.status().condition(condition::DEGRADED).unwrap().reason, "NameConflict", "{kind}");
        world.seen.jobs.retain(|job| job.ours);
        world.seen.foreign_config_maps.clear();
        world.wait(10);
        let stage = world.stage("sft");
        assert_eq!((stage.state, stage.attempt, stage.uncharged_attempts), (StageState::Running, 1, 0), "{kind}");
        assert!(!world.status().is(condition::DEGRADED), "{kind}");
    }
}

#[test]
fn a_taken_name_does_not_keep_a_training_from_being_suspended() {
    let mut world = World::new();
    world.settle();
    world.seen.foreign_config_maps.push(ForeignConfigMap { name: "t-sft-1".into(), leaves: false });
    world.answer();
    world.edit("suspend", true.into());
    assert!(world.status().is(condition::SUSPENDED));
}

#[test]
fn what_a_deleted_training_of_the_same_name_left_is_waited_for() {
    let mut world = World::new();
    world.settle();
    world.seen.jobs[0].ours = false;
    world.seen.jobs[0].leftover = true;
    world.raw.status = Value::Null;
    world.settle();
    let preflight = world.status().preflight.unwrap();
    assert_eq!((preflight.reason.as_str(), world.made), ("Created", 1));
    assert!(!world.status().is(condition::DEGRADED));
    world.seen.jobs.clear();
    world.wait(10);
    assert_eq!(world.made, 2);
}

#[test]
fn a_probe_whose_name_is_taken_takes_the_next() {
    let mut world = World::running();
    world.seen.jobs.retain(|job| job.stage.is_none());
    world.seen.foreign_config_maps.push(ForeignConfigMap { name: "t-sft-1-probe1".into(), leaves: false });
    world.settle();
    world.wait(30);
    assert!(world.seen.job("t-sft-1-probe2").is_some());
}

#[test]
fn a_pod_that_a_queue_takes_back_is_no_disruption() {
    let mut world = World::running();
    for round in 0..30 {
        world.live(Some("sft")).suspended = true;
        world.wait(1);
        assert_eq!(world.stage("sft").state, StageState::Queued);
        let job = world.live(Some("sft"));
        job.suspended = false;
        job.pods[0].uid = format!("again{round}");
        world.wait(1);
    }
    let stage = world.stage("sft");
    assert_eq!((stage.state, stage.attempt), (StageState::Running, 1));
    assert_eq!((stage.infra_restarts, stage.charged_attempts, stage.uncharged_attempts), (0, 0, 0));
}

#[test]
fn a_lost_node_gives_the_attempt_up_without_charge() {
    let mut world = World::running();
    let now = world.now;
    world.live(Some("sft")).pods[0].node_lost_since = Some(now);
    world.wait(599);
    assert_eq!(world.stage("sft").state, StageState::Running);
    world.wait(2);
    assert_eq!((world.stage("sft").state, world.stage("sft").charged_attempts), (StageState::Retrying, 0));
}

#[test]
fn a_look_into_the_store_from_a_lost_node_is_repeated_elsewhere() {
    let lose = |world: &mut World| {
        let (now, made) = (world.now, world.made);
        world.live(None).pods[0].node_lost_since = Some(now);
        world.wait(599);
        assert_eq!(world.made, made);
        world.wait(2);
        world.wait(60);
        assert_eq!(world.made, made + 1);
    };
    let mut world = World::new();
    world.settle();
    lose(&mut world);
    world.answer();
    assert_eq!(world.stage("sft").state, StageState::Running);
    assert_eq!(world.status().preflight.unwrap().charged, 0);

    world.seen.jobs.retain(|job| job.stage.is_none());
    world.settle();
    assert!(world.stage("sft").probe.is_some());
    lose(&mut world);
    world.answer();
    world.wait(30);
    assert_eq!(world.stage("sft").state, StageState::Running);
}

#[test]
fn a_pod_that_never_starts_fails_the_stage_and_says_why() {
    let mut world = World::running();
    let pod = &mut world.live(Some("sft")).pods[0];
    pod.running = false;
    pod.unschedulable = Some("0/1 nodes are available: 1 Insufficient nvidia.com/gpu".into());
    world.settle();
    assert_eq!(world.stage("sft").reason, "Unschedulable");
    assert_eq!(world.summary(), "Unschedulable");
    assert_eq!(world.status().condition(condition::DEGRADED).unwrap().reason, "Unschedulable");
    world.wait(3601);
    let stage = world.stage("sft");
    assert_eq!((stage.state, stage.reason.as_str()), (StageState::Failed, "PendingDeadlineExceeded"));
    let failed = world.status().condition(condition::FAILED).unwrap().message.clone();
    assert!(failed.starts_with("sft: its pod did not start within 3600 s: Unschedulable: 0/1 nodes"), "{failed}");
    assert!(failed.ends_with("a new spec.retryToken tries again"), "{failed}");
}

#[test]
fn a_preflight_pod_that_never_starts_fails_the_training_and_says_why() {
    let mut world = World::new();
    world.settle();
    let pod = &mut world.live(None).pods[0];
    pod.running = false;
    pod.waiting = Some(("CreateContainerConfigError".into(), "secret \"store\" not found".into()));
    world.settle();
    assert_eq!(world.summary(), "ContainerConfigError");
    let degraded = world.status().condition(condition::DEGRADED).unwrap().clone();
    assert_eq!((degraded.status.as_str(), degraded.reason.as_str()), ("True", "ContainerConfigError"));
    world.wait(3601);
    let failed = world.status().condition(condition::FAILED).unwrap().clone();
    assert_eq!((failed.status.as_str(), failed.reason.as_str()), ("True", "PendingDeadlineExceeded"));
    assert!(failed.message.contains("secret \"store\" not found"), "{}", failed.message);
    assert_eq!(world.status().condition(condition::ACCEPTED).unwrap().status, "False");
    world.edit("retryToken", "2".into());
    world.answer();
    assert_eq!(world.stage("sft").state, StageState::Running);
}

#[test]
fn what_keeps_a_pod_away_is_told_and_forgotten_once_it_runs() {
    let forbidden = "Error creating: pods \"t-sft-1-x\" is forbidden:";
    for (warning, reason) in [
        (format!("{forbidden} exceeded quota: small, requested: requests.memory=1Gi"), "QuotaExceeded"),
        (format!("{forbidden} violates PodSecurity \"restricted:latest\": forbidden AppArmor profile"), "PodForbidden"),
        (format!("{forbidden} failed quota: small: must specify requests.memory for: trainer"), "PodForbidden"),
        (format!("{forbidden} maximum memory usage per Container is 1Gi, but limit is 2Gi"), "PodForbidden"),
        (
            format!("{forbidden} error looking up service account ns/x: serviceaccount \"x\" not found"),
            "ServiceAccountMissing",
        ),
        ("Error creating: Internal error occurred".to_string(), "PodNotCreated"),
    ] {
        let mut world = World::running();
        let job = world.live(Some("sft"));
        let pods = std::mem::take(&mut job.pods);
        job.warning = Some(warning.clone());
        world.settle();
        let degraded = world.status().condition(condition::DEGRADED).unwrap().clone();
        let words = warning.strip_prefix(forbidden).unwrap_or(&warning).trim_start();
        assert_eq!((degraded.reason.as_str(), degraded.message), (reason, format!("sft: {words}")));
        assert_eq!(world.summary(), reason);
        world.live(Some("sft")).pods = pods;
        world.wait(30);
        let stage = world.stage("sft");
        assert_eq!((stage.state, stage.attempt, stage.charged_attempts), (StageState::Running, 1, 0), "{warning}");
        assert!(!world.status().is(condition::DEGRADED), "{warning}");
    }
}

#[test]
fn while_a_pod_does_not_start_its_events_are_read_again_and_again() {
    for stage in [None, Some("sft")] {
        let mut world = if stage.is_some() { World::running() } else { World::new() };
        world.settle();
        world.live(stage).pods.clear();
        world.settle();
        let decision = decide(&world.training(), &world.seen, world.now, &world.policy);
        assert!(decision.requeue_seconds <= 30, "{stage:?}: {}", decision.requeue_seconds);
    }
}

#[test]
fn a_corrected_pod_template_replaces_a_pod_that_has_not_started_and_no_other() {
    for stage in [None, Some("sft")] {
        let mut world = if stage.is_some() { World::running() } else { World::new() };
        world.settle();
        let pod = &mut world.live(stage).pods[0];
        pod.running = false;
        pod.waiting = Some(("ImagePullBackOff".into(), "no such image".into()));
        world.settle();
        let old = world.live(stage).uid.clone();
        world.edit("podTemplate", json!({"image": "trainer:2"}));
        if stage.is_some() {
            world.answer();
        }
        world.wait(30);
        assert_ne!(world.live(stage).uid, old, "{stage:?}");
        if let Some(name) = stage {
            let stage = world.stage(name);
            assert_eq!((stage.state, stage.attempt, stage.charged_attempts), (StageState::Running, 2, 0));
        } else {
            assert_eq!(world.status().preflight.unwrap().charged, 0);
        }
        let old = world.live(stage).uid.clone();
        world.edit("podTemplate", json!({"image": "trainer:3"}));
        world.wait(30);
        assert_eq!(world.live(stage).uid, old, "a pod that runs was replaced");
    }
}

#[test]
fn a_preflight_that_hangs_goes_once_the_spec_has_another() {
    let mut world = World::new();
    world.settle();
    let job = world.live(None);
    job.pods[0].running = false;
    let old = job.uid.clone();
    world.edit("seed", 7.into());
    assert_eq!(world.seen.jobs.len(), 1, "{:?}", world.seen.jobs);
    assert_ne!(world.live(None).uid, old);
    world.say(None, 64, PreflightMessage::failed(ExitCode::Config, vec!["x".into()]).to_json());
    world.settle();
    assert!(world.status().is(condition::FAILED));
}

#[test]
fn of_a_long_message_the_middle_goes() {
    let text = format!("place: {}: the way out", "x".repeat(500));
    let clipped = super::clip(&text);
    assert_eq!(clipped.chars().count(), MedicalTrainingStatus::MAX_MESSAGE);
    assert!(clipped.starts_with("place: x") && clipped.contains('…') && clipped.ends_with("x: the way out"));
    assert_eq!(super::clip("short"), "short");
}

#[test]
fn a_pod_that_has_ended_is_not_shown_as_starting_until_its_job_says_so() {
    let mut world = World::running();
    let before = world.status();
    let pod = &mut world.live(Some("sft")).pods[0];
    pod.running = false;
    pod.terminated = Some(Terminated { exit_code: 0, reason: "Completed".into(), message: String::new() });
    world.settle();
    assert_eq!(world.status(), before);
}

#[test]
fn events_are_asked_for_when_a_pod_is_slow_to_start_and_then_now_and_again() {
    let mut world = World::running();
    world.live(Some("sft")).pods[0].running = false;
    for (seconds, again) in [(0, 5), (3, 2), (2, 30), (30, 30)] {
        world.wait(seconds);
        let decision = decide(&world.training(), &world.seen, world.now, &world.policy);
        assert_eq!(decision.requeue_seconds, again);
    }
}

#[test]
fn deadlines_pause_while_a_queue_holds_the_job() {
    let mut world = World::running();
    let job = world.live(Some("sft"));
    job.suspended = true;
    job.pods.clear();
    world.wait(100_000);
    assert_eq!(world.stage("sft").state, StageState::Queued);
}

#[test]
fn an_edit_stops_only_what_changed() {
    let mut world = World::running();
    world.edit("queueName", "research".into());
    assert_eq!(world.made, 2, "a queue re-plans nothing");
    world.edit("seed", 7.into());
    world.answer();
    assert_eq!((world.stage("sft").state, world.stage("sft").attempt), (StageState::Running, 1), "same key, goes on");
    world.salt = 1;
    world.edit("seed", 8.into());
    world.answer();
    world.wait(30);
    assert_eq!(world.stage("sft").attempt, 2);
    assert_eq!(world.seen.jobs.iter().filter(|job| job.stage.is_some() && job.is_live()).count(), 1);
}

#[test]
fn a_spec_that_became_wrong_starts_nothing_and_stops_nothing() {
    let mut world = World::running();
    world.edit("stages", json!([]));
    assert_eq!(world.stage("sft").state, StageState::Running);
    assert_eq!(world.status().condition(condition::ACCEPTED).unwrap().reason, "SpecInvalid");
    assert!(!world.status().is(condition::FAILED), "something runs");
}

#[test]
fn a_retry_token_opens_a_failed_training_again() {
    let mut world = World::running();
    world.exit("sft", ExitCode::Permission);
    assert!(world.status().is(condition::FAILED));
    world.edit("retryToken", "2".into());
    world.answer();
    let stage = world.stage("sft");
    assert_eq!((stage.state, stage.attempt, stage.charged_attempts), (StageState::Running, 2, 0));
    assert!(!world.status().is(condition::FAILED));
}

#[test]
fn an_edit_and_back_asks_anew_and_repeats_nothing() {
    let mut world = World::running();
    world.edit("retryToken", "2".into());
    world.exit("sft", ExitCode::Done);
    world.raw.spec.as_object_mut().unwrap().remove("retryToken");
    world.settle();
    assert_eq!(world.stage("sft").state, StageState::Succeeded);
    world.answer();
    assert_eq!((world.stage("sft").attempt, world.stage("rm").state), (1, StageState::Running));
}

#[test]
fn a_finished_training_goes_after_its_ttl() {
    let mut world = World::running();
    world.raw.spec["ttlSecondsAfterFinished"] = 60.into();
    world.exit("sft", ExitCode::Data);
    assert!(!world.step().contains(&Action::DeleteTraining));
    world.now = world.now.checked_add(SignedDuration::from_secs(61)).unwrap();
    assert!(world.step().contains(&Action::DeleteTraining));
}

fn happening() -> impl Strategy<Value = (u8, u8)> {
    (0u8..14, any::<u8>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_happens_the_invariants_hold(happenings in proptest::collection::vec(happening(), 1..40)) {
        let mut world = World::new();
        for (what, which) in happenings {
            let before = world.status();
            let stages = ["sft", "rm", "ppo"];
            let stage = stages[usize::from(which) % 3];
            let live = world.seen.jobs.iter().any(|job| job.stage.as_deref() == Some(stage) && job.end.is_none());
            let small = world.seen.jobs.iter().any(|job| job.stage.is_none() && job.end.is_none());
            let was_suspended = world.training().suspend;
            let made = world.made;
            let answered = small && what <= 3;
            match what {
                0..=3 if small => world.answer(),
                4..=6 if live => world.exit(stage, ExitCode::ALL[usize::from(which) % ExitCode::ALL.len()]),
                7 => { let on = which % 2 == 0; world.edit("suspend", on.into()); }
                8 => { let gone = usize::from(which) % world.seen.jobs.len().max(1);
                       if gone < world.seen.jobs.len() { world.seen.jobs.remove(gone); } world.settle(); }
                9 => { world.salt = u32::from(which % 3); let token = world.salt.to_string(); world.edit("retryToken", token.into()); }
                10 if live => { world.say(Some(stage), 137, String::new()); world.settle(); }
                11 if live => { world.live(Some(stage)).pods[0].uid += "x"; world.settle(); }
                12 => { let train = json!({"train": {"maxSteps": 1 + which % 3}});
                        world.raw.spec["stages"][0]["train"] = train["train"].clone(); world.settle(); }
                _ => world.wait(i64::from(which) * 10),
            }
            let after = world.status();
            for name in stages {
                let open = world.seen.jobs.iter().filter(|job| job.stage.as_deref() == Some(name) && job.is_live());
                prop_assert!(open.count() <= 1, "two live Jobs of {name}");
                let (old, new) = (before.stage(name), after.stage(name));
                let attempt = |stage: Option<&medtrain_crds::training::status::StageStatus>| stage.map_or(0, |s| s.attempt);
                prop_assert!(attempt(new) >= attempt(old), "attempts of {name} decreased");
                if let (Some(old), Some(new)) = (old, new)
                    // Only a plan that is taken on, and that takes a preflight, opens a failed stage again.
                    && old.state.is_terminal()
                    && (old.state.is_done() || !answered) && before.plan == after.plan
                {
                    prop_assert_eq!(old, new);
                }
                if let Some(new) = new.filter(|new| is_open(new) && new.job_uid.is_some()) {
                    prop_assert!(new.attempt > 0);
                }
            }
            if world.training().suspend && was_suspended {
                prop_assert_eq!(world.made, made, "created while suspended");
            }
            let rests = !world.seen.jobs.iter().any(|job| job.ours && job.is_live());
            if world.training().suspend && rests {
                let told = [condition::SUSPENDED, condition::COMPLETE, condition::FAILED].map(|kind| after.is(kind));
                prop_assert_eq!(told.iter().filter(|told| **told).count(), 1, "nothing runs: {:?}", after.conditions);
            }
            prop_assert!(serde_json::to_string(&after).unwrap().len() <= MedicalTrainingStatus::MAX_BYTES);
        }
    }
}

#[test]
fn the_longest_status_fits_and_keeps_what_decisions_need() {
    let mut world = World::new();
    let data = json!({"train": ["s3://data/x.jsonl"]});
    let names: Vec<String> = (0..16).map(|i| format!("stagename{i:03}")).collect();
    world.raw.spec["output"]["uri"] = format!("s3://out/{}", "o".repeat(900)).into();
    world.raw.spec["stages"] =
        names.iter().map(|name| json!({"name": name, "kind": "SFT", "dataset": data, "inputs": {}})).collect();
    world.settle();
    world.answer();
    let mut status = world.status();
    assert_eq!(status.stages.len(), 16);
    let longest = "ü".repeat(4 * MedicalTrainingStatus::MAX_MESSAGE);
    let preflight = status.preflight.as_mut().unwrap();
    preflight.errors = vec!["é".repeat(MedicalTrainingStatus::MAX_MESSAGE); MedicalTrainingStatus::MAX_ERRORS];
    for stage in &mut status.stages {
        stage.message = longest.chars().take(MedicalTrainingStatus::MAX_MESSAGE).collect();
        stage.manifest_uri = Some(format!("s3://out/{}", "o".repeat(900)));
        stage.manifest_digest = Some("f".repeat(64));
        stage.metrics =
            (0..MedicalTrainingStatus::MAX_METRICS).map(|i| (format!("{i:0>40}"), "0.123456".to_string())).collect();
    }
    world.raw.status = serde_json::to_value(&status).unwrap();
    world.settle();
    let fitted = world.status();
    let bytes = serde_json::to_string(&fitted).unwrap().len();
    assert!(bytes <= MedicalTrainingStatus::MAX_BYTES, "{bytes} bytes");
    for (before, after) in status.stages.iter().zip(&fitted.stages) {
        assert_eq!((&before.key, before.state, before.attempt), (&after.key, after.state, after.attempt));
    }
    assert_eq!(fitted.conditions.len(), condition::ALL.len());
}

/// The live pod of a stage says so at its next scrape.
fn says(world: &mut World, stage: &str, phase: Phase, step: u64) {
    world.live(Some(stage)).pods[0].progress = Some(Progress { phase, step, total: 10, ..Progress::new(stage) });
}

#[test]
fn a_stage_that_does_not_move_is_stopped_and_charged() {
    let mut world = World::running();
    says(&mut world, "sft", Phase::Training, 5);
    world.settle();
    let limit = world.policy.stall_after(Phase::Training);
    world.wait(limit - 1);
    assert_eq!(world.stage("sft").state, StageState::Running);
    world.wait(2);
    let stage = world.stage("sft");
    assert_eq!((stage.state, stage.reason.as_str(), stage.charged_attempts), (StageState::Retrying, "Stalled", 1));
}

#[test]
fn every_movement_of_phase_or_step_begins_the_limit_anew_and_silence_is_no_stall() {
    let mut world = World::running();
    let limit = world.policy.stall_after(Phase::Training);
    for (phase, step) in [(Phase::Training, 5), (Phase::Training, 6), (Phase::Evaluating, 6), (Phase::Training, 6)] {
        says(&mut world, "sft", phase, step);
        world.settle();
        world.wait(limit - 60);
        assert_eq!(world.stage("sft").state, StageState::Running, "{phase:?} {step}");
    }
    world.live(Some("sft")).pods[0].progress = None;
    world.wait(100 * limit);
    assert_eq!(world.stage("sft").state, StageState::Running);
}
