//! Models, tokenizers and templates that a training starts from.

use super::*;

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
    let gguf = include_bytes!("../../../../tests/parity/gguf/llama.gguf");
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
fn a_model_without_a_template_says_which_there_are() {
    let lab = one_stage("");
    let config = lab.path("model/tokenizer_config.json");
    let text = fs::read_to_string(&config).unwrap().replace("chat_template", "no_template");
    fs::write(config, text).unwrap();
    let (code, text) = lab.problem();
    assert_eq!(code, 64);
    assert!(text.starts_with("stages[0].train.chatTemplate: ") && text.contains("chatml"), "{text}");
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
