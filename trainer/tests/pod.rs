//! What pods do: `medtrain preflight` and `medtrain stage`, told by files and the environment alone.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
};

use medtrain_crds::contract::{PreflightConfig, PreflightMessage, StageConfig, StageLimits, TerminationMessage};
use serde_json::{Value, json};
use support::{Lab, assert_ok, text};

/// The lab's training as the operator passes it on, with paths that mean the same everywhere.
fn training(lab: &Lab) -> Value {
    let yaml = fs::read_to_string(lab.path("training.yaml")).unwrap();
    let mut training: Value = serde_yaml::from_str(&yaml).unwrap();
    let absolute = |value: &mut Value| *value = lab.path(value.as_str().unwrap()).display().to_string().into();
    absolute(&mut training["spec"]["output"]["uri"]);
    for stage in training["spec"]["stages"].as_array_mut().unwrap() {
        for side in ["train", "eval"] {
            stage["dataset"][side].as_array_mut().unwrap().iter_mut().for_each(absolute);
        }
    }
    training
}

fn preflight_command(lab: &Lab, config: &PreflightConfig) -> Command {
    fs::write(lab.path("preflight.json"), config.to_json()).unwrap();
    let mut command = lab.medtrain();
    command.args(["preflight", "--config", "preflight.json", "--workdir", "work", "--termination-log", "log"]);
    command
}

fn preflight(lab: &Lab, config: &PreflightConfig) -> (Option<i32>, PreflightMessage, Output) {
    let output = preflight_command(lab, config).output().unwrap();
    let log = fs::read_to_string(lab.path("log")).unwrap();
    let message = PreflightMessage::parse(&log).unwrap_or_else(|| panic!("{log}\n{}", text(&output)));
    (output.status.code(), message, output)
}

fn stored(uri: &str) -> Value {
    serde_json::from_slice(&fs::read(uri.strip_prefix("file://").unwrap()).unwrap()).unwrap()
}

#[test]
fn a_preflight_pod_writes_the_plan_that_a_stage_pod_runs_and_a_probe_sees_it_done() {
    let lab = Lab::new(1);
    let mut config = PreflightConfig::new(training(&lab));
    let (code, message, output) = preflight(&lab, &config);
    assert_ok(&output);
    assert_eq!((code, message.reason.as_str(), message.errors.len()), (Some(0), "Completed", 0));
    let names: Vec<&str> = message.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["pt", "sft", "rm", "ppo"]);
    assert!(message.stages.iter().all(|stage| !stage.done && stage.steps > 0 && stage.mib > Some(64)));
    let report = stored(message.report_uri.as_deref().unwrap());
    assert_eq!(report["stages"].as_array().unwrap().len(), 4);
    assert!(lab.path("out/trainings/default.lab/ppo.json").is_file());

    let plan = message.plan.unwrap();
    fs::write(lab.path("stage.json"), StageConfig::new(plan, "pt").to_json()).unwrap();
    let mut stage = lab.medtrain();
    stage.args(["stage", "--config", "stage.json", "--workdir", "elsewhere", "--termination-log", "log"]);
    assert_ok(&stage.env("POD_UID", "3f2504e0-4f89-11d3-9a0c-0305e82c3301").output().unwrap());
    let ended = TerminationMessage::parse(&fs::read_to_string(lab.path("log")).unwrap()).unwrap();
    assert!(ended.manifest_uri.is_some(), "{ended:?}");

    config.only = vec!["pt".to_owned(), "sft".to_owned()];
    let (_, probe, output) = preflight(&lab, &config);
    assert_ok(&output);
    assert_eq!(probe.stages.iter().map(|stage| stage.done).collect::<Vec<_>>(), [true, false]);
    assert_eq!(probe.plan, None);
}

#[test]
fn what_works_on_a_laptop_only_is_refused_with_its_fields() {
    let lab = Lab::new(1);
    let mut training = training(&lab);
    training["spec"].as_object_mut().unwrap().remove("output");
    training["spec"]["stages"][1]["dataset"]["train"][0] = "sft.jsonl".into();
    training["spec"]["model"]["tokenizer"] = "tokenizer".into();
    let (code, message, _) = preflight(&lab, &PreflightConfig::new(training));
    assert_eq!((code, message.reason.as_str(), &message.plan), (Some(64), "ConfigInvalid", &None));
    let fields: Vec<&str> = message.errors.iter().map(|error| error.split(": ").next().unwrap()).collect();
    assert_eq!(fields, ["output", "model.tokenizer", "stages[1].dataset.train[0]"]);
}

#[test]
fn a_stage_that_does_not_fit_is_told_both_numbers_and_its_field() {
    let lab = Lab::new(1);
    let mut training = training(&lab);
    training["spec"]["podTemplate"] = json!({"resources": {"limits": {"memory": "64Mi"}}});
    let mut config = PreflightConfig::new(training);
    config.limits.insert("rm".to_owned(), StageLimits { memory: Some(64 << 20), accelerator_memory: None });
    config.limits.insert("pt".to_owned(), StageLimits { memory: None, accelerator_memory: Some(1 << 20) });
    let (code, message, _) = preflight(&lab, &config);
    assert_eq!((code, message.plan.is_none(), message.errors.len()), (Some(64), true, 2));
    let mib = |index: usize| message.stages[index].mib.unwrap();
    let start = |place: &str, stage: &str, needed: u64, has: u64| {
        format!("{place}: stage \"{stage}\" takes about {needed} MiB at its peak, but has {has} MiB; raise it")
    };
    let expected = [
        start("stages[0].podTemplate.acceleratorMemory", "pt", mib(0), 1),
        start("podTemplate.resources.limits.memory", "rm", mib(2), 64),
    ];
    for (error, expected) in message.errors.iter().zip(expected) {
        assert!(error.starts_with(&expected), "{error}");
    }
    assert!(!lab.path("out/plans").exists());
}

#[test]
fn a_secret_that_is_not_in_the_pod_is_a_refused_permission() {
    let lab = Lab::new(1);
    let mut training = training(&lab);
    training["spec"]["storage"] = json!([{"uriPrefix": "s3://", "secretRef": {"name": "store"}}]);
    let (code, message, _) = preflight(&lab, &PreflightConfig::new(training));
    assert_eq!(code, Some(77));
    assert!(message.errors[0].starts_with("storage[0].secretRef: nothing of the secret store"), "{message:?}");
}

#[test]
fn a_preflight_pod_that_waits_for_the_hub_ends_with_85_on_sigterm() {
    let lab = Lab::new(1);
    let mut training = training(&lab);
    training["spec"]["model"] = json!({"uri": "hf://no/where"});
    // Nothing listens on this port.
    training["spec"]["hub"] = json!({"endpoint": "http://127.0.0.1:1"});
    let mut command = preflight_command(&lab, &PreflightConfig::new(training));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(told.any(|line| line.contains("trying again")));
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(85));
}
