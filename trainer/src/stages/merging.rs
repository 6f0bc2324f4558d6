//! The whole model that a stage leaves: base and adapter merged in f32, checked, rounded, written, read back, checked.
//!
//! Holds: a model directory that this module finished gives the logits of base and adapter: before rounding to 1e-3, or
//! to a few times what f32 itself is uncertain by on these texts where that is more; after rounding with a token KL of at
//! most 1e-2; otherwise the stage fails.

use std::{collections::BTreeMap, path::Path};

use burn::tensor::Tensor;
use medtrain_crds::contract::MergeCheck;
use medtrain_crds::stage::LoraArgs;
use serde_json::{Map, Value, json};

use super::reward::SCORE;
use crate::{
    adapter::{self, Adapter},
    artifact::sha256_hex,
    data::Tokenizer,
    failure::{Failure, Result},
    model::{Decoder, Parameter, Parameters, load},
    ops::{LmBackend, Segments, to_host},
    weights::{Dtype, MAX_SHARD_BYTES, ModelFiles, save_model},
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
        let noise = difference(&expected, &self.one_by_one(adapter.as_ref(), &ids, &segments)).max_logit_diff;
        let tolerance = LOGIT_TOLERANCE.max(NOISE_FACTOR * noise);

        let mut merged = self.model.clone();
        let mut lost = (0_u64, 0_u64);
        if let Some(lora) = self.lora {
            adapter::merge(self.model, lora, self.parameters, |name, weight| {
                count_lost(self.dtype, self.base_of(name), &weight, &mut lost);
                merged.set_weight(name, weight);
            });
        }
        let exact = difference(&expected, &self.outputs(&merged, None, &ids, &segments));
        if !exact.within(tolerance) {
            return Err(Failure::internal(format!(
                "merged weights do not give the logits of base and adapter: largest difference {:.2e}, allowed \
                 {tolerance:.2e}. The model was not written; the adapter in the newest checkpoint is good, please report \
                 this with it",
                exact.max_logit_diff
            )));
        }
        self.save(dir, &merged)?;
        drop(merged);
        let written = load::load::<B>(dir, self.model.max_positions(), self.model.device())?;
        let stored = match self.parameters.contains_key(SCORE) {
            false => self.outputs(&written, None, &ids, &segments),
            true => {
                let (shape, values) = ModelFiles::open(dir)?.read_f32(SCORE)?;
                let head = Parameter::<B>::new(shape, values, self.model.device());
                let hidden = written.hidden(&ids, &segments, None);
                (to_host(&B::project(&hidden, &B::freeze(head.matrix()))), 1)
            }
        };
        let stored = difference(&expected, &stored);
        let drift = if self.parameters.contains_key(SCORE) { stored.mean_logit_diff } else { stored.token_kl };
        // Written so that NaN is too far.
        let near = drift <= KL_LIMIT && stored.max_logit_diff.is_finite();
        let too_far = !near || (self.dtype == Dtype::Float32 && !stored.within(tolerance));
        if too_far {
            return Err(Failure::internal(format!(
                "the merged model read back from disk differs from base and adapter: drift {drift:.2e} (allowed \
                 {KL_LIMIT:.0e}), largest logit difference {:.2e}; set train.saveDtype: float32",
                stored.max_logit_diff
            )));
        }
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
        (to_host(&outputs), outputs.dims()[1])
    }

    /// [`Self::outputs`] of base and adapter with every text in a pass of its own: the same numbers but for the order of
    /// sums inside matrix products.
    fn one_by_one(&self, adapter: Option<&Adapter<B>>, ids: &[u32], segments: &Segments) -> (Vec<f32>, usize) {
        let mut all = (Vec::new(), 1);
        for range in segments.ranges() {
            let alone = Segments::from_lengths([range.len()]);
            let (values, width) = self.outputs(self.model, adapter, &ids[range], &alone);
            all.0.extend(values);
            all.1 = width;
        }
        all
    }

    fn base_of(&self, name: &str) -> Option<Tensor<B, 2>> {
        (0..self.model.config().num_hidden_layers)
            .flat_map(|layer| adapter::Projection::ALL.map(|projection| (layer, projection)))
            .find(|(layer, projection)| name.strip_suffix(".weight") == Some(projection.path(*layer).as_str()))
            .map(|(layer, projection)| B::thaw(self.model.projection(layer, projection)))
    }

    fn save(&self, dir: &Path, merged: &Decoder<B>) -> Result<()> {
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
        save_model(dir, &names, self.dtype, MAX_SHARD_BYTES, |name| Ok(to_host(&tensors[name].1)))?;

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
        super::outputs::write_json(&dir.join("config.json"), &Value::Object(config))
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

impl Difference {
    /// A difference that is no number is not within.
    fn within(&self, tolerance: f64) -> bool {
        self.max_logit_diff <= tolerance
    }
}

/// How far `found` is from `expected`; KL is `Σ p·(log p − log q)` a token with `p` from `expected`, 0 for scores.
fn difference((expected, width): &(Vec<f32>, usize), (found, _): &(Vec<f32>, usize)) -> Difference {
    let (mut largest, mut total, mut kl) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (expected, found) in expected.chunks_exact(*width).zip(found.chunks_exact(*width)) {
        for (&e, &f) in expected.iter().zip(found) {
            let d = (f64::from(e) - f64::from(f)).abs();
            // NaN must not pass as "no difference"
            largest = if d > largest || d.is_nan() { d } else { largest };
            total += d;
        }
        if *width > 1 {
            let log_total = |row: &[f32]| {
                let highest = row.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v));
                f64::from(highest) + row.iter().map(|&v| f64::from(v - highest).exp()).sum::<f64>().ln()
            };
            let (p_total, q_total) = (log_total(expected), log_total(found));
            kl += expected
                .iter()
                .zip(found)
                .map(|(&e, &f)| {
                    let (log_p, log_q) = (f64::from(e) - p_total, f64::from(f) - q_total);
                    log_p.exp() * (log_p - log_q)
                })
                .sum::<f64>();
        }
    }
    Difference {
        max_logit_diff: largest,
        mean_logit_diff: total / expected.len().max(1) as f64,
        token_kl: kl / (expected.len() / width).max(1) as f64,
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
    for (base, merged) in to_host(&base).into_iter().zip(to_host(merged)) {
        if base != merged {
            lost.1 += 1;
            lost.0 += u64::from(round(base) == round(merged));
        }
    }
}
