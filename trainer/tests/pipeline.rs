//! The four stages by the command line, end to end on a tiny model.

mod support;

use std::fs;

use serde_json::json;
use support::{Lab, assert_ok, text};

const STAGES: [&str; 4] = ["pt", "sft", "rm", "ppo"];

#[test]
fn four_stages_leave_what_the_contract_lists_and_a_second_run_reuses_them() {
    let lab = Lab::new(2);
    let output = lab.run().output().unwrap();
    assert_ok(&output);
    for stage in STAGES {
        let artifact = lab.artifact(stage);
        for file in [
            "adapter/adapter_config.json",
            "adapter/adapter_model.safetensors",
            "adapter/tokenizer.json",
            "adapter/README.md",
            "merged/config.json",
            "merged/model.safetensors",
            "merged/tokenizer_config.json",
            "merged/README.md",
            "trainer_state.json",
            "train_results.json",
            "eval_results.json",
            "all_results.json",
        ] {
            assert!(artifact.join(file).is_file(), "{stage}: {file} is missing");
        }
        assert!(fs::read_dir(artifact.join("runs")).unwrap().count() > 0, "{stage}: no TensorBoard events");
        let manifest = lab.manifest(stage);
        assert_eq!(manifest["bitExact"], true, "{stage}");
        assert!(manifest["mergeCheck"]["maxLogitDiff"].as_f64().unwrap() < 1e-3, "{stage}");
        let checkpoints = fs::canonicalize(&artifact).unwrap().parent().unwrap().join("checkpoints");
        let kept = fs::read_dir(&checkpoints).unwrap().count();
        assert!((1..=3).contains(&kept), "{stage}: {kept} checkpoints, saveTotalLimit is 3");
        // As the link that `latest/` holds, as the artifact's folder, as a folder in it.
        let folder = fs::canonicalize(&artifact).unwrap();
        for path in [&artifact, folder.parent().unwrap(), &artifact.join("adapter")] {
            let verified = lab.medtrain().arg("verify").arg(path).output().unwrap();
            assert_ok(&verified);
            assert!(text(&verified).contains(" tokens trained ("), "{stage}: {}", text(&verified));
        }
        let trained_as = |role: &str| manifest["lossMask"]["roles"][role]["trained"].as_u64();
        let trained = manifest["lossMask"]["tokensTrained"].as_u64().unwrap();
        match stage {
            "pt" => assert_eq!(trained_as("text"), Some(trained)),
            "ppo" => assert_eq!((trained_as("user"), trained), (Some(0), 0)),
            _ => assert_eq!((trained_as("user"), trained_as("assistant")), (Some(0), Some(trained)), "{stage}"),
        }
    }
    let config = lab.json(lab.artifact("rm").join("merged/config.json"));
    assert_eq!(config["architectures"][0], "LlamaForSequenceClassification");
    assert!(config["reward_mean"].is_number());

    let before: Vec<_> = STAGES.map(|stage| lab.manifest(stage)).to_vec();
    let again = lab.run().output().unwrap();
    assert_ok(&again);
    assert_eq!(text(&again).matches("cached").count(), 4, "{}", text(&again));
    assert_eq!(before, STAGES.map(|stage| lab.manifest(stage)).to_vec());
}

#[test]
fn a_stage_that_no_longer_improves_ends_well_with_its_best_weights() {
    let lab = Lab::new(1);
    let mut run = lab.run();
    run.args(["--only", "pt"]);
    for set in [
        "maxSteps=50",
        "evalStrategy=steps",
        "evalSteps=1",
        "saveTotalLimit=1",
        "earlyStoppingPatience=1",
        "earlyStoppingThreshold=1000",
        "loadBestModelAtEnd=true",
    ] {
        run.args(["--set", &format!("stages.pt.train.{set}")]);
    }
    let output = run.output().unwrap();
    assert_ok(&output);
    assert!(text(&output).contains("stopped early at step 2 of 50"), "{}", text(&output));
    let manifest = lab.manifest("pt");
    assert_eq!((&manifest["finalStep"], &manifest["earlyStop"]), (&2.into(), &json!({"step": 2, "totalSteps": 50})));
    let (best, state) = (&manifest["bestModel"], lab.json(lab.artifact("pt").join("trainer_state.json")));
    assert_eq!((&best["metric"], &best["loaded"]), (&json!("eval_loss"), &json!(true)));
    assert_eq!((&state["best_global_step"], &state["best_metric"]), (&best["step"], &best["value"]));
    assert_eq!(manifest["metrics"]["eval_loss"], best["value"], "the figures are those of the weights");
}

#[test]
fn a_changed_later_stage_keeps_the_earlier_ones() {
    let lab = Lab::new(1);
    assert_ok(&lab.run().output().unwrap());
    let output = lab.run().args(["--set", "stages.rm.train.learningRate=1e-3"]).output().unwrap();
    assert_ok(&output);
    // PPO depends on RM, so both run again.
    assert_eq!(text(&output).matches("cached").count(), 2, "{}", text(&output));
}

#[test]
fn only_runs_one_stage_and_says_what_is_missing() {
    let lab = Lab::new(1);
    let output = lab.run().args(["--only", "sft"]).output().unwrap();
    assert_eq!(output.status.code(), Some(65), "{}", text(&output));
    assert!(text(&output).contains("stage \"pt\" has not finished"), "{}", text(&output));
    assert_ok(&lab.run().args(["--only", "pt"]).output().unwrap());
    assert_ok(&lab.run().args(["--only", "sft"]).output().unwrap());
}

#[test]
fn the_merge_command_gives_the_merged_model_of_the_stage() {
    let lab = Lab::new(1);
    assert_ok(&lab.run().args(["--only", "pt"]).output().unwrap());
    assert_ok(&lab.run().args(["--only", "sft"]).output().unwrap());
    let (base, adapter) = (lab.artifact("pt").join("merged"), lab.artifact("sft").join("adapter"));
    let merge = |to: &str| {
        let mut command = lab.medtrain();
        command.arg("merge").arg("--model").arg(&base).arg("--adapter").arg(&adapter).args(["--output", to]);
        command.output().unwrap()
    };
    assert_ok(&merge("whole"));
    assert_eq!(
        fs::read(lab.path("whole/model.safetensors")).unwrap(),
        fs::read(lab.artifact("sft").join("merged/model.safetensors")).unwrap()
    );
    assert!(!text(&merge("second")).contains("was trained"));
    let stranger = |model: &std::path::Path, adapter: &std::path::Path, more: &[&str]| {
        let mut command = lab.medtrain();
        command.arg("merge").arg("--model").arg(model).arg("--adapter").arg(adapter).args(["--output", "other"]);
        command.args(more).output().unwrap()
    };
    // The same shapes, other weights.
    let sibling = lab.artifact("sft").join("merged");
    let other = stranger(&sibling, &adapter, &[]);
    assert_eq!(other.status.code(), Some(65), "{}", text(&other));
    assert!(text(&other).contains("was trained over \"../../../pt-"), "{}", text(&other));
    assert!(!lab.path("other").exists());
    let mut generate = lab.medtrain();
    generate.args(["generate", "--prompt", "x", "--model"]).arg(&sibling).arg("--adapter").arg(&adapter);
    let refused = generate.output().unwrap();
    assert_eq!(refused.status.code(), Some(65), "{}", text(&refused));
    // Checkpoints hold adapters too, and record the base as well.
    let checkpoints = fs::canonicalize(lab.artifact("sft")).unwrap().parent().unwrap().join("checkpoints");
    let checkpoint = fs::read_dir(checkpoints).unwrap().next().unwrap().unwrap().path();
    assert_eq!(stranger(&sibling, &checkpoint, &[]).status.code(), Some(65));
    let above = stranger(&lab.artifact("pt"), &adapter, &[]);
    assert_eq!(above.status.code(), Some(65));
    assert!(text(&above).contains("holds no config.json; did you mean"), "{}", text(&above));
    let forced = stranger(&sibling, &adapter, &["--force-base"]);
    assert_ok(&forced);
    assert!(text(&forced).contains("warning: ") && text(&forced).contains("was trained over"), "{}", text(&forced));
    let again = merge("whole");
    assert_eq!(again.status.code(), Some(64));
    assert!(text(&again).contains("exists already"), "{}", text(&again));
}

#[test]
fn full_fine_tuning_trains_every_weight_and_loads_as_the_next_stage() {
    let lab = Lab::new(1);
    let yaml = fs::read_to_string(lab.path("training.yaml")).unwrap();
    let full = yaml
        .replace("  lora: {rank: 4, alpha: \"8\", dropout: \"0.1\", targetModules: [all-linear]}\n", "  full: {}\n");
    assert_ne!(yaml, full);
    fs::write(lab.path("training.yaml"), full.replace("2e-2", "2e-3")).unwrap();
    assert_ok(&lab.run().output().unwrap());
    assert!(!lab.artifact("sft").join("adapter").exists());
    let before = fs::read(lab.artifact("pt").join("merged/model.safetensors")).unwrap();
    let after = fs::read(lab.artifact("sft").join("merged/model.safetensors")).unwrap();
    assert_eq!(before.len(), after.len());
    assert_ne!(before, after);
}

#[test]
fn a_stage_leaves_its_outcome_in_the_file_that_it_is_given() {
    let lab = Lab::new(1);
    let plan = format!("file://{}", lab.path("out/plans/none.json").display());
    let config = format!(r#"{{"contract":1,"plan":{{"uri":"{plan}","sha256":"{}"}},"stage":"pt"}}"#, "0".repeat(64));
    fs::write(lab.path("stage.json"), config).unwrap();
    let stage = ["stage", "--config", "stage.json", "--termination-log", "end.json"];
    let output = lab.medtrain().args(stage).output().unwrap();
    assert_eq!(output.status.code(), Some(65), "{}", text(&output));
    let message = lab.json("end.json");
    assert_eq!(message["outcome"], "failed");
    assert!(message["message"].as_str().unwrap().starts_with(&format!("{plan}: not found")), "{message}");
}

#[test]
fn files_gone_behind_a_manifest_are_an_error_until_their_folder_is_deleted() {
    let lab = Lab::new(1);
    assert_ok(&lab.run().args(["--only", "pt"]).output().unwrap());
    let attempt = fs::canonicalize(lab.artifact("pt")).unwrap();
    fs::remove_dir_all(&attempt).unwrap();
    let gone = lab.run().args(["--only", "pt"]).output().unwrap();
    assert_eq!(gone.status.code(), Some(65), "{}", text(&gone));
    assert!(text(&gone).contains("delete the folder to run the stage again"), "{}", text(&gone));
    fs::remove_dir_all(attempt.parent().unwrap()).unwrap();
    assert_ok(&lab.run().args(["--only", "pt"]).output().unwrap());
}
