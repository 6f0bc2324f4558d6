//! Pre-training and supervised fine-tuning: causal language modelling on the marked tokens.

use medtrain_crds::{contract::metrics, stage::TrainArgs};

use super::{
    batch::PackedBatch,
    samples::{self, Sample},
    task::{Evaluation, Outcome, Task, View, Watch},
};
use crate::{
    data::{Example, TokenizedDataset},
    failure::Result,
    model::Gradients,
    objective::causal_lm::CausalLmTally,
    ops::{LmBackend, TokenScores},
    preflight::Units,
};

pub struct CausalTask {
    pub train: TokenizedDataset,
    pub eval: TokenizedDataset,
    pub units: Units,
    pub args: TrainArgs,
    pub seed: u64,
    /// Tokens that end an answer, for samples.
    pub stop_ids: Vec<u32>,
}

impl CausalTask {
    fn examples(&self, units: &[(u64, usize)]) -> Result<Vec<((u64, u64), Example)>> {
        units
            .iter()
            .flat_map(|&(epoch, unit)| self.units.rows(unit).map(move |row| (epoch, row)))
            .map(|(epoch, row)| Ok(((epoch, row as u64), self.train.row(row)?)))
            .collect()
    }
}

impl<B: LmBackend> Task<B> for CausalTask {
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
        let targets: u64 = units
            .iter()
            .flat_map(|&(_, unit)| self.units.rows(unit))
            .map(|row| u64::from(self.train.loss_tokens(row)))
            .sum();
        let mut outcome = Outcome { update: true, ..Outcome::default() };
        for micro in units.chunks(self.args.per_device_train_batch_size.max(1) as usize) {
            let batch = PackedBatch::new(&self.examples(micro)?, self.seed);
            outcome.tokens += batch.ids.len() as u64;
            if batch.targets.is_empty() {
                continue;
            }
            let weights = vec![-1.0 / targets.max(1) as f32; batch.targets.len()];
            let scores = score_with_grads(view, &batch, &weights, 1.0, self.args.gradient_checkpointing, gradients)?;
            outcome.loss -= scores.logprobs.iter().map(|&l| f64::from(l)).sum::<f64>() / targets.max(1) as f64;
        }
        Ok(Some(outcome))
    }

    fn evaluate(&mut self, view: &View<B>, watch: &mut Watch) -> Result<Option<Evaluation>> {
        if self.eval.is_empty() {
            return Ok(None);
        }
        let mut tally = CausalLmTally::default();
        let mut evaluation = Evaluation::default();
        let rows: Vec<usize> = (0..self.eval.len()).collect();
        for rows in rows.chunks(self.args.per_device_eval_batch_size.max(1) as usize) {
            if watch.stopped() {
                return Ok(None);
            }
            let examples =
                rows.iter().map(|&row| Ok(((0, row as u64), self.eval.row(row)?))).collect::<Result<Vec<_>>>()?;
            let batch = PackedBatch::new(&examples, self.seed);
            let scores = score(view, &batch, 1.0);
            let mut start = 0;
            for &targets in &batch.targets_of {
                let range = start..start + targets;
                let nll: f64 = scores.logprobs[range.clone()].iter().map(|&l| -f64::from(l)).sum();
                let correct = scores.correct[range].iter().filter(|correct| **correct).count() as u64;
                tally.add(nll, correct, targets as u64);
                evaluation.rows.push(nll / targets.max(1) as f64);
                evaluation.weights.push(targets as f64);
                start += targets;
            }
        }
        let figures = [
            (metrics::EVAL_LOSS, tally.loss()),
            (metrics::EVAL_PERPLEXITY, tally.perplexity()),
            (metrics::EVAL_ACCURACY, tally.token_accuracy()),
        ];
        evaluation.figures = figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Ok(Some(evaluation))
    }

    fn samples(&mut self, view: &View<B>, watch: &mut Watch) -> Result<Vec<Sample>> {
        let rows: Vec<usize> = (0..self.eval.len().min(samples::COUNT)).collect();
        let texts = rows.iter().map(|&row| Ok(samples::split(&self.eval.row(row)?))).collect::<Result<Vec<_>>>()?;
        let prompts: Vec<Vec<u32>> = texts.iter().map(|(prompt, _)| prompt.clone()).collect();
        let Some(answers) = samples::answers(view, &prompts, &self.stop_ids, &|| watch.stopped())? else {
            return Ok(Vec::new());
        };
        let all = rows.into_iter().zip(texts).zip(answers);
        Ok(all
            .map(|((row, (prompt, target)), answer)| Sample {
                title: self.eval.origin(row),
                parts: vec![("prompt", prompt), ("answer", answer), ("in the data", target)],
            })
            .collect())
    }

    fn rows_of(&self, step: u64) -> String {
        let units = self.units.of_step(step);
        let rows = units.iter().flat_map(|&(_, unit)| self.units.rows(unit));
        super::origins(&self.train, rows)
    }
}

/// Scores of a batch's targets under the tuned model, without gradients.
pub fn score<B: LmBackend>(view: &View<B>, batch: &PackedBatch, temperature: f32) -> TokenScores {
    let hidden = view.model.hidden(&batch.ids, &batch.segments, view.adapter());
    let picked = B::gather_rows(&hidden, &batch.rows);
    B::token_scores(&picked, view.model.head(view.adapter()), &batch.targets, temperature)
}

/// Scores of a batch's targets and the backward for the given gradients of their log-probabilities.
pub fn score_with_grads<B: LmBackend>(
    view: &View<B>,
    batch: &PackedBatch,
    d_logprobs: &[f32],
    temperature: f32,
    gradient_checkpointing: bool,
    gradients: &mut Gradients<B>,
) -> Result<TokenScores> {
    let pass = view.pass(Some(batch.dropout_keys.clone()), gradient_checkpointing);
    let adapter = view.adapter();
    view.model.loss_and_grads(&batch.ids, &batch.segments, adapter, &pass, gradients, |hidden, gradients| {
        let picked = B::gather_rows(hidden, &batch.rows);
        let head = view.model.head(adapter);
        let want = view.model.head_is_trained(adapter, &pass);
        let (scores, dh, dw) = B::token_scores_backward(&picked, head, &batch.targets, temperature, d_logprobs, want);
        if let Some(dw) = dw {
            gradients.add(view.model.head_name(adapter).to_owned(), dw);
        }
        Ok((scores, B::scatter_rows(&dh, &batch.rows, batch.ids.len())))
    })
}
