//! Built-in templates and published ones against transformers (`tests/parity/template_fixtures.py`), and the tokens that
//! they train against a table made by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use medtrain_crds::contract::ExitCode;
use medtrain_crds::stage::{StageKind, TrainArgs};

use super::*;
use crate::data::Example;
use crate::data::dialogue::Verdict;
use crate::data::dialogue::tests::{marked, tokenizer_for};
use crate::data::fixture::Fixture;
use crate::data::formats::{Row, Shape};
use crate::data::prepare::tests::train_args;
use crate::parity::{self, fixture};

struct Case {
    messages: Vec<Message>,
    tools: Option<Value>,
}

/// The dialogues, through the reader of `messages` rows.
fn cases(fixture: &Value) -> BTreeMap<&str, Case> {
    let read = |row: &Value| match Shape::Messages.parse(row.as_object().unwrap(), StageKind::SFT).unwrap() {
        Row::Dialogue { messages, tools } => Case { messages, tools },
        other => panic!("{other:?}"),
    };
    fixture["cases"].as_object().unwrap().iter().map(|(name, row)| (name.as_str(), read(row))).collect()
}

fn builtin(name: &str) -> (Tokenizer, ChatTemplate) {
    with_tokenizer(name, tokenizer_for(name))
}

fn with_tokenizer(name: &str, tokenizer: Tokenizer) -> (Tokenizer, ChatTemplate) {
    let template = ChatTemplate::resolve(Some(name), &tokenizer).unwrap();
    (tokenizer, template)
}

/// The tiny tokenizer of the family; and SmolLM2's real one, if it is there and ends its turns by the same token.
fn builtins(name: &str) -> Vec<(Tokenizer, ChatTemplate)> {
    let mut all = vec![builtin(name)];
    let end = |tokenizer: &Tokenizer| tokenizer.token(tokenizer.eos().unwrap());
    let real = std::env::var_os("MEDTRAIN_SMOLLM2").map(|dir| Tokenizer::load(dir.as_ref()).unwrap());
    all.extend(real.filter(|real| end(real) == end(&all[0].0)).map(|real| with_tokenizer(name, real)));
    all
}

fn all_builtins() -> impl Iterator<Item = (&'static str, Tokenizer, ChatTemplate)> {
    let each = |name| builtins(name).into_iter().map(move |(tokenizer, template)| (name, tokenizer, template));
    BUILTIN.into_iter().flat_map(move |(name, _)| each(name))
}

/// Rows of supervised fine-tuning that a dialogue becomes.
fn rows(tokenizer: &Tokenizer, template: &ChatTemplate, messages: &[Message], tools: Option<&Value>) -> Vec<Example> {
    let rendered = template.render_turns(messages, tools).unwrap();
    let args = TrainArgs { max_length: 8192, ..train_args() };
    let verdicts = rendered.iter().map(|row| dialogue::supervised(tokenizer, row, &args).unwrap());
    verdicts
        .filter_map(|verdict| if let Verdict::Keep { example, .. } = verdict { Some(example) } else { None })
        .collect()
}

#[test]
fn built_ins_render_what_transformers_renders() {
    let fixture = fixture("templates");
    let cases = cases(&fixture);
    for (name, _) in BUILTIN {
        let expected = &fixture[format!("builtin/{name}")];
        let (tokenizer, template) = builtin(name);
        assert_eq!(tokenizer.token(tokenizer.eos().unwrap()).unwrap(), expected["eos"], "{name}");
        for (case, Case { messages, tools }) in &cases {
            let render = |prompt| template.render(messages, tools.as_ref(), prompt);
            let Some(text) = expected["texts"][case].as_array() else {
                assert_eq!(render(false).unwrap_err().exit, ExitCode::Data, "{name}, {case}");
                continue;
            };
            let [text, prompt] = [0, 1].map(|i| text[i].as_str().unwrap());
            let title = format!("{name}, {case}");
            parity::hold_same("templates: texts", &title, &render(false).unwrap(), &text.to_owned());
            parity::hold_same("templates: prompts", &title, &render(true).unwrap(), &format!("{text}{prompt}"));
        }
    }
}

/// `name: case`, then the row with its trained tokens in ⟦⟧; `--- row` between the rows of one dialogue; ␣ and ⇥ are a
/// space and a tab where they would not be seen.
fn by_hand() -> Vec<(&'static str, &'static str, Vec<String>)> {
    let table = include_str!("template_masks.txt").split("=== ").skip(1);
    let entry = |entry: &'static str| {
        let (title, rows) = entry.split_once('\n').unwrap();
        let (name, case) = title.split_once(": ").unwrap();
        let rows = rows.strip_suffix('\n').unwrap().split("\n--- row\n");
        (name, case, rows.map(|row| row.replace('␣', " ").replace('⇥', "\t")).collect())
    };
    table.map(entry).collect()
}

/// The row as text, what is trained in ⟦⟧.
fn shown(tokenizer: &Tokenizer, example: &Example) -> String {
    let tokens: Vec<(u32, bool)> = example.ids.iter().copied().zip(example.loss_mask.iter().copied()).collect();
    let run = |run: &[(u32, bool)]| {
        let text = tokenizer.decode(&run.iter().map(|(id, _)| *id).collect::<Vec<_>>(), false).unwrap();
        if run[0].1 { format!("⟦{text}⟧") } else { text }
    };
    tokens.chunk_by(|a, b| a.1 == b.1).map(run).collect()
}

#[test]
fn trained_tokens_are_those_marked_by_hand() {
    let fixture = fixture("templates");
    let cases = cases(&fixture);
    let mut covered = BTreeSet::new();
    for (name, case, expected) in by_hand() {
        let Case { messages, tools } = &cases[case];
        for (tokenizer, template) in builtins(name) {
            let rows = rows(&tokenizer, &template, messages, tools.as_ref());
            let shown: Vec<String> = rows.iter().map(|row| shown(&tokenizer, row)).collect();
            assert_eq!(shown, expected, "{name}: {case}");
        }
        covered.insert((name, case));
    }
    for (name, _) in BUILTIN {
        for case in ["system turns", "empty answer", "spaces", "chinese"] {
            assert!(covered.contains(&(name, case)), "{name}: {case} is not in the table");
        }
    }
}

#[test]
fn no_template_trains_a_user_token_and_each_trains_its_stop_tokens() {
    let fixture = fixture("templates");
    for (name, tokenizer, template) in all_builtins() {
        let stop = tokenizer.token(template.turn_end_id().unwrap()).unwrap();
        for (case, Case { messages, tools }) in cases(&fixture) {
            if fixture[format!("builtin/{name}")]["texts"][case].is_null() {
                continue;
            }
            let trained = |messages: &[Message]| -> Vec<String> {
                let rows = rows(&tokenizer, &template, messages, tools.as_ref());
                rows.iter().flat_map(|row| marked(row, &tokenizer)).collect()
            };
            let runs = trained(&messages);
            let answers = messages.iter().skip(1).filter(|message| message.is_assistant()).count();
            assert_eq!(runs.len(), answers, "{name}, {case}: {runs:?}");
            assert!(runs.iter().all(|run| run.ends_with(&stop)), "{name}, {case}: {runs:?}");
            for at in 0..messages.len() {
                let mut other = messages.clone();
                other[at].content = format!("{}another", other[at].content);
                let same = trained(&other) == runs;
                assert_eq!(same, !messages[at].is_assistant(), "{name}, {case}: message {at}");
            }
        }
    }
}

#[test]
fn every_answer_is_seen_with_the_prompt_that_generation_gives() {
    let fixture = fixture("templates");
    for (name, tokenizer, template) in all_builtins() {
        for (case, Case { messages, tools }) in cases(&fixture) {
            if fixture[format!("builtin/{name}")]["texts"][case].is_null() {
                continue;
            }
            let all = rows(&tokenizer, &template, &messages, tools.as_ref());
            let answers = (1..messages.len()).filter(|&at| messages[at].is_assistant());
            let starts = all.iter().flat_map(|row| {
                let begins = |at: &usize| row.loss_mask[*at] && !row.loss_mask[at - 1];
                (1..row.ids.len()).filter(begins).map(|at| row.ids[..at].to_vec()).collect::<Vec<_>>()
            });
            for (answer, before) in answers.zip(starts) {
                let prompt = template.encode_prompt(&tokenizer, &messages[..answer], tools.as_ref()).unwrap();
                assert_eq!(before, prompt, "{name}, {case}: message {answer}");
            }
        }
    }
}

/// They write a list of floats without `tojson`, where ours are 1e-5 and Python's 1e-05.
const LISTS_AS_TEXT: [&str; 2] = ["lfm2_2_5.jinja", "lfm2_2_5_v2.jinja"];

/// With `MEDTRAIN_CHAT_TEMPLATES` as `--published` of the script.
#[test]
fn published_templates_render_as_in_transformers_and_train_what_they_mark() {
    let Some(dir) = std::env::var_os("MEDTRAIN_CHAT_TEMPLATES").map(std::path::PathBuf::from) else {
        eprintln!("skipped: MEDTRAIN_CHAT_TEMPLATES names no directory with chat templates");
        return;
    };
    let fixture = fixture("templates");
    let cases = cases(&fixture);
    let source = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let digest = |text: &str| hex::encode(Sha256::digest(text))[..8].to_owned();
    let (mut compared, mut wrong) = (0, Vec::new());
    for (name, expected) in fixture["published"].as_object().unwrap() {
        let text = source(name);
        assert_eq!(hex::encode(Sha256::digest(&text)), expected["sha256"], "{name} is another version");
        let template = match ChatTemplate::resolve(Some(&text), &Fixture::with_bos().load()) {
            Ok(template) => template,
            Err(failure) => {
                wrong.push(format!("{name}: {failure}"));
                continue;
            }
        };
        for (case, Case { messages, tools }) in &cases {
            let Some(expected) = expected["texts"][case].as_str() else { continue };
            if *case == "numbers" && LISTS_AS_TEXT.contains(&name.as_str()) {
                continue;
            }
            let ours = [false, true].map(|prompt| template.render(messages, tools.as_ref(), prompt));
            compared += 1;
            match ours {
                [Ok(a), Ok(b)] if expected == format!("{} {}", digest(&a), digest(&b)) => {}
                [Err(failure), _] => wrong.push(format!("{name}, {case}: {failure}")),
                _ => wrong.push(format!("{name}, {case}: another text")),
            }
        }
    }
    for (name, spans) in fixture["marked"].as_object().unwrap() {
        let tokenizer = if name.starts_with("llama") { Fixture::llama3() } else { Fixture::chatml() }.load();
        let template = ChatTemplate::resolve(Some(&source(name)), &tokenizer).unwrap();
        for (case, Case { messages, tools }) in &cases {
            let rendered = template.render_turns(messages, tools.as_ref()).unwrap().remove(0);
            let spans: Vec<[usize; 2]> = serde_json::from_value(spans[case].clone()).unwrap();
            // What is white behind a stop token is marked there, and not trained here.
            let theirs: Vec<&str> = spans.iter().map(|span| rendered.text[span[0]..span[1]].trim_end()).collect();
            let ours: Vec<&str> = rendered.turns.iter().map(|turn| &rendered.text[turn.clone()]).collect();
            compared += 1;
            if ours != theirs {
                wrong.push(format!("{name}, {case}: marks {ours:?}, transformers {theirs:?}"));
            }
        }
    }
    parity::hold_none_differ("templates: published ones, texts and marks", "", compared, &wrong);
}
