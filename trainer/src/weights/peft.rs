//! LoRA adapters on disk, as Hugging Face PEFT writes and reads them: `adapter_config.json`, `adapter_model.safetensors`.
//!
//! Sources: `LoraConfig`, `save_pretrained` and `get_peft_model_state_dict` of PEFT 0.17.
//!
//! Holds: equal input gives equal bytes; a loaded adapter has both halves of every pair, of the rank that the
//! configuration states; what this trainer can't compute (DoRA, trained biases, other methods) is refused, not ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::dtype::Dtype;
use super::model_files::ModelFiles;
use super::save::{save_file, sync_dir, write_bytes};
use crate::failure::{Failure, Result};

pub const CONFIG: &str = "adapter_config.json";
pub const WEIGHTS: &str = "adapter_model.safetensors";
/// Ours beside them, which PEFT and transformers pass over: the weights that the adapter was trained over.
pub const BASE_RECORD: &str = "base_model.json";

/// What PEFT puts before the names of the model that it wraps.
const PREFIX: &str = "base_model.model.";

/// The adapter's task, which decides its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskType {
    CausalLm,
    /// One score per sequence: a reward model; the head is `score.weight`.
    SeqCls,
}

impl TaskType {
    pub fn name(self) -> &'static str {
        match self {
            Self::CausalLm => "CAUSAL_LM",
            Self::SeqCls => "SEQ_CLS",
        }
    }
}

/// The part of PEFT's `LoraConfig` that can vary here; the rest is written at its neutral value.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    pub task_type: TaskType,
    /// Rank.
    pub r: usize,
    /// The update is scaled by alpha / r, or alpha / √r with `use_rslora`.
    pub lora_alpha: f64,
    pub lora_dropout: f64,
    /// Sorted names of the adapted linear layers, such as `q_proj`.
    pub target_modules: Vec<String>,
    pub use_rslora: bool,
    /// Sorted names of the modules trained and saved whole, such as `lm_head` or `score`.
    pub modules_to_save: Vec<String>,
    /// One trained matrix is embedding and output head. It is stored under both names, as PEFT does: so PEFT 0.17, which
    /// has no such field, gives the same logits.
    pub ensure_weight_tying: bool,
    /// Hub id, or a path relative to the adapter's directory.
    pub base_model_name_or_path: Option<String>,
}

/// The tensors of an adapter by Hugging Face parameter name, without PEFT's prefix:
/// `model.layers.0.self_attn.q_proj.lora_A.weight` `[r, in]`, `….lora_B.weight` `[out, r]`, `score.weight` `[1, hidden]`.
pub type AdapterTensors = BTreeMap<String, TensorData>;

#[derive(Clone, Debug, PartialEq)]
pub struct TensorData {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// Does `dir` hold an adapter rather than a model?
pub fn is_adapter(dir: &Path) -> bool {
    dir.join(CONFIG).is_file()
}

/// Writes the adapter, always in f32.
///
/// Errors: a tensor that the configuration doesn't cover, half a pair, a wrong rank; IO.
pub fn save_adapter(dir: &Path, config: &AdapterConfig, tensors: &AdapterTensors) -> Result<()> {
    check_tensors(config, tensors).map_err(|problem| Failure::internal(format!("adapter to be saved: {problem}")))?;
    write_bytes(&dir.join(CONFIG), format!("{:#}", config.to_json()).as_bytes())?;
    let names: Vec<_> =
        tensors.iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor.shape.clone())).collect();
    save_file(&dir.join(WEIGHTS), &names, Dtype::Float32, |name| Ok(&tensors[&name[PREFIX.len()..]].data))?;
    sync_dir(dir)
}

/// Reads an adapter that this trainer or PEFT wrote, older spellings of names included.
///
/// Errors (missing input): a file is absent or damaged, an unsupported feature, tensors that don't fit the configuration.
pub fn load_adapter(dir: &Path) -> Result<(AdapterConfig, AdapterTensors)> {
    let config_path = dir.join(CONFIG);
    let text = std::fs::read_to_string(&config_path).map_err(|e| Failure::io(&config_path, &e))?;
    let place = |failure: Failure| failure.at(config_path.display());
    let json: Json = serde_json::from_str(&text).map_err(|e| place(Failure::input(format!("not valid JSON ({e})"))))?;
    let (mut config, pattern) = AdapterConfig::from_json(&json).map_err(place)?;

    let weights_path = dir.join(WEIGHTS);
    if !weights_path.exists() {
        return Err(if dir.join("adapter_model.bin").exists() {
            Failure::input(format!(
                "{}: the weights are adapter_model.bin, a pickle; convert them to safetensors \
                 (peft: PeftModel.from_pretrained, then save_pretrained)",
                dir.display()
            ))
        } else {
            Failure::input(format!("{}: not found; the adapter is incomplete", weights_path.display()))
        });
    }
    let files = ModelFiles::open_file(&weights_path)?;
    let place = |problem: String| Failure::input(format!("{}: {problem}", weights_path.display()));
    let mut tensors = AdapterTensors::new();
    for stored in files.names() {
        let name = parameter_name(stored).map_err(place)?;
        let (shape, data) = files.read_f32(stored)?;
        if tensors.insert(name.clone(), TensorData { shape, data }).is_some() {
            return Err(place(format!("tensor \"{name}\" is there twice, under an old and a new name")));
        }
    }
    if let Some(pattern) = pattern {
        let modules: BTreeSet<&str> = tensors.keys().filter_map(|name| lora_part(name)?.0.rsplit('.').next()).collect();
        if modules.is_empty() {
            return Err(place(format!("no LoRA tensor for target_modules \"{pattern}\"")));
        }
        config.target_modules = modules.into_iter().map(str::to_owned).collect();
    }
    check_tensors(&config, &tensors).map_err(place)?;
    Ok((config, tensors))
}

impl AdapterConfig {
    /// Factor of B·A.
    pub fn scaling(&self) -> f64 {
        let r = self.r as f64;
        self.lora_alpha / if self.use_rslora { r.sqrt() } else { r }
    }

    fn to_json(&self) -> Json {
        let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        let modules_to_save =
            if self.modules_to_save.is_empty() { Json::Null } else { json!(sorted(&self.modules_to_save)) };
        let alpha = if self.lora_alpha.fract() == 0.0 && self.lora_alpha.abs() < 1e15 {
            json!(self.lora_alpha as i64)
        } else {
            json!(self.lora_alpha)
        };
        // All keys of PEFT 0.17, sorted as it sorts them.
        let mut json = json!({
            "alpha_pattern": {},
            "auto_mapping": null,
            "base_model_name_or_path": self.base_model_name_or_path,
            "bias": "none",
            "corda_config": null,
            "eva_config": null,
            "exclude_modules": null,
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "layer_replication": null,
            "layers_pattern": null,
            "layers_to_transform": null,
            "loftq_config": {},
            "lora_alpha": alpha,
            "lora_bias": false,
            "lora_dropout": self.lora_dropout,
            "megatron_config": null,
            "megatron_core": "megatron.core",
            "modules_to_save": modules_to_save,
            "peft_type": "LORA",
            "qalora_group_size": 16,
            "r": self.r,
            "rank_pattern": {},
            "revision": null,
            "target_modules": sorted(&self.target_modules),
            "target_parameters": null,
            "task_type": self.task_type.name(),
            "trainable_token_indices": null,
            "use_dora": false,
            "use_qalora": false,
            "use_rslora": self.use_rslora,
        });
        if self.ensure_weight_tying {
            json["ensure_weight_tying"] = json!(true);
        }
        json
    }

    /// The configuration, and `target_modules` if it is a pattern instead of a list.
    fn from_json(json: &Json) -> Result<(Self, Option<String>)> {
        let fields = Fields(json.as_object().ok_or_else(|| Failure::input("not a JSON object"))?);
        fields.refuse_unsupported()?;
        let task_type = match fields.get("task_type").and_then(Json::as_str) {
            // A configuration without a task comes from a script that wrapped a causal model by hand.
            None | Some("CAUSAL_LM") => TaskType::CausalLm,
            Some("SEQ_CLS") => TaskType::SeqCls,
            Some(other) => {
                return Err(Failure::input(format!("task_type {other} can't be used (CAUSAL_LM and SEQ_CLS can)")));
            }
        };
        let r = match fields.get("r").and_then(Json::as_u64) {
            Some(r @ 1..=65536) => r as usize,
            _ => return Err(Failure::input("field \"r\" is missing or not a rank")),
        };
        let number = |key: &str, default: f64| match fields.get(key) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| Failure::input(format!("field \"{key}\" is not a number"))),
        };
        let (target_modules, pattern) = match fields.get("target_modules") {
            Some(Json::String(pattern)) => (Vec::new(), Some(pattern.clone())),
            _ => (fields.names("target_modules")?, None),
        };
        let config = Self {
            task_type,
            r,
            lora_alpha: number("lora_alpha", 8.0)?,
            lora_dropout: number("lora_dropout", 0.0)?,
            target_modules,
            use_rslora: fields.get("use_rslora") == Some(&Json::Bool(true)),
            modules_to_save: fields.modules_to_save()?,
            ensure_weight_tying: fields.get("ensure_weight_tying") == Some(&Json::Bool(true)),
            base_model_name_or_path: fields.get("base_model_name_or_path").and_then(Json::as_str).map(str::to_owned),
        };
        Ok((config, pattern))
    }
}

/// The fields of `adapter_config.json`; null is absent.
struct Fields<'a>(&'a Map<String, Json>);

impl Fields<'_> {
    /// Fields that are read here, or that say nothing about how the saved tensors are used.
    const HARMLESS: [&'static str; 10] = [
        "auto_mapping",
        "ensure_weight_tying",
        "eva_config",
        "exclude_modules",
        "inference_mode",
        "init_lora_weights",
        "megatron_config",
        "modules_to_save",
        "target_modules",
        "use_rslora",
    ];

    fn get(&self, key: &str) -> Option<&Json> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn names(&self, key: &str) -> Result<Vec<String>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let names: Option<BTreeSet<String>> =
            value.as_array().and_then(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
        names
            .map(|names| names.into_iter().collect())
            .ok_or_else(|| Failure::input(format!("field \"{key}\" is not a list of names")))
    }

    /// By the last part of each name: PEFT adds the full one of a tied embedding.
    fn modules_to_save(&self) -> Result<Vec<String>> {
        let names: BTreeSet<String> = self
            .names("modules_to_save")?
            .iter()
            .map(|name| name.rsplit('.').next().unwrap_or(name).to_owned())
            .collect();
        Ok(names.into_iter().collect())
    }

    fn refuse_unsupported(&self) -> Result<()> {
        let refuse = |what: String| {
            Err(Failure::input(format!(
                "{what}; merge the adapter with PEFT first (merge_and_unload) and use the merged model"
            )))
        };
        match self.get("peft_type").and_then(Json::as_str) {
            Some("LORA") => {}
            Some(other) => return refuse(format!("peft_type {other} can't be used (LORA can)")),
            None => return Err(Failure::input("field \"peft_type\" is missing: this is no PEFT adapter")),
        }
        if let Some(bias) = self.get("bias").and_then(Json::as_str).filter(|bias| *bias != "none") {
            return refuse(format!("bias \"{bias}\" can't be used (\"none\" can)"));
        }
        for key in self.0.keys().filter(|key| !Self::HARMLESS.contains(&key.as_str())) {
            // Strings and numbers of fields that don't exist yet are settings of a feature; the feature is on or off
            // by a flag, a list or a table of its own.
            let in_use = match self.get(key) {
                Some(Json::Bool(value)) => *value,
                Some(Json::Array(values)) => !values.is_empty(),
                Some(Json::Object(values)) => !values.is_empty(),
                _ => false,
            };
            if in_use {
                return refuse(format!("{key} can't be used"));
            }
        }
        // These initialisations change the base weights too, so the adapter doesn't fit the published base.
        if let Some(init) = self.get("init_lora_weights").and_then(Json::as_str)
            && ["pissa", "olora", "corda", "loftq", "lora_ga"].iter().any(|name| init.starts_with(name))
        {
            return refuse(format!("init_lora_weights \"{init}\" needs base weights that PEFT changed"));
        }
        Ok(())
    }
}

/// The Hugging Face name of a tensor that PEFT stored.
fn parameter_name(stored: &str) -> std::result::Result<String, String> {
    let Some(name) = stored.strip_prefix(PREFIX) else {
        return Err(format!("tensor \"{stored}\" is not named as PEFT does ({PREFIX}…)"));
    };
    for (part, what) in
        [("lora_magnitude_vector", "DoRA"), ("lora_embedding_", "a LoRA of an embedding"), (".bias", "a trained bias")]
    {
        if name.contains(part) {
            return Err(format!("tensor \"{stored}\" belongs to {what}, which can't be used"));
        }
    }
    let name = name.replace(".modules_to_save.", ".").replace(".base_layer.", ".");
    // Before PEFT 0.3 and in raw state dicts the adapter's own name is part of the tensor's.
    let parts: Vec<&str> = name.split('.').filter(|part| *part != "default").collect();
    Ok(parts.join("."))
}

/// `(module, 'A' or 'B')` of a LoRA tensor.
fn lora_part(name: &str) -> Option<(&str, char)> {
    let half = |suffix: &str, half: char| Some((name.strip_suffix(suffix)?, half));
    half(".lora_A.weight", 'A').or_else(|| half(".lora_B.weight", 'B'))
}

fn check_tensors(config: &AdapterConfig, tensors: &AdapterTensors) -> std::result::Result<(), String> {
    let ends_with = |module: &str, names: &[String]| {
        names
            .iter()
            .any(|name| module == name || module.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.')))
    };
    for (name, tensor) in tensors {
        if tensor.shape.iter().product::<usize>() != tensor.data.len() {
            return Err(format!("tensor \"{name}\" of shape {:?} has {} values", tensor.shape, tensor.data.len()));
        }
        let Some((module, half)) = lora_part(name) else {
            let module = name.rsplit_once('.').map_or(name.as_str(), |(module, _)| module);
            let head = (config.task_type == TaskType::SeqCls && module == "score")
                || (module == "lm_head" && ends_with("embed_tokens", &config.modules_to_save));
            if !head && !ends_with(module, &config.modules_to_save) {
                return Err(format!("tensor \"{name}\" is neither a LoRA matrix nor in modules_to_save"));
            }
            continue;
        };
        if !ends_with(module, &config.target_modules) {
            return Err(format!("tensor \"{name}\" adapts a module that target_modules doesn't name"));
        }
        let (rank_axis, other) = if half == 'A' { (0, "lora_B") } else { (1, "lora_A") };
        if tensor.shape.len() != 2 || tensor.shape[rank_axis] != config.r {
            return Err(format!("tensor \"{name}\" has shape {:?}; the configured rank is {}", tensor.shape, config.r));
        }
        if !tensors.contains_key(&format!("{module}.{other}.weight")) {
            return Err(format!("tensor \"{name}\" has no {other} beside it"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "peft_tests.rs"]
mod tests;
