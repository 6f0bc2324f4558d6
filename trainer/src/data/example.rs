//! What training reads: token ids with the tokens that carry loss.
//!
//! Holds: `loss_mask` is in label position (Hugging Face's `labels[t] != -100`): a marked token is one to be
//! predicted, so the first token of a segment is never marked.

use serde::{Deserialize, Serialize};

use crate::data::roles::RoleRun;

/// One row of token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub ids: Vec<u32>,
    /// As long as `ids`. PPO prompts mark nothing.
    pub loss_mask: Vec<bool>,
    /// Lengths of the parts that cannot see each other, in order; their sum is `ids.len()`. Positions restart in each.
    pub segments: Vec<u32>,
    /// Tokens before the answer: what both sides of a preference share, or the whole of a PPO prompt; otherwise 0.
    pub prompt_len: u32,
    /// Whose text the tokens hold, in order; of a document, nothing.
    pub roles: Vec<RoleRun>,
}

impl Example {
    /// One segment; the first token's mark is taken off.
    pub fn single(ids: Vec<u32>, mut loss_mask: Vec<bool>) -> Self {
        if let Some(first) = loss_mask.first_mut() {
            *first = false;
        }
        let segments = vec![ids.len() as u32];
        Self { ids, loss_mask, segments, prompt_len: 0, roles: Vec::new() }
    }

    pub fn loss_tokens(&self) -> usize {
        self.loss_mask.iter().filter(|marked| **marked).count()
    }
}

/// The two sides of a preference. Each ends with its stop token, where the reward is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreferencePair {
    pub chosen: Vec<u32>,
    pub rejected: Vec<u32>,
    /// Tokens that both begin with, before either answer.
    pub prompt_len: usize,
}

impl PreferencePair {
    /// As one example for the cache: two segments, the last token of each marked; `roles` are those of both, in order.
    pub fn into_example(self, roles: Vec<RoleRun>) -> Example {
        let segments = vec![self.chosen.len() as u32, self.rejected.len() as u32];
        let ids = [self.chosen, self.rejected].concat();
        let mut loss_mask = vec![false; ids.len()];
        for last in [segments[0] as usize, ids.len()] {
            loss_mask[last - 1] = true;
        }
        Example { ids, loss_mask, segments, prompt_len: self.prompt_len as u32, roles }
    }
}

/// Why a row is not trained on; the counts stand in the report and the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DropReason {
    /// Longer than `maxLength`.
    Overlong,
    /// Truncation would leave no token of an answer.
    PromptTooLong,
    /// No assistant turn, or a document of one token.
    NoLossTokens,
    /// Chosen and rejected are the same.
    IdenticalPair,
}

impl DropReason {
    const ALL: [Self; 4] = [Self::Overlong, Self::PromptTooLong, Self::NoLossTokens, Self::IdenticalPair];

    /// In words, and what to do, for a name that counts have.
    pub fn explain(name: &str) -> &str {
        match Self::ALL.into_iter().find(|reason| reason.name() == name) {
            Some(Self::Overlong) => "longer than train.maxLength; raise it to keep them",
            Some(Self::PromptTooLong) => "the prompt alone fills train.maxLength; raise it to keep them",
            Some(Self::NoLossTokens) => "no token to learn from (no assistant turn, or nothing in it)",
            Some(Self::IdenticalPair) => "chosen and rejected are the same",
            None => name,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Overlong => "overlong",
            Self::PromptTooLong => "promptTooLong",
            Self::NoLossTokens => "noLossTokens",
            Self::IdenticalPair => "identicalPair",
        }
    }
}
