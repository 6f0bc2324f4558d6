use std::path::{Path, PathBuf};

use super::*;
use crate::data::fixture::Fixture;

fn tokens(tokens: &[&str]) -> Vec<String> {
    tokens.iter().map(ToString::to_string).collect()
}

fn fixtures() -> PathBuf {
    crate::parity::fixture_path("vocabulary")
}

/// tests/parity/vocabulary_fixtures.py.
#[test]
fn grown_tokenizers_read_texts_as_transformers_does_and_list_the_same_tokens() {
    let expected: Value = serde_json::from_slice(&std::fs::read(fixtures().join("tokens.json")).unwrap()).unwrap();
    let added: Vec<String> = serde_json::from_value(expected["tokens"].clone()).unwrap();
    let texts: Vec<String> = serde_json::from_value(expected["texts"].clone()).unwrap();
    let byte_level = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-tokenizer");
    for (family, dir) in [("byte_level", byte_level), ("sentence_piece", fixtures().join("sentence_piece"))] {
        let before = Tokenizer::load(&dir).unwrap();
        let after = Tokenizer::load_grown(&dir, &[&added]).unwrap();
        for (what, tokenizer) in [("before", &before), ("after", &after)] {
            for (text, ids) in texts.iter().zip(expected[family][what].as_array().unwrap()) {
                assert_eq!(json!(tokenizer.encode(text, false).unwrap()), *ids, "{family} {what}: {text:?}");
            }
        }
        let listed: Vec<Value> = added_tokens(after.grown_json().unwrap()).unwrap().into_values().collect();
        assert_eq!(json!(listed), expected[family]["added_tokens"], "{family}");
        assert_eq!(
            [before.vocab_size(), after.vocab_size()].map(|size| json!(size)),
            [expected[family]["size"].clone(), expected[family]["grown_size"].clone()]
        );
        assert_ne!(before.digest(), after.digest());
    }
}

#[test]
fn list_after_list_is_the_tokenizer_that_the_stage_between_them_wrote() {
    let (dir, [first, second]) = (Fixture::chatml().write(), [tokens(&["angina"]), tokens(&["stent", "angina"])]);
    let at_once = Tokenizer::load_grown(dir.path(), &[&first, &second]).unwrap();
    let between = Tokenizer::load_grown(dir.path(), &[&first]).unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), between.grown_json().unwrap()).unwrap();
    assert_eq!(Tokenizer::load(dir.path()).unwrap().digest(), between.digest());
    let after = Tokenizer::load_grown(dir.path(), &[&second]).unwrap();
    assert_eq!(after.digest(), at_once.digest());
    assert_eq!(after.id("stent"), after.id("angina").map(|id| id + 1));
}

#[test]
fn new_tokens_come_with_what_they_were_before_and_known_ones_do_not() {
    let dir = Fixture::chatml().write();
    let added = tokens(&["the fever", "the", "心"]);
    let (before, after) = (Tokenizer::load(dir.path()).unwrap(), Tokenizer::load_grown(dir.path(), &[&added]).unwrap());
    let found = pieces(&before, &after, &added).unwrap();
    let first = before.vocab_size() as u32;
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [first, first + 1]);
    assert_eq!(found[&first], [before.id("the").unwrap(), before.id("Ġfever").unwrap()]);
    assert_eq!(found[&(first + 1)], before.encode("心", false).unwrap());
    assert_eq!(found[&(first + 1)].len(), 3);
}

#[test]
fn a_token_that_need_not_be_added_is_told_by_place_and_id() {
    let before = Fixture::chatml().load();
    let added = tokens(&["myocarditis", "the", " fever", "<|im_end|>"]);
    let ids = ["the", "Ġfever"].map(|token| before.id(token).unwrap());
    assert_eq!(
        known(&before, &added).unwrap(),
        [
            format!(
                "vocabulary.addTokens[1]: \"the\" is in the vocabulary already (token {}) and keeps its row; remove it",
                ids[0]
            ),
            format!(
                "vocabulary.addTokens[2]: \" fever\" is one token already (token {}); a second one for it starts from the \
                 same row and gains nothing: remove it",
                ids[1]
            ),
            "vocabulary.addTokens[3]: \"<|im_end|>\" is in the vocabulary already (token 2) and keeps its row; remove it"
                .to_owned(),
        ]
    );
    let grown = Tokenizer::load_grown(Fixture::chatml().write().path(), &[&added]).unwrap();
    assert!(grown.is_special(2), "a special token stays one");
}

#[test]
fn files_that_list_added_tokens_list_the_new_ones_too() {
    let dir = Fixture::chatml().write();
    let grown = Tokenizer::load_grown(dir.path(), &[&tokens(&["stent"])]).unwrap();
    let id = grown.id("stent").unwrap();
    let added = added_tokens(grown.grown_json().unwrap()).unwrap();
    let entry = json!({"content": "kept as it is"});
    let mut config = json!({"added_tokens_decoder": {"0": entry}});
    let mut map = json!({"<|endoftext|>": 0});
    list_in_side_files(&added, &mut config, &mut map);
    assert_eq!(config["added_tokens_decoder"]["0"], entry);
    let expected = json!({
        "content": "stent", "lstrip": false, "normalized": true, "rstrip": false, "single_word": false, "special": false
    });
    assert_eq!(config["added_tokens_decoder"][id.to_string()], expected);
    assert_eq!((&map["stent"], &map["<|endoftext|>"]), (&json!(id), &json!(0)));
    let (mut config, mut map) = (json!({}), Value::Null);
    list_in_side_files(&added, &mut config, &mut map);
    assert_eq!((config, map), (json!({}), Value::Null), "where nothing is listed nothing is");
}
