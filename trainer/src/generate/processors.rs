//! From one row of logits to the next token: transformers' processors, in transformers' order, then one draw.
//!
//! Holds: greedy or sampled, the token is a pure function of logits, history, arguments and (seed, sample, position);
//! rows of a batch do not influence each other. A processed logit of −∞ means the token can't be drawn.
//!
//! Order (transformers 5 `GenerationMixin._get_logits_processor`): repetition penalty, minimum of new tokens, and if
//! sampling: temperature, top-k, top-p.

use medtrain_crds::stage::PpoArgs;
use serde::{Deserialize, Serialize};

use super::rng::{Purpose, Stream};
use crate::failure::{Failure, Result};

/// How tokens are chosen; names as in transformers' `GenerationConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SamplingArgs {
    /// Divides the logits; only if sampling.
    pub temperature: f64,
    /// Draw among the k most likely tokens only; 0 = all.
    pub top_k: u32,
    /// Draw among the most likely tokens that hold this share of the probability only; 1 = all.
    pub top_p: f64,
    /// Above 1 makes tokens of prompt and response less likely (Keskar et al. 2019); 1 = off.
    pub repetition_penalty: f64,
    pub min_new_tokens: u32,
    pub max_new_tokens: u32,
    /// false = greedy: the most likely token, the lowest id among equals.
    pub do_sample: bool,
    pub seed: u64,
}

impl SamplingArgs {
    /// Sampling of PPO rollouts.
    pub fn rollout(args: &PpoArgs, seed: u64) -> Self {
        Self {
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            repetition_penalty: 1.0,
            min_new_tokens: args.min_new_tokens,
            max_new_tokens: args.max_new_tokens,
            do_sample: true,
            seed,
        }
    }

    /// The most likely token each time; nothing is drawn.
    pub fn greedy(max_new_tokens: u32) -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            min_new_tokens: 0,
            max_new_tokens,
            do_sample: false,
            seed: 0,
        }
    }

    /// # Errors
    /// Config (64), naming the first argument out of its range.
    pub fn validate(&self) -> Result<()> {
        let Self { temperature, top_p, repetition_penalty, min_new_tokens, max_new_tokens, .. } = self;
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if self.do_sample && !positive(*temperature) {
            return Err(Failure::config(format!(
                "temperature: {temperature} must be above 0; for the most likely token set doSample to false"
            )));
        }
        if !(0.0..=1.0).contains(top_p) {
            return Err(Failure::config(format!("topP: {top_p} must be between 0 and 1 (1 = off)")));
        }
        if !positive(*repetition_penalty) {
            return Err(Failure::config(format!("repetitionPenalty: {repetition_penalty} must be above 0 (1 = off)")));
        }
        if *max_new_tokens == 0 {
            return Err(Failure::config("maxNewTokens: 0 leaves nothing to generate; set 1 or more"));
        }
        if min_new_tokens > max_new_tokens {
            return Err(Failure::config(format!(
                "minNewTokens: {min_new_tokens} is more than maxNewTokens, {max_new_tokens}"
            )));
        }
        Ok(())
    }
}

/// Chooses tokens by one [`SamplingArgs`]; holds only scratch memory, so one serves all rows of a batch.
#[derive(Clone, Debug)]
pub struct Sampler {
    args: SamplingArgs,
    eos: Vec<u32>,
    scratch: Scratch,
}

impl Sampler {
    /// `eos`: the end-of-sequence tokens, which `min_new_tokens` holds back.
    ///
    /// # Errors
    /// As [`SamplingArgs::validate`].
    pub fn new(args: SamplingArgs, eos: Vec<u32>) -> Result<Self> {
        args.validate()?;
        Ok(Self { args, eos, scratch: Scratch::default() })
    }

    pub fn args(&self) -> &SamplingArgs {
        &self.args
    }

    /// Next token of a row; `logits` (`[vocabulary]`) are processed in place.
    ///
    /// `history`: prompt and response so far; `generated`: tokens of the response so far, which is also the position
    /// of the draw; `sample`: global index of the row, the same whatever batch it is in.
    ///
    /// # Errors
    /// Internal (70) if the logits hold NaN or +∞, no token is left, or the history holds an id beyond the vocabulary.
    pub fn next_token(&mut self, logits: &mut [f32], history: &[u32], generated: u32, sample: u64) -> Result<u32> {
        self.process(logits, history, generated)?;
        let token = if self.args.do_sample {
            let stream = Stream::new(self.args.seed, Purpose::Sample, sample);
            inverse_cdf(logits, stream.f64(generated.into()))
        } else {
            argmax(logits)
        };
        token.ok_or_else(|| Failure::internal("no token is left to choose: every logit is −∞"))
    }

    /// The processors alone, in the module's order.
    ///
    /// # Errors
    /// As [`Self::next_token`].
    pub fn process(&mut self, logits: &mut [f32], history: &[u32], generated: u32) -> Result<()> {
        if let Some(token) = logits.iter().position(|logit| logit.is_nan() || *logit == f32::INFINITY) {
            return Err(Failure::internal(format!(
                "the model gave a logit of {} for token {token} at response position {generated}",
                logits[token]
            )));
        }
        let Self { args, eos, scratch } = self;
        if args.repetition_penalty != 1.0 {
            repetition_penalty(logits, history, args.repetition_penalty, scratch)?;
        }
        if generated < args.min_new_tokens {
            suppress(logits, eos);
        }
        if args.do_sample {
            temperature(logits, args.temperature);
            top_k(logits, args.top_k, scratch);
            top_p(logits, args.top_p, scratch);
        }
        Ok(())
    }
}

/// Memory that processors reuse from token to token.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    ids: Vec<u32>,
    logits: Vec<f32>,
    probabilities: Vec<(f32, u32)>,
}

/// Logits of tokens in `history` divided by `penalty` if positive, multiplied if negative, once a token however often
/// it occurs (`RepetitionPenaltyLogitsProcessor`).
///
/// # Errors
/// Internal (70) if `history` holds an id beyond the vocabulary.
pub fn repetition_penalty(logits: &mut [f32], history: &[u32], penalty: f64, scratch: &mut Scratch) -> Result<()> {
    let ids = &mut scratch.ids;
    ids.clear();
    ids.extend_from_slice(history);
    ids.sort_unstable();
    ids.dedup();
    let (penalty, vocabulary) = (penalty as f32, logits.len());
    for &id in ids.iter() {
        let logit = logits.get_mut(id as usize).ok_or_else(|| {
            Failure::internal(format!("the history holds token {id}, but the model's vocabulary has {vocabulary}"))
        })?;
        *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
    }
    Ok(())
}

/// −∞ for `tokens`; ids beyond the vocabulary can't be drawn anyway (`MinNewTokensLengthLogitsProcessor`).
pub fn suppress(logits: &mut [f32], tokens: &[u32]) {
    for &token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

/// Logits divided by `temperature` (`TemperatureLogitsWarper`).
pub fn temperature(logits: &mut [f32], temperature: f64) {
    if temperature != 1.0 {
        let temperature = temperature as f32;
        logits.iter_mut().for_each(|logit| *logit /= temperature);
    }
}

/// −∞ for all below the k-th largest logit; ties with it stay (`TopKLogitsWarper`). k = 0 keeps all.
pub fn top_k(logits: &mut [f32], k: u32, scratch: &mut Scratch) {
    let k = k as usize;
    if k == 0 || k >= logits.len() {
        return;
    }
    scratch.logits.clear();
    scratch.logits.extend_from_slice(logits);
    let (_, kth, _) = scratch.logits.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let kth = *kth;
    logits.iter_mut().filter(|logit| **logit < kth).for_each(|logit| *logit = f32::NEG_INFINITY);
}

/// −∞ for the least likely tokens whose probabilities, added from the smallest, stay at or below `1 − p`; the most
/// likely token always stays (`TopPLogitsWarper`; Holtzman et al. 2020). p = 1 keeps all.
///
/// Sorted ascending and stably, so among equally likely tokens the one with the lower id goes first; the running sum is
/// rounded to f32 before each comparison, as PyTorch's is.
pub fn top_p(logits: &mut [f32], p: f64, scratch: &mut Scratch) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if p >= 1.0 || max == f32::NEG_INFINITY {
        return;
    }
    let weight = |logit: f32| (logit - max).exp();
    let total: f64 = logits.iter().map(|logit| f64::from(weight(*logit))).sum();
    // Tokens so unlikely that all of them together can't reach 1 − p go without being sorted.
    let negligible = 0.5 * (1.0 - p) / logits.len() as f64;
    let mut sum = 0.0_f64;
    let tail = &mut scratch.probabilities;
    tail.clear();
    for (token, logit) in (0..).zip(logits.iter_mut()) {
        let probability = (f64::from(weight(*logit)) / total) as f32;
        if f64::from(probability) < negligible {
            sum += f64::from(probability);
            *logit = f32::NEG_INFINITY;
        } else {
            tail.push((probability, token));
        }
    }
    tail.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    tail.pop();
    let bound = (1.0 - p) as f32;
    for (probability, token) in tail.iter() {
        sum += f64::from(*probability);
        if sum as f32 > bound {
            break;
        }
        logits[*token as usize] = f32::NEG_INFINITY;
    }
}

/// The first of the largest logits; `None` if all are −∞ or there are none.
pub fn argmax(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (token, &logit) in (0..).zip(logits) {
        if logit > best.map_or(f32::NEG_INFINITY, |(_, best)| best) {
            best = Some((token, logit));
        }
    }
    best.map(|(token, _)| token)
}

/// The token at which the cumulative probability of softmax(`logits`) passes `u`, in id order; `None` if all are −∞.
///
/// `u` is in [0, 1). Sums in f64, in id order.
pub fn inverse_cdf(logits: &[f32], u: f64) -> Option<u32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::NEG_INFINITY {
        return None;
    }
    let weight = |logit: f32| (f64::from(logit) - f64::from(max)).exp();
    let target = u * logits.iter().map(|logit| weight(*logit)).sum::<f64>();
    let mut sum = 0.0;
    let mut last = None;
    for (token, logit) in (0..).zip(logits).filter(|(_, logit)| **logit > f32::NEG_INFINITY) {
        sum += weight(*logit);
        last = Some(token);
        if sum > target {
            break;
        }
    }
    last
}
