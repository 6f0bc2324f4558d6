//! Promises of [`super::Chat`], with a tiny model of random weights.

use burn_flex::Flex;

use super::*;
use crate::{
    cli::fixture::model_args,
    data::ChatTemplate,
    generate::{SamplingArgs, StopRules},
    model::fixture::speaking_model,
};

/// What a chat of these lines prints: answers and notes.
fn chat(input: &str, json: bool, max_new_tokens: u32) -> (String, String) {
    let dir = speaking_model();
    let loaded = model_args(dir.path()).load::<Flex>(&Default::default()).unwrap();
    let tokenizer = loaded.tokenizer(None).unwrap();
    let template = ChatTemplate::resolve(None, &tokenizer).unwrap();
    let sampling = SamplingArgs {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        repetition_penalty: 1.0,
        min_new_tokens: 1,
        max_new_tokens,
        do_sample: false,
        seed: 1,
    };
    let stop = StopRules::new(template.stop_ids().to_vec(), vec![], max_new_tokens).unwrap();
    let (model, tokenizer, template) = (&loaded.model, &tokenizer, Some(template));
    let mut speaker = Speaker { model, adapter: None, tokenizer, template, system: None, sampling, stop };
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let interrupts = Interrupts::default();
    Chat { speaker: &mut speaker, out: &mut out, notes: &mut notes, asks: false, json, interrupts: &interrupts }
        .run(&mut input.as_bytes())
        .unwrap();
    (String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap())
}

/// The answers of a chat in JSON.
fn answers(input: &str) -> Vec<serde_json::Value> {
    chat(input, true, 8).0.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_question_gets_an_answer_and_later_ones_read_the_dialogue() {
    let twice = answers("fever\nfever\n");
    assert_eq!(twice.len(), 2);
    assert_eq!(twice[0]["prompt"], "fever");
    assert_ne!(twice[0]["response"], twice[1]["response"], "the second question has a history");
    assert_eq!(answers("fever\n")[0], twice[0]);
}

#[test]
fn reset_forgets_and_exit_leaves() {
    let found = answers("fever\n/reset\nfever\n/exit\nfever\n");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], found[1]);
}

#[test]
fn a_system_message_changes_the_answer_and_starts_over() {
    let found = answers("fever\n/system the patient has pain\nfever\n/system\nfever\n");
    assert_ne!(found[0]["response"], found[1]["response"]);
    assert_eq!(found[0], found[2]);
}

#[test]
fn answers_alone_go_to_standard_output() {
    let (out, notes) = chat("\n/what\nfever\n/help\n", false, 8);
    let answer = answers("fever\n")[0]["response"].as_str().unwrap().to_owned();
    assert_eq!(out, format!("{answer}\n"));
    assert_eq!(notes, format!("/what: no such command\n{HELP}\n{HELP}\n"));
}

#[test]
fn a_long_dialogue_forgets_its_oldest_turns_and_goes_on() {
    let question = "the patient has pain and fever\n".repeat(9);
    let (out, notes) = chat(&question, true, 8);
    assert_eq!(out.lines().count(), 9);
    assert!(notes.starts_with("(the oldest 2 messages no longer fit the context and are forgotten)\n"), "{notes}");
}

#[test]
fn a_question_that_fills_the_context_is_told_and_forgotten() {
    let long = "pain, ".repeat(60);
    let (out, notes) = chat(&format!("fever\n{long}\nfever\n"), true, 8);
    assert_eq!(out.lines().count(), 2);
    assert!(notes.contains("leave no room for an answer in the context of 96 tokens; shorten it"), "{notes}");
    let told = answers("fever\nfever\n");
    let second: serde_json::Value = serde_json::from_str(out.lines().nth(1).unwrap()).unwrap();
    assert_eq!(second["prompt"], told[1]["prompt"]);
}

#[test]
fn a_reader_that_leaves_ends_the_chat_in_peace() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = Gone.write(b"x").unwrap_err();
    assert!(matches!(broken(&error), Ok(Answered::NobodyReads)));
}
