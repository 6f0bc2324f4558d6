//! The files a stage leaves beside weights, as the Hugging Face world expects them.

use std::{collections::BTreeMap, path::Path};

use medtrain_crds::stage::{LoraArgs, StageKind};
use serde_json::{Value, json};

use super::reward::SCORE;
use crate::{
    adapter::{self, BaseRecord},
    data::{ChatTemplate, Tokenizer, vocabulary},
    failure::{Failure, Result},
    model::{ModelConfig, Parameters},
    ops::LmBackend,
    weights::peft::{AdapterConfig, AdapterTensors, TaskType, TensorData, save_adapter},
};

/// Tokenizer files that are taken over from the base as they are.
const TOKENIZER_FILES: [&str; 6] =
    ["tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model"];

pub fn write_json(path: &Path, value: &Value) -> Result<()> {
    std::fs::write(path, format!("{value:#}\n")).map_err(|error| Failure::io(path, &error))
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::io(path, &error))?;
    serde_json::from_str(&text).map_err(|error| Failure::input(format!("{}: not JSON: {error}", path.display())))
}

fn copy_if_there(base: &Path, dir: &Path, name: &str) -> Result<()> {
    let (from, to) = (base.join(name), dir.join(name));
    if from.exists() {
        std::fs::copy(&from, &to).map_err(|error| Failure::io(&to, &error))?;
    }
    Ok(())
}

/// Copies the base's tokenizer to `dir`, with the pad token and the chat template that were used.
pub fn write_tokenizer(
    base: &Path,
    dir: &Path,
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    generation: bool,
) -> Result<()> {
    for name in TOKENIZER_FILES {
        copy_if_there(base, dir, name)?;
    }
    let path = base.join("tokenizer_config.json");
    let mut config = if path.exists() { read_json(&path)? } else { json!({}) };
    let pad = tokenizer.pad();
    if let Some(pad) = pad.and_then(|id| tokenizer.token(id)) {
        config["pad_token"] = json!(pad);
    }
    match template {
        Some(template) => config["chat_template"] = json!(template.source()),
        // transformers keeps the template in a file of its own; what was not used is passed on as it is.
        None => copy_if_there(base, dir, "chat_template.jinja")?,
    }
    if let Some(json) = tokenizer.grown_json() {
        let (path, listed) = (dir.join("tokenizer.json"), dir.join("added_tokens.json"));
        std::fs::write(&path, json).map_err(|error| Failure::io(&path, &error))?;
        let mut map = if listed.exists() { read_json(&listed)? } else { Value::Null };
        vocabulary::list_in_side_files(&vocabulary::added_tokens(json)?, &mut config, &mut map);
        if listed.exists() {
            write_json(&listed, &map)?;
        }
    }
    write_json(&dir.join("tokenizer_config.json"), &config)?;
    if let (Some(pad), Ok(mut map)) =
        (pad.and_then(|id| tokenizer.token(id)), read_json(&dir.join("special_tokens_map.json")))
    {
        map["pad_token"] = json!(pad);
        write_json(&dir.join("special_tokens_map.json"), &map)?;
    }
    if generation {
        let path = base.join("generation_config.json");
        let mut config = if path.exists() { read_json(&path)? } else { json!({}) };
        if let Some(pad) = pad {
            config["pad_token_id"] = json!(pad);
        }
        // Readers look here first, so what the base says elsewhere must be here too.
        let stops = template.map_or(tokenizer.eos_ids(), ChatTemplate::stop_ids);
        if config.get("eos_token_id").is_none_or(Value::is_null) && !stops.is_empty() {
            config["eos_token_id"] = if let [only] = stops { json!(only) } else { json!(stops) };
        }
        if let (Some(bos), true) = (tokenizer.bos(), config.get("bos_token_id").is_none_or(Value::is_null)) {
            config["bos_token_id"] = json!(bos);
        }
        write_json(&dir.join("generation_config.json"), &config)?;
    }
    Ok(())
}

/// Writes the trained tensors as PEFT reads them, and the base that they belong to; value heads stay out. `model` is the
/// config of the model that was trained.
pub fn write_adapter<B: LmBackend>(
    dir: &Path,
    kind: StageKind,
    (lora, model): (&LoraArgs, &ModelConfig),
    parameters: &Parameters<B>,
    base: &BaseRecord,
) -> Result<()> {
    let reward = kind == StageKind::RM;
    let mut modules_to_save = lora.modules_to_save.clone();
    if reward {
        modules_to_save.push("score".into());
    }
    let ensure_weight_tying = adapter::trains_tied_embedding(lora, model)?;
    let config = AdapterConfig {
        task_type: if reward { TaskType::SeqCls } else { TaskType::CausalLm },
        r: lora.rank as usize,
        lora_alpha: lora.alpha,
        lora_dropout: lora.dropout,
        target_modules: lora.target_modules.clone(),
        use_rslora: lora.use_rslora,
        modules_to_save,
        ensure_weight_tying,
        base_model_name_or_path: Some(base.base_model_name_or_path.clone()),
    };
    let mut tensors: AdapterTensors = parameters
        .iter()
        .filter(|(name, _)| !name.starts_with("v_head.") && (reward || *name != SCORE))
        .map(|(name, parameter)| {
            (name.clone(), TensorData { shape: parameter.shape.clone(), data: parameter.to_host() })
        })
        .collect();
    if let Some(embedding) = tensors.get(adapter::EMBEDDING).filter(|_| ensure_weight_tying).cloned() {
        tensors.insert(adapter::HEAD.to_owned(), embedding);
    }
    std::fs::create_dir_all(dir).map_err(|error| Failure::io(dir, &error))?;
    save_adapter(dir, &config, &tensors)?;
    base.write(dir)
}

const REWARD_MEAN: &str = "reward_mean.json";

/// Keeps beside a reward model's adapter what its scores have subtracted; PEFT's own files have no place for it.
pub fn write_reward_mean(dir: &Path, mean: f64) -> Result<()> {
    write_json(&dir.join(REWARD_MEAN), &json!({ "reward_mean": mean }))
}

/// What [`write_reward_mean`] wrote; `None` for an adapter of another origin.
pub fn read_reward_mean(dir: &Path) -> Result<Option<f64>> {
    let path = dir.join(REWARD_MEAN);
    if !path.exists() {
        return Ok(None);
    }
    Ok(read_json(&path)?.get("reward_mean").and_then(Value::as_f64))
}

/// Fields of a merged model's `config.json` that the stage decides.
pub fn config_fields(
    kind: StageKind,
    architecture: &str,
    tokenizer: &Tokenizer,
    reward_mean: Option<f64>,
) -> serde_json::Map<String, Value> {
    let mut fields = serde_json::Map::new();
    if let Some(pad) = tokenizer.pad() {
        fields.insert("pad_token_id".into(), json!(pad));
    }
    if kind == StageKind::RM {
        let family = architecture.trim_end_matches("ForCausalLM").trim_end_matches("ForSequenceClassification");
        fields.insert("architectures".into(), json!([format!("{family}ForSequenceClassification")]));
        fields.insert("num_labels".into(), json!(1));
        fields.insert("id2label".into(), json!({"0": "reward"}));
        fields.insert("label2id".into(), json!({"reward": 0}));
    }
    if let Some(mean) = reward_mean {
        fields.insert("reward_mean".into(), json!(mean));
    }
    fields
}

/// Hyperparameters as a flat list of names and values, for the model card and TensorBoard.
pub fn flatten(value: &Value, prefix: &str, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(value, &name, into);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            into.insert(prefix.to_owned(), text.clone());
        }
        other => {
            into.insert(prefix.to_owned(), other.to_string());
        }
    }
}
