//! PPO's reward model and reference.

use super::*;

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
fn a_causal_model_gives_no_reward() {
    let lab = Lab::new().with_data();
    let stage = "    - {name: ppo, kind: PPO, dataset: {train: [ppo.jsonl]}, inputs: {reward: {uri: model}}, \
                 ppo: {batchSize: 4, miniBatchSize: 4, maxNewTokens: 8}}";
    lab.training(SPEC, stage);
    let expected = "stages[0].inputs.reward: model: is no reward model (nothing in it gives a score); use the result of \
                    an RM stage or a model for sequence classification with one label";
    assert_eq!(lab.problem(), (64, expected.to_owned()));
}
