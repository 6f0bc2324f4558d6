//! Reward modelling: a score for a whole sequence, from preference pairs.
//!
//! The score is `hidden[last] · w` with `w` the head `score.weight` `[1, h]`; Hugging Face's head has no bias. When the
//! stage ends, scores are brought to mean 0 and standard deviation 1 over the training rows: the scale is folded into
//! the head, the mean is kept beside the model as `reward_mean`. Losses and margins that are logged and evaluated on the
//! way are those of the head before: accuracy is the same after it, a margin is `1/std` times as large.

use medtrain_crds::{
    contract::metrics,
    stage::{RewardArgs, TrainArgs},
};

use super::{
    batch::dropout_keys,
    samples::{self, Sample},
    task::{Evaluation, Outcome, Task, View, Watch},
};
use crate::{
    adapter::Adapter,
    data::{PreferencePair, TokenizedDataset},
    failure::Result,
    generate::rng::{Purpose, Stream},
    model::{Decoder, Gradients, Parameter},
    objective::{
        bradley_terry::{PreferenceBatch, PreferenceTally, preference_batch},
        moments::Moments,
        reward_norm::ScoreNorm,
    },
    ops::{LmBackend, Segments, to_host},
    preflight::Units,
};

/// Name of the head among the parameters and in the checkpoint.
pub const SCORE: &str = "score.weight";

/// A fresh head: N(0, 1/√(h+1)) (Stiennon et al. 2020; the published PPO checklist's item R2).
pub fn init_head<B: LmBackend>(hidden_size: usize, seed: u64, device: &B::Device) -> Parameter<B> {
    let mut weights = vec![0.0; hidden_size];
    let std = 1.0 / ((hidden_size + 1) as f64).sqrt();
    Stream::new(seed, Purpose::Init, u64::from(u32::MAX)).fill_normal(&mut weights, 0, 0.0, std);
    Parameter::new(vec![1, hidden_size], weights, device)
}

/// Scores `[sequences]` of whole sequences, read at their last tokens.
pub fn score_sequences<B: LmBackend>(
    model: &Decoder<B>,
    adapter: Option<&Adapter<B>>,
    head: &Parameter<B>,
    sequences: &[&[u32]],
) -> Vec<f32> {
    let segments = Segments::from_lengths(sequences.iter().map(|ids| ids.len()));
    let hidden = model.hidden(&sequences.concat(), &segments, adapter);
    let last = B::gather_rows(&hidden, &last_rows(&segments));
    to_host(&B::project(&last, &B::freeze(head.matrix())))
}

fn last_rows(segments: &Segments) -> Vec<usize> {
    segments.ranges().map(|range| range.end - 1).collect()
}

pub struct RewardTask {
    pub train: TokenizedDataset,
    pub eval: TokenizedDataset,
    pub units: Units,
    pub args: TrainArgs,
    pub reward: RewardArgs,
    pub seed: u64,
}

impl RewardTask {
    /// Chosen and rejected scores of pairs.
    fn score_pairs<B: LmBackend>(
        view: &View<B>,
        head: &Parameter<B>,
        pairs: &[PreferencePair],
    ) -> (Vec<f32>, Vec<f32>) {
        let sequences: Vec<&[u32]> =
            pairs.iter().flat_map(|pair| [pair.chosen.as_slice(), pair.rejected.as_slice()]).collect();
        let scores = score_sequences(&view.model, view.adapter(), head, &sequences);
        scores.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip()
    }

    /// Brings the head's scores to mean 0 and standard deviation 1 over the training rows: scales `score.weight` and
    /// returns `(mean to subtract after that, standard deviation before)`.
    pub fn normalise<B: LmBackend>(&self, view: &View<B>) -> Result<(Parameter<B>, ScoreNorm)> {
        let head = &view.parameters[SCORE];
        let mut moments = Moments::default();
        let rows: Vec<usize> = (0..self.train.len()).collect();
        for rows in rows.chunks(self.args.per_device_eval_batch_size.max(1) as usize) {
            let pairs = rows.iter().map(|&row| self.train.pair(row)).collect::<Result<Vec<_>>>()?;
            let (chosen, rejected) = Self::score_pairs(view, head, &pairs);
            chosen.iter().chain(&rejected).for_each(|&score| moments.push(f64::from(score)));
        }
        let norm = ScoreNorm::new(&moments)?;
        let scale = norm.head_scale() as f32;
        let weights = head.to_host().iter().map(|w| w * scale).collect();
        Ok((Parameter::new(head.shape.clone(), weights, view.model.device()), norm))
    }
}

impl<B: LmBackend> Task<B> for RewardTask {
    fn total_steps(&self) -> u64 {
        self.units.total_steps()
    }

    fn epoch(&self, step: u64) -> f64 {
        self.units.epoch(step)
    }

    fn gradients(
        &mut self,
        step: u64,
        view: &View<B>,
        gradients: &mut Gradients<B>,
        _watch: &mut Watch,
    ) -> Result<Option<Outcome>> {
        let units = self.units.of_step(step);
        let head = view.parameters[SCORE].matrix();
        let mut tally = PreferenceTally::default();
        let mut tokens = 0;
        for micro in units.chunks(self.args.per_device_train_batch_size.max(1) as usize) {
            let pairs = micro
                .iter()
                .map(|&(epoch, row)| Ok((epoch, row, self.train.pair(row)?)))
                .collect::<Result<Vec<_>>>()?;
            let mut ids = Vec::new();
            let mut keys = Vec::new();
            let mut lengths = Vec::new();
            for (epoch, row, pair) in &pairs {
                for (side, sequence) in [&pair.chosen, &pair.rejected].into_iter().enumerate() {
                    ids.extend_from_slice(sequence);
                    lengths.push(sequence.len());
                    keys.extend(dropout_keys(self.seed, (*epoch, 2 * *row as u64 + side as u64), sequence.len()));
                }
            }
            tokens += ids.len() as u64;
            let segments = Segments::from_lengths(lengths);
            let pass = view.pass(Some(keys.into()), self.args.gradient_checkpointing);
            let step_pairs = units.len() as u64;
            let part =
                view.model.loss_and_grads(&ids, &segments, view.adapter(), &pass, gradients, |hidden, gradients| {
                    let rows = last_rows(&segments);
                    let last = B::gather_rows(hidden, &rows);
                    let frozen = B::freeze(head.clone());
                    let scores = to_host(&B::project(&last, &frozen));
                    let (chosen, rejected): (Vec<f32>, Vec<f32>) =
                        scores.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
                    let batch = PreferenceBatch { chosen: &chosen, rejected: &rejected, margin: None, step_pairs };
                    let outcome = preference_batch(&batch, &self.reward)?;
                    let d_scores: Vec<f32> =
                        outcome.d_chosen.iter().zip(&outcome.d_rejected).flat_map(|(&c, &r)| [c, r]).collect();
                    let d_scores = Parameter::<B>::new(vec![rows.len(), 1], d_scores, view.model.device()).matrix();
                    gradients.add(SCORE.to_owned(), B::project_weight_grad(&d_scores, &last));
                    let d_last = B::project_input_grad(&d_scores, &frozen, None);
                    Ok((outcome.tally, B::scatter_rows(&d_last, &rows, ids.len())))
                })?;
            tally.merge(&part);
        }
        let mut figures = Vec::new();
        figures.extend(tally.accuracy().map(|accuracy| ("accuracy".to_owned(), accuracy)));
        figures.extend(tally.mean_margin().map(|margin| ("margin".to_owned(), margin)));
        Ok(Some(Outcome { loss: tally.loss().unwrap_or(0.0), tokens, update: true, skipped: false, figures }))
    }

    fn evaluate(&mut self, view: &View<B>, watch: &mut Watch) -> Result<Option<Evaluation>> {
        if self.eval.is_empty() {
            return Ok(None);
        }
        let mut tally = PreferenceTally::default();
        let mut evaluation = Evaluation::default();
        let rows: Vec<usize> = (0..self.eval.len()).collect();
        for rows in rows.chunks(self.args.per_device_eval_batch_size.max(1) as usize) {
            if watch.stopped() {
                return Ok(None);
            }
            let pairs = rows.iter().map(|&row| self.eval.pair(row)).collect::<Result<Vec<_>>>()?;
            let (chosen, rejected) = Self::score_pairs(view, &view.parameters[SCORE], &pairs);
            for (&chosen, &rejected) in chosen.iter().zip(&rejected) {
                let margin = f64::from(chosen) - f64::from(rejected);
                // -log σ(m), stable on both sides
                let loss = (-margin).max(0.0) + (-margin.abs()).exp().ln_1p();
                tally.push(loss, f64::from(chosen), f64::from(rejected));
                evaluation.rows.push(loss);
                evaluation.weights.push(1.0);
            }
        }
        let figures = [
            (metrics::EVAL_LOSS, tally.loss()),
            (metrics::EVAL_ACCURACY, tally.accuracy()),
            (metrics::EVAL_MARGIN, tally.mean_margin()),
        ];
        evaluation.figures = figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Ok(Some(evaluation))
    }

    fn samples(&mut self, view: &View<B>, _watch: &mut Watch) -> Result<Vec<Sample>> {
        let rows = 0..self.eval.len().min(samples::COUNT);
        let pairs = rows.map(|row| self.eval.pair(row)).collect::<Result<Vec<_>>>()?;
        let (chosen, rejected) = Self::score_pairs(view, &view.parameters[SCORE], &pairs);
        let scores = chosen.into_iter().zip(rejected);
        let sample = |(row, (pair, (chosen, rejected))): (usize, (PreferencePair, (f32, f32)))| Sample {
            title: format!("{}: chosen {chosen:.3}, rejected {rejected:.3}", self.eval.origin(row)),
            parts: vec![
                ("prompt", pair.chosen[..pair.prompt_len].to_vec()),
                ("chosen", pair.chosen[pair.prompt_len..].to_vec()),
                ("rejected", pair.rejected[pair.prompt_len..].to_vec()),
            ],
        };
        Ok(pairs.into_iter().zip(scores).enumerate().map(sample).collect())
    }

    fn rows_of(&self, step: u64) -> String {
        super::origins(&self.train, self.units.of_step(step).into_iter().map(|(_, row)| row))
    }
}
