//! Batched generation over the KV cache, for PPO's rollouts and for `medtrain generate`.
//!
//! `batch` sequences are under way at once. One that ends gives its slot to the next request at once, so short answers
//! do not wait for long ones; prompts that enter together are prefilled in one packed pass.
//!
//! Holds: completions come in the order of the requests; the random numbers of a request depend on (seed, stream,
//! position) alone and its logits on its own tokens alone, so the batch that it runs in changes f32 rounding at most;
//! memory is bounded by `batch` and the longest request.

use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;

use super::{
    processors::{Sampler, SamplingArgs},
    stop::{FinishReason, StopRules, StopState},
};
use crate::{
    adapter::Adapter,
    data::{DecodeStream, Tokenizer},
    failure::{Failure, Result},
    model::{Decoder, KvCache},
    ops::{LmBackend, Segments, to_host},
};

/// Prompt tokens that one prefill takes at most (one longer prompt runs alone): bounds the memory of activations.
const PREFILL_TOKENS: usize = 2048;

/// A prompt to be continued.
#[derive(Clone, Debug)]
pub struct Request {
    /// At least one token.
    pub ids: Vec<u32>,
    /// Global index of the sample: which random numbers it draws.
    pub stream: u64,
}

/// What the model answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// New tokens, the one that ended the response included.
    pub ids: Vec<u32>,
    /// The shown text, without stop string, end-of-sequence token and a character cut off by the end; empty without a
    /// tokenizer.
    pub text: String,
    pub finish: FinishReason,
}

/// A token as it comes.
#[derive(Clone, Copy, Debug)]
pub struct NewToken<'a> {
    /// Index of the request.
    pub request: usize,
    pub id: u32,
    /// Text that may be shown now; text that may become a stop string, or an incomplete character, comes later.
    pub text: &'a str,
    /// Set with the last token.
    pub finish: Option<FinishReason>,
}

/// How a list of requests is answered.
#[derive(Clone, Copy)]
pub struct Generation<'a, B: LmBackend> {
    pub model: &'a Decoder<B>,
    pub adapter: Option<&'a Adapter<B>>,
    pub args: &'a SamplingArgs,
    pub stop: &'a StopRules,
    /// Turns tokens to text; PPO needs none. Stop strings do.
    pub tokenizer: Option<&'a Tokenizer>,
    /// Sequences under way at once; 0 counts as 1.
    pub batch: usize,
}

impl<B: LmBackend> Generation<'_, B> {
    /// Answers all requests; `None` if `interrupted` said so, which is asked before every token.
    ///
    /// A response ends with [`FinishReason::Length`] where prompt and response fill the model's context.
    ///
    /// # Errors
    /// Config (64) for arguments out of range; input (65) for a prompt that is empty, fills the context or holds a token
    /// beyond the vocabulary, naming the request by its index; internal (70) for logits that are no numbers.
    pub fn run(
        &self,
        requests: &[Request],
        on_token: &mut dyn FnMut(NewToken),
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Completion>>> {
        let mut waiting = self.prepare(requests)?.into_iter().peekable();
        let slots = self.batch.clamp(1, requests.len().max(1));
        let capacity = requests.iter().map(|request| request.ids.len() + self.room(request)).max().unwrap_or(0);
        let mut cache = KvCache::new(self.model.config(), slots, capacity, self.model.device());
        let mut free: Vec<usize> = (0..slots).rev().collect();
        let mut running: Vec<Sequence> = Vec::with_capacity(slots);
        let mut done: Vec<Option<Completion>> = vec![None; requests.len()];
        while waiting.peek().is_some() || !running.is_empty() {
            if interrupted() {
                return Ok(None);
            }
            let old = running.len();
            let mut tokens = 0;
            while let Some(&slot) = free.last() {
                let fits = |next: &Sequence| tokens == 0 || tokens + next.history.len() <= PREFILL_TOKENS;
                let Some(next) = waiting.next_if(fits) else { break };
                free.pop();
                tokens += next.history.len();
                running.push(Sequence { slot, ..next });
            }
            let (first, logits) = match running.len() > old {
                true => (old, self.prefill(&running[old..], &mut cache)),
                false => (0, self.decode(&running, &mut cache)),
            };
            advance(&mut running[first..], &logits, on_token)?;
            for ended in running.extract_if(.., |sequence| sequence.stop.finish().is_some()) {
                free.push(ended.slot);
                let request = ended.request;
                done[request] = ended.completion();
            }
        }
        Ok(Some(done.into_iter().map(|completion| completion.expect("every request ran to its end")).collect()))
    }

    /// New tokens that the context has room for after the prompt. The last one is never fed back, but transformers
    /// counts it too.
    fn room(&self, request: &Request) -> usize {
        let left = self.model.max_positions().saturating_sub(request.ids.len());
        left.min(self.stop.max_new_tokens().min(self.args.max_new_tokens) as usize)
    }

    fn prepare(&self, requests: &[Request]) -> Result<Vec<Sequence<'_>>> {
        if self.stop.reads_text() && self.tokenizer.is_none() {
            return Err(Failure::internal("stop strings were given, but no tokenizer to read text with"));
        }
        let sampler = Sampler::new(self.args.clone(), self.stop.eos().to_vec())?;
        let sequence = |(index, request): (usize, &Request)| {
            self.check(request).map_err(|failure| failure.at(format_args!("prompt {index}")))?;
            Ok(Sequence {
                request: index,
                slot: usize::MAX,
                stream: request.stream,
                history: request.ids.clone(),
                prompt: request.ids.len(),
                sampler: sampler.clone(),
                stop: self.stop.start_within(self.room(request) as u32),
                decoder: self.tokenizer.map(|tokenizer| DecodeStream::new(tokenizer, true)),
                text: String::new(),
            })
        };
        requests.iter().enumerate().map(sequence).collect()
    }

    fn check(&self, request: &Request) -> Result<()> {
        let (tokens, context) = (request.ids.len(), self.model.max_positions());
        if tokens == 0 {
            return Err(Failure::input("it has no tokens; a prompt needs at least one, such as BOS"));
        }
        if tokens >= context {
            return Err(Failure::input(format!(
                "its {tokens} tokens leave no room for an answer in the context of {context} tokens; shorten it"
            )));
        }
        let vocabulary = self.model.config().vocab_size;
        match request.ids.iter().find(|&&id| id as usize >= vocabulary) {
            None => Ok(()),
            Some(id) => Err(Failure::input(format!(
                "token id {id} is beyond the model's vocabulary of {vocabulary}; the tokenizer belongs to another model"
            ))),
        }
    }

    /// Logits `[sequences, vocab]` after the prompts.
    fn prefill(&self, entering: &[Sequence], cache: &mut KvCache<B>) -> Tensor<B, 2> {
        let ids: Vec<u32> = entering.iter().flat_map(|sequence| sequence.history.iter().copied()).collect();
        let segments = Segments::from_lengths(entering.iter().map(|sequence| sequence.history.len()));
        let slots: Vec<usize> = entering.iter().map(|sequence| sequence.slot).collect();
        let hidden = self.model.prefill(&ids, &segments, &slots, self.adapter, cache);
        let last: Vec<i32> = segments.ranges().map(|range| range.end as i32 - 1).collect();
        let last = TensorData::new(last, [entering.len()]);
        let last = Tensor::<B, 1, Int>::from_data(last, self.model.device());
        self.model.logits(&hidden.select(0, last), self.adapter)
    }

    /// Logits `[sequences, vocab]` after the newest tokens.
    fn decode(&self, running: &[Sequence], cache: &mut KvCache<B>) -> Tensor<B, 2> {
        let ids: Vec<u32> = running.iter().map(Sequence::newest).collect();
        let slots: Vec<usize> = running.iter().map(|sequence| sequence.slot).collect();
        let hidden = self.model.decode(&ids, &slots, self.adapter, cache);
        self.model.logits(&hidden, self.adapter)
    }
}

/// Chooses the next token of each sequence by its row of `logits`.
fn advance<B: LmBackend>(
    sequences: &mut [Sequence],
    logits: &Tensor<B, 2>,
    on_token: &mut dyn FnMut(NewToken),
) -> Result<()> {
    let vocabulary = logits.dims()[1];
    let mut logits = to_host(logits);
    let chosen: Vec<Result<u32>> = logits
        .par_chunks_mut(vocabulary)
        .zip(sequences.par_iter_mut())
        .map(|(logits, sequence)| sequence.choose(logits))
        .collect();
    for (sequence, token) in sequences.iter_mut().zip(chosen) {
        sequence.push(token?, on_token)?;
    }
    Ok(())
}

/// A request from its prompt to the end of its response.
struct Sequence<'a> {
    request: usize,
    slot: usize,
    stream: u64,
    /// Prompt and response so far.
    history: Vec<u32>,
    /// Length of the prompt.
    prompt: usize,
    sampler: Sampler,
    stop: StopState<'a>,
    decoder: Option<DecodeStream<'a>>,
    text: String,
}

impl Sequence<'_> {
    fn newest(&self) -> u32 {
        self.history[self.history.len() - 1]
    }

    fn choose(&mut self, logits: &mut [f32]) -> Result<u32> {
        self.sampler
            .next_token(logits, &self.history, self.stop.tokens(), self.stream)
            .map_err(|failure| failure.at(format_args!("prompt {}", self.request)))
    }

    fn push(&mut self, id: u32, on_token: &mut dyn FnMut(NewToken)) -> Result<()> {
        self.history.push(id);
        let piece = match &mut self.decoder {
            Some(decoder) if !self.stop.ends_with(id) => decoder.push(id)?.unwrap_or_default(),
            _ => String::new(),
        };
        let mut step = self.stop.push(id, &piece);
        if matches!(step.finish, Some(FinishReason::Eos | FinishReason::Length))
            && let Some(decoder) = self.decoder.take()
        {
            step.text.push_str(decoder.finish()?.trim_end_matches(char::REPLACEMENT_CHARACTER));
        }
        self.text.push_str(&step.text);
        on_token(NewToken { request: self.request, id, text: &step.text, finish: step.finish });
        Ok(())
    }

    /// `None` while the response has not ended.
    fn completion(mut self) -> Option<Completion> {
        let ids = self.history.split_off(self.prompt);
        Some(Completion { ids, text: self.text, finish: self.stop.finish()? })
    }
}
