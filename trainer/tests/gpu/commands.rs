//! The program itself with `--device`.

#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use support::{Lab, assert_ok, text};

use crate::{NAMED, device};

fn losses(lab: &Lab, stage: &str) -> Vec<f64> {
    let state = lab.json(lab.artifact(stage).join("trainer_state.json"));
    let history = state["log_history"].as_array().unwrap();
    history.iter().filter_map(|row| row["loss"].as_f64()).collect()
}

#[test]
fn a_training_runs_on_the_device_and_logs_the_losses_of_the_processor() {
    let device = device();
    let [cpu, gpu] = ["cpu".to_owned(), device.to_string()].map(|device| {
        let lab = Lab::new(1);
        for stage in ["pt", "sft", "rm", "ppo"] {
            let output = lab.run().args(["--only", stage, "--device", &device]).output().unwrap();
            assert_ok(&output);
            assert!(!text(&output).contains("panicked"), "{}", text(&output));
        }
        lab
    });
    for stage in ["pt", "sft", "rm"] {
        let (theirs, ours) = (losses(&cpu, stage), losses(&gpu, stage));
        println!("{stage}: {ours:?}, on the processor {theirs:?}");
        assert_eq!((theirs.len(), ours.len()), (3, 3), "{stage}");
        for (step, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
            // Later steps and stages stand on weights that rounding has moved.
            let tolerance = if (stage, step) == ("pt", 0) { 1e-5 } else { 1e-3 };
            assert!((ours - theirs).abs() <= tolerance * theirs.abs().max(1.0), "{stage} {step}: {ours} {theirs}");
        }
    }
    let named = |value: &Value| value.as_str().is_some_and(|name| name.starts_with(NAMED));
    let folder = std::fs::canonicalize(gpu.artifact("ppo")).unwrap();
    let checkpoints = std::fs::read_dir(folder.parent().unwrap().join("checkpoints")).unwrap();
    let manifests: Vec<Value> =
        checkpoints.map(|entry| gpu.json(entry.unwrap().path().join("manifest.json"))).collect();
    assert!(!manifests.is_empty() && manifests.iter().all(|manifest| named(&manifest["device"])), "{manifests:?}");
    assert!(gpu.manifest("ppo")["mergeCheck"]["maxLogitDiff"].as_f64().unwrap() < 1e-3);
}

#[test]
fn an_adapter_that_is_not_there_is_one_line() {
    let lab = Lab::new(1);
    let absent = device().to_string().replace(|c: char| c.is_ascii_digit(), "") + "99";
    let output = lab.run().args(["--device", &absent]).output().unwrap();
    assert_eq!(output.status.code(), Some(71), "{}", text(&output));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains(&format!("--device {absent}: this process sees ")) && !errors.contains("panicked"),
        "{errors}"
    );
    assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
}
