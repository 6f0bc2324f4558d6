//! Ids and decoded texts of 5,000 lines against the reference tokenizers (`tests/parity/tokenizer_fixtures.py`), through
//! the tokenizer that an imported GGUF gets.

use std::io::Read;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::*;
use crate::{data::Tokenizer, parity};

const BLOCK: usize = 50;

fn json(name: &str) -> Json {
    serde_json::from_slice(&std::fs::read(parity::fixture_path("tokenizers").join(name)).unwrap()).unwrap()
}

fn corpus() -> Vec<String> {
    let file = std::fs::File::open(parity::fixture_path("tokenizers/corpus.jsonl.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn gguf(name: &str) -> Gguf {
    Gguf::parse(&std::fs::read(parity::path("gguf").join(name)).unwrap()).unwrap()
}

/// The tokenizer as the trainer reads it from the directory of an import.
fn imported(gguf: &Gguf) -> Tokenizer {
    let imported = ImportedTokenizer::new(gguf, 1 << 16, 128).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("tokenizer.json", &imported.tokenizer),
        ("tokenizer_config.json", &imported.tokenizer_config),
        ("special_tokens_map.json", &imported.special_tokens_map),
    ] {
        std::fs::write(dir.path().join(name), value.to_string()).unwrap();
    }
    Tokenizer::load(dir.path()).unwrap()
}

/// A GGUF whose byte-level vocabulary is the fixture's.
fn byte_level(pre: &str) -> Gguf {
    let vocabulary = json("vocabulary.json");
    let merges = if pre == "llama-bpe" { "merges_from_ranks" } else { "merges" };
    let strings = |name: &str| -> Vec<Value> {
        let list = vocabulary[name].as_array().unwrap();
        list.iter().map(|text| Value::String(text.as_str().unwrap().to_owned())).collect()
    };
    let tokens = strings("tokens");
    let types = (0..tokens.len()).map(|id| Value::Signed(if id < 3 { 3 } else { 1 })).collect();
    let mut gguf = gguf("llama.gguf");
    for (key, value) in [
        ("pre", Value::String(pre.to_owned())),
        ("tokens", Value::Array(tokens)),
        ("token_type", Value::Array(types)),
        ("merges", Value::Array(strings(merges))),
    ] {
        gguf.metadata.insert(format!("tokenizer.ggml.{key}"), value);
    }
    gguf
}

fn assert_same(family: &str, tokenizer: &Tokenizer) {
    let (lines, fixture) = (corpus(), json("ids.json"));
    let expected = &fixture[family];
    assert_eq!(lines.len(), 5000);
    let ids: Vec<Vec<u32>> = lines.iter().map(|line| tokenizer.encode(line, false).unwrap()).collect();
    for (line, (ids, first)) in lines.iter().zip(ids.iter().zip(expected["first"].as_array().unwrap())) {
        parity::hold_same("tokenizers: ids of 5,000 lines", &format!("{family}: {line:?}"), &json!(ids), first);
    }
    let blocks = |of: &dyn Fn(&[u32]) -> Vec<u8>| -> Vec<String> {
        let hash = |block: &[Vec<u32>]| {
            hex::encode(Sha256::digest(block.iter().flat_map(|ids| of(ids)).collect::<Vec<u8>>()))[..16].to_owned()
        };
        ids.chunks(BLOCK).map(hash).collect()
    };
    let packed = |ids: &[u32]| -> Vec<u8> {
        std::iter::once(ids.len() as u32).chain(ids.iter().copied()).flat_map(u32::to_le_bytes).collect()
    };
    let decoded = |ids: &[u32]| [tokenizer.decode(ids, false).unwrap().as_bytes(), b"\0"].concat();
    for (what, ours) in [("ids", blocks(&packed)), ("texts", blocks(&decoded))] {
        let theirs = expected[what].as_array().unwrap();
        assert_eq!(ours.len(), theirs.len());
        let differ = (0..ours.len()).filter(|&i| theirs[i] != ours[i]);
        let differ: Vec<String> = differ.map(|i| format!("a line of {BLOCK} from line {}", i * BLOCK)).collect();
        parity::hold_none_differ(&format!("tokenizers: {what} of blocks of lines"), family, ours.len(), &differ);
    }
}

#[test]
fn five_thousand_lines_have_the_ids_and_texts_of_each_byte_level_family() {
    for family in ["gpt-2", "smollm", "llama-bpe", "qwen2"] {
        assert_same(family, &imported(&byte_level(family)));
    }
}

#[test]
fn five_thousand_lines_have_the_ids_and_texts_of_sentence_piece() {
    assert_same("spm", &imported(&gguf("spm.gguf")));
}

#[test]
fn five_thousand_lines_have_the_ids_and_texts_of_smollm2() {
    let Some(dir) = std::env::var_os("MEDTRAIN_SMOLLM2").map(PathBuf::from) else {
        eprintln!("skipped: MEDTRAIN_SMOLLM2 names no directory with SmolLM2-135M-Instruct");
        return;
    };
    assert_same("SmolLM2", &Tokenizer::load(&dir).unwrap());
}
