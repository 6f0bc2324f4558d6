//! May this adapter be trained on over this model? By what it says of its base, by shapes, by hyperparameters.

use std::path::Path;

use medtrain_crds::contract::Digest;
use medtrain_crds::stage::LoraArgs;

use super::Workspace;
use super::origins::External;
use crate::adapter::{BaseRecord, EMBEDDING, Projection, has_more_tokens};
use crate::failure::{Failure, Result};
use crate::model::ModelConfig;
use crate::weights::digests::Digests;
use crate::weights::peft::{self, AdapterConfig, AdapterTensors};
use crate::weights::source::directory_digest;

/// What an adapter's `base_model_name_or_path` tells about the model that it is to be trained on over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BaseName {
    Same,
    Other(String),
    /// Neither a directory here nor a hub id that can be compared.
    Unknown,
}

/// Checks the adapter against the model `base`; gives a warning if the base can be told by shapes only.
///
/// # Errors
/// 65 when the adapter belongs to another model, 64 when the stage's hyperparameters are not the adapter's.
pub(super) fn check(
    ws: &Workspace,
    adapter: &External,
    base: (&External, &ModelConfig),
    lora: &LoraArgs,
    place: &str,
) -> Result<Option<String>> {
    let (model, model_config) = base;
    let at = |failure: Failure| failure.at(format!("{place}.inputs.adapter"));
    if !peft::is_adapter(&adapter.dir) {
        return Err(at(Failure::config(format!(
            "{}: holds no {}, so it is no adapter; a whole model is named by inputs.policy",
            adapter.uri,
            peft::CONFIG
        ))));
    }
    let (config, tensors) = peft::load_adapter(&adapter.dir).map_err(at)?;
    check_shapes(&config, &tensors, model_config, adapter).map_err(at)?;
    let rows = tensors.get(EMBEDDING).and_then(|embedding| embedding.shape.first().copied()).unwrap_or(0);
    if rows > model_config.vocab_size {
        return Err(at(has_more_tokens(&adapter.uri, rows, model_config.vocab_size)));
    }
    check_hyperparameters(&config, lora, place)?;
    let is_recorded = BaseRecord::read(&adapter.dir).map_err(at)?.is_some();
    let named = base_name(ws, adapter, &config, model, is_recorded).map_err(at)?;
    if let BaseName::Other(name) = named {
        return Err(at(Failure::input(format!(
            "{}: was trained over {name}, not over {}; name that model as the policy, or drop the adapter",
            adapter.uri, model.uri
        ))));
    }
    Ok((named == BaseName::Unknown && !is_recorded).then(|| {
        format!(
            "{place}.inputs.adapter: that {} was trained over {} can be told by shapes only",
            adapter.uri, model.uri
        )
    }))
}

/// Of an adapter whose base `is_recorded` by its weights, which the stage compares, only a directory that lies where the
/// name says counts: the base may have been renamed or copied.
fn base_name(
    ws: &Workspace,
    adapter: &External,
    config: &AdapterConfig,
    model: &External,
    is_recorded: bool,
) -> Result<BaseName> {
    let Some(name) = config.base_model_name_or_path.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(BaseName::Unknown);
    };
    if name == model.uri {
        return Ok(BaseName::Same);
    }
    let dir = adapter.dir.join(name);
    if dir.is_dir() {
        if !model.digest.as_str().starts_with("sha256:") {
            return Ok(BaseName::Unknown);
        }
        let digest = directory_digest(&dir, &Digests::new(&ws.workdir))?;
        let same = Digest::sha256(&digest).is_ok_and(|digest| digest == model.digest);
        return Ok(if same { BaseName::Same } else { BaseName::Other(name.to_owned()) });
    }
    let hub_id = Path::new(name).is_relative() && name.split('/').count() == 2 && !name.starts_with('.');
    match model.uri.strip_prefix("hf://").map(|rest| rest.split('@').next().unwrap_or(rest)) {
        Some(id) if id == name => Ok(BaseName::Same),
        Some(_) if hub_id && !is_recorded => Ok(BaseName::Other(name.to_owned())),
        _ => Ok(BaseName::Unknown),
    }
}

fn check_shapes(
    config: &AdapterConfig,
    tensors: &AdapterTensors,
    model: &ModelConfig,
    adapter: &External,
) -> Result<()> {
    let other = |what: String| {
        let way_out = "name that model as the policy, or drop the adapter";
        Failure::input(format!("{}: was trained over another model: {what}; {way_out}", adapter.uri))
    };
    let mut known = std::collections::BTreeMap::new();
    for layer in 0..model.num_hidden_layers {
        for projection in Projection::ALL {
            let ([outputs, inputs], path) = (projection.shape(model), projection.path(layer));
            known.insert(format!("{path}.lora_A.weight"), vec![config.r, inputs]);
            known.insert(format!("{path}.lora_B.weight"), vec![outputs, config.r]);
        }
    }
    for (name, tensor) in tensors.iter().filter(|(name, _)| name.contains(".lora_")) {
        match known.get(name) {
            None => return Err(other(format!("tensor \"{name}\" has no counterpart in the model"))),
            Some(shape) if *shape != tensor.shape => {
                return Err(other(format!(
                    "tensor \"{name}\" has shape {:?}, over this model it would be {shape:?}",
                    tensor.shape
                )));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Training goes on with the adapter's own shape and scale; what the resource says must agree.
fn check_hyperparameters(config: &AdapterConfig, lora: &LoraArgs, place: &str) -> Result<()> {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names.join(", ")
    };
    let checks = [
        ("rank", lora.rank.to_string(), config.r.to_string()),
        ("useRslora", lora.use_rslora.to_string(), config.use_rslora.to_string()),
        ("alpha", lora.alpha.to_string(), config.lora_alpha.to_string()),
        ("targetModules", sorted(&lora.target_modules), sorted(&config.target_modules)),
        ("modulesToSave", sorted(&lora.modules_to_save), sorted(&config.modules_to_save)),
    ];
    match checks.into_iter().find(|(_, ours, theirs)| ours != theirs) {
        None => Ok(()),
        Some((field, ours, theirs)) => {
            let shown = |value: String| if value.is_empty() { "empty".to_owned() } else { value };
            Err(Failure::config(format!(
                "{place}.lora.{field}: is {}, but the adapter that is continued has {}; write that",
                shown(ours),
                shown(theirs)
            )))
        }
    }
}
