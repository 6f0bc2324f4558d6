//! A model directory with random weights that speaks the tiny tokenizer's vocabulary.

use std::{collections::BTreeMap, fs, path::Path};

use burn_flex::Flex;
use serde_json::json;
use tempfile::TempDir;

use super::loaded_model::ModelArgs;
use crate::{
    data::fixture::Fixture,
    model::{Decoder, ModelConfig, load},
    ops::to_host,
    weights::{Dtype, MAX_SHARD_BYTES, save_model},
};

pub const CONTEXT: usize = 96;

/// Writes the model to a new directory.
pub fn speaking_model() -> TempDir {
    let dir = Fixture::chatml().write();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "vocab_size": 320, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.4,
        "max_position_embeddings": CONTEXT,
    });
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let config = ModelConfig::from_json(config).unwrap();
    let model: Decoder<Flex> = load::random(config, CONTEXT, 3, &Default::default()).unwrap();
    let mut tensors = BTreeMap::new();
    model
        .for_each_tensor(|name, shape, values| {
            tensors.insert(name, (shape, to_host(&values)));
            Ok(())
        })
        .unwrap();
    let shapes: Vec<(String, Vec<usize>)> =
        tensors.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect();
    save_model(dir.path(), &shapes, Dtype::Float32, MAX_SHARD_BYTES, |name| Ok(&tensors[name].1)).unwrap();
    dir
}

/// The model at `dir`, without an adapter.
pub fn model_args(dir: &Path) -> ModelArgs {
    ModelArgs {
        model: dir.display().to_string(),
        adapter: None,
        force_base: false,
        workdir: dir.join("work"),
        threads: None,
    }
}
