//! `config.json` of the LLaMA family.
//!
//! Holds: a [`ModelConfig`] describes a decoder that this trainer can run; anything else was refused with the list of
//! what is supported.

use std::path::Path;

use serde_json::{Map, Value};

use crate::failure::{Failure, Result};

/// Architectures and what tells them apart.
const SUPPORTED: [(&str, Family); 4] = [
    ("Llama", Family { qkv_bias: false, qk_norm: false }),
    ("Mistral", Family { qkv_bias: false, qk_norm: false }),
    ("Qwen2", Family { qkv_bias: true, qk_norm: false }),
    ("Qwen3", Family { qkv_bias: false, qk_norm: true }),
];

#[derive(Clone, Copy, Debug)]
struct Family {
    qkv_bias: bool,
    qk_norm: bool,
}

/// How rotary frequencies are stretched beyond the trained context.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    None,
    /// Positions divided by `factor`.
    Linear {
        factor: f64,
    },
    /// Llama 3: low frequencies divided by `factor`, high ones kept, a ramp between.
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_max_position_embeddings: f64,
    },
}

#[derive(Clone, Debug)]
pub struct ModelConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    pub rope_scaling: RopeScaling,
    pub max_position_embeddings: usize,
    /// Sliding window of each layer; `None` = full attention.
    pub windows: Vec<Option<usize>>,
    pub tie_word_embeddings: bool,
    pub qkv_bias: bool,
    pub o_bias: bool,
    pub mlp_bias: bool,
    pub qk_norm: bool,
    /// The file as it was, for writing it back.
    pub raw: Map<String, Value>,
}

impl ModelConfig {
    /// Reads `dir/config.json`.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|error| Failure::io(&path, &error))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::input(format!("{}: not JSON: {error}", path.display())))?;
        Self::from_json(value).map_err(|failure| failure.at(path.display()))
    }

    /// A description without weights is a configuration error, a file beside weights an input error; both read this.
    pub fn from_json(value: Value) -> Result<Self> {
        let Value::Object(raw) = value else {
            return Err(Failure::input("a model config is a JSON object"));
        };
        let family = family(&raw)?;
        let fields = Fields(&raw);
        let hidden_size = fields.size("hidden_size")?;
        let num_attention_heads = fields.size("num_attention_heads")?;
        let num_key_value_heads = fields.size_or("num_key_value_heads", num_attention_heads)?;
        let head_dim = fields.size_or("head_dim", hidden_size / num_attention_heads)?;
        if num_attention_heads % num_key_value_heads != 0 {
            return Err(Failure::input(format!(
                "num_attention_heads ({num_attention_heads}) is no multiple of num_key_value_heads ({num_key_value_heads})"
            )));
        }
        if head_dim < 2 || head_dim % 2 != 0 {
            return Err(Failure::input(format!("head_dim is {head_dim}; rotary embedding needs an even number")));
        }
        match raw.get("hidden_act").and_then(Value::as_str) {
            None | Some("silu" | "swish") => {}
            Some(other) => {
                return Err(Failure::input(format!("hidden_act is \"{other}\"; this trainer supports silu (SwiGLU)")));
            }
        }
        let (rope_theta, rope_scaling) = rope(&fields)?;
        let bias = fields.flag("attention_bias");
        let num_hidden_layers = fields.size("num_hidden_layers")?;
        Ok(Self {
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            rms_norm_eps: fields.number_or("rms_norm_eps", 1e-6)?,
            rope_theta,
            rope_scaling,
            max_position_embeddings: fields.size_or("max_position_embeddings", 2048)?,
            windows: windows(&fields, num_hidden_layers)?,
            tie_word_embeddings: fields.flag("tie_word_embeddings"),
            qkv_bias: family.qkv_bias || bias,
            o_bias: bias && !family.qkv_bias,
            mlp_bias: fields.flag("mlp_bias"),
            qk_norm: family.qk_norm,
            raw,
        })
    }

    /// Whether the checkpoint is a reward model's, without an output head.
    pub fn is_sequence_classifier(&self) -> bool {
        let architecture = self.raw.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
        architecture.is_some_and(|name| name.ends_with("ForSequenceClassification"))
    }

    /// Number of weights; absurd shapes give an absurd number, never a small one.
    pub fn parameter_count(&self) -> usize {
        const MOST: f64 = (1u64 << 52) as f64; // below it f64 counts exactly, and sixteen times it fits into 64 bits
        let [h, f, vocabulary, layers] =
            [self.hidden_size, self.intermediate_size, self.vocab_size, self.num_hidden_layers].map(|n| n as f64);
        let heads = |n: usize| n as f64 * self.head_dim as f64;
        let (q, kv) = (heads(self.num_attention_heads), heads(self.num_key_value_heads));
        let layer = 2.0 * h + h * q + 2.0 * h * kv + q * h + 3.0 * h * f;
        let embeddings = vocabulary * h * if self.tie_word_embeddings { 1.0 } else { 2.0 };
        (layers * layer + embeddings + h).min(MOST) as usize
    }
}

fn family(raw: &Map<String, Value>) -> Result<Family> {
    let named = raw.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
    let model_type = raw.get("model_type").and_then(Value::as_str);
    let found = SUPPORTED.iter().find(|(name, _)| match named {
        Some(architecture) => ["ForCausalLM", "ForSequenceClassification", "Model"]
            .iter()
            .any(|head| architecture == format!("{name}{head}")),
        None => model_type.is_some_and(|model_type| model_type.eq_ignore_ascii_case(name)),
    });
    found.map(|(_, family)| *family).ok_or_else(|| {
        let names: Vec<String> = SUPPORTED.iter().map(|(name, _)| format!("{name}ForCausalLM")).collect();
        Failure::input(format!(
            "architecture \"{}\" is not supported; supported are {} (this covers Llama 2/3, SmolLM2, Mistral, Qwen2, Qwen2.5, Qwen3)",
            named.or(model_type).unwrap_or("(none named)"),
            names.join(", ")
        ))
    })
}

/// Typed access to the fields of a config.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn size(&self, name: &str) -> Result<usize> {
        self.get(name)
            .ok_or_else(|| Failure::input(format!("field \"{name}\" is missing")))
            .and_then(|value| positive(name, value))
    }

    fn size_or(&self, name: &str, default: usize) -> Result<usize> {
        self.get(name).map_or(Ok(default), |value| positive(name, value))
    }

    fn number_or(&self, name: &str, default: f64) -> Result<f64> {
        self.get(name).map_or(Ok(default), |value| {
            value.as_f64().ok_or_else(|| Failure::input(format!("field \"{name}\" must be a number, found {value}")))
        })
    }

    fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
}

fn positive(name: &str, value: &Value) -> Result<usize> {
    match value.as_u64() {
        Some(number) if number > 0 && number < 1 << 32 => Ok(number as usize),
        _ => Err(Failure::input(format!("field \"{name}\" must be a positive whole number, found {value}"))),
    }
}

/// Theta and scaling from `rope_parameters` (transformers 5) or `rope_theta` and `rope_scaling` (before).
fn rope(fields: &Fields) -> Result<(f64, RopeScaling)> {
    let empty = Map::new();
    let nested = fields.get("rope_parameters").or_else(|| fields.get("rope_scaling")).and_then(Value::as_object);
    let nested = Fields(nested.unwrap_or(&empty));
    let theta = nested.number_or("rope_theta", fields.number_or("rope_theta", 10_000.0)?)?;
    let kind = nested.get("rope_type").or_else(|| nested.get("type")).and_then(Value::as_str).unwrap_or("default");
    let factor = || nested.number_or("factor", 1.0);
    let scaling = match kind {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: factor()? },
        "llama3" => RopeScaling::Llama3 {
            factor: factor()?,
            low_freq_factor: nested.number_or("low_freq_factor", 1.0)?,
            high_freq_factor: nested.number_or("high_freq_factor", 4.0)?,
            original_max_position_embeddings: nested.number_or("original_max_position_embeddings", 8192.0)?,
        },
        other => {
            return Err(Failure::input(format!(
                "rope scaling \"{other}\" is not supported; supported are default, linear, llama3"
            )));
        }
    };
    Ok((theta, scaling))
}

/// `layer_types` rules where it stands; else Qwen's `use_sliding_window` and `max_window_layers`; else every layer.
fn windows(fields: &Fields, layers: usize) -> Result<Vec<Option<usize>>> {
    let qwen = fields.0.get("model_type").and_then(Value::as_str).is_some_and(|name| name.starts_with("qwen"));
    let off = fields.get("sliding_window").is_none() || (qwen && !fields.flag("use_sliding_window"));
    if off {
        return Ok(vec![None; layers]);
    }
    let window = fields.size("sliding_window")?;
    let first = if qwen { fields.size_or("max_window_layers", layers)? } else { 0 };
    let types = fields.get("layer_types").and_then(Value::as_array);
    Ok((0..layers)
        .map(|layer| {
            let slides = match types.and_then(|types| types.get(layer)).and_then(Value::as_str) {
                Some(kind) => kind == "sliding_attention",
                None => layer >= first,
            };
            slides.then_some(window)
        })
        .collect())
}
