//! A stage that adds tokens, end to end on a tiny model with tied embeddings.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use support::{Lab, assert_ok};

/// The lab's model has 304 rows for 301 tokens, so that three of these take free rows and two need new ones.
const ADDED: [&str; 5] = ["sore throat", "see a doctor", "days", "What helps", "back pain"];
const ROWS: usize = 306;

/// The first two stages of the lab, the first with more tokens and `tuning`.
fn lab(tuning: &str) -> Lab {
    let lab = Lab::new(2);
    let yaml = fs::read_to_string(lab.path("training.yaml")).unwrap();
    let (kept, _) = yaml.split_once("    - name: rm").unwrap();
    let first = format!("kind: PT\n      vocabulary: {{addTokens: [{}]}}{tuning}", ADDED.join(", "));
    fs::write(lab.path("training.yaml"), kept.replace("kind: PT", &first)).unwrap();
    lab
}

fn tensor_names(dir: &Path, file: &str) -> Vec<String> {
    let bytes = fs::read(dir.join(file)).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header.as_object().unwrap().keys().filter(|name| *name != "__metadata__").cloned().collect()
}

fn base(lab: &Lab) -> PathBuf {
    fs::read_dir(lab.path("work/random")).unwrap().next().unwrap().unwrap().path()
}

/// `medtrain logits` of ids of which some are new tokens', in one list.
fn logits(lab: &Lab, model: &Path, adapter: Option<&Path>) -> Vec<f64> {
    let mut command = lab.medtrain();
    command.args(["logits", "--ids", "[[5, 301, 7, 302, 305], [303, 8, 304, 301]]", "--model"]).arg(model);
    command.args(adapter.into_iter().flat_map(|adapter| [Path::new("--adapter"), adapter]));
    let output = command.output().unwrap();
    assert_ok(&output);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = &found["logits"][if adapter.is_some() { "adapter" } else { "base" }];
    let rows: Vec<Vec<Vec<f64>>> = serde_json::from_value(found.clone()).unwrap();
    let values = rows.concat().concat();
    assert_eq!(values.len(), 9 * ROWS);
    values
}

fn assert_near(ours: &[f64], theirs: &[f64]) {
    let furthest = ours.iter().zip(theirs).fold(0.0_f64, |furthest, (a, b)| furthest.max((a - b).abs()));
    assert!(furthest < 5e-5, "{furthest:e}");
}

fn assert_grown(lab: &Lab, merged: &Path) {
    let config = lab.json(merged.join("config.json"));
    assert_eq!((&config["vocab_size"], &config["tie_word_embeddings"]), (&json!(ROWS), &json!(true)));
    assert!(!tensor_names(merged, "model.safetensors").contains(&"lm_head.weight".to_owned()), "tied stays tied");
    let tokenizer = lab.json(merged.join("tokenizer.json"));
    let listed = tokenizer["added_tokens"].as_array().unwrap();
    let added: Vec<(&str, u64)> =
        listed.iter().map(|entry| (entry["content"].as_str().unwrap(), entry["id"].as_u64().unwrap())).collect();
    assert_eq!(added[added.len() - ADDED.len()..], ADDED.into_iter().zip(301..).collect::<Vec<_>>());
}

#[test]
fn added_tokens_go_through_training_merging_and_the_next_stage() {
    let lab = lab("");
    assert_ok(&lab.run().output().unwrap());
    let (pt, sft) = (lab.artifact("pt"), lab.artifact("sft"));
    let (adapter, merged) = (pt.join("adapter"), pt.join("merged"));
    assert_grown(&lab, &merged);
    assert_grown(&lab, &sft.join("merged"));

    let config = lab.json(adapter.join("adapter_config.json"));
    assert_eq!(config["modules_to_save"], json!(["embed_tokens"]));
    assert_eq!(config["ensure_weight_tying"], json!(true));
    let saved: Vec<String> = tensor_names(&adapter, "adapter_model.safetensors");
    for name in ["base_model.model.lm_head.weight", "base_model.model.model.embed_tokens.weight"] {
        assert!(saved.contains(&name.to_owned()), "{saved:?}");
    }
    let card = fs::read_to_string(adapter.join("README.md")).unwrap();
    assert!(card.contains("base.resize_token_embeddings(306)"), "{card}");
    // The stage after adds nothing and saves no embedding; its base has all rows.
    let config = lab.json(sft.join("adapter/adapter_config.json"));
    assert_eq!((&config["modules_to_save"], config.get("ensure_weight_tying")), (&Value::Null, None));
    assert!(!fs::read_to_string(sft.join("adapter/README.md")).unwrap().contains("resize_token_embeddings"));

    let base = base(&lab);
    let expected = logits(&lab, &base, Some(&adapter));
    assert_near(&logits(&lab, &merged, None), &expected);
    let by_hand = lab.path("by-hand");
    let merge = |adapters: String, output: &Path| {
        let mut command = lab.medtrain();
        command.arg("merge").arg("--model").arg(&base).args(["--adapter", &adapters]).arg("--output").arg(output);
        command.output().unwrap()
    };
    assert_ok(&merge(adapter.display().to_string(), &by_hand));
    assert_grown(&lab, &by_hand);
    assert_near(&logits(&lab, &by_hand, None), &expected);
    assert_eq!(
        fs::read(by_hand.join("generation_config.json")).unwrap(),
        fs::read(base.join("generation_config.json")).unwrap()
    );
    // One after another, as the stages did it.
    let both = lab.path("both");
    assert_ok(&merge(format!("{},{}", adapter.display(), sft.join("adapter").display()), &both));
    assert_near(&logits(&lab, &both, None), &logits(&lab, &sft.join("merged"), None));

    let answer = |arguments: &[&Path]| {
        let mut command = lab.medtrain();
        command.args(["generate", "--prompt", "What helps with back pain?", "--max-new-tokens", "8"]);
        command.args(["--temperature", "0", "--model"]).args(arguments);
        let output = command.output().unwrap();
        assert_ok(&output);
        output.stdout
    };
    assert_eq!(answer(&[&base, Path::new("--adapter"), &adapter]), answer(&[&merged]));
    assert_ok(&lab.medtrain().arg("verify").arg(fs::canonicalize(&pt).unwrap().parent().unwrap()).output().unwrap());

    // Without the tokenizer that knows them, new rows mean nothing.
    let bare = lab.path("bare");
    fs::create_dir(&bare).unwrap();
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(adapter.join(name), bare.join(name)).unwrap();
    }
    let output = merge(bare.display().to_string(), &lab.path("nothing"));
    let text = support::text(&output);
    assert_eq!(output.status.code(), Some(65), "{text}");
    assert!(
        text.contains("was trained with added tokens (306 rows, the base has 304) but holds no tokenizer.json"),
        "{text}"
    );
}

#[test]
fn added_tokens_are_trained_with_all_weights_too() {
    let lab = lab("\n      full: {}");
    assert_ok(&lab.run().output().unwrap());
    assert_grown(&lab, &lab.artifact("pt").join("merged"));
    assert_grown(&lab, &lab.artifact("sft").join("merged"));
    assert!(!lab.artifact("pt").join("adapter").exists());
}

#[test]
fn a_stage_with_added_tokens_that_was_stopped_goes_on_to_the_same_bytes() {
    let (whole, stopped) = (lab(""), lab(""));
    assert_ok(&whole.run().args(["--only", "pt"]).output().unwrap());
    assert_ok(&stopped.run().args(["--only", "pt"]).output().unwrap());
    let manifest = fs::canonicalize(stopped.artifact("pt")).unwrap().parent().unwrap().join("manifest.json");
    fs::remove_file(manifest).unwrap();
    assert_ok(&stopped.run().args(["--only", "pt"]).output().unwrap());
    assert!(whole.result("pt") == stopped.result("pt"));
}
