//! Model directories with random weights, which speak the tiny tokenizer's vocabulary.

use std::{collections::BTreeMap, fs, path::Path};

use burn_flex::Flex;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Decoder, ModelConfig, load};
use crate::{
    data::fixture::Fixture,
    ops::to_host,
    weights::{Dtype, MAX_SHARD_BYTES, save_model},
};

/// Tokens that [`speaking_model`] knows positions for.
const CONTEXT: usize = 96;

/// A new directory with a small model.
pub fn speaking_model() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "vocab_size": 320, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.4,
        "max_position_embeddings": CONTEXT,
    });
    write_random(dir.path(), &config, 3, BTreeMap::new());
    dir
}

/// Writes configuration, tokenizer and random weights to `dir`; `tensors`, by name with their shapes, beside the weights.
pub fn write_random(dir: &Path, config: &Value, seed: u64, mut tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>) {
    fs::create_dir_all(dir).unwrap();
    Fixture::chatml().write_files(dir);
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let config = ModelConfig::from_json(config.clone()).unwrap();
    let model: Decoder<Flex> = load::random(config, 8, seed, &Default::default()).unwrap();
    model
        .for_each_tensor(|name, shape, values| {
            tensors.insert(name, (shape, to_host(&values)));
            Ok(())
        })
        .unwrap();
    let shapes: Vec<_> = tensors.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect();
    save_model(dir, &shapes, Dtype::Float32, MAX_SHARD_BYTES, |name| Ok(&tensors[name].1)).unwrap();
}
