//! Names of ours that something else has.

use super::*;

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
