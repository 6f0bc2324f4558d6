//! How attempts end, what is charged, and when the store is asked.

use super::*;

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

/// The kubelet kills what does not end by itself, and the Job controller may say so before the Job is gone.
#[test]
fn what_an_attempt_was_stopped_for_counts_also_when_its_job_gets_an_end_before_it_goes() {
    type Cause = fn(&mut World);
    let causes: [(&str, Cause, StageState); 3] = [
        ("Stalled", |world| world.wait(31 * 60), StageState::Retrying),
        (
            "ActiveDeadlineExceeded",
            |world| {
                world.policy.active_deadline_seconds = 100;
                world.wait(101);
            },
            StageState::Failed,
        ),
        (
            "PendingDeadlineExceeded",
            |world| {
                world.live(Some("sft")).pods[0].running = false;
                world.settle();
                world.wait(3601);
            },
            StageState::Failed,
        ),
    ];
    for (reason, cause, state) in causes {
        let mut world = World::running();
        world.slow = true;
        says(&mut world, "sft", Phase::Training, 5);
        world.settle();
        cause(&mut world);
        assert_eq!(world.stage("sft").stopping.as_deref(), Some(reason));
        world.is_killed_while_it_goes(Some("sft"));
        world.garbage_is_collected();
        let stage = world.stage("sft");
        assert_eq!((stage.state, stage.reason.as_str(), stage.charged_attempts), (state, reason, 1), "{reason}");
    }
}

#[test]
fn a_preflight_past_its_deadline_has_failed_also_when_its_job_gets_an_end_before_it_goes() {
    let mut world = World::new();
    world.settle();
    world.slow = true;
    world.live(None).pods[0].running = false;
    world.settle();
    world.wait(3601);
    world.is_killed_while_it_goes(None);
    world.garbage_is_collected();
    assert_eq!(world.status().condition(condition::FAILED).unwrap().reason, "PendingDeadlineExceeded");
}

/// `kubectl delete job --cascade=orphan`, or a client that gives no policy.
#[test]
fn a_pod_that_its_deleted_job_left_behind_is_ended_before_the_store_is_asked() {
    let mut world = World::running();
    let job = world.live(Some("sft")).clone();
    world.seen.jobs.retain(|other| other.uid != job.uid);
    let (name, uid) = ("t-sft-1-x".to_string(), job.pods[0].uid.clone());
    world.seen.orphans = vec![Orphan { name, uid, stage: job.stage, deleting: false, ended: false }];
    world.wait(60);
    assert!(world.seen.orphans[0].deleting);
    let made = world.made;
    world.wait(60);
    assert_eq!(world.made, made, "neither a look nor an attempt while it is at work");
    world.edit("suspend", true.into());
    assert!(!world.status().is(condition::SUSPENDED), "it runs");
    world.seen.orphans.clear();
    world.settle();
    assert!(world.status().is(condition::SUSPENDED));
    world.edit("suspend", false.into());
    world.wait(10);
    world.answer();
    world.wait(10);
    let stage = world.stage("sft");
    assert_eq!((stage.state, stage.attempt, stage.charged_attempts), (StageState::Running, 2, 0));
}
