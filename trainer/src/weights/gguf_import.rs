//! GGUF file → Hugging Face directory: `config.json`, `model.safetensors`, tokenizer files, `generation_config.json`.
//!
//! Holds: the directory appears whole, by one rename; the same file and type give the same bytes; a second import into
//! the same directory changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::digests::sha256_of;
use super::dtype::Dtype;
use super::gguf::Gguf;
use super::gguf_config::{ModelPlan, llama3_rope_scaling, type_counts, unpermute};
use super::gguf_tokenizer::ImportedTokenizer;
use super::mmap::MappedFile;
use super::save::{MAX_SHARD_BYTES, save_model, sync_dir, write_bytes};
use crate::failure::{Failure, Result};

/// What an import was made of, so that a second one can tell that it has nothing to do.
pub const RECEIPT: &str = "gguf_import.json";
/// To be raised when the same file would give other bytes.
const RECIPE: u32 = 1;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Receipt {
    source_sha256: String,
    dtype: String,
    recipe: u32,
    /// File name → sha256.
    files: BTreeMap<String, String>,
}

/// What an import did, for a person.
#[derive(Debug, PartialEq, Eq)]
pub enum Imported {
    /// `dir` already held this import; nothing was written.
    Already,
    New(ImportReport),
}

#[derive(Debug, PartialEq, Eq)]
pub struct ImportReport {
    /// For example `LlamaForCausalLM`.
    pub architecture: &'static str,
    pub parameters: u64,
    pub layers: u64,
    /// Storage type in the GGUF file → number of tensors.
    pub types: BTreeMap<&'static str, usize>,
    pub tokens: usize,
    pub tied_embeddings: bool,
    /// Decisions that a person should know about.
    pub notes: Vec<String>,
}

/// Imports `source` into `dir`.
///
/// Errors: `source` isn't a readable GGUF file of a known architecture; `dir` holds something else; IO.
pub fn import_gguf(source: &Path, dir: &Path, dtype: Dtype) -> Result<Imported> {
    let file = MappedFile::open(source)?;
    let source_sha256 = hex::encode(Sha256::digest(file.bytes()));
    if !is_empty(dir)? {
        return match read_receipt(dir) {
            Some(receipt) if receipt.matches(&source_sha256, dtype) && receipt.files_are_intact(dir)? => {
                Ok(Imported::Already)
            }
            Some(receipt) if receipt.matches(&source_sha256, dtype) => Err(Failure::config(format!(
                "{}: files of the earlier import were changed; remove the directory and import again",
                dir.display()
            ))),
            _ => Err(Failure::config(format!(
                "{}: the directory is not empty and holds no import of this file as {dtype}; name another one or remove it",
                dir.display()
            ))),
        };
    }

    let place = |failure: Failure| failure.at(source.display());
    let gguf = Gguf::parse(file.bytes()).map_err(|e| place(Failure::input(e.to_string())))?;
    let mut plan = ModelPlan::new(&gguf).map_err(place)?;
    let tokenizer = ImportedTokenizer::new(&gguf, plan.vocab_size, plan.context_length).map_err(place)?;
    if let Some(info) = gguf.tensors.get("rope_freqs.weight") {
        let factors = info.tensor_type.dequantize(&file.bytes()[info.start..info.end]);
        let theta = plan.config["rope_theta"].as_f64().unwrap_or(10000.0);
        plan.config.insert("rope_scaling".to_owned(), llama3_rope_scaling(&factors, theta).map_err(place)?);
    }

    let staging = staging(dir);
    remove_dir(&staging)?;
    fs::create_dir_all(&staging).map_err(|e| Failure::io(&staging, &e))?;
    let written = write(&staging, &file, &plan, &tokenizer, dtype)
        .and_then(|()| Receipt::of(&staging, source_sha256, dtype)?.write(&staging))
        .and_then(|()| fs::rename(&staging, dir).map_err(|e| Failure::io(dir, &e)))
        .and_then(|()| dir.parent().filter(|p| !p.as_os_str().is_empty()).map_or(Ok(()), sync_dir));
    if let Err(failure) = written {
        // What failed is worth more to the user than that the rest could not be removed either.
        let _ = fs::remove_dir_all(&staging);
        return Err(failure);
    }
    Ok(Imported::New(ImportReport {
        architecture: plan.architecture.class_name(),
        parameters: plan.tensors.iter().map(|t| t.info.shape.iter().product::<usize>() as u64).sum(),
        layers: plan.config["num_hidden_layers"].as_u64().unwrap_or_default(),
        types: type_counts(&gguf),
        tokens: tokenizer.len,
        tied_embeddings: plan.config["tie_word_embeddings"] == json!(true),
        notes: tokenizer.notes,
    }))
}

fn write(dir: &Path, file: &MappedFile, plan: &ModelPlan, tokenizer: &ImportedTokenizer, dtype: Dtype) -> Result<()> {
    let mut config = plan.config.clone();
    let mut generation = Map::new();
    let ids = [("bos_token_id", tokenizer.bos), ("pad_token_id", tokenizer.pad)];
    for (key, id) in ids.into_iter().filter_map(|(key, id)| Some((key, id?))) {
        config.insert(key.to_owned(), json!(id));
        generation.insert(key.to_owned(), json!(id));
    }
    config.insert("eos_token_id".to_owned(), json!(tokenizer.eos));
    let stop = if let [eos] = tokenizer.stop.as_slice() { json!(eos) } else { json!(tokenizer.stop) };
    generation.insert("eos_token_id".to_owned(), stop);
    config.insert("torch_dtype".to_owned(), json!(dtype.name()));

    write_json(dir, "config.json", &Json::Object(config))?;
    write_json(dir, "generation_config.json", &Json::Object(generation))?;
    write_json(dir, "tokenizer.json", &tokenizer.tokenizer)?;
    write_json(dir, "tokenizer_config.json", &tokenizer.tokenizer_config)?;
    write_json(dir, "special_tokens_map.json", &tokenizer.special_tokens_map)?;

    let names: Vec<(String, Vec<usize>)> =
        plan.tensors.iter().map(|t| (t.name.clone(), t.info.shape.clone())).collect();
    let by_name: BTreeMap<&str, _> = plan.tensors.iter().map(|t| (t.name.as_str(), t)).collect();
    save_model(dir, &names, dtype, MAX_SHARD_BYTES, |name| {
        let tensor = by_name[name];
        let values = tensor.info.tensor_type.dequantize(&file.bytes()[tensor.info.start..tensor.info.end]);
        let columns = tensor.info.shape.get(1).copied().unwrap_or(1);
        Ok(match tensor.permuted_heads {
            Some(heads) => unpermute(&values, heads, columns),
            None => values,
        })
    })
}

fn write_json(dir: &Path, name: &str, value: &Json) -> Result<()> {
    write_bytes(&dir.join(name), format!("{value:#}\n").as_bytes())
}

impl Receipt {
    fn of(dir: &Path, source_sha256: String, dtype: Dtype) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(|e| Failure::io(dir, &e))? {
            let entry = entry.map_err(|e| Failure::io(dir, &e))?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), sha256_of(&entry.path())?);
        }
        Ok(Self { source_sha256, dtype: dtype.name().to_owned(), recipe: RECIPE, files })
    }

    fn write(&self, dir: &Path) -> Result<()> {
        write_json(dir, RECEIPT, &json!(self))?;
        sync_dir(dir)
    }

    fn matches(&self, source_sha256: &str, dtype: Dtype) -> bool {
        self.source_sha256 == source_sha256 && self.dtype == dtype.name() && self.recipe == RECIPE
    }

    fn files_are_intact(&self, dir: &Path) -> Result<bool> {
        for (name, sha256) in &self.files {
            let path = dir.join(name);
            if !path.is_file() || sha256_of(&path)? != *sha256 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn read_receipt(dir: &Path) -> Option<Receipt> {
    serde_json::from_slice(&fs::read(dir.join(RECEIPT)).ok()?).ok()
}

fn is_empty(dir: &Path) -> Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            Err(Failure::config(format!("{}: is a file; name a directory", dir.display())))
        }
        Err(e) => Err(Failure::io(dir, &e)),
    }
}

/// `DIR.tmp`, beside `DIR`, so that the rename stays on one file system.
fn staging(dir: &Path) -> PathBuf {
    let mut name = dir.components().as_path().as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Failure::io(dir, &e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "gguf_import_tests.rs"]
mod tests;
