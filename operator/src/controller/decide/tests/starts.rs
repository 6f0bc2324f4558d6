//! Pods that do not start, start late, or are held by a queue.

use super::*;

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

/// The Job controller takes its time before it replaces a pod, and the attempt may have begun long ago.
#[test]
fn a_pod_lost_late_in_an_attempt_is_given_the_whole_pending_deadline_to_be_replaced() {
    for stage in [None, Some("sft")] {
        let mut world = if stage.is_some() { World::running() } else { World::new() };
        world.settle();
        world.wait(4000);
        let mut pods = std::mem::take(&mut world.live(stage).pods);
        world.wait(3599);
        let job = world.live(stage);
        assert!(!job.deleting, "{stage:?}");
        if let Some(name) = stage {
            let stage = world.stage(name);
            assert_eq!((stage.state, stage.reason.as_str()), (StageState::Starting, "PodStarting"));
            assert!(stage.message.contains("its pod was disrupted"), "{}", stage.message);
        }
        pods[0].uid = "next".into();
        world.live(stage).pods = pods;
        world.wait(30);
        let job = world.live(stage);
        job.pods.clear();
        job.warning = Some("Error creating: pods \"x\" is forbidden: exceeded quota: small".into());
        world.wait(1);
        world.wait(3601);
        assert!(world.status().is(condition::FAILED), "{stage:?}");
    }
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
fn a_job_that_is_refused_is_told_and_tried_again_and_holds_up_no_other() {
    for stage in [None, Some("sft")] {
        let mut world = World::new();
        world.settle();
        if stage.is_some() {
            world.answer();
        }
        let name = world.live(stage).name.clone();
        world.seen.jobs.retain(|job| job.name != name);
        match stage {
            None => world.raw.status["preflight"]["jobUID"] = Value::Null,
            Some(_) => world.raw.status["stages"][0]["jobUID"] = Value::Null,
        }
        let words = format!("jobs.batch \"{name}\" is forbidden: exceeded quota: jobs, requested: count/jobs.batch=1");
        world.seen.refused = vec![(name.clone(), words)];
        let decision = decide(&world.training(), &world.seen, world.now, &world.policy);
        assert!(decision.actions.iter().any(|action| matches!(action, Action::Create(_))), "{stage:?}");
        let degraded = decision.status.condition(condition::DEGRADED).unwrap().clone();
        assert_eq!((degraded.status.as_str(), degraded.reason.as_str()), ("True", "QuotaExceeded"), "{stage:?}");
        assert!(degraded.message.contains("exceeded quota: jobs, requested"), "{}", degraded.message);
        world.seen.refused.clear();
        world.settle();
        assert!(!world.status().is(condition::DEGRADED), "{stage:?}");
    }
}

/// Nobody saw how the first attempt ended; the secret that the probe's pod needs is gone.
#[test]
fn a_look_into_the_store_that_does_not_start_is_told_and_made_anew_when_that_is_mended() {
    let mut world = World::running();
    world.seen.jobs.retain(|job| job.stage.as_deref() != Some("sft"));
    world.wait(10);
    let pod = &mut world.live(None).pods[0];
    pod.running = false;
    pod.waiting = Some(("CreateContainerConfigError".into(), "secret \"store\" not found".into()));
    world.settle();
    let message = world.stage("sft").message;
    assert!(message.contains("ContainerConfigError: secret \"store\" not found"), "{message}");
    let old = world.live(None).uid.clone();
    world.edit("podTemplate", json!({"image": "trainer:2"}));
    world.wait(20);
    assert_ne!(world.live(None).uid, old);
    world.answer();
    world.wait(20);
    assert_eq!((world.stage("sft").state, world.stage("sft").attempt), (StageState::Running, 2));

    world.seen.jobs.retain(|job| job.stage.as_deref() != Some("sft"));
    world.wait(10);
    let job = world.live(None);
    let old = job.uid.clone();
    job.pods[0].running = false;
    world.wait(3601);
    world.wait(30);
    assert_ne!(world.live(None).uid, old);
    world.edit("suspend", true.into());
    world.settle();
    assert!(world.status().is(condition::SUSPENDED), "a pod that does not start keeps a training from suspending");
}
