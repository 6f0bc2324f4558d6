//! An adapter from disk, put on a base.
//!
//! Holds: what loads has a place in the base for each of its tensors, in the shape that the base calls for.

use std::{collections::BTreeMap, path::Path};

use medtrain_crds::stage::LoraArgs;

use super::{Adapter, EMBEDDING, HEAD, Projection};
use crate::{
    failure::{Failure, Result},
    model::{Decoder, ModelConfig, Parameter, Parameters},
    ops::LmBackend,
    weights::peft::{self, AdapterConfig, TaskType},
};

/// A reward model's head.
const SCORE: &str = "score.weight";

/// An adapter with its tensors on a device.
#[derive(Clone, Debug)]
pub struct LoadedAdapter<B: LmBackend> {
    pub config: AdapterConfig,
    pub lora: LoraArgs,
    /// All tensors but the reward head.
    pub parameters: Parameters<B>,
    /// The reward head `[hidden]` of a SEQ_CLS adapter.
    pub score: Option<Vec<f32>>,
    /// Rows of the embedding that the adapter is for: more than the base's where it was trained with added tokens.
    pub vocab_size: usize,
}

impl<B: LmBackend> LoadedAdapter<B> {
    /// The adapter as a forward over the base with this config sees it.
    pub fn view(&self, config: &ModelConfig) -> Adapter<B> {
        Adapter::view(config, &self.lora, &self.parameters)
    }

    /// The base with the rows that the adapter's own matrices have; their values are the adapter's.
    ///
    /// # Errors
    /// As [`Decoder::grown`].
    pub fn grow(&self, base: Decoder<B>) -> Result<Decoder<B>> {
        match self.vocab_size > base.config().vocab_size {
            true => base.grown(self.vocab_size, &BTreeMap::new()),
            false => Ok(base),
        }
    }

    pub fn is_reward_model(&self) -> bool {
        self.config.task_type == TaskType::SeqCls
    }
}

/// Loads the adapter in `dir` for the base in `base`, which `config` describes.
///
/// # Errors
/// 65 as [`peft::load_adapter`], and when a tensor has no place in the base or another shape; the message names both.
pub fn load<B: LmBackend>(
    dir: &Path,
    base: &Path,
    config: &ModelConfig,
    device: &B::Device,
) -> Result<LoadedAdapter<B>> {
    let (adapter, mut tensors) = peft::load_adapter(dir)?;
    let other = |problem: String| {
        let named = adapter.base_model_name_or_path.as_deref();
        let named = named.map_or(String::new(), |name| format!("; it was trained on \"{name}\""));
        Failure::input(format!(
            "{}: an adapter for another base than {}: {problem}{named}",
            dir.display(),
            base.display()
        ))
    };
    if config.tie_word_embeddings && tensors.contains_key(EMBEDDING) {
        if tensors.get(HEAD) == tensors.get(EMBEDDING) {
            // PEFT stores a matrix that is both under both names.
            tensors.remove(HEAD);
        } else if !tensors.contains_key(HEAD) && !adapter.ensure_weight_tying {
            return Err(Failure::input(format!(
                "{}: embed_tokens was trained, and the output head, which is the same matrix in the base, was left: base \
                 and adapter mean two things. Train it again with PEFT's ensure_weight_tying=True",
                dir.display()
            )));
        }
    }
    let rows = tensors.get(EMBEDDING).and_then(|embedding| embedding.shape.first().copied());
    let vocab_size = rows.unwrap_or(config.vocab_size).max(config.vocab_size);
    if vocab_size > config.vocab_size && !config.tie_word_embeddings && !tensors.contains_key(HEAD) {
        return Err(other(format!(
            "tensor \"{EMBEDDING}\" has {vocab_size} rows, the base {}, and no \"{HEAD}\" with as many is beside it",
            config.vocab_size
        )));
    }
    let places = places(config, adapter.r, vocab_size);
    let (mut parameters, mut score) = (Parameters::new(), None);
    for (name, tensor) in tensors {
        let Some(shape) = places.get(&name) else {
            return Err(other(format!("the base has no place for tensor \"{name}\"")));
        };
        if *shape != tensor.shape {
            return Err(other(format!("tensor \"{name}\" has shape {:?}, the base calls for {shape:?}", tensor.shape)));
        }
        if name == SCORE {
            score = Some(tensor.data);
        } else {
            parameters.insert(name, Parameter::new(tensor.shape, tensor.data, device));
        }
    }
    let lora = LoraArgs {
        rank: adapter.r as u32,
        alpha: adapter.lora_alpha,
        dropout: adapter.lora_dropout,
        target_modules: adapter.target_modules.clone(),
        use_rslora: adapter.use_rslora,
        modules_to_save: adapter.modules_to_save.clone(),
    };
    Ok(LoadedAdapter { config: adapter, lora, parameters, score, vocab_size })
}

/// Every tensor that an adapter of rank `r` over `vocab_size` tokens may hold, with its shape.
fn places(config: &ModelConfig, r: usize, vocab_size: usize) -> BTreeMap<String, Vec<usize>> {
    let whole = vec![vocab_size, config.hidden_size];
    let mut places = BTreeMap::from([
        (EMBEDDING.to_owned(), whole.clone()),
        (HEAD.to_owned(), whole),
        (SCORE.to_owned(), vec![1, config.hidden_size]),
    ]);
    for layer in 0..config.num_hidden_layers {
        for projection in Projection::ALL {
            let ([outputs, inputs], path) = (projection.shape(config), projection.path(layer));
            places.insert(format!("{path}.lora_A.weight"), vec![r, inputs]);
            places.insert(format!("{path}.lora_B.weight"), vec![outputs, r]);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use burn_flex::Flex;

    use super::*;
    use crate::parity::fixture_path as fixture;

    fn load_on(base: &str) -> Result<LoadedAdapter<Flex>> {
        let base = fixture(base);
        let config = ModelConfig::load(&base).unwrap();
        load(&fixture("lora/all_linear/adapter"), &base, &config, &Default::default())
    }

    #[test]
    fn an_adapter_loads_on_its_own_base() {
        let loaded = load_on("models/llama").unwrap();
        assert_eq!(loaded.parameters.len(), 2 * 7 * 2);
        assert_eq!((loaded.lora.rank, loaded.lora.alpha, loaded.is_reward_model()), (4, 8.0, false));
    }

    #[test]
    fn a_reward_models_adapter_brings_its_head() {
        let base = fixture("models/llama");
        let config = ModelConfig::load(&base).unwrap();
        let loaded: LoadedAdapter<Flex> =
            load(&fixture("lora/reward/adapter"), &base, &config, &Default::default()).unwrap();
        assert!(loaded.is_reward_model());
        assert_eq!(loaded.score.unwrap().len(), config.hidden_size);
    }

    #[test]
    fn an_adapter_for_another_base_is_refused_by_the_names_of_both() {
        let message = load_on("models/smollm2").unwrap_err().message;
        let (start, end) = message.split_once(": an adapter for another base than ").unwrap();
        assert!(start.ends_with("lora/all_linear/adapter"));
        let (base, problem) = end.split_once(": ").unwrap();
        assert!(base.ends_with("models/smollm2"));
        assert_eq!(
            problem,
            "tensor \"model.layers.0.mlp.down_proj.lora_B.weight\" has shape [32, 4], the base calls for [24, 4]; it was \
             trained on \"../../../models/llama\""
        );
    }

    #[test]
    fn a_trained_embedding_whose_tied_head_was_left_is_refused() {
        let base = fixture("models/llama3_rope");
        let config = ModelConfig::load(&base).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (mut adapter, mut tensors) = peft::load_adapter(&fixture("vocabulary/tied/adapter")).unwrap();
        tensors.remove(HEAD);
        let mut load_saved = |tying: bool| {
            adapter.ensure_weight_tying = tying;
            peft::save_adapter(dir.path(), &adapter, &tensors).unwrap();
            load::<Flex>(dir.path(), &base, &config, &Default::default())
        };
        assert_eq!(load_saved(true).unwrap().vocab_size, config.vocab_size + 5);
        let message = load_saved(false).unwrap_err().message;
        assert!(message.ends_with("Train it again with PEFT's ensure_weight_tying=True"), "{message}");
    }

    #[test]
    fn added_tokens_without_their_half_of_the_head_are_refused() {
        let base = fixture("models/llama");
        let config = ModelConfig::load(&base).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (adapter, mut tensors) = peft::load_adapter(&fixture("vocabulary/untied/adapter")).unwrap();
        tensors.remove(HEAD);
        peft::save_adapter(dir.path(), &adapter, &tensors).unwrap();
        let message = load::<Flex>(dir.path(), &base, &config, &Default::default()).unwrap_err().message;
        assert!(
            message.contains("\"model.embed_tokens.weight\" has 133 rows, the base 128, and no \"lm_head.weight\""),
            "{message}"
        );
    }

    #[test]
    fn an_adapter_of_more_layers_than_the_base_is_refused() {
        let base = fixture("models/llama");
        let mut config = ModelConfig::load(&base).unwrap();
        config.num_hidden_layers = 1;
        let adapter = fixture("lora/all_linear/adapter");
        let message = load::<Flex>(&adapter, &base, &config, &Default::default()).unwrap_err().message;
        assert!(message.contains("the base has no place for tensor \"model.layers.1.mlp.down_proj.lora_A.weight\""));
    }
}
