//! PPO against a reward model (Schulman et al. 2017; Ziegler et al. 2019 for language).
//!
//! A step of the shared loop is one minibatch; a rollout of `batchSize` episodes feeds `numPpoEpochs` passes of
//! `batchSize / miniBatchSize` steps each. Policy, reference and value head share one base, and so does the reward model
//! when it is an adapter over it. Dropout is off.

use std::collections::BTreeMap;

use medtrain_crds::{
    contract::{Phase, metrics},
    stage::{PpoArgs, TrainArgs, VHeadInitStrategy},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    batch::PackedBatch,
    rollout::{Episode, RewardModel, Rollout, SavedRollout, Scored, VALUE_BIAS, VALUE_WEIGHT, score_episodes, values},
    samples::{self, Sample},
    task::{Evaluation, Outcome, Task, View, Watch},
};
use crate::{
    checkpoint::Tensor as Stored,
    data::{Sampler, TokenizedDataset},
    failure::{Failure, Result},
    generate::{
        processors::SamplingArgs,
        rng::{Purpose, Stream, pair},
        sampler::{Generation, NewToken, Request},
        stop::StopRules,
    },
    model::{Decoder, Gradients, Parameter, Parameters},
    objective::{
        kl::KlReport,
        kl_controller::KlCoefficient,
        moments::{Moments, Variance},
        ppo::{PpoMinibatch, PpoTally, early_stop, ppo_minibatch},
        rows::Rows,
        whiten::whiten,
    },
    ops::LmBackend,
    preflight::PpoSteps,
};

/// Held-out episodes draw from streams of their own, the same before and after training.
const EVAL_STREAM: u64 = 1 << 63;

/// Sequences sampled at once: bounds the KV cache.
const ROLLOUT_SLOTS: usize = 64;

pub struct PpoTask<B: LmBackend> {
    pub prompts: TokenizedDataset,
    pub eval: TokenizedDataset,
    pub args: TrainArgs,
    pub ppo: PpoArgs,
    pub seed: u64,
    pub reference: Decoder<B>,
    pub reward: RewardModel<B>,
    /// Tokens that end a response.
    pub stop_ids: Vec<u32>,
    state: State,
    /// Of the last evaluation, if samples are shown.
    held_out: Vec<Sample>,
}

/// Everything that changes from step to step besides parameters.
struct State {
    controller: KlCoefficient,
    rollout: Option<Rollout>,
    /// The early stop has ended this rollout's epochs.
    ended_early: bool,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    controller: KlCoefficient,
    rollout: Option<SavedRollout>,
    ended_early: bool,
}

/// The value head's fresh parameters. With zeros the first advantages are the rewards' own (checklist item P2);
/// `Uniform` is what `torch.nn.Linear` starts with, ±1/√hidden for weights and bias, as TRL 0.4 left it.
pub fn init_value_head<B: LmBackend>(
    parameters: &mut Parameters<B>,
    hidden_size: usize,
    strategy: VHeadInitStrategy,
    seed: u64,
    device: &B::Device,
) {
    let mut values = vec![0.0; hidden_size + 1];
    if strategy == VHeadInitStrategy::Uniform {
        let stream = Stream::new(seed, Purpose::Init, u64::from(u32::MAX));
        stream.fill_kaiming_uniform(&mut values, 0, hidden_size, 5.0_f64.sqrt());
    }
    let bias = values.split_off(hidden_size);
    parameters.insert(VALUE_WEIGHT.into(), Parameter::new(vec![1, hidden_size], values, device));
    parameters.insert(VALUE_BIAS.into(), Parameter::new(vec![1], bias, device));
}

impl<B: LmBackend> PpoTask<B> {
    pub fn new(
        prompts: TokenizedDataset,
        eval: TokenizedDataset,
        args: TrainArgs,
        ppo: PpoArgs,
        seed: u64,
        reference: Decoder<B>,
        reward: RewardModel<B>,
        stop_ids: Vec<u32>,
    ) -> Result<Self> {
        let state = State { controller: KlCoefficient::new(&ppo)?, rollout: None, ended_early: false };
        Ok(Self { prompts, eval, args, ppo, seed, reference, reward, stop_ids, state, held_out: Vec::new() })
    }

    pub(super) fn steps(&self) -> PpoSteps {
        PpoSteps::new(self.prompts.len(), &self.args, &self.ppo)
    }

    /// Rows of the prompts of rollout `number`.
    pub(super) fn rows(&self, number: u64) -> Vec<usize> {
        let sampler = Sampler::new(self.prompts.len(), self.seed);
        let batch = u64::from(self.ppo.batch_size);
        (number * batch..(number + 1) * batch).map(|episode| sampler.sample(episode)).collect()
    }

    /// Episodes of the given prompts; `None` = interrupted.
    fn sample(
        &self,
        view: &View<B>,
        prompts: &[Vec<u32>],
        first_stream: u64,
        watch: &mut Watch,
    ) -> Result<Option<Vec<Episode>>> {
        let requests: Vec<Request> = prompts
            .iter()
            .enumerate()
            .map(|(index, ids)| Request { ids: ids.clone(), stream: first_stream + index as u64 })
            .collect();
        let sampling = SamplingArgs::rollout(&self.ppo, self.seed);
        let rules = StopRules::new(self.stop_ids.clone(), Vec::new(), self.ppo.max_new_tokens)?;
        let generation = Generation {
            model: &view.model,
            adapter: view.adapter(),
            args: &sampling,
            stop: &rules,
            tokenizer: None,
            batch: requests.len().min(ROLLOUT_SLOTS),
        };
        let Watch { monitor, stop } = watch;
        let mut sampled = 0;
        let mut count = |token: NewToken| {
            sampled += size_of_val(&token.id) as u64;
            monitor.bytes(sampled);
        };
        let completions = generation.run(&requests, &mut count, &|| stop.stop_requested())?;
        Ok(completions.map(|completions| {
            prompts.iter().zip(completions).map(|(prompt, done)| Episode::new(prompt.clone(), done)).collect()
        }))
    }

    /// Whether figures are logged at a step of rollout `number`.
    fn is_logged(&self, number: u64) -> bool {
        let steps = self.steps();
        let (first, every) = (number * steps.per_rollout, u64::from(self.args.logging_steps.max(1)));
        let last = first + steps.per_rollout;
        last / every > first / every || last == steps.total_steps() || (first == 0 && self.args.logging_first_step)
    }

    fn chunk(&self) -> usize {
        self.args.per_device_eval_batch_size.max(1) as usize
    }

    /// The rollout that `step` belongs to, made now if it is not there yet; `None` = interrupted.
    fn ensure_rollout(&mut self, number: u64, view: &View<B>, watch: &mut Watch) -> Result<Option<bool>> {
        if self.state.rollout.as_ref().is_some_and(|rollout| rollout.number == number) {
            return Ok(Some(false));
        }
        let prompts =
            self.rows(number).into_iter().map(|row| Ok(self.prompts.row(row)?.ids)).collect::<Result<Vec<_>>>()?;
        let first = number * u64::from(self.ppo.batch_size);
        watch.monitor.phase(Phase::Rollout);
        let Some(episodes) = self.sample(view, &prompts, first, watch)? else { return Ok(None) };
        let temperature = self.ppo.temperature as f32;
        let scored = score_episodes(view, &self.reference, &self.reward, &episodes, temperature, self.chunk());
        if watch.monitor.shows_samples() && self.is_logged(number) {
            let samples = shown(&self.prompts, &self.rows(number), &episodes, &scored.scores);
            watch.monitor.samples("rollout", number * self.steps().per_rollout + 1, &samples)?;
        }
        self.begin(number, episodes, scored)?;
        watch.monitor.phase(Phase::Training);
        Ok(Some(true))
    }

    /// Makes these episodes the rollout that the next PPO epochs are over.
    ///
    /// # Errors
    /// As [`Rollout::new`].
    pub(super) fn begin(&mut self, number: u64, episodes: Vec<Episode>, scored: Scored) -> Result<()> {
        self.state.rollout = Some(Rollout::new(number, episodes, scored, &mut self.state.controller, &self.ppo)?);
        self.state.ended_early = false;
        Ok(())
    }

    /// Episodes by the minibatches of a PPO epoch over rollout `number`.
    pub(super) fn minibatches(&self, number: u64, epoch: u64) -> Vec<Vec<usize>> {
        let order = Stream::new(self.seed, Purpose::Minibatch, pair(number as u32, epoch as u32))
            .permutation(self.ppo.batch_size as usize);
        order.chunks(self.ppo.mini_batch_size as usize).map(<[usize]>::to_vec).collect()
    }

    /// Gradients of one micro-batch of a minibatch.
    fn micro_batch(
        &self,
        view: &View<B>,
        rollout: &Rollout,
        episodes: &[usize],
        advantages: &[f32],
        minibatch_tokens: u64,
        gradients: &mut Gradients<B>,
    ) -> Result<(PpoTally, u64)> {
        let ranges = rollout.ranges();
        let examples: Vec<_> = episodes.iter().map(|&episode| ((0, 0), rollout.episodes[episode].example())).collect();
        let batch = PackedBatch::new(&examples, self.seed);
        let take = |values: &[f32]| -> Vec<f32> {
            episodes.iter().flat_map(|&episode| values[ranges[episode].clone()].iter().copied()).collect()
        };
        let (old_logprobs, old_values) = (take(&rollout.old_logprobs), take(&rollout.old_values));
        let returns = take(&rollout.returns);
        let mask = vec![true; batch.targets.len()];
        let temperature = self.ppo.temperature as f32;
        let adapter = view.adapter();
        let pass = view.pass(None, self.args.gradient_checkpointing);
        let tally = view.model.loss_and_grads(
            &batch.ids,
            &batch.segments,
            adapter,
            &pass,
            gradients,
            |hidden, gradients| {
                let picked = B::gather_rows(hidden, &batch.rows);
                let head = view.model.head(adapter);
                let logprobs = B::token_scores(&picked, head, &batch.targets, temperature).logprobs;
                let new_values = values(&picked, view.parameters);
                let outcome = ppo_minibatch(
                    &PpoMinibatch {
                        logprobs: &logprobs,
                        old_logprobs: &old_logprobs,
                        advantages,
                        values: &new_values,
                        old_values: &old_values,
                        returns: &returns,
                        mask: &mask,
                        minibatch_tokens,
                    },
                    &self.ppo,
                )?;
                let want = view.model.head_is_trained(adapter, &pass);
                let (_, dh, dw) =
                    B::token_scores_backward(&picked, head, &batch.targets, temperature, &outcome.d_logprobs, want);
                if let Some(dw) = dw {
                    gradients.add(view.model.head_name(adapter).to_owned(), dw);
                }
                let n = outcome.d_values.len();
                let d_values = Parameter::<B>::new(vec![n, 1], outcome.d_values, view.model.device()).matrix();
                gradients.add(VALUE_WEIGHT.into(), B::project_weight_grad(&d_values, &picked));
                gradients.add(VALUE_BIAS.into(), B::sum_rows(&d_values));
                let weight = B::freeze(view.parameters[VALUE_WEIGHT].matrix());
                let dh = B::project_input_grad(&d_values, &weight, Some(dh));
                Ok((outcome.tally, B::scatter_rows(&dh, &batch.rows, batch.ids.len())))
            },
        )?;
        Ok((tally, batch.ids.len() as u64))
    }
}

/// The first episodes, which are over `rows` of `data`, with their scores.
fn shown(data: &TokenizedDataset, rows: &[usize], episodes: &[Episode], scores: &[f32]) -> Vec<Sample> {
    let episodes = rows.iter().zip(episodes).zip(scores).take(samples::COUNT);
    let sample = |((row, episode), score): ((&usize, &Episode), &f32)| Sample {
        title: format!("{}: score {score:.3}", data.origin(*row)),
        parts: vec![("prompt", episode.prompt.clone()), ("answer", episode.response.clone())],
    };
    episodes.map(sample).collect()
}

impl<B: LmBackend> Task<B> for PpoTask<B> {
    fn total_steps(&self) -> u64 {
        self.steps().total_steps()
    }

    fn epoch(&self, step: u64) -> f64 {
        let steps = self.steps();
        (step.div_ceil(steps.per_rollout) * steps.batch) as f64 / self.prompts.len().max(1) as f64
    }

    fn gradients(
        &mut self,
        step: u64,
        view: &View<B>,
        gradients: &mut Gradients<B>,
        watch: &mut Watch,
    ) -> Result<Option<Outcome>> {
        let per_rollout = self.steps().per_rollout;
        let (number, inner) = (step / per_rollout, step % per_rollout);
        let Some(fresh) = self.ensure_rollout(number, view, watch)? else { return Ok(None) };
        let mut outcome = Outcome::default();
        if self.state.ended_early {
            outcome.skipped = true;
            return Ok(Some(outcome));
        }
        let Some(rollout) = &self.state.rollout else {
            return Err(Failure::internal("a PPO step without a rollout"));
        };
        if fresh {
            outcome.figures.extend(rollout.summary.iter().map(|(name, &value)| (name.clone(), value)));
            outcome.tokens += rollout.old_logprobs.len() as u64;
        }
        let minibatches = per_rollout / u64::from(self.ppo.num_ppo_epochs);
        let (epoch, minibatch) = (inner / minibatches, (inner % minibatches) as usize);
        let episodes = &self.minibatches(number, epoch)[minibatch];
        let tokens: usize = episodes.iter().map(|&episode| rollout.episodes[episode].response.len()).sum();
        let ranges = rollout.ranges();
        let mut advantages: Vec<f32> =
            episodes.iter().flat_map(|&episode| rollout.advantages[ranges[episode].clone()].iter().copied()).collect();
        if self.ppo.whiten_advantages {
            advantages = whiten(&advantages, &vec![true; tokens], Variance::Unbiased, true)?;
        }
        let mut rest = advantages.as_slice();
        let mut tally = PpoTally::default();
        for micro in episodes.chunks(self.args.per_device_train_batch_size.max(1) as usize) {
            let length: usize = micro.iter().map(|&episode| ranges[episode].len()).sum();
            let (now, later) = rest.split_at(length);
            rest = later;
            let (part, read) = self.micro_batch(view, rollout, micro, now, tokens as u64, gradients)?;
            tally.merge(&part);
            outcome.tokens += read;
        }
        if let Some(stats) = tally.stats(self.ppo.vf_coef) {
            outcome.loss = stats.total_loss;
            self.state.ended_early = early_stop(stats.policykl, &self.ppo);
            outcome.update = !self.state.ended_early || self.ppo.early_stopping_after_step;
            let figures = [
                (metrics::PPO_POLICY_LOSS, stats.policy_loss),
                (metrics::PPO_VALUE_LOSS, stats.value_loss),
                (metrics::PPO_APPROX_KL, stats.approxkl),
                (metrics::PPO_CLIP_FRACTION, stats.policy_clipfrac),
                (metrics::PPO_VALUE_CLIP_FRACTION, stats.value_clipfrac),
                ("policy/ratio", stats.ratio),
            ];
            let explained = stats.var_explained.map(|value| (metrics::PPO_EXPLAINED_VARIANCE, value));
            outcome.figures.extend(figures.into_iter().chain(explained).map(|(name, value)| (name.to_owned(), value)));
        }
        Ok(Some(outcome))
    }

    /// Mean normalised score of one sampled answer to each held-out prompt, and the policy's KL on these answers.
    fn evaluate(&mut self, view: &View<B>, watch: &mut Watch) -> Result<Option<Evaluation>> {
        if self.eval.is_empty() {
            return Ok(None);
        }
        let prompts = (0..self.eval.len()).map(|row| Ok(self.eval.row(row)?.ids)).collect::<Result<Vec<_>>>()?;
        let Some(episodes) = self.sample(view, &prompts, EVAL_STREAM, watch)? else { return Ok(None) };
        let temperature = self.ppo.temperature as f32;
        let scored = score_episodes(view, &self.reference, &self.reward, &episodes, temperature, self.chunk());
        if watch.monitor.shows_samples() {
            let rows: Vec<usize> = (0..self.eval.len()).collect();
            self.held_out = shown(&self.eval, &rows, &episodes, &scored.scores);
        }
        let rows = Rows::new(episodes.iter().map(|episode| episode.response.len()));
        let kl = KlReport::new(&scored.logprobs, &scored.ref_logprobs, &vec![true; rows.tokens()], &rows)?;
        let scores: Vec<f64> = scored.scores.iter().map(|&score| f64::from(score)).collect();
        let lengths: Moments = episodes.iter().map(|episode| episode.response.len() as f64).collect();
        let mut figures = BTreeMap::from([
            (metrics::EVAL_REWARD.to_owned(), scores.iter().copied().collect::<Moments>().mean()),
            ("eval_kl".to_owned(), kl.k1.mean()),
            ("eval_kl_k3".to_owned(), kl.k3.mean()),
            ("eval_response_length".to_owned(), lengths.mean()),
        ]);
        if let Some(stderr) = kl.k1.stderr() {
            figures.insert("eval_kl_stderr".to_owned(), stderr);
        }
        Ok(Some(Evaluation { figures, weights: vec![1.0; scores.len()], rows: scores }))
    }

    fn samples(&mut self, _view: &View<B>, _watch: &mut Watch) -> Result<Vec<Sample>> {
        Ok(std::mem::take(&mut self.held_out))
    }

    fn rows_of(&self, step: u64) -> String {
        super::origins(&self.prompts, self.rows(step / self.steps().per_rollout).into_iter())
    }

    fn save(&self, tensors: &mut BTreeMap<String, Stored>) -> Value {
        let saved = Saved {
            controller: self.state.controller,
            rollout: self.state.rollout.as_ref().map(|rollout| rollout.save(tensors)),
            ended_early: self.state.ended_early,
        };
        serde_json::to_value(saved).expect("plain data under string keys is JSON")
    }

    fn load(&mut self, state: &Value, tensors: &BTreeMap<String, Stored>) -> Result<()> {
        let saved: Saved = serde_json::from_value(state.clone())
            .map_err(|error| Failure::input(format!("checkpoint: PPO state is not readable: {error}")))?;
        self.state = State {
            controller: saved.controller,
            rollout: saved.rollout.map(|rollout| Rollout::load(rollout, tensors)).transpose()?,
            ended_early: saved.ended_early,
        };
        Ok(())
    }
}
