//! Adapters that a stage continues.

use super::*;

const CONTINUED: &str = ", inputs: {adapter: {uri: adapter}}, lora: {targetModules: [q_proj]}";

#[test]
fn an_adapter_is_continued_over_the_model_it_names() {
    let lab = one_stage(CONTINUED);
    lab.write_adapter(32, "../model");
    assert!(lab.preflight().unwrap().warnings.iter().all(|warning| !warning.contains("adapter")));
    lab.write_adapter(32, "someone/else");
    let warnings = lab.preflight().unwrap().warnings;
    let expected = "stages[0].inputs.adapter: that adapter was trained over model can be told by shapes only";
    assert!(warnings.iter().any(|warning| warning == expected), "{warnings:?}");
}

#[test]
fn an_adapter_for_another_base_is_refused() {
    let lab = one_stage(CONTINUED);
    lab.write_adapter(48, "../model");
    let expected = "stages[0].inputs.adapter: adapter: was trained over another model: tensor \
                    \"model.layers.0.self_attn.q_proj.lora_A.weight\" has shape [4, 48], over this model it would be \
                    [4, 32]; name that model as the policy, or drop the adapter";
    assert_eq!(lab.problem(), (65, expected.to_owned()));
    let mut other = config();
    other["rope_theta"] = json!(5000.0);
    write_model(&lab.path("other"), &other);
    lab.write_adapter(32, "../other");
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
    lab.write_adapter(32, "org/model");
    let refused = look().unwrap_err();
    assert!(refused[0].message.contains("was trained over org/model, not over hf://mirror/model"), "{refused:?}");
    let record = BaseRecord { base_model_name_or_path: "org/model".into(), weights_sha256: "ab".into() };
    record.write(&lab.path("adapter")).unwrap();
    assert!(look().unwrap().warnings.iter().all(|warning| !warning.contains("adapter")));
    // Shapes still count.
    lab.write_adapter(48, "org/model");
    assert!(look().unwrap_err()[0].message.contains("lora_A.weight\" has shape [4, 48]"));
}

#[test]
fn an_adapter_keeps_its_rank_scale_and_targets() {
    let lab = one_stage(", inputs: {adapter: {uri: adapter}}");
    lab.write_adapter(32, "../model");
    let expected = "stages[0].lora.targetModules: is down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj, but \
                    the adapter that is continued has q_proj; write that";
    assert_eq!(lab.problem(), (64, expected.to_owned()));
}

#[test]
fn adapters_and_models_in_each_others_place_are_told_apart() {
    let lab = one_stage(", inputs: {policy: {uri: adapter}}");
    lab.write_adapter(32, "../model");
    let expected = "stages[0].inputs.policy: adapter: is an adapter, not a model; name it by inputs.adapter and the model \
                    under it here";
    assert_eq!(lab.problem(), (64, expected.to_owned()));
    let lab = one_stage(", inputs: {adapter: {uri: model}}");
    let expected = "stages[0].inputs.adapter: model: holds no adapter_config.json, so it is no adapter; a whole model is \
                    named by inputs.policy";
    assert_eq!(lab.problem(), (64, expected.to_owned()));
}
