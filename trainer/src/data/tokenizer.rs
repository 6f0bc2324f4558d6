//! The model's tokenizer, with the special tokens that its own files name.
//!
//! Holds: no token is added but those that a stage lists ([`Tokenizer::load_grown`]), so ids fit the model's embedding;
//! `pad` differs from `eos` wherever the
//! vocabulary has another special token to offer; a rendered chat template is encoded without a second BOS.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use medtrain_crds::stage::StageKind;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokenizers::tokenizer::PostProcessor;
use tokenizers::{Encoding, PostProcessorWrapper};

use super::vocabulary;
use crate::failure::{Failure, Result};

/// Tokens that may stand in for padding, best first: made for it, or unused in training dialogues.
const PAD_CANDIDATES: [&str; 8] = [
    "<|finetune_right_pad_id|>",
    "<|endoftext|>",
    "<pad>",
    "[PAD]",
    "<|pad|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<unk>",
];

/// Tokens that end a turn of a chat, not a document; a model whose EOS is one of them separates documents by another.
const TURN_ENDS: [&str; 5] = ["<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|eot|>"];

/// What ends a document in the vocabularies of chat models, most telling first.
const DOCUMENT_ENDS: [&str; 4] = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"];

pub struct Tokenizer {
    /// Without post-processor, truncation and padding: those are applied here, or not at all.
    inner: tokenizers::Tokenizer,
    post_processor: Option<PostProcessorWrapper>,
    special: BTreeMap<String, u32>,
    special_ids: BTreeSet<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    unk: Option<u32>,
    pad: Option<u32>,
    eos_ids: Vec<u32>,
    separator: Option<u32>,
    adds_bos: bool,
    chat_template: Option<String>,
    vocab_size: usize,
    digest: String,
    grown_json: Option<Vec<u8>>,
    pad_note: Option<String>,
    separator_note: Option<String>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and, where present, `tokenizer_config.json`, `special_tokens_map.json`,
    /// `generation_config.json` (or `config.json`) and `chat_template.jinja` of a model directory.
    ///
    /// # Errors
    /// 65 when `tokenizer.json` is missing or unreadable, or a side file is not JSON.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::load_grown(dir, &[])
    }

    /// The same with the tokens of `vocabularies` added, list after list, as transformers' `add_tokens` adds them.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_grown(dir: &Path, vocabularies: &[&[String]]) -> Result<Self> {
        let path = dir.join("tokenizer.json");
        let mut bytes = match fs::read(&path) {
            Err(_) if dir.join("tokenizer.model").exists() => {
                return Err(Failure::input(format!(
                    "{}: not found, only tokenizer.model; load the model once with transformers' AutoTokenizer and \
                     save_pretrained it to get a tokenizer.json",
                    path.display()
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::input(format!(
                    "{}: not found; a model directory needs its tokenizer beside the weights",
                    path.display()
                )));
            }
            read => read.map_err(|error| Failure::io(&path, &error))?,
        };
        for tokens in vocabularies {
            bytes = vocabulary::add_tokens(&bytes, tokens).map_err(|failure| failure.at(path.display()))?;
        }
        let mut inner = vocabulary::parse(&bytes).map_err(|failure| failure.at(path.display()))?;
        let post_processor = inner.get_post_processor().cloned();
        inner.with_post_processor(None::<PostProcessorWrapper>).with_padding(None);
        inner.with_truncation(None).map_err(|error| Failure::internal(format!("{}: {error}", path.display())))?;

        let config = read_json(&dir.join("tokenizer_config.json"))?;
        let map = read_json(&dir.join("special_tokens_map.json"))?;
        let generation = match read_json(&dir.join("generation_config.json"))? {
            Value::Null => read_json(&dir.join("config.json"))?,
            generation => generation,
        };
        let chat_template = match fs::read_to_string(dir.join("chat_template.jinja")) {
            Ok(text) => Some(text),
            Err(_) => template_of(&config),
        };
        let mut hash = Sha256::new();
        hash.update(&bytes);
        let named = |name: &str| {
            let text = token_text(&config[name]).or_else(|| token_text(&map[name]))?;
            inner.token_to_id(&text)
        };
        let (bos, eos, unk, pad) = (named("bos_token"), named("eos_token"), named("unk_token"), named("pad_token"));
        let eos_ids = eos_list(eos, &generation["eos_token_id"]);
        let special: BTreeMap<String, u32> = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special)
            .map(|(id, token)| (token.content, id))
            .collect();
        let vocab_size = inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        let mut tokenizer = Self {
            inner,
            post_processor,
            special_ids: special.values().copied().collect(),
            special,
            bos,
            // Some directories name EOS only by id.
            eos: eos.or_else(|| eos_ids.first().copied()),
            unk,
            pad,
            eos_ids,
            separator: None,
            adds_bos: false,
            chat_template,
            vocab_size,
            digest: String::new(),
            grown_json: (!vocabularies.is_empty()).then_some(bytes),
            pad_note: None,
            separator_note: None,
        };
        tokenizer.adds_bos = bos.is_some() && tokenizer.encode("", true)?.first().copied() == bos;
        tokenizer.choose_pad();
        tokenizer.choose_separator();
        hash.update(format!("{:?}", (tokenizer.bos, tokenizer.eos, tokenizer.pad, &tokenizer.eos_ids)));
        hash.update(format!("{:?}", (tokenizer.separator, tokenizer.unk)));
        tokenizer.digest = hex::encode(hash.finalize());
        Ok(tokenizer)
    }

    fn choose_pad(&mut self) {
        if self.pad.is_some() && self.pad != self.eos {
            return;
        }
        let why = if self.pad.is_some() { "is also eos_token" } else { "is not set" };
        let found = PAD_CANDIDATES
            .iter()
            .find_map(|text| Some((*text, self.inner.token_to_id(text)?)).filter(|(_, id)| Some(*id) != self.eos));
        match found {
            Some((text, id)) => {
                self.pad_note = Some(format!("pad_token {why}: the existing token {text} (id {id}) pads instead"));
                self.pad = Some(id);
            }
            None => {
                self.pad_note = Some(format!("pad_token {why} and the vocabulary has no other token for it: eos pads"));
                self.pad = self.eos;
            }
        }
    }

    fn choose_separator(&mut self) {
        self.separator = self.eos;
        let ends_turns = self.eos.and_then(|id| self.token(id)).is_some_and(|text| TURN_ENDS.contains(&text.as_str()));
        if !ends_turns && self.eos.is_some() {
            return;
        }
        if let Some((text, id)) = DOCUMENT_ENDS.iter().find_map(|text| Some((*text, self.inner.token_to_id(text)?))) {
            self.separator_note = Some(format!("documents are separated by {text} (id {id})"));
            self.separator = Some(id);
        }
    }

    /// Ids of `text`; with `add_special`, what the tokenizer's own post-processor adds (BOS for Llama).
    ///
    /// # Errors
    /// 70: a tokenizer that refuses a valid string.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        let mut encoding = self.inner.encode_fast(text, false).map_err(broken)?;
        if let (true, Some(post)) = (add_special, &self.post_processor) {
            encoding = post.process(encoding, None, true).map_err(broken)?;
        }
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids and byte offsets of `text`, offsets untrimmed (a leading space belongs to its token), nothing added.
    pub(crate) fn encode_with_offsets(&self, text: &str) -> Result<Encoding> {
        self.inner.encode(text, false).map_err(broken)
    }

    /// # Errors
    /// 70: ids outside the vocabulary are skipped, not errors, so only a broken decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.inner.decode(ids, skip_special).map_err(broken)
    }

    /// Highest id + 1, added tokens included: the rows an embedding must have.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    pub fn unk(&self) -> Option<u32> {
        self.unk
    }

    /// `None` only for a vocabulary without any end-of-sequence token.
    pub fn pad(&self) -> Option<u32> {
        self.pad
    }

    /// Every id that ends a generation: the tokenizer's EOS first, then those of `generation_config.json`.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }

    /// What stands after each document in pre-training: EOS, or `<|endoftext|>` and the like if EOS only ends turns.
    pub fn document_separator(&self) -> Option<u32> {
        self.separator
    }

    /// Whether `encode(_, true)` puts BOS in front.
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// Special added tokens by text.
    pub fn special_tokens(&self) -> &BTreeMap<String, u32> {
        &self.special
    }

    pub fn is_special(&self, id: u32) -> bool {
        self.special_ids.contains(&id)
    }

    /// The model's own chat template, as it stands in its files.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// `tokenizer.json` with the tokens that were added here; `None` if none were, so that the directory's file is it.
    pub fn grown_json(&self) -> Option<&[u8]> {
        self.grown_json.as_deref()
    }

    /// sha256 over everything here that decides ids (the chat template is not part of it).
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Choices made in memory that differ from the model's files and matter to stages of `kind`.
    pub fn notes(&self, kind: StageKind) -> Vec<String> {
        let separator = self.separator_note.as_ref().filter(|_| kind == StageKind::PT);
        self.pad_note.iter().chain(separator).cloned().collect()
    }

    /// Whether a model with this many embeddings knows every token; more embeddings than tokens are common.
    ///
    /// # Errors
    /// 65 when it doesn't.
    pub fn check_fits(&self, embeddings: usize) -> Result<()> {
        if self.vocab_size <= embeddings {
            return Ok(());
        }
        Err(Failure::input(format!(
            "the tokenizer has {} tokens, the model only {embeddings} embeddings; they belong to different models: put \
             the model's own tokenizer files beside its weights",
            self.vocab_size
        )))
    }
}

fn broken(error: tokenizers::Error) -> Failure {
    // The library's messages may quote the text, which may be a patient's.
    drop(error);
    Failure::internal("the tokenizer failed on a valid string; tokenizer.json may be damaged")
}

/// A JSON file, or `null` where there is none.
fn read_json(path: &Path) -> Result<Value> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| Failure::input(format!("{}: not valid JSON: {error}", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Value::Null),
        Err(error) => Err(Failure::io(path, &error)),
    }
}

/// `"</s>"` or `{"content": "</s>", …}`.
fn token_text(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value["content"].as_str()).map(str::to_owned)
}

/// `chat_template`: a string, or a list of `{name, template}` of which `default` is the one for chats.
fn template_of(config: &Value) -> Option<String> {
    match &config["chat_template"] {
        Value::String(text) => Some(text.clone()),
        Value::Array(named) => {
            named.iter().find(|entry| entry["name"] == "default")?["template"].as_str().map(str::to_owned)
        }
        _ => None,
    }
}

/// `eos_token_id` is one id or a list of them.
fn eos_list(eos: Option<u32>, configured: &Value) -> Vec<u32> {
    let listed = match configured {
        Value::Array(ids) => ids.iter().filter_map(Value::as_u64).collect(),
        one => one.as_u64().into_iter().collect::<Vec<_>>(),
    };
    let mut ids: Vec<u32> = eos.into_iter().collect();
    for id in listed.into_iter().filter_map(|id| u32::try_from(id).ok()) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

#[cfg(test)]
#[path = "tokenizer_tests.rs"]
mod tests;
