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
use crate::weights::peft::{AdapterConfig, AdapterTensors, TaskType, TensorData, save_adapter};

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
    let golden = include_str!("../../../crds/src/contract/golden/manifest.json");
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
fn a_tokenizer_with_more_tokens_than_the_model_belongs_to_another() {
    let lab = one_stage("");
    let mut small = config();
    small["vocab_size"] = json!(300);
    write_model(&lab.path("model"), &small);
    let expected = "model.uri: the tokenizer has 301 tokens, the model only 300 embeddings; they belong to different \
                    models: put the model's own tokenizer files beside its weights";
    assert_eq!(lab.problem(), (65, expected.to_owned()));
}

#[test]
fn a_random_model_needs_room_for_its_tokenizer() {
    let lab = one_stage("");
    let random = SPEC.replace("{uri: model}", &format!("{{tokenizer: model, random: {}}}", config()));
    let stage = "    - {name: sft, kind: SFT, dataset: {train: [sft.jsonl]}}";
    lab.training(&random, stage);
    assert_eq!(lab.preflight().unwrap().stages[0].memory.unwrap().weights, 4 * 28_320);
    lab.training(&random.replace("304", "200"), stage);
    let expected = "model.random: vocab_size is 200, but the tokenizer has 301 tokens; set it to that";
    assert_eq!(lab.problem(), (64, expected.to_owned()));
}

#[test]
fn a_tokenizer_in_a_store_needs_no_model_beside_it_and_is_the_same_as_in_a_folder() {
    let lab = one_stage("");
    let stage = "    - {name: sft, kind: SFT, dataset: {train: [sft.jsonl]}}";
    let plan = |tokenizer: &str| {
        let random = format!("{{tokenizer: \"{tokenizer}\", random: {}}}", config());
        lab.training(&SPEC.replace("{uri: model}", &random), stage);
        lab.preflight().map(|found| found.plan.stages[0].key.clone())
    };
    fs::create_dir(lab.path("words")).unwrap();
    Fixture::chatml().write_files(&lab.path("words"));
    let (_, ws) = lab.open().unwrap();
    let store = ws.open_store("memory://tokenizer/words").unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        store.put(name, fs::read(lab.path("words").join(name)).unwrap()).unwrap();
    }
    for name in ["model.safetensors", "onnx/config.json"] {
        store.put(name, "not asked for").unwrap();
    }
    assert_eq!(plan("memory://tokenizer/words").unwrap(), plan("words").unwrap());
    let copy = tokenizer_dir(&ws, "memory://tokenizer/words", None).unwrap().dir;
    assert!(!copy.join("model.safetensors").exists() && !copy.join("onnx").exists());

    // What the store has lost is no part of the copy either.
    store.put("added_tokens.json", "{}").unwrap();
    let more = plan("memory://tokenizer/words").unwrap();
    store.delete("added_tokens.json").unwrap();
    assert_ne!(plan("memory://tokenizer/words").unwrap(), more);
    assert_eq!(plan("memory://tokenizer/words").unwrap(), plan("words").unwrap());

    store.delete("tokenizer.json").unwrap();
    plan("memory://tokenizer/words").unwrap_err();
    let expected = "model.tokenizer: memory://tokenizer/words: holds no tokenizer.json; name a folder that does";
    assert_eq!(lab.problem(), (65, expected.to_owned()));
}

#[test]
fn the_tokenizer_of_a_gguf_file_on_the_hub_is_pinned_to_the_hubs_commit() {
    let gguf = include_bytes!("../../../tests/parity/gguf/llama.gguf");
    let (lab, stub) = (one_stage(""), Stub::new(&[("org/gguf", &[("q4/model.gguf", gguf)])]));
    let (_, mut ws) = lab.open().unwrap();
    ws.hub = stub.hub(&lab.path("hub"));
    let found = tokenizer_dir(&ws, "hf://org/gguf/q4/model.gguf", None).unwrap();
    assert_eq!(found.commit.as_deref(), Some(COMMIT));
    let again = tokenizer_dir(&ws, "hf://org/gguf/q4/model.gguf", found.commit.as_deref()).unwrap();
    assert_eq!(again.digest, found.digest);
}

#[test]
fn weights_that_are_cut_short_or_of_another_shape_are_told_before_anything_is_loaded() {
    let lab = one_stage("");
    let mut wide = config();
    wide["intermediate_size"] = json!(80);
    fs::write(lab.path("model/config.json"), wide.to_string()).unwrap();
    let expected = "model.uri: ~/model: tensor \"model.layers.0.mlp.gate_proj.weight\" has shape [64, 32], config.json \
                    calls for [80, 32]; they belong to different models";
    assert_eq!(lab.problem(), (65, expected.to_owned()));
    let weights = lab.path("model/model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 5]).unwrap();
    let (code, text) = lab.problem();
    assert_eq!(code, 65);
    assert!(text.starts_with("model.uri: ~/model/model.safetensors: "), "{text}");
}

#[test]
fn rows_beyond_the_models_positions_are_an_error_that_names_the_field() {
    let lab = one_stage(", train: {maxLength: 2048}");
    lab.lines("sft.jsonl", 3, |_| format!(r#"{{"instruction":"q","output":"{}"}}"#, "z ".repeat(200)));
    let (code, text) = lab.problem();
    assert_eq!(code, 64);
    assert_eq!(
        text,
        "stages[0].train.maxLength: rows reach 422 tokens, but the model knows 256 positions \
         (max_position_embeddings); make it smaller"
    );
}

#[test]
fn rows_beyond_a_sample_are_taken_to_be_as_long_as_they_may_be() {
    let stage = |max: u32| {
        let lab = Lab::new().with_data();
        let stage = format!(
            "{{name: sft, kind: SFT, dataset: {{train: [sft.jsonl], maxScanBytes: 500}}, train: {{maxLength: {max}}}}}"
        );
        lab.training(SPEC, &format!("    - {stage}"));
        lab
    };
    assert!(stage(256).preflight().is_ok());
    let expected = "stages[0].train.maxLength: rows beyond the sample may reach 257 tokens, but the model knows 256 \
                    positions (max_position_embeddings); make it smaller";
    assert_eq!(stage(257).problem(), (64, expected.to_owned()));
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
fn a_model_without_a_template_says_which_there_are() {
    let lab = one_stage("");
    let config = lab.path("model/tokenizer_config.json");
    let text = fs::read_to_string(&config).unwrap().replace("chat_template", "no_template");
    fs::write(config, text).unwrap();
    let (code, text) = lab.problem();
    assert_eq!(code, 64);
    assert!(text.starts_with("stages[0].train.chatTemplate: ") && text.contains("chatml"), "{text}");
}

/// An adapter over `inputs` columns in `adapter/`, of rank 4.
fn write_adapter(lab: &Lab, inputs: usize, base: &str) {
    let tensor = |shape: [usize; 2]| TensorData { shape: shape.to_vec(), data: vec![0.0; shape[0] * shape[1]] };
    let path = "model.layers.0.self_attn.q_proj";
    let tensors = AdapterTensors::from([
        (format!("{path}.lora_A.weight"), tensor([4, inputs])),
        (format!("{path}.lora_B.weight"), tensor([32, 4])),
    ]);
    let config = AdapterConfig {
        task_type: TaskType::CausalLm,
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.0,
        target_modules: vec!["q_proj".into()],
        use_rslora: false,
        modules_to_save: Vec::new(),
        base_model_name_or_path: Some(base.to_owned()),
    };
    fs::create_dir_all(lab.path("adapter")).unwrap();
    save_adapter(&lab.path("adapter"), &config, &tensors).unwrap();
}

const CONTINUED: &str = ", inputs: {adapter: {uri: adapter}}, lora: {targetModules: [q_proj]}";

#[test]
fn an_adapter_is_continued_over_the_model_it_names() {
    let lab = one_stage(CONTINUED);
    write_adapter(&lab, 32, "../model");
    assert!(lab.preflight().unwrap().warnings.iter().all(|warning| !warning.contains("adapter")));
    write_adapter(&lab, 32, "someone/else");
    let warnings = lab.preflight().unwrap().warnings;
    let expected = "stages[0].inputs.adapter: that adapter was trained over model can be told by shapes only";
    assert!(warnings.iter().any(|warning| warning == expected), "{warnings:?}");
}

#[test]
fn an_adapter_for_another_base_is_refused() {
    let lab = one_stage(CONTINUED);
    write_adapter(&lab, 48, "../model");
    let expected = "stages[0].inputs.adapter: adapter: was trained over another model: tensor \
                    \"model.layers.0.self_attn.q_proj.lora_A.weight\" has shape [4, 48], over this model it would be \
                    [4, 32]; name that model as the policy, or drop the adapter";
    assert_eq!(lab.problem(), (65, expected.to_owned()));
    let mut other = config();
    other["rope_theta"] = json!(5000.0);
    write_model(&lab.path("other"), &other);
    write_adapter(&lab, 32, "../other");
    let expected = "stages[0].inputs.adapter: adapter: was trained over ../other, not over model; name that model as \
                    the policy, or drop the adapter";
    assert_eq!(lab.problem(), (65, expected.to_owned()));
}

#[test]
fn an_adapter_that_records_its_base_is_judged_by_the_stage_not_by_a_name_of_the_hub() {
    let lab = one_stage(CONTINUED);
    let files: Vec<_> = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
        .map(|name| (name, fs::read(lab.path("model").join(name)).unwrap()))
        .into();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let stub = Stub::new(&[("mirror/model", &files)]);
    lab.training(
        &SPEC.replace("uri: model", "uri: \"hf://mirror/model\""),
        &format!("    - {{name: sft, kind: SFT, dataset: {{train: [sft.jsonl]}}{CONTINUED}}}"),
    );
    let look = || {
        let (resolved, mut ws) = lab.open().unwrap();
        ws.hub = stub.hub(&lab.path("hub"));
        preflight(&resolved, &ws)
    };
    write_adapter(&lab, 32, "org/model");
    let refused = look().unwrap_err();
    assert!(refused[0].message.contains("was trained over org/model, not over hf://mirror/model"), "{refused:?}");
    let record = BaseRecord { base_model_name_or_path: "org/model".into(), weights_sha256: "ab".into() };
    record.write(&lab.path("adapter")).unwrap();
    assert!(look().unwrap().warnings.iter().all(|warning| !warning.contains("adapter")));
    // Shapes still count.
    write_adapter(&lab, 48, "org/model");
    assert!(look().unwrap_err()[0].message.contains("lora_A.weight\" has shape [4, 48]"));
}

#[test]
fn an_adapter_keeps_its_rank_scale_and_targets() {
    let lab = one_stage(", inputs: {adapter: {uri: adapter}}");
    write_adapter(&lab, 32, "../model");
    let expected = "stages[0].lora.targetModules: is down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj, but \
                    the adapter that is continued has q_proj; write that";
    assert_eq!(lab.problem(), (64, expected.to_owned()));
}

#[test]
fn adapters_and_models_in_each_others_place_are_told_apart() {
    let lab = one_stage(", inputs: {policy: {uri: adapter}}");
    write_adapter(&lab, 32, "../model");
    let expected = "stages[0].inputs.policy: adapter: is an adapter, not a model; name it by inputs.adapter and the model \
                    under it here";
    assert_eq!(lab.problem(), (64, expected.to_owned()));
    let lab = one_stage(", inputs: {adapter: {uri: model}}");
    let expected = "stages[0].inputs.adapter: model: holds no adapter_config.json, so it is no adapter; a whole model is \
                    named by inputs.policy";
    assert_eq!(lab.problem(), (64, expected.to_owned()));
}

/// PPO with one more input.
fn ppo_with(lab: &Lab, input: &str) {
    let stage = format!(
        "    - {{name: ppo, kind: PPO, dataset: {{train: [ppo.jsonl]}}, inputs: {{{input}}}, ppo: {{batchSize: 8, \
         miniBatchSize: 4, maxNewTokens: 12}}}}"
    );
    lab.training(SPEC, &stage);
}

fn write_reward_model(dir: &Path) {
    let mut reward = config();
    reward["architectures"][0] = "LlamaForSequenceClassification".into();
    write_model(dir, &reward);
}

#[test]
fn a_reward_adapter_from_outside_is_refused_before_anything_runs() {
    let lab = Lab::new().with_data();
    lab.file("adapter/adapter_config.json", "{}");
    lab.file("adapter/adapter_model.safetensors", "");
    ppo_with(&lab, "reward: {uri: adapter}");
    let (code, message) = lab.problem();
    assert_eq!(code, 64);
    assert!(message.starts_with("stages[0].inputs.reward: adapter: is an adapter; a reward model"), "{message}");
}

/// A model in `other/` whose tokenizer has two tokens in each other's place.
fn write_model_with_other_tokens(lab: &Lab) {
    write_model(&lab.path("other"), &config());
    let tokenizer = fs::read_to_string(lab.path("other/tokenizer.json")).unwrap();
    let mut tokenizer: serde_json::Value = serde_json::from_str(&tokenizer).unwrap();
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    let (first, last) = (vocabulary["a"].clone(), vocabulary["b"].clone());
    vocabulary.insert("a".into(), last);
    vocabulary.insert("b".into(), first);
    lab.file("other/tokenizer.json", &tokenizer.to_string());
}

#[test]
fn a_reference_with_other_tokens_is_refused() {
    let lab = Lab::new().with_data();
    write_model_with_other_tokens(&lab);
    write_reward_model(&lab.path("reward"));
    ppo_with(&lab, "reference: {uri: other}, reward: {uri: reward}");
    let problems = lab.problems();
    let expected = "stages[0].inputs.reference: other: has another tokenizer than the policy (the first difference is \
                    token ";
    assert!(problems.iter().any(|(code, text)| *code == 64 && text.starts_with(expected)), "{problems:#?}");
}

#[test]
fn stages_that_start_from_a_model_with_other_tokens_can_neither_reward_nor_hold_the_policy() {
    let lab = Lab::new().with_data();
    write_model_with_other_tokens(&lab);
    let stages = r#"
    - {name: sft, kind: SFT, inputs: {policy: {uri: other}}, dataset: {train: [sft.jsonl]}}
    - {name: rm, kind: RM, inputs: {base: {from: sft}}, dataset: {train: [rm.jsonl]}}
    - {name: ppo, kind: PPO, inputs: {policy: {uri: model}, reference: {from: sft}, reward: {from: rm}},
       dataset: {train: [ppo.jsonl]}, ppo: {batchSize: 8, miniBatchSize: 4, maxNewTokens: 12}}"#;
    lab.training(SPEC, stages);
    let problems = lab.problems();
    let starts = [("reference", "sft"), ("reward", "rm")].map(|(role, stage)| {
        format!(
            "stages[2].inputs.{role}: other, which \"{stage}\" starts from: has another tokenizer than the policy (the \
             first difference is token "
        )
    });
    assert_eq!(problems.len(), 2, "{problems:#?}");
    for ((code, text), start) in problems.iter().zip(&starts) {
        assert!(*code == 64 && text.starts_with(start), "{problems:#?}");
    }
    // From the policy's own model all is well.
    lab.training(SPEC, &stages.replace("{uri: other}", "{uri: model}"));
    assert_eq!(lab.problems(), []);
}

#[test]
fn a_random_model_beyond_all_memory_is_told_not_tried() {
    let lab = Lab::new().with_data();
    let mut huge = config();
    huge["hidden_size"] = (1 << 20).into();
    huge["vocab_size"] = (1 << 30).into();
    huge["head_dim"] = 64.into();
    let spec = format!("  model: {{tokenizer: model, random: {huge}}}\n  output: {{uri: out}}");
    lab.training(&spec, "    - {name: sft, kind: SFT, dataset: {train: [sft.jsonl]}}");
    let (code, message) = lab.problem();
    assert_eq!(code, 64);
    assert!(message.starts_with("model.random: its weights take ") && message.contains("make it smaller"), "{message}");
}

#[test]
fn a_causal_model_gives_no_reward() {
    let lab = Lab::new().with_data();
    let stage = "    - {name: ppo, kind: PPO, dataset: {train: [ppo.jsonl]}, inputs: {reward: {uri: model}}, \
                 ppo: {batchSize: 4, miniBatchSize: 4, maxNewTokens: 8}}";
    lab.training(SPEC, stage);
    let expected = "stages[0].inputs.reward: model: is no reward model (nothing in it gives a score); use the result of \
                    an RM stage or a model for sequence classification with one label";
    assert_eq!(lab.problem(), (64, expected.to_owned()));
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
