//! The tokenizer inside a GGUF file as Hugging Face's `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json`.
//!
//! Sources: token types and pre-tokenizer names of llama.cpp (`llama-vocab.cpp`), pipelines of the tokenizers that
//! Hugging Face publishes for GPT-2, SmolLM, Llama 3, Qwen2, and its conversion of Llama's SentencePiece BPE.
//!
//! Holds: ids are those of the file; the result was loaded by the `tokenizers` crate before it is returned; pad is not
//! EOS, or there is none.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::{Map, Value as Json, json};
use tokenizers::Tokenizer;

use super::gguf::{Gguf, Value};
use crate::failure::{Failure, Result};

/// Tokens that models reserve for padding or leave unused, in order of preference.
const PAD_CANDIDATES: [&str; 9] = [
    "<|endoftext|>",
    "<|finetune_right_pad_id|>",
    "<pad>",
    "<|pad|>",
    "[PAD]",
    "<|fim_pad|>",
    "<|vision_pad|>",
    "<|reserved_special_token_0|>",
    "<unk>",
];

const LLAMA3_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2_PATTERN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The files of a tokenizer and the ids that the model's configuration repeats.
pub struct ImportedTokenizer {
    pub tokenizer: Json,
    pub tokenizer_config: Json,
    pub special_tokens_map: Json,
    pub bos: Option<u32>,
    pub eos: u32,
    pub pad: Option<u32>,
    /// Ends of a turn or of the text, EOS first.
    pub stop: Vec<u32>,
    /// Tokens of the vocabulary, added ones included.
    pub len: usize,
    /// What a person should know about choices made here.
    pub notes: Vec<String>,
}

/// llama.cpp's `llama_token_type`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

struct Vocabulary {
    tokens: Vec<String>,
    kinds: Vec<Kind>,
}

impl ImportedTokenizer {
    /// `vocab_size`: rows of the embedding. `context_length`: becomes `model_max_length`.
    pub fn new(gguf: &Gguf, vocab_size: usize, context_length: u64) -> Result<Self> {
        let vocabulary = Vocabulary::read(gguf, vocab_size)?;
        let mut notes = Vec::new();
        let special = SpecialTokens::read(gguf, &vocabulary, &mut notes)?;
        let tokenizer = match string(gguf, "tokenizer.ggml.model") {
            Some("gpt2") => byte_level_bpe(gguf, &vocabulary, &special, &mut notes)?,
            Some("llama") => sentence_piece_bpe(gguf, &vocabulary, &special)?,
            Some(other) => {
                return Err(Failure::input(format!(
                    "tokenizer model \"{other}\" can't be imported (gpt2 and llama can)"
                )));
            }
            None => return Err(Failure::input("the file has no tokenizer (key \"tokenizer.ggml.model\")")),
        };
        Tokenizer::from_str(&tokenizer.to_string())
            .map_err(|e| Failure::input(format!("the tokenizer of the file is not consistent ({e})")))?;

        let mut names = Map::new();
        for (key, id) in [
            ("bos_token", special.bos),
            ("eos_token", Some(special.eos)),
            ("unk_token", special.unk),
            ("pad_token", special.pad),
        ] {
            if let Some(id) = id {
                names.insert(key.to_owned(), json!(vocabulary.tokens[id as usize]));
            }
        }
        let mut config = names.clone();
        config.insert("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"));
        config.insert("model_max_length".to_owned(), json!(context_length));
        config.insert("clean_up_tokenization_spaces".to_owned(), json!(false));
        config.insert("add_bos_token".to_owned(), json!(special.add_bos));
        config.insert("add_eos_token".to_owned(), json!(special.add_eos));
        match string(gguf, "tokenizer.chat_template") {
            Some(template) => {
                config.insert("chat_template".to_owned(), json!(template));
            }
            None => notes
                .push("the file has no chat template; name one with chatTemplate before training on chats".to_owned()),
        }
        Ok(Self {
            tokenizer,
            tokenizer_config: Json::Object(config),
            special_tokens_map: Json::Object(names),
            bos: special.bos,
            eos: special.eos,
            pad: special.pad,
            stop: special.stop,
            len: vocabulary.tokens.len(),
            notes,
        })
    }
}

fn string<'a>(gguf: &'a Gguf, key: &str) -> Option<&'a str> {
    gguf.metadata.get(key).and_then(Value::as_str)
}

fn strings<'a>(gguf: &'a Gguf, key: &str) -> Result<Vec<&'a str>> {
    let wrong = || Failure::input(format!("metadata key \"{key}\" is missing or not a list of strings"));
    let values = gguf.metadata.get(key).and_then(Value::as_array).ok_or_else(wrong)?;
    values.iter().map(|value| value.as_str().ok_or_else(wrong)).collect()
}

impl Vocabulary {
    fn read(gguf: &Gguf, vocab_size: usize) -> Result<Self> {
        let tokens = strings(gguf, "tokenizer.ggml.tokens")?;
        if tokens.len() > vocab_size {
            return Err(Failure::input(format!("{} tokens for an embedding of {vocab_size} rows", tokens.len())));
        }
        let mut kinds = match gguf.metadata.get("tokenizer.ggml.token_type").and_then(Value::as_array) {
            None => vec![Kind::Normal; tokens.len()],
            Some(types) => types.iter().map(Kind::read).collect::<Result<_>>()?,
        };
        if kinds.len() != tokens.len() {
            return Err(Failure::input(format!("{} token types for {} tokens", kinds.len(), tokens.len())));
        }
        // Rows of the embedding without a token, which converters fill up with names like "[PAD151665]".
        let used = kinds.iter().rposition(|kind| *kind != Kind::Unused).map_or(0, |last| last + 1);
        kinds.truncate(used);
        let tokens: Vec<String> = tokens[..used].iter().map(|&token| token.to_owned()).collect();
        let mut ids = BTreeMap::new();
        for (id, token) in tokens.iter().enumerate() {
            if let Some(first) = ids.insert(token, id) {
                return Err(Failure::input(format!("tokens {first} and {id} are the same text")));
            }
        }
        Ok(Self { tokens, kinds })
    }

    fn id(&self, token: &str) -> Option<u32> {
        self.tokens.iter().position(|t| t == token).map(|id| id as u32)
    }

    fn entries(&self) -> Map<String, Json> {
        self.tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect()
    }

    fn added_tokens(&self) -> Vec<Json> {
        self.tokens
            .iter()
            .zip(&self.kinds)
            .enumerate()
            .filter(|(_, (_, kind))| matches!(kind, Kind::Control | Kind::UserDefined | Kind::Unknown))
            .map(|(id, (token, kind))| {
                json!({
                    "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": *kind != Kind::UserDefined,
                })
            })
            .collect()
    }
}

impl Kind {
    fn read(value: &Value) -> Result<Self> {
        match value.as_u64() {
            Some(1) => Ok(Self::Normal),
            Some(2) => Ok(Self::Unknown),
            Some(3) => Ok(Self::Control),
            Some(4) => Ok(Self::UserDefined),
            Some(5) => Ok(Self::Unused),
            Some(6) => Ok(Self::Byte),
            _ => Err(Failure::input("metadata key \"tokenizer.ggml.token_type\" has a type other than 1 to 6")),
        }
    }
}

struct SpecialTokens {
    bos: Option<u32>,
    eos: u32,
    unk: Option<u32>,
    pad: Option<u32>,
    stop: Vec<u32>,
    add_bos: bool,
    add_eos: bool,
}

impl SpecialTokens {
    fn read(gguf: &Gguf, vocabulary: &Vocabulary, notes: &mut Vec<String>) -> Result<Self> {
        let id = |key: &str| -> Result<Option<u32>> {
            let key = format!("tokenizer.ggml.{key}");
            match gguf.metadata.get(&key) {
                None => Ok(None),
                Some(value) => match value.as_u64() {
                    Some(id) if (id as usize) < vocabulary.tokens.len() => Ok(Some(id as u32)),
                    // llama.cpp writes 2^32 - 1 for "none".
                    Some(id) if id == u64::from(u32::MAX) => Ok(None),
                    _ => Err(Failure::input(format!("metadata key \"{key}\" is not the id of a token"))),
                },
            }
        };
        let sentence_piece = string(gguf, "tokenizer.ggml.model") == Some("llama");
        let flag = |key: &str| gguf.metadata.get(key).and_then(Value::as_bool);
        let bos = id("bos_token_id")?;
        let Some(eos) = id("eos_token_id")? else {
            return Err(Failure::input(
                "metadata key \"tokenizer.ggml.eos_token_id\" is missing: the model has no end of text",
            ));
        };
        let mut stop = vec![eos];
        for key in ["eot_token_id", "eom_token_id"] {
            stop.extend(id(key)?.filter(|id| !stop.contains(id)));
        }
        let pad = match id("padding_token_id")? {
            Some(pad) if !stop.contains(&pad) => Some(pad),
            given => {
                let pad = PAD_CANDIDATES
                    .iter()
                    .filter_map(|candidate| vocabulary.id(candidate))
                    .find(|id| !stop.contains(id) && bos != Some(*id));
                let why = if given.is_some() {
                    "the pad token of the file ends a text"
                } else {
                    "the file names no pad token"
                };
                match pad {
                    Some(pad) => notes.push(format!("{why}; pad is now {}", vocabulary.tokens[pad as usize])),
                    None => notes.push(format!("{why} and the vocabulary has no unused one; no pad token is set")),
                }
                pad
            }
        };
        let pre_adds_bos = matches!(string(gguf, "tokenizer.ggml.pre"), Some("llama-bpe" | "llama3" | "llama-v3"));
        Ok(Self {
            bos,
            eos,
            unk: id("unknown_token_id")?,
            pad,
            stop,
            add_bos: flag("tokenizer.ggml.add_bos_token").unwrap_or(sentence_piece || pre_adds_bos) && bos.is_some(),
            add_eos: flag("tokenizer.ggml.add_eos_token").unwrap_or(false),
        })
    }

    /// The post-processor that adds BOS and EOS, if any is added.
    fn post_processor(&self, vocabulary: &Vocabulary) -> Json {
        let bos = self.bos.filter(|_| self.add_bos);
        let eos = Some(self.eos).filter(|_| self.add_eos);
        if bos.is_none() && eos.is_none() {
            return Json::Null;
        }
        let mut special = Map::new();
        for id in [bos, eos].into_iter().flatten() {
            let token = &vocabulary.tokens[id as usize];
            special.insert(token.clone(), json!({"id": token, "ids": [id], "tokens": [token]}));
        }
        let sequence = |name: &str, type_id: u32| -> Vec<Json> {
            let token = |id: u32| json!({"SpecialToken": {"id": vocabulary.tokens[id as usize], "type_id": type_id}});
            let text = json!({"Sequence": {"id": name, "type_id": type_id}});
            bos.map(token).into_iter().chain([text]).chain(eos.map(token)).collect()
        };
        let single = sequence("A", 0);
        let pair: Vec<Json> = single.iter().cloned().chain(sequence("B", 1)).collect();
        json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special})
    }
}

/// GPT-2's byte-level BPE, cut into words as `tokenizer.ggml.pre` says.
fn byte_level_bpe(
    gguf: &Gguf,
    vocabulary: &Vocabulary,
    special: &SpecialTokens,
    notes: &mut Vec<String>,
) -> Result<Json> {
    let byte_level = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let split = |pattern: &str| {
        let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        json!({"type": "Sequence", "pretokenizers": [split, byte_level(false)]})
    };
    let (normalizer, pre_tokenizer, ignore_merges) = match string(gguf, "tokenizer.ggml.pre") {
        Some("gpt-2" | "gpt2") => (Json::Null, byte_level(true), false),
        given @ (None | Some("default")) => {
            let name = given.map_or("no pre-tokenizer is named", |_| "the pre-tokenizer is \"default\"");
            notes.push(format!("{name}: texts are cut into words as GPT-2 does"));
            (Json::Null, byte_level(true), false)
        }
        Some("smollm" | "starcoder") => {
            let digits = json!({"type": "Digits", "individual_digits": true});
            (Json::Null, json!({"type": "Sequence", "pretokenizers": [digits, byte_level(true)]}), false)
        }
        Some("llama-bpe" | "llama3" | "llama-v3") => (Json::Null, split(LLAMA3_PATTERN), true),
        Some("qwen2") => (json!({"type": "NFC"}), split(QWEN2_PATTERN), false),
        Some(other) => {
            return Err(Failure::input(format!(
                "pre-tokenizer \"{other}\" can't be imported (gpt-2, smollm, starcoder, llama-bpe and qwen2 can); \
                 take the original Hugging Face model"
            )));
        }
    };
    let merges = strings(gguf, "tokenizer.ggml.merges")?
        .into_iter()
        .map(|merge| merge.split_once(' ').map(|(left, right)| json!([left, right])))
        .collect::<Option<Vec<Json>>>()
        .ok_or_else(|| Failure::input("metadata key \"tokenizer.ggml.merges\" has an entry without a space"))?;
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": vocabulary.added_tokens(),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": special.post_processor(vocabulary),
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": ignore_merges,
            "vocab": vocabulary.entries(), "merges": merges,
        },
    }))
}

/// Llama's SentencePiece BPE: spaces become "▁", what the vocabulary lacks becomes bytes, merges follow the scores.
fn sentence_piece_bpe(gguf: &Gguf, vocabulary: &Vocabulary, special: &SpecialTokens) -> Result<Json> {
    let scores = gguf
        .metadata
        .get("tokenizer.ggml.scores")
        .and_then(Value::as_array)
        .and_then(|scores| {
            scores.iter().map(|s| if let Value::Float32(s) = s { Some(*s) } else { None }).collect::<Option<Vec<f32>>>()
        })
        .filter(|scores| scores.len() >= vocabulary.tokens.len() && scores.iter().all(|s| s.is_finite()))
        .ok_or_else(|| {
            Failure::input("metadata key \"tokenizer.ggml.scores\" is not one finite number for each token")
        })?;
    if !vocabulary.kinds.contains(&Kind::Byte) {
        return Err(Failure::input(
            "the SentencePiece vocabulary has no byte tokens (<0x00> …), so it can't be imported",
        ));
    }
    let unknown =
        special.unk.or_else(|| vocabulary.kinds.iter().position(|kind| *kind == Kind::Unknown).map(|id| id as u32));
    let space = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let prefix = gguf.metadata.get("tokenizer.ggml.add_space_prefix").and_then(Value::as_bool).unwrap_or(true);
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    let normalizer = if prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, space]})
    } else {
        space
    };
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": vocabulary.added_tokens(),
        "normalizer": normalizer,
        "pre_tokenizer": null,
        "post_processor": special.post_processor(vocabulary),
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown.map(|id| &vocabulary.tokens[id as usize]),
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true,
            "ignore_merges": false, "vocab": vocabulary.entries(), "merges": merges_by_score(vocabulary, &scores),
        },
    }))
}

/// All pairs of pieces that make a normal piece, best score of the result first: the order in which SentencePiece
/// merges. Ties: longer left part, then longer right part first; then ids of result, left, right.
fn merges_by_score<'a>(vocabulary: &'a Vocabulary, scores: &[f32]) -> Vec<(&'a str, &'a str)> {
    struct Merge<'a> {
        score: f32,
        left: &'a str,
        right: &'a str,
        ids: (usize, usize, usize),
    }
    let ids: BTreeMap<&str, usize> = vocabulary
        .tokens
        .iter()
        .zip(&vocabulary.kinds)
        .enumerate()
        .filter(|(_, (_, kind))| **kind == Kind::Normal)
        .map(|(id, (token, _))| (token.as_str(), id))
        .collect();
    let mut merges = Vec::new();
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        if vocabulary.kinds[id] != Kind::Normal {
            continue;
        }
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(&l), Some(&r)) = (ids.get(left), ids.get(right)) {
                merges.push(Merge { score: scores[id], left, right, ids: (id, l, r) });
            }
        }
    }
    let length = |text: &str| text.chars().count();
    merges.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| length(b.left).cmp(&length(a.left)))
            .then_with(|| length(b.right).cmp(&length(a.right)))
            .then_with(|| a.ids.cmp(&b.ids))
    });
    merges.into_iter().map(|merge| (merge.left, merge.right)).collect()
}

#[cfg(test)]
#[path = "gguf_tokenizer_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "tokenizer_parity_tests.rs"]
mod parity_tests;
