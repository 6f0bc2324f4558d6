//! A decoder from files, or from a config alone.

use std::{path::Path, sync::Arc};

use burn::tensor::Tensor;

use super::{
    Decoder, ModelConfig,
    decoder::{over, upload},
};
use crate::{
    failure::{Failure, Result},
    generate::rng::{Purpose, Stream},
    ops::LmBackend,
    weights::ModelFiles,
};

/// Loads the Hugging Face directory `dir`; positional tables reach `max_positions`.
pub fn load<B: LmBackend>(dir: &Path, max_positions: usize, device: &B::Device) -> Result<Decoder<B>> {
    let files = ModelFiles::open(dir)?;
    read(dir, max_positions, device, &|name| Ok(upload::<B>(files.read_f32(name)?.1, device)), &files)
}

/// As [`load`], but f32 weights stay in their files, which nobody may change meanwhile: for commands that are done soon.
/// A training takes a copy, as it goes on for days.
pub fn map<B: LmBackend>(dir: &Path, max_positions: usize, device: &B::Device) -> Result<Decoder<B>> {
    let files = Arc::new(ModelFiles::open(dir)?);
    let value = |name: &str| match files.share_f32(name)? {
        Some(values) => Ok(over::<B>(values, device)),
        None => Ok(upload::<B>(files.read_f32(name)?.1, device)),
    };
    Ok(read(dir, max_positions, device, &value, &files)?.lying_in(Arc::clone(&files)))
}

fn read<B: LmBackend>(
    dir: &Path,
    max_positions: usize,
    device: &B::Device,
    value: &dyn Fn(&str) -> Result<Tensor<B, 1>>,
    files: &ModelFiles,
) -> Result<Decoder<B>> {
    let config = Arc::new(ModelConfig::load(dir)?);
    Decoder::build(config, max_positions, device, B::freeze_for_long, &mut |name, shape| {
        if !files.contains(name) {
            return Ok(None);
        }
        let found = files.shape(name)?;
        if found != shape {
            return Err(Failure::input(format!(
                "{}: tensor \"{name}\" has shape {found:?}, config.json calls for {shape:?}; config and weights belong \
                 to different models",
                dir.display()
            )));
        }
        value(name).map(Some)
    })
}

/// A model with fresh weights, as transformers initialises them: matrices N(0, `initializer_range`), norms 1, biases 0.
pub fn random<B: LmBackend>(
    config: ModelConfig,
    max_positions: usize,
    seed: u64,
    device: &B::Device,
) -> Result<Decoder<B>> {
    let std = config.raw.get("initializer_range").and_then(serde_json::Value::as_f64).unwrap_or(0.02);
    let mut tensor = 0;
    Decoder::build(Arc::new(config), max_positions, device, B::freeze_for_long, &mut |name, shape| {
        tensor += 1;
        let mut values = vec![if name.contains("norm") { 1.0 } else { 0.0 }; shape.iter().product()];
        if shape.len() == 2 {
            Stream::new(seed, Purpose::Init, 1_000_000 + tensor).fill_normal(&mut values, 0, 0.0, std);
        }
        Ok(Some(upload::<B>(values, device)))
    })
}
