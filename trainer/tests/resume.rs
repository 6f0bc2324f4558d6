//! A run that is killed and started again ends with the bytes and figures of an undisturbed one.

mod support;

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use support::{Lab, assert_ok, text};

const STAGES: [&str; 4] = ["pt", "sft", "rm", "ppo"];

/// Runs until it finishes, killing it with SIGKILL after each of `pauses` (repeated, and growing so that it ends).
/// Returns how often it was killed.
fn run_with_kills(lab: &Lab, pauses: &[u64], threads: &str) -> usize {
    let mut kills = 0;
    loop {
        let pause = pauses[kills % pauses.len()] * (1 + kills as u64 / 12);
        let mut child =
            lab.run().env("MEDTRAIN_THREADS", threads).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(pause) {
            if child.try_wait().unwrap().is_some() {
                let output = child.wait_with_output().unwrap();
                assert_ok(&output);
                return kills;
            }
            sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        assert!(kills < 200, "the run makes no progress between kills");
    }
}

#[test]
fn killed_at_many_points_all_four_stages_end_with_the_same_bytes_and_losses() {
    let whole = Lab::new(3);
    let started = Instant::now();
    assert_ok(&whole.run().env("MEDTRAIN_THREADS", "2").output().unwrap());
    let all = started.elapsed().as_millis() as u64;

    let disturbed = Lab::new(3);
    let pauses: Vec<u64> = [3, 5, 4, 7, 6, 9, 5, 8].iter().map(|part| (all * part / 40).max(60)).collect();
    let kills = run_with_kills(&disturbed, &pauses, "1");
    assert!(kills >= 3, "only {kills} kills: the test disturbs too little");
    for stage in STAGES {
        assert!(whole.result(stage) == disturbed.result(stage), "{stage} differs after {kills} kills");
        assert_eq!(disturbed.manifest(stage)["bitExact"], true);
    }
}

/// Runs PPO and kills it with SIGKILL when this process is in `phase` for the `nth` time. Returns what it said.
fn kill_in(lab: &Lab, phase: &str, nth: usize) -> Vec<serde_json::Value> {
    let mut child = lab.run().args(["--only", "ppo", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut events: Vec<serde_json::Value> = Vec::new();
    for line in lines {
        events.push(serde_json::from_str(&line.unwrap()).unwrap());
        if events.iter().filter(|event| event["phase"] == phase).count() == nth {
            child.kill().unwrap(); // what the pipe still holds was said before it died
        }
    }
    child.wait().unwrap();
    events
}

#[test]
fn killed_in_the_middle_of_rollouts_and_evaluations_ppo_ends_with_the_same_bytes_and_losses() {
    let settings = |lab: &Lab| {
        let ppo = "maxSteps: 1, learningRate: \"5e-3\"";
        lab.edit("training.yaml", ppo, &ppo.replace("maxSteps: 1", "maxSteps: 3"));
        lab.edit(
            "training.yaml",
            "saveSteps: 1, evalStrategy: \"no\"",
            "saveSteps: 3, evalStrategy: steps, evalSteps: 3",
        );
        // Long answers: the kill comes long before the last token.
        lab.edit("training.yaml", "maxNewTokens: 24, minNewTokens: 2", "maxNewTokens: 160, minNewTokens: 150");
    };
    let (whole, disturbed) = (Lab::new(1), Lab::new(1));
    [&whole, &disturbed].into_iter().for_each(settings);
    assert_ok(&whole.run().output().unwrap());
    for stage in ["pt", "sft", "rm"] {
        assert_ok(&disturbed.run().args(["--only", stage]).output().unwrap());
    }
    let kills = [
        ("evaluating", 1, 0),
        ("rollout", 1, 0),
        ("rollout", 2, 0),
        ("evaluating", 1, 3),
        ("rollout", 1, 3),
        ("rollout", 2, 3),
    ];
    for (phase, nth, resumed_at) in kills {
        let events = kill_in(&disturbed, phase, nth);
        let begun = events.iter().find(|event| event["event"] == "begin").unwrap();
        assert_eq!(begun["step"], resumed_at, "{events:?}");
        let last = events.iter().rfind(|event| event["event"] == "phase").unwrap();
        assert_eq!(last["phase"], phase, "it was killed elsewhere: {events:?}");
        assert!(!disturbed.artifact("ppo").exists());
    }
    assert_ok(&disturbed.run().output().unwrap());
    assert!(whole.result("ppo") == disturbed.result("ppo"));
    assert_eq!(disturbed.manifest("ppo")["bitExact"], true);
}

#[test]
fn a_stop_signal_writes_a_checkpoint_and_ends_with_85() {
    let lab = Lab::new(60);
    let child = lab.run().args(["--only", "pt"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let checkpoints = |lab: &Lab| {
        let stages = std::fs::read_dir(lab.path("out/stages")).ok()?;
        stages.flatten().find(|stage| stage.path().join("checkpoints").exists())
    };
    let started = Instant::now();
    while checkpoints(&lab).is_none() {
        assert!(started.elapsed() < Duration::from_secs(60), "no checkpoint after a minute");
        sleep(Duration::from_millis(5));
    }
    // SAFETY-free way to send SIGTERM: the shell's kill.
    let killed = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(85), "{}", text(&output));
    assert!(text(&output).contains("run the same command again to go on"), "{}", text(&output));
    assert!(!lab.artifact("pt").exists());

    assert_ok(&lab.run().args(["--only", "pt"]).output().unwrap());
    let whole = Lab::new(60);
    assert_ok(&whole.run().args(["--only", "pt"]).output().unwrap());
    assert!(lab.result("pt") == whole.result("pt"));
}
