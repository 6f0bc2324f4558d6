//! The certificate of what a stage's loss fell on, so that two runs can be compared without their data.
//!
//! Holds: it is a function of data, tokenizer, template, arguments, seed and the number of steps taken, so neither
//! machine, threads, resumes nor the cut of a batch into passes change a byte of it; no text of a data row is in it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose text a token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenRole {
    /// A document of PT.
    Text,
    System,
    User,
    /// The assistant's turns with their stop tokens.
    Assistant,
    Tool,
    /// What the chat template writes between messages, tools and texts that it rewrote so that no message is left of
    /// them.
    Template,
}

impl TokenRole {
    pub const ALL: [Self; 6] = [Self::Text, Self::System, Self::User, Self::Assistant, Self::Tool, Self::Template];

    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Template => "template",
        }
    }
}

/// Tokens of one role, over all steps that the stage took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleTokens {
    /// Read by the model.
    pub seen: u64,
    /// Of those, with loss. RM: where a score is read, the last token of each side. PPO: none, since its loss falls on
    /// responses that the policy samples, which are in no data.
    pub trained: u64,
}

/// Tokens of the training rows, each counted as often as a step took its row. PPO: of the prompts of the rollouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LossMask {
    pub tokens_seen: u64,
    pub tokens_trained: u64,
    /// Only roles that were seen. A token that holds text of two roles is the user's, system's or tool's before it is
    /// the assistant's: a user's text that bears loss would show.
    pub roles: BTreeMap<TokenRole, RoleTokens>,
    /// Rows of the training files that were cut to `maxLength`.
    pub truncated_rows: u64,
    /// Rows of the training files that were left out.
    pub dropped_rows: u64,
    pub first_batches: FirstBatches,
}

/// A digest of the first optimiser steps' batches (PPO: rollouts' prompts).
///
/// sha256 over the ASCII text `medtrain batches 1` and a newline; then for each step, in order: the number of its rows;
/// for each row, in order: the number of its segments (parts that don't see each other; the two sides of a pair), the
/// length of each, all ids, all labels. Labels are the ids where there is loss and -100 elsewhere, not shifted, as
/// transformers has them. Numbers are 4 bytes, little-endian, unsigned; labels are signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirstBatches {
    /// [`FirstBatches::STEPS`], or all if the stage took fewer.
    pub steps: u64,
    /// 64 hex digits.
    pub sha256: String,
}

impl FirstBatches {
    pub const STEPS: u64 = 8;
}

impl fmt::Display for LossMask {
    /// One line: `50 of 900 tokens trained (user 0 of 300, assistant 50 of 200, …), first 8 batches 0123456789ab`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles: Vec<_> = self
            .roles
            .iter()
            .map(|(role, tokens)| format!("{} {} of {}", role.name(), tokens.trained, tokens.seen))
            .collect();
        let FirstBatches { steps, sha256 } = &self.first_batches;
        write!(
            f,
            "{} of {} tokens trained ({}), first {steps} batches {}",
            self.tokens_trained,
            self.tokens_seen,
            roles.join(", "),
            sha256.get(..12).unwrap_or(sha256)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_called_the_same_in_json_and_in_words() {
        for role in TokenRole::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
    }

    #[test]
    fn the_line_for_people_shows_what_users_wrote_as_untrained() {
        let tokens = |seen, trained| RoleTokens { seen, trained };
        let mask = LossMask {
            tokens_seen: 900,
            tokens_trained: 50,
            roles: BTreeMap::from([(TokenRole::Assistant, tokens(600, 50)), (TokenRole::User, tokens(300, 0))]),
            truncated_rows: 0,
            dropped_rows: 0,
            first_batches: FirstBatches { steps: 8, sha256: "0123456789abcdef".repeat(4) },
        };
        assert_eq!(
            mask.to_string(),
            "50 of 900 tokens trained (user 0 of 300, assistant 50 of 600), first 8 batches 0123456789ab"
        );
    }
}
