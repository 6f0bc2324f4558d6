//! Tiny byte-level BPE tokenizers for tests: 256 bytes, a few merges, the special tokens of a model family.
//!
//! The directory `tests/fixtures/tiny-tokenizer` is what [`Fixture::chatml`] writes; a test keeps the two equal, and
//! `MEDTRAIN_WRITE_FIXTURES=1 cargo test fixture` renews it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::data::Tokenizer;

const WORDS: [&str; 14] = [
    "the",
    "Ġthe",
    "Ġpatient",
    "Ġfever",
    "Ġhas",
    "Ġand",
    "Ġof",
    "ing",
    "Ġpain",
    "ĊĊ",
    "æĤ£",
    "æĤ£èĢħ",
    "Ġtake",
    "Ġanswer",
];

pub(crate) struct Fixture {
    special: Vec<&'static str>,
    bos: Option<&'static str>,
    eos: &'static str,
    pad: Option<&'static str>,
    adds_bos: bool,
    chat_template: Option<String>,
}

impl Fixture {
    /// As SmolLM2 and Qwen: no BOS in front, `<|im_end|>` ends turns.
    pub(crate) fn chatml() -> Self {
        Self {
            special: vec!["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            bos: Some("<|im_start|>"),
            eos: "<|im_end|>",
            pad: None,
            adds_bos: false,
            chat_template: Some(include_str!("templates/chatml.jinja").to_owned()),
        }
    }

    /// As Llama 2: `<s>` in front, `</s>` at the end, no chat template.
    pub(crate) fn with_bos() -> Self {
        Self {
            special: vec!["<unk>", "<s>", "</s>"],
            bos: Some("<s>"),
            eos: "</s>",
            pad: None,
            adds_bos: true,
            chat_template: None,
        }
    }

    /// As Llama 3.
    pub(crate) fn llama3() -> Self {
        let special =
            vec!["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"];
        Self {
            special,
            bos: Some("<|begin_of_text|>"),
            eos: "<|eot_id|>",
            pad: None,
            adds_bos: true,
            chat_template: None,
        }
    }

    pub(crate) fn pad(mut self, token: &'static str) -> Self {
        self.pad = Some(token);
        self
    }

    pub(crate) fn template(mut self, text: &str) -> Self {
        self.chat_template = Some(text.to_owned());
        self
    }

    pub(crate) fn write(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        self.write_files(dir.path());
        dir
    }

    pub(crate) fn load(&self) -> Tokenizer {
        Tokenizer::load(self.write().path()).unwrap()
    }

    pub(crate) fn write_files(&self, dir: &Path) {
        let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap() + "\n";
        fs::write(dir.join("tokenizer.json"), pretty(&self.tokenizer_json())).unwrap();
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": self.bos,
            "eos_token": {"content": self.eos, "special": true},
            "pad_token": self.pad,
            "chat_template": self.chat_template,
        });
        fs::write(dir.join("tokenizer_config.json"), pretty(&config)).unwrap();
    }

    fn tokenizer_json(&self) -> Value {
        let mut vocab: Vec<String> = self.special.iter().map(ToString::to_string).collect();
        vocab.extend(byte_alphabet().map(String::from));
        let mut merges: Vec<[String; 2]> = Vec::new();
        for word in WORDS {
            let mut chars = word.chars();
            let mut left: String = chars.next().unwrap().into();
            for right in chars {
                let joined = format!("{left}{right}");
                if !vocab.contains(&joined) {
                    vocab.push(joined.clone());
                    merges.push([left, right.into()]);
                }
                left = joined;
            }
        }
        let added: Vec<Value> = self
            .special
            .iter()
            .enumerate()
            .map(|(id, text)| {
                json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                       "normalized": false, "special": true})
            })
            .collect();
        let byte_level =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let post = match self.bos.filter(|_| self.adds_bos) {
            None => byte_level.clone(),
            Some(bos) => json!({
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {bos: {"id": bos, "ids": [self.special.iter().position(|t| *t == bos)], "tokens": [bos]}},
            }),
        };
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
            "pre_tokenizer": byte_level, "post_processor": post, "decoder": byte_level,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocab.iter().enumerate().map(|(id, text)| (text.clone(), json!(id))).collect::<serde_json::Map<_, _>>(),
                "merges": merges,
            },
        })
    }
}

/// GPT-2's printable stand-ins for the 256 bytes, in byte order.
fn byte_alphabet() -> impl Iterator<Item = char> {
    let mut moved = 0;
    (0u32..256).map(move |byte| match byte {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => char::from_u32(byte).unwrap(),
        _ => {
            moved += 1;
            char::from_u32(0xFF + moved).unwrap()
        }
    })
}

pub(crate) fn tiny_tokenizer() -> Tokenizer {
    Fixture::chatml().load()
}

#[test]
fn the_committed_tiny_tokenizer_is_what_this_code_writes() {
    let committed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-tokenizer");
    if std::env::var_os("MEDTRAIN_WRITE_FIXTURES").is_some() {
        fs::create_dir_all(&committed).unwrap();
        Fixture::chatml().write_files(&committed);
    }
    let fresh = Fixture::chatml().write();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        assert!(
            fs::read(committed.join(name)).unwrap() == fs::read(fresh.path().join(name)).unwrap(),
            "{name} differs"
        );
    }
}
