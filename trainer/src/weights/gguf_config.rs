//! What a GGUF file says about its model, in Hugging Face's words: `config.json` and the place of every tensor.
//!
//! Sources: tensor and key names of llama.cpp (gguf-py `constants.py`, `tensor_mapping.py`), configuration classes of
//! transformers (`LlamaConfig`, `Qwen2Config`, `Qwen3Config`).
//!
//! Holds: a plan has every tensor that the architecture needs, each of the shape that the configuration implies, and no
//! tensor of the file is left over.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::gguf::{Gguf, TensorInfo, Value};
use crate::failure::{Failure, Result};

/// The decoder families that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Llama, Mistral, SmolLM and all that share the layout.
    Llama,
    Qwen2,
    Qwen3,
}

/// One tensor of the result and where it comes from.
pub struct PlannedTensor<'a> {
    pub name: String,
    pub info: &'a TensorInfo,
    /// The number of heads whose rows llama.cpp interleaved for its rotary embedding, to be undone by [`unpermute`].
    pub permuted_heads: Option<usize>,
}

/// The result of reading a file's metadata.
pub struct ModelPlan<'a> {
    pub architecture: Architecture,
    /// `config.json`, without token ids and dtype.
    pub config: Map<String, Json>,
    pub tensors: Vec<PlannedTensor<'a>>,
    pub vocab_size: usize,
    pub context_length: u64,
}

impl Architecture {
    fn of(gguf: &Gguf) -> Result<Self> {
        match gguf.metadata.get("general.architecture").and_then(Value::as_str) {
            Some("llama") => Ok(Self::Llama),
            Some("qwen2") => Ok(Self::Qwen2),
            Some("qwen3") => Ok(Self::Qwen3),
            Some(other) => Err(Failure::input(format!(
                "architecture \"{other}\" can't be imported (llama, which covers Mistral and SmolLM, qwen2 and qwen3 can)"
            ))),
            None => Err(Failure::input("metadata key \"general.architecture\" is missing; convert the model again")),
        }
    }

    pub fn prefix(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    pub fn class_name(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }
}

/// Sizes of the decoder.
struct Sizes {
    hidden: usize,
    intermediate: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocab: usize,
}

impl<'a> ModelPlan<'a> {
    /// Errors: an architecture or a feature that can't be expressed, a missing key, a missing, superfluous or wrongly
    /// shaped tensor.
    pub fn new(gguf: &'a Gguf) -> Result<Self> {
        let architecture = Architecture::of(gguf)?;
        let keys = Keys { gguf, prefix: architecture.prefix() };
        let sizes = Sizes::read(&keys)?;
        let context_length = keys.required("context_length")?;
        let has = |name: &str| gguf.tensors.contains_key(name);
        let tied = !has("output.weight");
        // Qwen2 always has biases on q, k and v, and no field that says so.
        let attention_bias = has("blk.0.attn_q.bias") || architecture == Architecture::Qwen2;
        let mlp_bias = has("blk.0.ffn_up.bias");

        let mut config = Map::new();
        let mut set = |key: &str, value: Json| {
            config.insert(key.to_owned(), value);
        };
        set("architectures", json!([architecture.class_name()]));
        set("model_type", json!(architecture.prefix()));
        set("hidden_act", json!("silu"));
        set("hidden_size", json!(sizes.hidden));
        set("intermediate_size", json!(sizes.intermediate));
        set("num_hidden_layers", json!(sizes.layers));
        set("num_attention_heads", json!(sizes.heads));
        set("num_key_value_heads", json!(sizes.kv_heads));
        set("head_dim", json!(sizes.head_dim));
        set("vocab_size", json!(sizes.vocab));
        set("max_position_embeddings", json!(context_length));
        set("rms_norm_eps", json!(keys.decimal("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6)));
        set("rope_theta", json!(keys.decimal("rope.freq_base")?.unwrap_or(10000.0)));
        if let Some(scaling) = rope_scaling(&keys, &sizes)? {
            set("rope_scaling", scaling);
        }
        set("tie_word_embeddings", json!(tied));
        set("attention_dropout", json!(0.0));
        set("initializer_range", json!(0.02));
        set("use_cache", json!(true));
        match architecture {
            Architecture::Llama => {
                set("attention_bias", json!(attention_bias));
                set("mlp_bias", json!(mlp_bias));
            }
            Architecture::Qwen2 => set("use_sliding_window", json!(false)),
            Architecture::Qwen3 => {
                set("attention_bias", json!(attention_bias));
                set("use_sliding_window", json!(false));
            }
        }

        let mut planner = Planner { gguf, tensors: Vec::new(), used: BTreeSet::from(["rope_freqs.weight".to_owned()]) };
        planner.decoder(architecture, &sizes, tied, attention_bias, mlp_bias)?;
        if let Some(extra) = gguf.tensors.keys().find(|name| !planner.used.contains(*name)) {
            return Err(Failure::input(format!(
                "tensor \"{extra}\" has no place in a {}; the model has a feature that can't be imported",
                architecture.class_name()
            )));
        }
        let tensors = planner.tensors;
        Ok(Self { architecture, config, tensors, vocab_size: sizes.vocab, context_length })
    }
}

impl Sizes {
    fn read(keys: &Keys) -> Result<Self> {
        if keys.get("expert_count").and_then(Value::as_u64).unwrap_or(0) > 0 {
            return Err(Failure::input("the model is a mixture of experts, which can't be imported"));
        }
        let embedding = keys.gguf.tensors.get("token_embd.weight");
        let vocab = match embedding.map(|info| info.shape.as_slice()) {
            Some([vocab, _]) => *vocab,
            Some(shape) => return Err(Failure::input(format!("tensor \"token_embd.weight\" has shape {shape:?}"))),
            None => return Err(Failure::input("tensor \"token_embd.weight\" is missing")),
        };
        let hidden = keys.size("embedding_length")?;
        let heads = keys.size("attention.head_count")?;
        let kv_heads = match keys.get("attention.head_count_kv") {
            Some(_) => keys.size("attention.head_count_kv")?,
            None => heads,
        };
        let head_dim = match keys.get("attention.key_length") {
            Some(_) => keys.size("attention.key_length")?,
            None => hidden / heads,
        };
        let sizes = Self {
            hidden,
            intermediate: keys.size("feed_forward_length")?,
            layers: keys.size("block_count")?,
            heads,
            kv_heads,
            head_dim,
            vocab,
        };
        if !heads.is_multiple_of(kv_heads) || !head_dim.is_multiple_of(2) || head_dim == 0 {
            return Err(Failure::input(format!(
                "{heads} attention heads of size {head_dim} over {kv_heads} key-value heads are no valid attention"
            )));
        }
        for (key, what) in [
            ("attention.value_length", "value heads of another size"),
            ("rope.dimension_count", "partial rotary embedding"),
        ] {
            if let Some(value) = keys.get(key)
                && value.as_u64() != Some(head_dim as u64)
            {
                return Err(Failure::input(format!(
                    "{}.{key} is not the head size {head_dim}: {what} can't be imported",
                    keys.prefix
                )));
            }
        }
        Ok(sizes)
    }
}

/// Keys below the architecture's prefix.
struct Keys<'a> {
    gguf: &'a Gguf,
    prefix: &'static str,
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.gguf.metadata.get(&format!("{}.{key}", self.prefix))
    }

    fn required(&self, key: &str) -> Result<u64> {
        let full = format!("{}.{key}", self.prefix);
        match self.get(key) {
            None => Err(Failure::input(format!("metadata key \"{full}\" is missing; convert the model again"))),
            // Some models have one value per layer: an array.
            Some(value) => value.as_u64().ok_or_else(|| {
                Failure::input(format!(
                    "metadata key \"{full}\" is not one whole number; such a model can't be imported"
                ))
            }),
        }
    }

    fn size(&self, key: &str) -> Result<usize> {
        match self.required(key)? {
            // Far above any model, and low enough that products of sizes fit.
            value @ 1..=0x0fff_ffff => Ok(value as usize),
            value => Err(Failure::input(format!("metadata key \"{}.{key}\" is {value}", self.prefix))),
        }
    }

    fn decimal(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.as_decimal() {
            Some(number) if number.is_finite() && number > 0.0 => Ok(Some(number)),
            _ => Err(Failure::input(format!("metadata key \"{}.{key}\" is not a positive number", self.prefix))),
        }
    }
}

/// `rope_scaling` of config.json. GGUF keeps Llama 3's variant only as a tensor of frequency factors.
fn rope_scaling(keys: &Keys, sizes: &Sizes) -> Result<Option<Json>> {
    if let Some(info) = keys.gguf.tensors.get("rope_freqs.weight")
        && info.shape != [sizes.head_dim / 2]
    {
        return Err(Failure::input(format!("tensor \"rope_freqs.weight\" has shape {:?}", info.shape)));
    }
    let scaling_type = match keys.get("rope.scaling.type") {
        None => return Ok(None),
        Some(value) => value.as_str().unwrap_or("?"),
    };
    let factor = keys.decimal("rope.scaling.factor")?;
    match (scaling_type, factor) {
        ("none", _) => Ok(None),
        ("linear", Some(factor)) => Ok(Some(json!({"rope_type": "linear", "factor": factor}))),
        ("yarn", Some(factor)) => {
            let mut scaling = json!({"rope_type": "yarn", "factor": factor});
            if let Some(original) = keys.get("rope.scaling.original_context_length").and_then(Value::as_u64) {
                scaling["original_max_position_embeddings"] = json!(original);
            }
            Ok(Some(scaling))
        }
        (other, _) => Err(Failure::input(format!("rotary scaling \"{other}\" can't be imported"))),
    }
}

/// `rope_scaling` for the factors of `rope_freqs.weight`, if they are those of Llama 3 with its published constants.
///
/// Source: `_compute_llama3_parameters` of transformers; llama.cpp stores the factor by which each inverse frequency is
/// divided.
pub fn llama3_rope_scaling(factors: &[f32], rope_theta: f64) -> Result<Json> {
    const LOW: f64 = 1.0;
    const HIGH: f64 = 4.0;
    const ORIGINAL: f64 = 8192.0;
    let factor = factors.iter().fold(1.0, |max: f64, f| max.max(f64::from(*f)));
    for (i, given) in factors.iter().enumerate() {
        let wavelength = std::f64::consts::TAU * rope_theta.powf(i as f64 / factors.len() as f64);
        let expected = if wavelength < ORIGINAL / HIGH {
            1.0
        } else if wavelength > ORIGINAL / LOW {
            factor
        } else {
            let smooth = (ORIGINAL / wavelength - LOW) / (HIGH - LOW);
            1.0 / ((1.0 - smooth) / factor + smooth)
        };
        if (f64::from(*given) / expected - 1.0).abs() > 1e-3 {
            return Err(Failure::input(
                "tensor \"rope_freqs.weight\" has frequency factors other than Llama 3's, which can't be imported",
            ));
        }
    }
    Ok(json!({
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": LOW,
        "high_freq_factor": HIGH,
        "original_max_position_embeddings": ORIGINAL as u64,
    }))
}

struct Planner<'a> {
    gguf: &'a Gguf,
    tensors: Vec<PlannedTensor<'a>>,
    used: BTreeSet<String>,
}

impl Planner<'_> {
    fn decoder(
        &mut self,
        arch: Architecture,
        s: &Sizes,
        tied: bool,
        attention_bias: bool,
        mlp_bias: bool,
    ) -> Result<()> {
        let permuted = |heads: usize| (arch == Architecture::Llama).then_some(heads);
        let (q, kv) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
        self.tensor("token_embd.weight", "model.embed_tokens.weight", &[s.vocab, s.hidden], None)?;
        self.tensor("output_norm.weight", "model.norm.weight", &[s.hidden], None)?;
        if !tied {
            self.tensor("output.weight", "lm_head.weight", &[s.vocab, s.hidden], None)?;
        }
        for layer in 0..s.layers {
            let from = |name: &str| format!("blk.{layer}.{name}");
            let to = |name: &str| format!("model.layers.{layer}.{name}");
            self.tensor(&from("attn_norm.weight"), &to("input_layernorm.weight"), &[s.hidden], None)?;
            self.tensor(&from("ffn_norm.weight"), &to("post_attention_layernorm.weight"), &[s.hidden], None)?;
            for (gguf, hf, [rows, columns], heads, bias) in [
                ("attn_q", "self_attn.q_proj", [q, s.hidden], permuted(s.heads), attention_bias),
                ("attn_k", "self_attn.k_proj", [kv, s.hidden], permuted(s.kv_heads), attention_bias),
                ("attn_v", "self_attn.v_proj", [kv, s.hidden], None, attention_bias),
                ("attn_output", "self_attn.o_proj", [s.hidden, q], None, attention_bias && arch != Architecture::Qwen2),
                ("ffn_gate", "mlp.gate_proj", [s.intermediate, s.hidden], None, mlp_bias),
                ("ffn_up", "mlp.up_proj", [s.intermediate, s.hidden], None, mlp_bias),
                ("ffn_down", "mlp.down_proj", [s.hidden, s.intermediate], None, mlp_bias),
            ] {
                self.tensor(&from(&format!("{gguf}.weight")), &to(&format!("{hf}.weight")), &[rows, columns], heads)?;
                if bias {
                    self.tensor(&from(&format!("{gguf}.bias")), &to(&format!("{hf}.bias")), &[rows], heads)?;
                }
            }
            if arch == Architecture::Qwen3 {
                for (gguf, hf) in [("attn_q_norm", "q_norm"), ("attn_k_norm", "k_norm")] {
                    let (gguf, hf) = (from(&format!("{gguf}.weight")), to(&format!("self_attn.{hf}.weight")));
                    self.tensor(&gguf, &hf, &[s.head_dim], None)?;
                }
            }
        }
        Ok(())
    }

    fn tensor(&mut self, gguf: &str, hf: &str, shape: &[usize], permuted_heads: Option<usize>) -> Result<()> {
        let Some(info) = self.gguf.tensors.get(gguf) else {
            return Err(Failure::input(format!(
                "tensor \"{gguf}\" is missing; the file is incomplete: convert it again"
            )));
        };
        if info.shape != shape {
            return Err(Failure::input(format!(
                "tensor \"{gguf}\" has shape {:?}; the metadata of the file implies {shape:?}",
                info.shape
            )));
        }
        self.used.insert(gguf.to_owned());
        self.tensors.push(PlannedTensor { name: hf.to_owned(), info, permuted_heads });
        Ok(())
    }
}

/// Undoes llama.cpp's reordering of the rows of q and k: its rotary embedding turns neighbours (2j, 2j+1) of a head,
/// Hugging Face's turns (j, j + d/2), so row (j, half) of the file is row (half, j) of the result.
///
/// `values`: `[heads · head_dim, columns]`, row by row; a bias has one column.
/// Source: `LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py.
pub fn unpermute(values: &[f32], heads: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    let rows = values.len() / columns;
    let (head_dim, half) = (rows / heads, rows / heads / 2);
    for head in 0..heads {
        for j in 0..half {
            for side in 0..2 {
                let from = (head * head_dim + 2 * j + side) * columns;
                let to = (head * head_dim + side * half + j) * columns;
                out[to..to + columns].copy_from_slice(&values[from..from + columns]);
            }
        }
    }
    out
}

/// Tensor counts by storage type, for the report.
pub fn type_counts(gguf: &Gguf) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for info in gguf.tensors.values() {
        *counts.entry(info.tensor_type.name()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpermute_inverts_the_permutation_of_the_converter() {
        // 2 heads of 4 rows, 1 column; the converter's reshape(heads, 2, d/2).swapaxes(1, 2) of 0..8.
        let file = [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0];
        assert_eq!(unpermute(&file, 2, 1), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let columns = [0.0, 0.5, 2.0, 2.5, 1.0, 1.5, 3.0, 3.5];
        assert_eq!(unpermute(&columns, 1, 2), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]);
    }

    #[test]
    fn frequency_factors_of_llama_3_are_recognised_and_others_refused() {
        let theta = 500_000.0f64;
        let factors: Vec<f32> = (0..64)
            .map(|i| {
                let wavelength = std::f64::consts::TAU * theta.powf(f64::from(i) / 64.0);
                let smooth = ((8192.0 / wavelength - 1.0) / 3.0).clamp(0.0, 1.0);
                (1.0 / ((1.0 - smooth) / 8.0 + smooth)) as f32
            })
            .collect();
        let scaling = llama3_rope_scaling(&factors, theta).unwrap();
        assert_eq!(scaling["factor"], 8.0);
        assert_eq!(scaling["original_max_position_embeddings"], 8192);
        let mut other = factors;
        other[40] *= 1.1;
        assert!(llama3_rope_scaling(&other, theta).unwrap_err().message.contains("other than Llama 3's"));
    }
}
