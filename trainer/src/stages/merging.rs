//! The whole model that a stage leaves: base and adapter merged in f32, checked, rounded, written, read back, checked.
//!
//! Holds: a model directory that this module finished gives the logits of base and adapter: before rounding to 1e-3, or
//! to a few times what f32 itself is uncertain by on these texts where that is more; after rounding with a token KL of at
//! most 1e-2; otherwise the stage fails.

use std::{collections::BTreeMap, ops::Range, path::Path};

use burn::tensor::Tensor;
use medtrain_crds::contract::MergeCheck;
use medtrain_crds::stage::LoraArgs;
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::reward::SCORE;
use crate::{
    adapter::{self, Adapter},
    artifact::sha256_hex,
    data::Tokenizer,
    failure::{Failure, Result},
    model::{Decoder, Parameter, Parameters, load},
    ops::{LmBackend, Segments, into_host},
    weights::{Dtype, MAX_SHARD_BYTES, ModelFiles, save::Unsynced, write_model},
};

/// Largest logit difference before rounding.
const LOGIT_TOLERANCE: f64 = 1e-3;
/// Where f32 is uncertain by more than the tolerance, a right merge may differ by this many times the uncertainty: it
/// rounds every weight anew, while the measured uncertainty comes from a changed order of the same sums.
const NOISE_FACTOR: f64 = 4.0;
/// Largest drift after rounding: mean token KL in nats, or of a reward model the mean difference of its scores (whose
/// standard deviation is 1).
const KL_LIMIT: f64 = 1e-2;

/// Texts that the check runs on.
const PROBES: [&str; 6] = [
    "The patient was asked to return if the fever lasts more than three days.",
    "Question: How should an adult with mild asthma use a reliever inhaler?\nAnswer:",
    "高血压患者应当定期测量血压，并按医嘱服药。",
    "Take 500 mg twice a day for 7 days; 12.5 mL = 2 1/2 teaspoons.",
    "{\"pulse\": 72, \"bp\": \"120/80\"}",
    "Warning signs are chest pain, sudden weakness on one side, and trouble breathing.",
];

/// What is merged.
pub struct Merging<'a, B: LmBackend> {
    pub model: &'a Decoder<B>,
    /// `None` after full fine-tuning: `model` is what is written.
    pub lora: Option<&'a LoraArgs>,
    pub parameters: &'a Parameters<B>,
    pub tokenizer: &'a Tokenizer,
    pub dtype: Dtype,
    /// Fields of `config.json` to set beside those of the model.
    pub config: Map<String, Value>,
}

impl<B: LmBackend> Merging<'_, B> {
    /// Writes `config.json` and the weights to `dir` and checks them.
    ///
    /// # Errors
    /// 70 when merged and unmerged model differ; IO.
    pub fn write(&self, dir: &Path) -> Result<MergeCheck> {
        let (ids, segments) = probes(self.tokenizer)?;
        let adapter = self.lora.map(|lora| Adapter::view(self.model.config(), lora, self.parameters));
        let expected = self.outputs(self.model, adapter.as_ref(), &ids, &segments);
        self.model.release();
        let mut noise = None;
        // How uncertain f32 is takes a pass of its own, so it is measured only where the answer depends on it.
        let mut allowed = |found: f64| match found <= LOGIT_TOLERANCE {
            true => LOGIT_TOLERANCE,
            false => {
                let measure = || largest(&expected.0, &self.one_by_one(adapter.as_ref(), &ids, &segments));
                LOGIT_TOLERANCE.max(NOISE_FACTOR * *noise.get_or_insert_with(measure))
            }
        };

        let mut merged = self.model.clone();
        let mut lost = (0_u64, 0_u64);
        if let Some(lora) = self.lora {
            adapter::merge(self.model, lora, self.parameters, |name, weight| {
                count_lost(self.dtype, self.base_of(name), &weight, &mut lost);
                merged.set_weight(name, weight);
            });
        }
        let exact = largest(&expected.0, &self.outputs(&merged, None, &ids, &segments).0);
        let tolerance = allowed(exact);
        if !within(exact, tolerance) {
            return Err(Failure::internal(format!(
                "merged weights do not give the logits of base and adapter: largest difference {exact:.2e}, allowed \
                 {tolerance:.2e}. The model was not written; the adapter in the newest checkpoint is good, please report \
                 this with it"
            )));
        }
        let unsynced = self.save(dir, &merged)?;
        drop(merged);
        self.model.release();
        // The disk writes while the check reads what it is given, as another reader would.
        let syncing = std::thread::spawn(|| unsynced.sync());
        let written = load::map::<B>(dir, self.model.max_positions(), self.model.device())?;
        let stored = match self.parameters.contains_key(SCORE) {
            false => self.outputs(&written, None, &ids, &segments),
            true => {
                let (shape, values) = ModelFiles::open(dir)?.read_f32(SCORE)?;
                let head = Parameter::<B>::new(shape, values, self.model.device());
                let hidden = written.hidden(&ids, &segments, None);
                (into_host(B::project(&hidden, &B::freeze(head.matrix()))), 1)
            }
        };
        drop(written);
        let stored = difference(&expected, &stored);
        let drift = if self.parameters.contains_key(SCORE) { stored.mean_logit_diff } else { stored.token_kl };
        // Written so that NaN is too far.
        let near = drift <= KL_LIMIT && stored.max_logit_diff.is_finite();
        let too_far =
            !near || (self.dtype == Dtype::Float32 && !within(stored.max_logit_diff, allowed(stored.max_logit_diff)));
        if too_far {
            return Err(Failure::internal(format!(
                "the merged model read back from disk differs from base and adapter: drift {drift:.2e} (allowed \
                 {KL_LIMIT:.0e}), largest logit difference {:.2e}; set train.saveDtype: float32",
                stored.max_logit_diff
            )));
        }
        syncing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        Ok(MergeCheck {
            max_logit_diff: stored.max_logit_diff,
            mean_logit_diff: stored.mean_logit_diff,
            token_kl: stored.token_kl,
            threshold: KL_LIMIT,
            lost_deltas: if lost.1 == 0 { 0.0 } else { lost.0 as f64 / lost.1 as f64 },
            prompts_sha256: sha256_hex(&bytes),
        })
    }

    /// Logits of every probe token, or its score by a reward model: `(values, values a token)`.
    fn outputs(
        &self,
        model: &Decoder<B>,
        adapter: Option<&Adapter<B>>,
        ids: &[u32],
        segments: &Segments,
    ) -> (Vec<f32>, usize) {
        let hidden = model.hidden(ids, segments, adapter);
        let outputs = match self.parameters.get(SCORE) {
            Some(score) => B::project(&hidden, &B::freeze(score.matrix())),
            None => model.logits(&hidden, adapter),
        };
        let width = outputs.dims()[1];
        (into_host(outputs), width)
    }

    /// [`Self::outputs`] of base and adapter with every text in a pass of its own: the same numbers but for the order of
    /// sums inside matrix products.
    fn one_by_one(&self, adapter: Option<&Adapter<B>>, ids: &[u32], segments: &Segments) -> Vec<f32> {
        let alone = |range: Range<usize>| {
            self.outputs(self.model, adapter, &ids[range.clone()], &Segments::from_lengths([range.len()])).0
        };
        segments.ranges().flat_map(alone).collect()
    }

    fn base_of(&self, name: &str) -> Option<Tensor<B, 2>> {
        (0..self.model.config().num_hidden_layers)
            .flat_map(|layer| adapter::Projection::ALL.map(|projection| (layer, projection)))
            .find(|(layer, projection)| name.strip_suffix(".weight") == Some(projection.path(*layer).as_str()))
            .map(|(layer, projection)| B::thaw(self.model.projection(layer, projection)))
    }

    fn save(&self, dir: &Path, merged: &Decoder<B>) -> Result<Unsynced> {
        std::fs::create_dir_all(dir).map_err(|e| Failure::io(dir, &e))?;
        let mut tensors = BTreeMap::new();
        merged.for_each_tensor(|name, shape, value| {
            tensors.insert(name, (shape, value));
            Ok(())
        })?;
        if let Some(score) = self.parameters.get(SCORE) {
            tensors.remove("lm_head.weight");
            tensors.insert(SCORE.to_owned(), (score.shape.clone(), score.vector()));
        }
        let untied = tensors.contains_key("lm_head.weight");
        let names: Vec<(String, Vec<usize>)> =
            tensors.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect();
        let written = write_model(dir, &names, self.dtype, MAX_SHARD_BYTES, |name| Ok(B::values(&tensors[name].1)))?;

        let mut config = merged.config().raw.clone();
        if untied {
            config.insert("tie_word_embeddings".into(), json!(false));
        }
        for name in ["dtype", "torch_dtype"] {
            if config.contains_key(name) {
                config.insert(name.into(), json!(self.dtype.name()));
            }
        }
        if !config.contains_key("dtype") && !config.contains_key("torch_dtype") {
            config.insert("torch_dtype".into(), json!(self.dtype.name()));
        }
        config.extend(self.config.clone());
        super::outputs::write_json(&dir.join("config.json"), &Value::Object(config))?;
        Ok(written)
    }
}

fn probes(tokenizer: &Tokenizer) -> Result<(Vec<u32>, Segments)> {
    let rows = PROBES.iter().map(|text| tokenizer.encode(text, true)).collect::<Result<Vec<_>>>()?;
    let segments = Segments::from_lengths(rows.iter().map(Vec::len));
    Ok((rows.concat(), segments))
}

struct Difference {
    max_logit_diff: f64,
    mean_logit_diff: f64,
    token_kl: f64,
}

/// A difference that is no number is not within.
fn within(largest: f64, tolerance: f64) -> bool {
    largest <= tolerance
}

/// The larger one; what is no number must not pass as "no difference".
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// Largest difference of two values at the same place.
fn largest(expected: &[f32], found: &[f32]) -> f64 {
    let one = |(&e, &f): (&f32, &f32)| (f64::from(e) - f64::from(f)).abs();
    expected.par_iter().zip(found).with_min_len(1 << 14).map(one).reduce(|| 0.0, larger)
}

/// How far `found` is from `expected`; KL is `Σ p·(log p − log q)` a token with `p` from `expected`, 0 for scores.
fn difference((expected, width): &(Vec<f32>, usize), (found, _): &(Vec<f32>, usize)) -> Difference {
    let log_total = |row: &[f32]| {
        let highest = row.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v));
        f64::from(highest) + row.iter().map(|&v| f64::from(v - highest).exp()).sum::<f64>().ln()
    };
    let of_row = |(expected, found): (&[f32], &[f32])| {
        let pairs = || expected.iter().zip(found).map(|(&e, &f)| (f64::from(e), f64::from(f)));
        let (p_total, q_total) = if *width > 1 { (log_total(expected), log_total(found)) } else { (0.0, 0.0) };
        let kl = |(e, f): (f64, f64)| (e - p_total).exp() * ((e - p_total) - (f - q_total));
        Difference {
            max_logit_diff: pairs().map(|(e, f)| (e - f).abs()).fold(0.0, larger),
            mean_logit_diff: pairs().map(|(e, f)| (e - f).abs()).sum(),
            token_kl: if *width > 1 { pairs().map(kl).sum() } else { 0.0 },
        }
    };
    // By rows, whose sums are added in their order, so that threads change nothing.
    let rows: Vec<Difference> =
        expected.par_chunks_exact(*width).zip(found.par_chunks_exact(*width)).map(of_row).collect();
    Difference {
        max_logit_diff: rows.iter().map(|row| row.max_logit_diff).fold(0.0, larger),
        mean_logit_diff: rows.iter().map(|row| row.mean_logit_diff).sum::<f64>() / expected.len().max(1) as f64,
        token_kl: rows.iter().map(|row| row.token_kl).sum::<f64>() / rows.len().max(1) as f64,
    }
}

/// Counts changed weights `lost.1`, and those whose change rounding undoes `lost.0`.
fn count_lost<B: LmBackend>(dtype: Dtype, base: Option<Tensor<B, 2>>, merged: &Tensor<B, 2>, lost: &mut (u64, u64)) {
    let Some(base) = base.filter(|_| dtype != Dtype::Float32) else { return };
    let round = |value: f32| match dtype {
        Dtype::Float32 => value,
        Dtype::BFloat16 => half::bf16::from_f32(value).to_f32(),
        Dtype::Float16 => half::f16::from_f32(value).to_f32(),
    };
    let (base, merged) = (B::values(&base), B::values(merged));
    for (&base, &merged) in base.as_ref().iter().zip(merged.as_ref()) {
        if base != merged {
            lost.1 += 1;
            lost.0 += u64::from(round(base) == round(merged));
        }
    }
}
