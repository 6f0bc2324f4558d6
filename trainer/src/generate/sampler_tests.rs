//! Promises of [`super::sampler`], on the tiny models of tests/parity and, where it is there, on SmolLM2.

use std::{cell::Cell, path::PathBuf};

use burn_flex::Flex;
use serde_json::{Value, json};

use super::{processors::argmax, sampler::*, stop::FinishReason::*, *};
use crate::{
    data::{DecodeStream, Tokenizer, fixture::tiny_tokenizer},
    failure::Result,
    model::{Decoder, ModelConfig, load},
    ops::{Segments, to_host},
    parity,
};

const CONTEXT: usize = 32;

fn tiny(family: &str) -> Decoder<Flex> {
    load::load(&parity::fixture_path("models").join(family), CONTEXT, &Default::default()).unwrap()
}

fn sampling(max_new_tokens: u32) -> SamplingArgs {
    SamplingArgs { do_sample: true, seed: 7, ..SamplingArgs::greedy(max_new_tokens) }
}

fn stop(args: &SamplingArgs, eos: &[u32], strings: &[&str]) -> StopRules {
    StopRules::new(eos.to_vec(), strings.iter().map(ToString::to_string).collect(), args.max_new_tokens).unwrap()
}

/// Prompts of different lengths, streams counted from 0.
fn requests(prompts: &[&[u32]]) -> Vec<Request> {
    (0..).zip(prompts).map(|(stream, ids)| Request { ids: ids.to_vec(), stream }).collect()
}

const PROMPTS: [&[u32]; 5] = [&[7, 12, 78, 95, 123], &[20], &[79, 70, 109], &[5, 6, 7, 8, 9, 10, 11, 12, 13], &[1, 2]];

fn run(model: &Decoder<Flex>, requests: &[Request], args: &SamplingArgs, eos: &[u32], batch: usize) -> Vec<Completion> {
    try_run(model, requests, args, eos, batch).unwrap()
}

fn try_run(
    model: &Decoder<Flex>,
    requests: &[Request],
    args: &SamplingArgs,
    eos: &[u32],
    batch: usize,
) -> Result<Vec<Completion>> {
    let stop = stop(args, eos, &[]);
    let generation = Generation { model, adapter: None, args, stop: &stop, tokenizer: None, batch };
    generation.run(requests, &mut |_| {}, &|| false).map(Option::unwrap)
}

/// Greedy tokens from a full forward for each, without a cache.
fn by_full_forward(model: &Decoder<Flex>, prompt: &[u32], tokens: usize) -> Vec<u32> {
    let mut ids = prompt.to_vec();
    for _ in 0..tokens {
        let hidden = model.hidden(&ids, &Segments::from_lengths([ids.len()]), None);
        let last = model.logits(&hidden.narrow(0, ids.len() - 1, 1), None);
        ids.push(argmax(&to_host(&last)).unwrap());
    }
    ids.split_off(prompt.len())
}

#[test]
fn greedy_over_the_cache_is_greedy_over_full_forwards_in_every_family() {
    for family in ["llama", "llama3_rope", "llama_linear_rope", "mistral", "qwen2", "qwen3", "smollm2"] {
        let model = tiny(family);
        for (prompt, ours) in PROMPTS.iter().zip(run(&model, &requests(&PROMPTS), &SamplingArgs::greedy(12), &[], 3)) {
            assert_eq!(ours.ids, by_full_forward(&model, prompt, 12), "{family}");
            assert_eq!(ours.finish, Length);
        }
    }
}

#[test]
fn a_request_gets_the_same_answer_in_any_batch() {
    let model = tiny("qwen2");
    let all = requests(&PROMPTS);
    // Two ends of sequence out of 128 tokens, so that slots come free at different times.
    let eos = [3, 90];
    let args = sampling(20);
    let alone: Vec<Completion> =
        all.iter().map(|one| run(&model, std::slice::from_ref(one), &args, &eos, 1).remove(0)).collect();
    let lengths: Vec<usize> = alone.iter().map(|one| one.ids.len()).collect();
    assert!(lengths.iter().any(|length| *length < 20), "some answer ends early: {lengths:?}");
    for batch in [0, 1, 2, 3, 5, 64] {
        assert_eq!(run(&model, &all, &args, &eos, batch), alone, "batch {batch}");
    }
    let mut turned: Vec<Request> = all.clone();
    turned.reverse();
    let mut answers = run(&model, &turned, &args, &eos, 2);
    answers.reverse();
    assert_eq!(answers, alone, "the order of requests");
}

/// transformers pads its batches on the left, ours have no padding (`tests/parity/generation_fixtures.py`).
#[test]
fn a_batch_has_the_answers_and_logits_of_transformers_batch_padded_on_the_left() {
    let fixture = parity::fixture("generation");
    let rows = |value: &Value| serde_json::from_value::<Vec<Vec<u32>>>(value.clone()).unwrap();
    let prompts = rows(&fixture["prompts"]);
    let requests = requests(&prompts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    for (family, expected) in fixture["models"].as_object().unwrap() {
        let model = tiny(family);
        for expected in expected["runs"].as_array().unwrap() {
            let given = &expected["arguments"];
            let args = SamplingArgs {
                min_new_tokens: given["min_new_tokens"].as_u64().unwrap_or(0) as u32,
                repetition_penalty: given["repetition_penalty"].as_f64().unwrap_or(1.0),
                ..SamplingArgs::greedy(fixture["max_new_tokens"].as_u64().unwrap() as u32)
            };
            let eos: Vec<u32> = given.get("eos").map_or(vec![], |eos| serde_json::from_value(eos.clone()).unwrap());
            for batch in [0, 1, 3] {
                let ours: Vec<Vec<u32>> =
                    run(&model, &requests, &args, &eos, batch).into_iter().map(|answer| answer.ids).collect();
                let case = format!("{family}, {given}, batch {batch}");
                parity::hold_same("generation: greedy answers", &case, &ours, &rows(&expected["answers"]));
            }
        }
        let segments = Segments::from_lengths(prompts.iter().map(Vec::len));
        let hidden = model.hidden(&prompts.concat(), &segments, None);
        let every = fixture["every"].as_u64().unwrap() as usize;
        for (row, (range, expected)) in segments.ranges().zip(expected["logits"].as_array().unwrap()).enumerate() {
            let ours = to_host(&model.logits(&hidden.clone().narrow(0, range.end - 1, 1), None));
            let ours: Vec<f32> = ours.into_iter().step_by(every).collect();
            let case = format!("{family}, prompt {row}");
            parity::hold_all("generation: logits after prompts", &case, &ours, &parity::numbers(expected), 2e-5);
        }
    }
}

#[test]
fn the_stream_and_the_seed_decide_what_is_drawn() {
    let model = tiny("llama");
    let draw = |stream, seed| {
        let request = Request { ids: vec![7, 12], stream };
        run(&model, &[request], &SamplingArgs { seed, ..sampling(10) }, &[], 1).remove(0).ids
    };
    assert_eq!(draw(4, 7), draw(4, 7));
    assert_ne!(draw(4, 7), draw(5, 7));
    assert_ne!(draw(4, 7), draw(4, 8));
}

#[test]
fn an_end_of_sequence_token_ends_the_answer_and_is_part_of_it() {
    let model = tiny("smollm2");
    let prompt = requests(&[&[7, 12, 78]]);
    let free = run(&model, &prompt, &SamplingArgs::greedy(12), &[], 1).remove(0).ids;
    let first = free.iter().position(|id| *id == free[3]).unwrap();
    let ended = run(&model, &prompt, &SamplingArgs::greedy(12), &[free[3]], 1).remove(0);
    assert_eq!((ended.ids.as_slice(), ended.finish), (&free[..=first], Eos));
    let held = SamplingArgs { min_new_tokens: 6, ..SamplingArgs::greedy(12) };
    let held = run(&model, &prompt, &held, &[free[3]], 1).remove(0).ids;
    assert!(held.len() > 6 && !held[..6].contains(&free[3]), "{held:?}");
}

#[test]
fn an_answer_ends_where_the_context_is_full() {
    let model = tiny("smollm2");
    let long: Vec<u32> = (0..30).collect();
    let answers = run(&model, &requests(&[&long, &[1, 2]]), &SamplingArgs::greedy(12), &[], 2);
    assert_eq!((answers[0].ids.len(), answers[0].finish), (2, Length));
    assert_eq!((answers[1].ids.len(), answers[1].finish), (12, Length));
    assert_eq!(answers[0].ids, by_full_forward(&model, &long, 2));
}

#[test]
fn prompts_that_can_not_be_answered_are_refused_by_index() {
    let model = tiny("smollm2");
    let message = |prompt: &[u32]| {
        try_run(&model, &requests(&[&[1], prompt]), &SamplingArgs::greedy(4), &[], 2).unwrap_err().message
    };
    assert_eq!(message(&[]), "prompt 1: it has no tokens; a prompt needs at least one, such as BOS");
    assert_eq!(
        message(&[1; 32]),
        "prompt 1: its 32 tokens leave no room for an answer in the context of 32 tokens; shorten it"
    );
    assert_eq!(
        message(&[1, 128]),
        "prompt 1: token id 128 is beyond the model's vocabulary of 128; the tokenizer belongs to another model"
    );
}

#[test]
fn an_interruption_is_heeded_at_the_next_token() {
    let (model, args) = (tiny("smollm2"), SamplingArgs::greedy(12));
    let stop = stop(&args, &[], &[]);
    let generation = Generation { model: &model, adapter: None, args: &args, stop: &stop, tokenizer: None, batch: 2 };
    let seen = Cell::new(0);
    let out = generation.run(&requests(&[&[1], &[2]]), &mut |_| seen.set(seen.get() + 1), &|| seen.get() >= 4);
    assert_eq!((out.unwrap(), seen.get()), (None, 4));
}

/// A model with random weights that speaks the tiny tokenizer's vocabulary.
fn speaking(tokenizer: &Tokenizer) -> Decoder<Flex> {
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "vocab_size": tokenizer.vocab_size(), "hidden_size": 16,
        "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.4,
    });
    load::random(ModelConfig::from_json(config).unwrap(), CONTEXT, 3, &Default::default()).unwrap()
}

#[test]
fn the_text_streams_up_to_a_stop_string_and_ends_before_it() {
    let tokenizer = tiny_tokenizer();
    let model = speaking(&tokenizer);
    let prompts = requests(&[&tokenizer.encode("the patient has", false).unwrap(), &[40, 41]]);
    let args = SamplingArgs { temperature: 0.3, ..sampling(16) };
    let answer = |strings: &[&str]| {
        let stop = stop(&args, tokenizer.eos_ids(), strings);
        let tokenizer = Some(&tokenizer);
        let generation = Generation { model: &model, adapter: None, args: &args, stop: &stop, tokenizer, batch: 2 };
        let mut streamed = String::new();
        let mut show = |token: NewToken| {
            if token.request == 0 {
                streamed.push_str(token.text);
            }
        };
        let completion = generation.run(&prompts, &mut show, &|| false).unwrap().unwrap().remove(0);
        assert_eq!(streamed, completion.text);
        completion
    };
    let free = answer(&[]);
    assert_eq!(free.text, tokenizer.decode(&free.ids, true).unwrap().trim_end_matches('\u{FFFD}'));
    let middle: Vec<char> = free.text.chars().skip(4).take(3).collect();
    let word: String = middle.into_iter().collect();
    let before = free.text.split(word.as_str()).next().unwrap();
    let stopped = answer(&["never said", &word]);
    assert_eq!((stopped.text.as_str(), stopped.finish), (before, StopString));
    assert!(free.ids.starts_with(&stopped.ids) && stopped.ids.len() < free.ids.len());
}

/// By SmolLM2's tokens (tests/parity/stop_fixtures.py): within a token, across several, in Chinese, never.
#[test]
fn stop_strings_end_an_answer_after_the_token_that_they_end_it_after_in_transformers() {
    let Some(dir) = std::env::var_os("MEDTRAIN_SMOLLM2").map(PathBuf::from) else {
        eprintln!("skipped: MEDTRAIN_SMOLLM2 names no directory with SmolLM2-135M-Instruct");
        return;
    };
    let tokenizer = Tokenizer::load(&dir).unwrap();
    for case in parity::fixture("stop_strings")["cases"].as_array().unwrap() {
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        for (string, expected) in case["stops"].as_object().unwrap() {
            let rules = StopRules::new(vec![], vec![string.clone()], 1000).unwrap();
            let (mut state, mut decoder) = (rules.start(), DecodeStream::new(&tokenizer, true));
            let ends = |id: &u32| {
                let piece = decoder.push(*id).unwrap().unwrap_or_default();
                state.push(*id, &piece).finish == Some(StopString)
            };
            let ended = ids.iter().position(ends).map(|at| at + 1);
            parity::hold_same("generation: tokens up to a stop string", string, &json!(ended), expected);
        }
    }
}

/// Sixty-four prompts (English, Chinese, digits, code, emoji, chats): every logit of every position through a
/// projection, the best ones of the last, and 64 greedy tokens up to where transformers' own choice hangs on less than
/// 1e-4.
#[test]
fn smollm2_reads_and_answers_sixty_four_prompts_as_transformers() {
    let Some(dir) = std::env::var_os("MEDTRAIN_SMOLLM2").map(PathBuf::from) else {
        eprintln!("skipped: MEDTRAIN_SMOLLM2 names no directory with SmolLM2-135M-Instruct");
        return;
    };
    let model: Decoder<Flex> = load::load(&dir, 256, &Default::default()).unwrap();
    let tokenizer = Tokenizer::load(&dir).unwrap();
    let fixture = parity::fixture("smollm2_prompts");
    let cases: Vec<&Value> = (0..64).map(|number| &fixture[format!("prompt {number}")]).collect();
    let ids = |value: &Value| serde_json::from_value::<Vec<u32>>(value.clone()).unwrap();
    let prompts: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["ids"])).collect();
    let sign = |place: usize| 1.0 - 2.0 * f64::from((place as u32).wrapping_mul(2_654_435_761) >> 31);
    for (number, (case, prompt)) in cases.iter().zip(&prompts).enumerate() {
        let name = format!("prompt {number}");
        parity::hold_same(
            "SmolLM2: ids",
            &name,
            &tokenizer.encode(case["text"].as_str().unwrap(), false).unwrap(),
            prompt,
        );
        let hidden = model.hidden(prompt, &Segments::from_lengths([prompt.len()]), None);
        let logits = to_host(&model.logits(&hidden, None));
        let rows: Vec<&[f32]> = logits.chunks(logits.len() / prompt.len()).collect();
        let project = |row: &&[f32]| {
            let sum: f64 = row.iter().enumerate().map(|(place, &logit)| sign(place) * f64::from(logit)).sum();
            (sum / (row.len() as f64).sqrt()) as f32
        };
        let ours: Vec<f32> = rows.iter().map(project).collect();
        let theirs = parity::numbers(&case["projected"]);
        parity::hold_values("SmolLM2: logits of all positions, projected", &name, &ours, &theirs, |_| 1.0, 2e-4);
        let last = rows[rows.len() - 1];
        let ours: Vec<f32> = ids(&case["top_ids"]).into_iter().map(|id| last[id as usize]).collect();
        let theirs = parity::numbers(&case["top_logits"]);
        parity::hold_values("SmolLM2: highest logits behind prompts", &name, &ours, &theirs, |_| 1.0, 2e-4);
    }
    let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let answers = run(&model, &requests(&prompts), &SamplingArgs::greedy(64), &[2], 32);
    for (number, (case, answer)) in cases.iter().zip(answers).enumerate() {
        let (mut ours, theirs) = (answer.ids, ids(&case["greedy"]));
        match case["greedy_ended_by"].as_str().unwrap() {
            "close call" => ours.truncate(theirs.len()),
            "eos" => assert_eq!(answer.finish, Eos, "prompt {number}"),
            _ => assert_eq!(answer.finish, Length, "prompt {number}"),
        }
        parity::hold_same("SmolLM2: greedy answers", &format!("prompt {number}"), &ours, &theirs);
    }
}

#[test]
fn smollm2_has_the_logits_and_greedy_answers_of_transformers() {
    let Some(dir) = std::env::var_os("MEDTRAIN_SMOLLM2").map(PathBuf::from) else {
        eprintln!("skipped: MEDTRAIN_SMOLLM2 names no directory with SmolLM2-135M-Instruct");
        return;
    };
    let model: Decoder<Flex> = load::load(&dir, 256, &Default::default()).unwrap();
    let fixture = parity::fixture("smollm2");
    let names = ["english", "chat", "chinese", "digits", "code", "spaces"];
    let ids = |value: &Value| serde_json::from_value::<Vec<u32>>(value.clone()).unwrap();
    let prompts: Vec<Vec<u32>> = names.iter().map(|name| ids(&fixture[name]["ids"])).collect();
    let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let answers = run(&model, &requests(&prompts), &SamplingArgs::greedy(32), &[2], 3);
    for ((name, prompt), answer) in names.iter().zip(&prompts).zip(answers) {
        let case = &fixture[name];
        assert_eq!((answer.ids, answer.finish), (ids(&case["greedy"]), Length), "{name}");
        let hidden = model.hidden(prompt, &Segments::from_lengths([prompt.len()]), None);
        let logits = to_host(&model.logits(&hidden.narrow(0, prompt.len() - 1, 1), None));
        let expected = case["top_logits"].as_array().unwrap().iter().map(|logit| logit.as_f64().unwrap() as f32);
        for (id, expected) in ids(&case["top_ids"]).into_iter().zip(expected) {
            let ours = logits[id as usize];
            assert!((ours - expected).abs() < 1e-3, "{name}: logit of {id} is {ours}, transformers' {expected}");
        }
    }
}
