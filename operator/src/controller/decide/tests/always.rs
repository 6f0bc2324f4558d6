//! What holds whatever happens.

use super::*;

#[test]
fn of_a_long_message_the_middle_goes() {
    let text = format!("place: {}: the way out", "x".repeat(500));
    let clipped = clip(&text);
    assert_eq!(clipped.chars().count(), MedicalTrainingStatus::MAX_MESSAGE);
    assert!(clipped.starts_with("place: x") && clipped.contains('…') && clipped.ends_with("x: the way out"));
    assert_eq!(clip("short"), "short");
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
