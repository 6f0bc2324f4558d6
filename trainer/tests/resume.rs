//! A run that is killed and started again ends with the bytes and figures of an undisturbed one.

mod support;

use std::{
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
