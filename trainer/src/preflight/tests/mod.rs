//! What preflight makes of a training and its data; models, adapters, the roles of PPO and added tokens have
//! files of their own.

mod adapters;
mod models;
mod roles;
mod vocabulary;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use medtrain_crds::contract::{Manifest, PlanRef};
use medtrain_crds::resolve::Plan;
use serde_json::json;

use super::fixture::{Lab, SPEC, STAGES, config, write_model};
use super::*;
use crate::adapter::BaseRecord;
use crate::artifact::read_pointer;
use crate::data::fixture::Fixture;
use crate::weights::hub_stub::{COMMIT, Stub};

fn four_stages() -> Lab {
    let lab = Lab::new().with_data();
    lab.training(SPEC, STAGES);
    lab
}

/// One SFT stage over `model`, with more fields of the stage.
fn one_stage(more: &str) -> Lab {
    let lab = Lab::new().with_data();
    lab.training(SPEC, &format!("    - {{name: sft, kind: SFT, dataset: {{train: [sft.jsonl]}}{more}}}"));
    lab
}

#[test]
fn a_whole_training_is_counted_without_touching_its_output() {
    let lab = four_stages();
    let found = lab.preflight().unwrap();
    let figures: Vec<_> = found
        .stages
        .iter()
        .map(|stage| {
            (stage.name.as_str(), stage.steps, stage.rollouts, stage.units, stage.data.train.examples, stage.done)
        })
        .collect();
    assert_eq!(
        figures,
        [
            ("pt", 4, None, Some(8), 8, false),
            ("sft", 3, None, Some(10), 30, false),
            ("rm", 6, None, Some(24), 24, false),
            ("ppo", 12, Some(3), Some(20), 20, false),
        ]
    );
    assert_eq!(found.stages[0].data.eval.rows + found.stages[0].data.train.rows, 20);
    assert_eq!(found.stages[3].inputs.values().collect::<Vec<_>>(), ["sft", "sft", "rm"]);
    assert!(found.stages.iter().all(|stage| stage.fits == Some(true)));
    assert!(!lab.path("out").exists());
}

#[test]
fn looking_again_gives_the_same_plan_and_other_data_another_key() {
    let lab = four_stages();
    let first = lab.preflight().unwrap();
    fs::remove_dir_all(lab.path("work")).unwrap();
    assert_eq!(first.plan, lab.preflight().unwrap().plan);
    lab.lines("rm.jsonl", 25, |i| {
        format!(r#"{{"question":"Day {i}?","response_chosen":"Rest.","response_rejected":"No."}}"#)
    });
    let second = lab.preflight().unwrap();
    let same: Vec<bool> = first.stages.iter().zip(&second.stages).map(|(a, b)| a.key == b.key).collect();
    assert_eq!(same, [true, true, false, false]);
}

#[test]
fn what_is_written_is_the_plan_that_a_stage_reads_and_a_pointer_a_stage() {
    let lab = four_stages();
    let (_, ws) = lab.open().unwrap();
    let found = lab.preflight().unwrap();
    let PlanRef { uri, sha256 } = found.write(&ws).unwrap();
    assert_eq!(uri, ws.store.uri_of(&format!("plans/{sha256}.json")));
    let bytes = ws.store.get(&format!("plans/{sha256}.json")).unwrap().unwrap();
    let stored = Plan::parse(&bytes).unwrap();
    // Another process knows neither the folder of the YAML file nor the default output.
    assert_eq!(stored.output.as_deref(), Some(ws.store.uri()));
    assert_eq!(stored.stages[1].dataset.train[0].uri, lab.path("sft.jsonl").display().to_string());
    let elsewhere =
        Workspace::of_stage(ws.store.uri(), Path::new("/"), Some(lab.path("elsewhere")), Vec::new()).unwrap();
    let tokenizer = stage_tokenizer(&elsewhere, &stored, &stored.stages[1]).unwrap();
    let template = stage_template(&stored.stages[1], &tokenizer).unwrap();
    assert_eq!(stage_data(&elsewhere, &stored.stages[1], &tokenizer, template.as_ref()).unwrap().train.len(), 30);
    let keys = |plan: &Plan| plan.stages.iter().map(|stage| stage.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&stored), keys(&found.plan));
    let pointer = read_pointer(&ws.store, "trainings/default.lab/rm.json").unwrap().unwrap();
    assert_eq!(pointer.key, found.plan.stage("rm").unwrap().key);
    // Again, as a second run does.
    assert_eq!(found.write(&ws).unwrap().sha256, sha256);
}

#[test]
fn a_stage_that_is_done_is_told_by_its_manifest_and_its_data_not_read_again() {
    let lab = four_stages();
    let (_, ws) = lab.open().unwrap();
    let planned = lab.preflight().unwrap().plan.stage("sft").unwrap().clone();
    let golden = include_str!("../../../../crds/src/contract/golden/manifest.json");
    // Its files would have to be there.
    let files = Vec::new();
    let manifest = Manifest { key: planned.key.clone(), files, ..Manifest::parse(golden.as_bytes()).unwrap() };
    ws.store.put(&planned.manifest_path(), manifest.to_json()).unwrap();
    fs::remove_dir_all(lab.path("work/tokens")).unwrap();
    let found = lab.preflight().unwrap();
    let done: Vec<bool> = found.stages.iter().map(|stage| stage.done).collect();
    assert_eq!(done, [false, true, false, false]);
    let sft = found.stage("sft").unwrap();
    assert_eq!((sft.steps, &sft.data, sft.memory), (manifest.final_step, &manifest.data, None));
    assert_eq!(fs::read_dir(lab.path("work/tokens")).unwrap().count(), 3);
}

#[test]
fn a_stage_reads_what_preflight_counted() {
    let lab = four_stages();
    let (_, ws) = lab.open().unwrap();
    let found = lab.preflight().unwrap();
    for (stage, forecast) in found.plan.stages.iter().zip(&found.stages) {
        let tokenizer = stage_tokenizer(&ws, &found.plan, stage).unwrap();
        let template = stage_template(stage, &tokenizer).unwrap();
        assert_eq!(template.is_none(), stage.name == "pt");
        let data = stage_data(&ws, stage, &tokenizer, template.as_ref()).unwrap();
        let steps = match &stage.ppo {
            Some(ppo) => PpoSteps::new(data.train.len(), &stage.train, ppo).total_steps(),
            None => Units::new(stage.kind, &data.train, &stage.train, stage.seed).total_steps(),
        };
        assert_eq!(steps, forecast.steps, "{}", stage.name);
    }
}

#[test]
fn data_that_changed_after_the_plan_fails_the_stage() {
    let lab = four_stages();
    let (_, ws) = lab.open().unwrap();
    let plan = lab.preflight().unwrap().plan;
    lab.file("sft.jsonl", "{\"instruction\":\"a\",\"output\":\"b\"}\n");
    let stage = plan.stage("sft").unwrap();
    let tokenizer = stage_tokenizer(&ws, &plan, stage).unwrap();
    let template = stage_template(stage, &tokenizer).unwrap();
    let failure = stage_data(&ws, stage, &tokenizer, template.as_ref()).err().unwrap();
    assert_eq!(failure.exit.code(), 65);
    assert!(failure.message.starts_with("sft.jsonl: the file has changed since the plan was made"), "{failure}");
}

#[test]
fn one_stage_alone_is_looked_at_under_its_own_place() {
    let lab = four_stages();
    lab.file("pt.txt", "\u{0}").file("rm.jsonl", "{\"question\":1}\n");
    let (resolved, ws) = lab.open().unwrap();
    let found = preflight_stage(&resolved, &ws, "sft").unwrap();
    assert_eq!(found.stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>(), ["sft"]);
    assert_eq!(found.plan.stages.len(), 2);
    let failures = preflight_stage(&resolved, &ws, "rm").unwrap_err();
    assert!(failures[0].message.starts_with("stages[2].dataset: rm.jsonl: line 1: "), "{}", failures[0]);
    let unknown = preflight_stage(&resolved, &ws, "dpo").unwrap_err();
    assert_eq!(unknown[0].message, "--only dpo: there is no such stage; there are pt, sft, rm, ppo");
}

#[test]
fn every_problem_of_every_stage_is_told_at_once() {
    let lab = four_stages();
    lab.file("sft.jsonl", "{\"instruction\":\"SECRET\",\"output\":\"b\"}\n{\"instruction\":\"SECRET\"}\n")
        .file("more.jsonl", "{\"instruction\":\"SECRET\"\n")
        .file("ppo.jsonl", "")
        .training(
            SPEC,
            &STAGES.replace("[sft.jsonl]", "[sft.jsonl, more.jsonl]").replace("[rm.jsonl]", "[rm/*.jsonl, gone.jsonl]"),
        );
    fs::remove_file(lab.path("model/model.safetensors")).unwrap();
    let problems = lab.problems();
    assert_eq!(
        problems,
        [
            (
                65,
                "model.uri: ~/model: no model.safetensors and no model.safetensors.index.json; the download is \
                 incomplete, or this is no model"
                    .to_owned()
            ),
            (
                65,
                "stages[2].dataset.train[0]: rm/*.jsonl: no file matches; paths start at the folder of the YAML file, ~"
                    .to_owned()
            ),
            (
                65,
                "stages[2].dataset.train[1]: gone.jsonl: not found; paths start at the folder of the YAML file, ~"
                    .to_owned()
            ),
        ]
    );
}

#[test]
fn rows_are_checked_in_every_file_even_if_the_model_is_wrong() {
    let lab = four_stages();
    lab.file("sft.jsonl", "{\"instruction\":\"SECRET\",\"output\":\"b\"}\n{\"instruction\":\"SECRET\"}\n")
        .file("more.jsonl", "{\"instruction\":\"SECRET\"\n")
        .file("ppo.jsonl", "")
        .training(SPEC, &STAGES.replace("[sft.jsonl]", "[sft.jsonl, more.jsonl]"));
    let config = config();
    let config = json!({"architectures": ["GPT2LMHeadModel"], "vocab_size": config["vocab_size"]});
    fs::write(lab.path("model/config.json"), config.to_string()).unwrap();
    let problems = lab.problems();
    assert_eq!(
        problems,
        [
            (
                65,
                "model.uri: ~/model/config.json: architecture \"GPT2LMHeadModel\" is not supported; supported are \
                 LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM (this covers Llama 2/3, \
                 SmolLM2, Mistral, Qwen2, Qwen2.5, Qwen3)"
                    .to_owned()
            ),
            (
                66,
                "stages[1].dataset: sft.jsonl: line 2: field \"output\" is missing (the file's rows are \
                 instruction/output; SFT rows need instruction/output, conversations, messages or prompt/completion)"
                    .to_owned()
            ),
            (
                66,
                "stages[1].dataset: more.jsonl: line 1, column 23: malformed JSON: the line ends inside the row; a row \
                 is one JSON object on one line"
                    .to_owned()
            ),
            (
                66,
                "stages[3].dataset: ppo.jsonl: no rows: the file is empty; write some, or take it off the list".to_owned()
            ),
        ]
    );
    assert!(problems.iter().all(|(_, text)| !text.contains("SECRET")));
}

#[test]
fn a_second_look_at_each_file_reads_its_share_of_the_sample() {
    let lab = Lab::new();
    let row = |i: usize| format!(r#"{{"instruction":"What helps on the {i:060}th day?","output":"Rest."}}"#);
    lab.lines("a.jsonl", 4_000, row).lines("b.jsonl", 4_000, |i| match i {
        // Beyond the file's share of the sample, within the whole of it.
        2_500 => "{}".to_owned(),
        i => row(i + 4_000),
    });
    let first = fs::read_to_string(lab.path("a.jsonl")).unwrap();
    lab.file("a.jsonl", &format!("{{\"instruction\": 7}}\n{first}"));
    lab.training(SPEC, "    - {name: sft, kind: SFT, dataset: {train: [a.jsonl, b.jsonl], maxScanBytes: 400000}}");
    assert!(lab.problem().1.starts_with("stages[0].dataset: a.jsonl: line 1: "), "{:?}", lab.problem());
}

#[test]
fn an_output_that_cannot_be_written_is_told_before_any_work() {
    let lab = one_stage("");
    lab.file("taken", "").training(
        &SPEC.replace("uri: out", "uri: taken/out"),
        "    - {name: sft, kind: SFT, dataset: {train: [sft.jsonl]}}",
    );
    assert_eq!(lab.problem(), (64, "output.uri: ~/taken: is a file; choose a folder for the output".to_owned()));
    // Nobody, root included, makes files in /proc.
    lab.training(
        &SPEC.replace("uri: out", "uri: /proc/self/out"),
        "    - {name: sft, kind: SFT, dataset: {train: [sft.jsonl]}}",
    );
    assert!(lab.problem().1.starts_with("output.uri: /proc/self: "));
}

#[test]
fn what_is_odd_but_no_error_is_a_warning() {
    let lab = Lab::new().with_data();
    lab.lines("sft.jsonl", 4, |i| format!(r#"{{"instruction":"q{i}","output":"{}","id":1}}"#, "z ".repeat(1 + 60 * i)));
    let stages = "    - {name: sft, kind: SFT, dataset: {train: [sft.jsonl, copy.jsonl]}, train: {maxLength: 100}}";
    fs::copy(lab.path("sft.jsonl"), lab.path("copy.jsonl")).unwrap();
    lab.training(SPEC, stages);
    let warnings = lab.preflight().unwrap().warnings;
    let expected = [
        "stages[0].dataset.train: 6 of 8 rows cut to maxLength",
        "stages[0].dataset: column \"id\" (8 rows) is not read",
        "stages[0].dataset.train: copy.jsonl is there twice; use weights to repeat rows",
    ];
    for text in expected {
        assert!(warnings.iter().any(|warning| warning == text), "{text}: {warnings:#?}");
    }
    let notes: BTreeMap<&String, usize> = warnings.iter().fold(BTreeMap::new(), |mut counts, warning| {
        *counts.entry(warning).or_default() += 1;
        counts
    });
    assert!(notes.values().all(|count| *count == 1));
}

#[test]
fn a_named_format_that_the_rows_do_not_have_is_an_error() {
    let lab = Lab::new().with_data();
    lab.training(SPEC, "    - {name: sft, kind: SFT, dataset: {train: [sft.jsonl], format: messages}}");
    let expected = "stages[0].dataset: sft.jsonl: the rows are instruction/output, but dataset.format says messages; \
                    correct it or drop the line";
    assert_eq!(lab.problem(), (66, expected.to_owned()));
}

#[test]
fn of_much_data_a_sample_is_read_and_the_stage_reads_the_rest() {
    let lab = Lab::new();
    lab.lines("sft.jsonl", 8_000, |i| {
        format!(r#"{{"instruction":"What helps on the {i:060}th day?","output":"Rest."}}"#)
    });
    let stage = |more: &str| {
        let stage = format!(
            "    - {{name: sft, kind: SFT, dataset: {{train: [sft.jsonl]{more}}}, train: {{maxLength: 160, \
             perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 1, numTrainEpochs: \"1\"}}}}"
        );
        lab.training(SPEC, &stage);
        lab.preflight().unwrap()
    };
    let whole = stage("");
    let (all, read) = (&whole.stages[0], stage(", maxScanBytes: 200000"));
    let part = &read.stages[0];
    assert_eq!(part.key, all.key);
    assert_eq!(all.sample, None);
    let near = |found: u64, wanted: u64| (found as f64 / wanted as f64 - 1.0).abs() < 0.02;
    assert!(near(part.data.train.rows, 8_000), "{:?}", part.data.train);
    assert!(near(part.steps, 4_000), "{} steps", part.steps);
    assert!(
        near(part.data.train.tokens, part.data.train.rows * all.data.train.tokens / 8_000),
        "{:?}",
        part.data.train
    );
    let warned = read.warnings.iter().find(|text| text.contains("maxScanBytes")).unwrap();
    assert!(warned.starts_with("stages[0].dataset: rows of 0 of 0 MiB were read"), "{warned}");

    // What the sample did not see the stage finds, before anything is loaded.
    let mut text = fs::read_to_string(lab.path("sft.jsonl")).unwrap();
    text.push_str("{\"instruction\": 7, \"output\": \"x\"}\n");
    lab.file("sft.jsonl", &text);
    let found = stage(", maxScanBytes: 200000");
    let (_, ws) = lab.open().unwrap();
    let stage = &found.plan.stages[0];
    let tokenizer = stage_tokenizer(&ws, &found.plan, stage).unwrap();
    let template = stage_template(stage, &tokenizer).unwrap();
    let failure = stage_data(&ws, stage, &tokenizer, template.as_ref()).err().unwrap();
    assert_eq!(failure.exit.code(), 66);
    assert!(failure.message.starts_with("sft.jsonl: line 8001: "), "{}", failure.message);
}
