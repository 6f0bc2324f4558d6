//! Promises of `medtrain generate`, with a tiny model of random weights.

use std::fs;

use clap::Parser;
use serde_json::Value;

use super::*;
use crate::model::fixture::speaking_model;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: GenerateArgs,
}

fn parse(args: &[&str]) -> std::result::Result<GenerateArgs, String> {
    let parsed = Command::try_parse_from(std::iter::once("generate").chain(args.iter().copied()));
    parsed.map(|command| command.args).map_err(|error| error.to_string())
}

/// Runs over a file of these rows and gives the lines of the predictions file.
fn predict(model: &Path, rows: &str, more: &[&str]) -> Result<Vec<Value>> {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in.jsonl"), dir.path().join("out.jsonl"));
    fs::write(&input, rows).unwrap();
    let path = |path: &Path| path.display().to_string();
    let (model, input, output_path) = (path(model), path(&input), path(&output));
    let mut args = vec!["--model", &model, "--data-file", &input, "--predictions-file", &output_path];
    args.extend(["--max-new-tokens", "6", "--temperature", "1"]);
    args.extend(more);
    let ran = run(parse(&args).unwrap());
    assert_eq!(ran.is_ok(), output.exists(), "answers are written whole or not at all");
    ran?;
    let text = fs::read_to_string(&output).unwrap();
    Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

const ROWS: &str = "{\"prompt\": \"fever\"}\n{\"prompt\": \"the patient has pain\"}\n{\"prompt\": \"cough\"}\n";

#[test]
fn every_prompt_has_its_answer_in_order_whatever_the_batch() {
    let model = speaking_model();
    let answers = predict(model.path(), ROWS, &["--batch-size", "2"]).unwrap();
    let prompts: Vec<&str> = answers.iter().map(|answer| answer["prompt"].as_str().unwrap()).collect();
    assert_eq!(prompts, ["fever", "the patient has pain", "cough"]);
    for answer in &answers {
        assert!((1..=6).contains(&answer["newTokens"].as_u64().unwrap()));
        assert!(["eos", "length"].contains(&answer["finishReason"].as_str().unwrap()));
    }
    assert_eq!(predict(model.path(), ROWS, &["--batch-size", "1"]).unwrap(), answers);
    assert_eq!(predict(model.path(), ROWS, &["--batch-size", "1", "--threads", "1"]).unwrap(), answers);
    assert_ne!(predict(model.path(), ROWS, &["--seed", "1"]).unwrap(), answers);
}

#[test]
fn temperature_zero_is_greedy() {
    let model = speaking_model();
    let greedy = predict(model.path(), ROWS, &["--greedy", "--seed", "1"]).unwrap();
    let cold = Command::try_parse_from(["generate", "--model", "m", "--temperature", "0"]).unwrap();
    assert!(!cold.args.sampling.args().unwrap().do_sample);
    assert_eq!(predict(model.path(), ROWS, &["--greedy", "--seed", "2"]).unwrap(), greedy);
}

#[test]
fn a_prompt_that_fills_the_context_is_told_by_its_line() {
    let model = speaking_model();
    let rows = format!("{{\"prompt\": \"fever\"}}\n{{\"prompt\": \"{}\"}}\n", "pain, ".repeat(60));
    let message = predict(model.path(), &rows, &[]).unwrap_err().message;
    let (place, problem) = message.split_once("in.jsonl: ").unwrap();
    assert!(!place.contains("pain"));
    assert!(problem.starts_with("line 2: the prompt's "), "{problem}");
    assert!(problem.ends_with("tokens leave no room for an answer in the context of 96; shorten it"), "{problem}");
}

#[test]
fn a_model_without_a_template_asks_for_one_or_for_raw() {
    let model = speaking_model();
    let config = model.path().join("tokenizer_config.json");
    let mut json: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    json["chat_template"] = Value::Null;
    fs::write(&config, json.to_string()).unwrap();
    let message = predict(model.path(), ROWS, &[]).unwrap_err().message;
    assert!(message.contains("the model has no chat template of its own"), "{message}");
    assert!(message.ends_with("; --raw continues plain text without one"), "{message}");
    let raw = predict(model.path(), ROWS, &["--raw"]).unwrap();
    let chat = predict(model.path(), ROWS, &["--chat-template", "chatml"]).unwrap();
    assert_ne!(raw, chat);
}

#[test]
fn a_reward_model_is_refused() {
    let model = crate::parity::fixture_path("models/llama_reward");
    let message = predict(&model, ROWS, &[]).unwrap_err().message;
    assert!(
        message.ends_with(
            "llama_reward: a reward model gives one score to a dialogue and can't write; give the model of an SFT or PPO \
             stage"
        ),
        "{message}"
    );
}

#[test]
fn arguments_that_exclude_each_other_are_refused() {
    for args in [
        &["--model", "m", "--prompt", "q", "--data-file", "f"][..],
        &["--model", "m", "--raw", "--system", "s"],
        &["--model", "m", "--predictions-file", "f"],
        &["--model", "m", "--prompt", "q", "--predictions-file", "f"],
        &["--model", "m", "--batch-size", "0"],
        &["--prompt", "q"],
    ] {
        assert!(parse(args).is_err(), "{args:?}");
    }
    let args = parse(&["--model", "m", "--min-new-tokens", "9", "--max-new-tokens", "3"]).unwrap();
    let message = run(args).unwrap_err().message;
    assert_eq!(message, "minNewTokens: 9 is more than maxNewTokens, 3");
}
