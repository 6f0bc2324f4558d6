//! The course of a training that nobody disturbs, and what edits of its spec change.

use super::*;

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
fn a_finished_training_goes_after_its_ttl() {
    let mut world = World::running();
    world.raw.spec["ttlSecondsAfterFinished"] = 60.into();
    world.exit("sft", ExitCode::Data);
    assert!(!world.step().contains(&Action::DeleteTraining));
    world.now = world.now.checked_add(SignedDuration::from_secs(61)).unwrap();
    assert!(world.step().contains(&Action::DeleteTraining));
}
