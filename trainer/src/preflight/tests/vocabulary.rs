//! Stages that add tokens.

use super::*;

/// The four stages; the first adds tokens.
fn grown(tokens: &str) -> (Lab, String) {
    let stages = STAGES.replace("kind: PT,", &format!("kind: PT, vocabulary: {{addTokens: [{tokens}]}},"));
    let lab = Lab::new().with_data();
    lab.training(SPEC, &stages);
    (lab, stages)
}

#[test]
fn the_stages_after_read_with_the_tokens_that_were_added() {
    let (lab, _) = grown("cough for, \" rest.\", What helps on day, person");
    let (plain, found) = (four_stages().preflight().unwrap(), lab.preflight().unwrap());
    for (before, after) in plain.stages.iter().zip(&found.stages) {
        assert_ne!(before.key, after.key, "{}", after.name);
        assert!(after.data.train.tokens < before.data.train.tokens, "{}", after.name);
    }
    let (_, ws) = lab.open().unwrap();
    let pt = &found.plan.stages[0];
    assert_eq!(pt.vocabulary.as_ref().unwrap().add_tokens.len(), 4);
    for stage in &found.plan.stages {
        assert_eq!(stage.vocabulary.is_some(), stage.name == "pt");
        let tokenizer = stage_tokenizer(&ws, &found.plan, stage).unwrap();
        assert_eq!((tokenizer.vocab_size(), tokenizer.id("What helps on day")), (305, Some(303)), "{}", stage.name);
    }
    assert!(
        found.notes.contains(&"stages[0].vocabulary: the new tokens have ids 301 to 304".to_owned()),
        "{:?}",
        found.notes
    );
    // 304 rows became 305, and a trained embedding of 32 columns takes values, gradients and two moments.
    let memory = |found: &Preflight| found.stages[0].memory.unwrap();
    assert_eq!(memory(&found).weights - memory(&plain).weights, 4 * 32);
    assert_eq!(memory(&found).trained - memory(&plain).trained, 16 * 305 * 32);
}

#[test]
fn the_reward_and_the_reference_must_have_the_added_tokens_too() {
    let (lab, stages) = grown("angina");
    assert_eq!(lab.problems(), []);
    let last = "kind: PPO, ";
    lab.training(SPEC, &stages.replace(last, &format!("{last}inputs: {{reference: {{uri: model}}}}, ")));
    let expected = "stages[3].inputs.reference: model: has another tokenizer than the policy (the first difference is token \
                    301); use a model with the policy's tokenizer";
    assert_eq!(lab.problem(), (64, expected.to_owned()));
    let foreign = "kind: RM, ";
    lab.training(SPEC, &stages.replace(foreign, &format!("{foreign}inputs: {{base: {{uri: model}}}}, ")));
    let expected = "stages[3].inputs.reward: model, which \"rm\" starts from: has another tokenizer than the policy (the \
                    first difference is token 301); use a model with the policy's tokenizer";
    assert_eq!(lab.problem(), (64, expected.to_owned()));
}

#[test]
fn tokens_that_the_chain_has_already_are_warned_of() {
    let (lab, stages) = grown("angina");
    let sft = "kind: SFT, vocabulary: {addTokens: [stent, angina]},";
    lab.training(SPEC, &stages.replace("kind: SFT,", sft));
    let found = lab.preflight().unwrap();
    let expected = "stages[1].vocabulary.addTokens[1]: \"angina\" is in the vocabulary already (token 301) and keeps its \
                    row; remove it";
    assert!(found.warnings.contains(&expected.to_owned()), "{:#?}", found.warnings);
    assert!(
        found.notes.contains(&"stages[1].vocabulary: the new tokens have ids 302 to 302".to_owned()),
        "{:?}",
        found.notes
    );
}

#[test]
fn a_head_of_its_own_cannot_be_asked_of_tied_embeddings() {
    let (lab, stages) = grown("angina");
    lab.training(SPEC, &stages.replace("kind: PT,", "kind: PT, lora: {modulesToSave: [lm_head]},"));
    let expected = "stages[0].lora.modulesToSave: embed_tokens is the output head, too, in a model with tied embeddings, \
                    and is trained as both; remove lm_head";
    assert_eq!(lab.problem(), (64, expected.to_owned()));
}

#[test]
fn an_adapter_with_added_tokens_is_continued_over_its_merged_model_only() {
    let lab = Lab::new().with_data();
    let fixture = crate::parity::fixture_path("vocabulary/tied/adapter");
    let (mut config, mut tensors) = crate::weights::peft::load_adapter(&fixture).unwrap();
    tensors.retain(|name, _| !name.contains("layers."));
    for tensor in tensors.values_mut() {
        (tensor.shape, tensor.data) = (vec![305, 32], vec![0.0; 305 * 32]);
    }
    config.base_model_name_or_path = Some("../model".into());
    fs::create_dir_all(lab.path("adapter")).unwrap();
    crate::weights::peft::save_adapter(&lab.path("adapter"), &config, &tensors).unwrap();
    lab.training(
        SPEC,
        "    - {name: sft, kind: SFT, dataset: {train: [sft.jsonl]}, inputs: {adapter: {uri: adapter}}}",
    );
    let expected = "stages[0].inputs.adapter: adapter: was trained with added tokens (305 rows, the model has 304); merge it \
                    into its base (medtrain merge) and train on the result";
    assert_eq!(lab.problem(), (65, expected.to_owned()));
}
