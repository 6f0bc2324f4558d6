//! LoRA beside frozen weights: `x Wᵀ + scale · dropout(x) Aᵀ Bᵀ`, in PEFT's names and initialisation.
//!
//! Holds: an [`Adapter`] is a view of [`Parameters`] for one forward; the parameters own the values.

mod base;
mod load;
mod merge;

use burn::tensor::Tensor;
use medtrain_crds::stage::{LoraArgs, Tuning};

use crate::{
    failure::{Failure, Result},
    generate::rng::{Purpose, Stream},
    model::{Decoder, ModelConfig, Parameter, Parameters},
    ops::LmBackend,
};

pub use base::{BaseRecord, weights_digest};
pub use load::{LoadedAdapter, load};
pub use merge::merge;

/// The seven projections of a layer, in the order of [`Projection::index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}

impl Projection {
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    pub fn index(self) -> usize {
        self as usize
    }

    /// Name of the module, as in `target_modules`.
    pub fn name(self) -> &'static str {
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"][self.index()]
    }

    /// Path of the module in layer `layer`.
    pub fn path(self, layer: usize) -> String {
        let block = if self.index() < 4 { "self_attn" } else { "mlp" };
        format!("model.layers.{layer}.{block}.{}", self.name())
    }

    /// `[outputs, inputs]`.
    pub fn shape(self, config: &ModelConfig) -> [usize; 2] {
        let (h, f) = (config.hidden_size, config.intermediate_size);
        let q = config.num_attention_heads * config.head_dim;
        let kv = config.num_key_value_heads * config.head_dim;
        match self {
            Self::Q => [q, h],
            Self::K | Self::V => [kv, h],
            Self::O => [h, q],
            Self::Gate | Self::Up => [f, h],
            Self::Down => [h, f],
        }
    }
}

/// One low-rank pair: `A` `[r, inputs]`, `B` `[outputs, r]`.
#[derive(Clone, Debug)]
pub struct Pair<B: LmBackend> {
    pub a: Tensor<B, 2>,
    pub b: Tensor<B, 2>,
}

/// An adapter as one forward sees it.
#[derive(Clone, Debug)]
pub struct Adapter<B: LmBackend> {
    pub scale: f32,
    pub dropout: f32,
    pub layers: Vec<[Option<Pair<B>>; 7]>,
    /// Trained copies that replace the base's (`modules_to_save`).
    pub embed_tokens: Option<B::Frozen>,
    pub lm_head: Option<B::Frozen>,
}

/// Modules that `modules_to_save` may name here.
pub const SAVABLE: [&str; 2] = ["embed_tokens", "lm_head"];

pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const HEAD: &str = "lm_head.weight";

/// The tuning of a stage that adds tokens: their rows are trained, so an adapter saves the embedding whole, and with it
/// the output head, as a matrix of its own where the model has one.
pub fn with_vocabulary(tuning: &Tuning, tied: bool) -> Tuning {
    let Tuning::Lora(lora) = tuning else { return Tuning::Full };
    let saved = SAVABLE
        .into_iter()
        .filter(|name| lora.modules_to_save.iter().any(|named| named == name) || *name == "embed_tokens" || !tied);
    Tuning::Lora(LoraArgs { modules_to_save: saved.map(str::to_owned).collect(), ..lora.clone() })
}

/// Whether an adapter with these saved modules trains one matrix as embedding and head, as PEFT's `ensure_weight_tying`.
///
/// # Errors
/// 64 when both are named of a model that has but one.
pub fn trains_tied_embedding(lora: &LoraArgs, config: &ModelConfig) -> Result<bool> {
    let named = |module: &str| lora.modules_to_save.iter().any(|name| name == module);
    match (config.tie_word_embeddings && named("embed_tokens"), named("lm_head")) {
        (true, true) => Err(Failure::config(
            "lora.modulesToSave: embed_tokens is the output head, too, in a model with tied embeddings, and is trained as \
             both; remove lm_head",
        )),
        (tied, _) => Ok(tied),
    }
}

/// Why an adapter with added tokens is not continued over a model without them.
pub(crate) fn has_more_tokens(adapter: impl std::fmt::Display, rows: usize, base: usize) -> Failure {
    Failure::input(format!(
        "{adapter}: was trained with added tokens ({rows} rows, the model has {base}); merge it into its base \
         (medtrain merge) and train on the result"
    ))
}

fn saved_name(module: &str) -> String {
    if module == "embed_tokens" { EMBEDDING.into() } else { format!("{module}.weight") }
}

impl<B: LmBackend> Adapter<B> {
    /// A view of `parameters`; a module without a pair there has no adapter.
    pub fn view(config: &ModelConfig, lora: &LoraArgs, parameters: &Parameters<B>) -> Self {
        let pair = |layer: usize, projection: Projection| {
            let path = projection.path(layer);
            let a = parameters.get(&format!("{path}.lora_A.weight"))?;
            let b = parameters.get(&format!("{path}.lora_B.weight"))?;
            Some(Pair { a: a.matrix(), b: b.matrix() })
        };
        let saved = |name: &str| parameters.get(name).map(|parameter| B::freeze(parameter.matrix()));
        Self {
            scale: lora.scale() as f32,
            dropout: lora.dropout as f32,
            layers: (0..config.num_hidden_layers).map(|layer| Projection::ALL.map(|p| pair(layer, p))).collect(),
            embed_tokens: saved(EMBEDDING),
            lm_head: saved(HEAD),
        }
    }
}

/// Fresh parameters as PEFT initialises them: `A` Kaiming-uniform with `a = √5` (so within `±1/√inputs`), `B` zero,
/// saved modules as copies of the base.
pub fn init<B: LmBackend>(model: &Decoder<B>, lora: &LoraArgs, seed: u64) -> Result<Parameters<B>> {
    let config = model.config();
    let device = model.device();
    let rank = lora.rank as usize;
    let mut parameters = Parameters::new();
    for layer in 0..config.num_hidden_layers {
        for projection in Projection::ALL {
            if !lora.target_modules.iter().any(|name| name == projection.name()) {
                continue;
            }
            let [outputs, inputs] = projection.shape(config);
            let path = projection.path(layer);
            let stream = Stream::new(seed, Purpose::Init, (layer * Projection::ALL.len() + projection.index()) as u64);
            let mut a = vec![0.0; rank * inputs];
            stream.fill_kaiming_uniform(&mut a, 0, inputs, 5.0_f64.sqrt());
            parameters.insert(format!("{path}.lora_A.weight"), Parameter::new(vec![rank, inputs], a, device));
            let b = vec![0.0; outputs * rank];
            parameters.insert(format!("{path}.lora_B.weight"), Parameter::new(vec![outputs, rank], b, device));
        }
    }
    trains_tied_embedding(lora, config)?;
    if parameters.is_empty() && lora.modules_to_save.is_empty() {
        return Err(Failure::config(format!(
            "lora.targetModules names none of this model's projections ({}); use all-linear",
            Projection::ALL.map(Projection::name).join(", ")
        )));
    }
    for module in &lora.modules_to_save {
        let values = match module.as_str() {
            "embed_tokens" => model.embedding(),
            "lm_head" => model.head(None),
            "score" => continue, // the reward head is trained anyway and saved by its stage
            other => {
                return Err(Failure::config(format!(
                    "lora.modulesToSave: \"{other}\" cannot be trained whole; supported are {}",
                    SAVABLE.join(", ")
                )));
            }
        };
        let matrix = B::thaw(values);
        let shape = matrix.dims().to_vec();
        parameters.insert(saved_name(module), Parameter::new(shape, crate::ops::to_host(&matrix), device));
    }
    Ok(parameters)
}
