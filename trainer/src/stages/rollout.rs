//! What PPO learns from: episodes sampled from the policy, scored, with advantages.
//!
//! Holds: an episode's tokens depend on (weights, seed, episode number) alone; log-probabilities and values are those of
//! the forward that training uses, at the sampling temperature and over the whole vocabulary, so the first minibatch's
//! ratio is 1.

use std::collections::BTreeMap;

use medtrain_crds::stage::PpoArgs;
use serde::{Deserialize, Serialize};

use super::{batch::PackedBatch, reward::score_sequences, task::View};
use crate::{
    adapter::Adapter,
    checkpoint::Tensor as Stored,
    data::Example,
    failure::{Failure, Result},
    generate::sampler::Completion,
    model::{Decoder, Parameter, Parameters},
    objective::{
        gae::gae,
        kl::KlReport,
        kl_controller::KlCoefficient,
        moments::{Moments, Variance},
        rewards::{ScoreShaping, shape_score, token_rewards},
        rows::Rows,
        whiten::whiten,
    },
    ops::{LmBackend, to_host},
};

/// A frozen model that scores whole sequences.
pub struct RewardModel<B: LmBackend> {
    pub model: Decoder<B>,
    /// Set when the reward model is an adapter over the policy's own base.
    pub adapter: Option<Adapter<B>>,
    pub head: Parameter<B>,
    /// Subtracted from every score.
    pub mean: f64,
    /// The token that ends an answer.
    pub stop: u32,
}

impl<B: LmBackend> RewardModel<B> {
    /// Normalised scores.
    pub fn score(&self, episodes: &[Episode]) -> Vec<f32> {
        let sequences: Vec<Vec<u32>> = episodes.iter().map(|episode| episode.scored(self.stop)).collect();
        let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
        let scores = score_sequences(&self.model, self.adapter.as_ref(), &self.head, &sequences);
        scores.into_iter().map(|score| (f64::from(score) - self.mean) as f32).collect()
    }
}

/// Names of the value head's parameters.
pub const VALUE_WEIGHT: &str = "v_head.weight";
pub const VALUE_BIAS: &str = "v_head.bias";

/// Values `[n]` of hidden states `[n, h]`.
pub fn values<B: LmBackend>(hidden: &burn::tensor::Tensor<B, 2>, parameters: &Parameters<B>) -> Vec<f32> {
    let bias = parameters[VALUE_BIAS].to_host()[0];
    let weight = B::freeze(parameters[VALUE_WEIGHT].matrix());
    to_host(&B::project(hidden, &weight)).into_iter().map(|value| value + bias).collect()
}

/// One prompt and the policy's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    pub prompt: Vec<u32>,
    pub response: Vec<u32>,
    /// Whether the response ended by itself.
    pub ended: bool,
}

impl Episode {
    pub fn new(prompt: Vec<u32>, completion: Completion) -> Self {
        Self { prompt, ended: completion.finish.is_eos(), response: completion.ids }
    }

    pub fn sequence(&self) -> Vec<u32> {
        [self.prompt.as_slice(), &self.response].concat()
    }

    /// What a reward model reads. It has learnt on whole answers, whose last token is the stop token, so an answer that was
    /// cut off is scored as if it ended there; that it did not is `missingEosPenalty`'s business.
    pub fn scored(&self, stop: u32) -> Vec<u32> {
        let mut ids = self.sequence();
        if !self.ended {
            ids.push(stop);
        }
        ids
    }

    /// As an example whose targets are the response.
    pub fn example(&self) -> Example {
        let mut mask = vec![false; self.prompt.len()];
        mask.resize(self.prompt.len() + self.response.len(), true);
        Example::single(self.sequence(), mask)
    }
}

/// Figures of a rollout as a whole, by their TRL names.
pub type Summary = BTreeMap<String, f64>;

/// Episodes with all that the PPO epochs over them need. Per-token buffers are `[tokens]`: responses one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    pub number: u64,
    pub episodes: Vec<Episode>,
    pub old_logprobs: Vec<f32>,
    pub old_values: Vec<f32>,
    pub advantages: Vec<f32>,
    pub returns: Vec<f32>,
    pub summary: Summary,
}

/// Policy and reference side by side over some episodes.
pub struct Scored {
    pub logprobs: Vec<f32>,
    pub ref_logprobs: Vec<f32>,
    pub values: Vec<f32>,
    pub entropy: f64,
    /// Normalised, unshaped.
    pub scores: Vec<f32>,
}

/// Scores episodes `chunk` at a time.
pub fn score_episodes<B: LmBackend>(
    view: &View<B>,
    reference: &Decoder<B>,
    reward: &RewardModel<B>,
    episodes: &[Episode],
    temperature: f32,
    chunk: usize,
) -> Scored {
    let mut scored = Scored { logprobs: vec![], ref_logprobs: vec![], values: vec![], entropy: 0.0, scores: vec![] };
    for episodes in episodes.chunks(chunk.max(1)) {
        let examples: Vec<_> = episodes.iter().map(|episode| ((0, 0), episode.example())).collect();
        let batch = PackedBatch::new(&examples, 0);
        let hidden = view.model.hidden(&batch.ids, &batch.segments, view.adapter());
        let picked = B::gather_rows(&hidden, &batch.rows);
        let policy = B::token_scores(&picked, view.model.head(view.adapter()), &batch.targets, temperature);
        scored.values.extend(values(&picked, view.parameters));
        scored.entropy += policy.entropies.iter().map(|&e| f64::from(e)).sum::<f64>();
        scored.logprobs.extend(policy.logprobs);
        let hidden = reference.hidden(&batch.ids, &batch.segments, None);
        let picked = B::gather_rows(&hidden, &batch.rows);
        scored
            .ref_logprobs
            .extend(B::token_scores(&picked, reference.head(None), &batch.targets, temperature).logprobs);
        scored.scores.extend(reward.score(episodes));
    }
    scored.entropy /= scored.logprobs.len().max(1) as f64;
    scored
}

impl Rollout {
    /// Rewards, advantages and figures of scored episodes; moves the KL controller on.
    ///
    /// # Errors
    /// 70 when the KL estimate is below what sampling noise can give: policy or reference is not what it should be.
    pub fn new(
        number: u64,
        episodes: Vec<Episode>,
        scored: Scored,
        controller: &mut KlCoefficient,
        ppo: &PpoArgs,
    ) -> Result<Self> {
        let rows = Rows::new(episodes.iter().map(|episode| episode.response.len()));
        let mask = vec![true; rows.tokens()];
        let kl = KlReport::new(&scored.logprobs, &scored.ref_logprobs, &mask, &rows)?;
        if kl.is_impossible() {
            return Err(Failure::internal(format!(
                "rollout {number}: the KL to the reference is {:.3} nats a sequence, which no distribution has; the \
                 sampled log-probabilities do not belong to this policy. Check ppo.temperature, topK and topP (truncated \
                 sampling biases the estimate)",
                kl.k1.mean()
            )));
        }
        let shaping = ScoreShaping::from(ppo);
        let shaped: Vec<f32> = episodes
            .iter()
            .zip(&scored.scores)
            .map(|(episode, &score)| shape_score(score, episode.ended, &shaping))
            .collect();
        let coefficient = controller.value();
        let rewards = token_rewards(&shaped, &scored.logprobs, &scored.ref_logprobs, &mask, &rows, coefficient)?;
        let token_rewards = match ppo.whiten_rewards {
            true => whiten(&rewards.rewards, &mask, Variance::Unbiased, false)?,
            false => rewards.rewards.clone(),
        };
        let estimate = gae(&token_rewards, &scored.values, &mask, &rows, ppo.gamma, ppo.lam)?;
        controller.update(kl.k1.mean(), episodes.len() as u64)?;

        let per_episode = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Moments>();
        let scores = per_episode(&scored.scores);
        let total: f64 = rewards.rewards.iter().map(|&r| f64::from(r)).sum();
        let lengths: Moments = episodes.iter().map(|episode| episode.response.len() as f64).collect();
        let ended = episodes.iter().filter(|episode| episode.ended).count() as f64 / episodes.len() as f64;
        let mut summary = Summary::from([
            ("objective/kl".to_owned(), kl.k1.mean()),
            ("objective/kl_k3".to_owned(), kl.k3.mean()),
            ("objective/kl_coef".to_owned(), coefficient),
            ("objective/entropy".to_owned(), scored.entropy),
            ("objective/scores".to_owned(), scores.mean()),
            ("objective/rlhf_reward".to_owned(), total / episodes.len() as f64),
            ("tokens/responses_len_mean".to_owned(), lengths.mean()),
            ("val/ended".to_owned(), ended),
        ]);
        if let Some(stderr) = kl.k1.stderr() {
            summary.insert("objective/kl_stderr".to_owned(), stderr);
        }
        Ok(Self {
            number,
            episodes,
            old_logprobs: scored.logprobs,
            old_values: scored.values,
            advantages: estimate.advantages,
            returns: estimate.returns,
            summary,
        })
    }

    /// Ranges of each episode's response in the per-token buffers.
    pub fn ranges(&self) -> Vec<std::ops::Range<usize>> {
        Rows::new(self.episodes.iter().map(|episode| episode.response.len())).ranges().collect()
    }

    pub fn save(&self, tensors: &mut BTreeMap<String, Stored>) -> SavedRollout {
        let mut put = |name: &str, values: &[f32]| {
            tensors.insert(format!("rollout/{name}"), Stored::of_f32([values.len()], values));
        };
        put("old_logprobs", &self.old_logprobs);
        put("old_values", &self.old_values);
        put("advantages", &self.advantages);
        put("returns", &self.returns);
        let mut lists = |name: &str, of: fn(&Episode) -> &Vec<u32>| {
            let flat: Vec<u32> = self.episodes.iter().flat_map(|episode| of(episode).iter().copied()).collect();
            tensors.insert(format!("rollout/{name}"), Stored::of_u32([flat.len()], &flat));
            self.episodes.iter().map(|episode| of(episode).len()).collect()
        };
        SavedRollout {
            number: self.number,
            prompt_lengths: lists("prompts", |episode| &episode.prompt),
            response_lengths: lists("responses", |episode| &episode.response),
            ended: self.episodes.iter().map(|episode| episode.ended).collect(),
            summary: self.summary.clone(),
        }
    }

    /// # Errors
    /// 65 when the tensors do not fit the description.
    pub fn load(saved: SavedRollout, tensors: &BTreeMap<String, Stored>) -> Result<Self> {
        let missing =
            |name: &str| Failure::input(format!("checkpoint: rollout tensor \"{name}\" is missing or of another type"));
        let floats =
            |name: &str| tensors.get(&format!("rollout/{name}")).and_then(Stored::to_f32).ok_or_else(|| missing(name));
        let lists = |name: &str, lengths: &[usize]| -> Result<Vec<Vec<u32>>> {
            let flat = tensors.get(&format!("rollout/{name}")).and_then(Stored::to_u32).ok_or_else(|| missing(name))?;
            if flat.len() != lengths.iter().sum::<usize>() {
                return Err(missing(name));
            }
            let mut rest = flat.as_slice();
            Ok(lengths
                .iter()
                .map(|&length| {
                    let (list, tail) = rest.split_at(length);
                    rest = tail;
                    list.to_vec()
                })
                .collect())
        };
        let prompts = lists("prompts", &saved.prompt_lengths)?;
        let responses = lists("responses", &saved.response_lengths)?;
        if prompts.len() != responses.len() || prompts.len() != saved.ended.len() {
            return Err(missing("responses"));
        }
        let episodes = prompts
            .into_iter()
            .zip(responses)
            .zip(saved.ended)
            .map(|((prompt, response), ended)| Episode { prompt, response, ended })
            .collect();
        Ok(Self {
            number: saved.number,
            episodes,
            old_logprobs: floats("old_logprobs")?,
            old_values: floats("old_values")?,
            advantages: floats("advantages")?,
            returns: floats("returns")?,
            summary: saved.summary,
        })
    }
}

/// The part of a rollout that stands in a checkpoint's JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedRollout {
    number: u64,
    prompt_lengths: Vec<usize>,
    response_lengths: Vec<usize>,
    ended: Vec<bool>,
    summary: Summary,
}
