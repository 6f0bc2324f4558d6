//! Stage kinds and their hyperparameters.
//!
//! Names are the Hugging Face / TRL names in camelCase. The `…Args` types are fully resolved: plans hold them and
//! stage keys are computed from them. The `…Spec` types have every field optional: people write those. One table
//! ([`Section::parameters`]) states type, range, default and meaning of each hyperparameter.

mod args;
mod decimal;
mod parameters;
mod preset;
pub mod reference;
mod table;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use args::{
    BestMetric, Dtype, IntervalStrategy, KlController, LoraArgs, LrSchedulerType, OverlongPolicy, PpoArgs, PpoPreset,
    RewardArgs, TrainArgs, Tuning, VHeadInitStrategy,
};
pub use decimal::{Decimal, DecimalError};
pub use parameters::{LORA, LoraSpec, PPO, PpoSpec, REWARD, RewardSpec, TRAIN, TrainSpec};
pub use preset::PresetValue;
pub use table::{Defaults, InKey, Literal, Parameter, Range, Section, Type};
pub(crate) use table::{found, nearest, plain_name};

/// What a stage trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StageKind {
    /// Continued pre-training on plain documents.
    PT,
    /// Supervised fine-tuning on dialogues.
    SFT,
    /// Reward modelling on preference pairs.
    RM,
    /// Proximal policy optimisation against a reward model.
    PPO,
}

impl StageKind {
    pub const ALL: [Self; 4] = [Self::PT, Self::SFT, Self::RM, Self::PPO];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PT => "PT",
            Self::SFT => "SFT",
            Self::RM => "RM",
            Self::PPO => "PPO",
        }
    }

    /// As in paths and metric labels.
    pub fn lower(self) -> &'static str {
        match self {
            Self::PT => "pt",
            Self::SFT => "sft",
            Self::RM => "rm",
            Self::PPO => "ppo",
        }
    }

    /// Version of the kind's numbers, part of every stage key: raise it when the same inputs give other weights.
    pub fn recipe(self) -> u32 {
        match self {
            Self::PT | Self::SFT | Self::RM | Self::PPO => 1,
        }
    }
}

impl fmt::Display for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The shape of a data file's rows; found out by the first row unless the resource names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataFormat {
    /// Plain text, a document a line; or rows of `{text}`.
    Text,
    /// `{instruction, input?, output, system?, history?}`.
    Alpaca,
    /// `{conversations: [{from, value}]}` (ShareGPT).
    Conversations,
    /// `{messages: [{role, content}]}`.
    Messages,
    /// `{prompt, completion}`.
    PromptCompletion,
    /// `{question, response_chosen, response_rejected}`.
    Question,
    /// `{prompt | conversations | messages, chosen, rejected}`.
    Preference,
    /// `{prompt}`, `{question}` or `{instruction}` alone.
    Prompt,
}

impl DataFormat {
    pub const ALL: [Self; 8] = [
        Self::Text,
        Self::Alpaca,
        Self::Conversations,
        Self::Messages,
        Self::PromptCompletion,
        Self::Question,
        Self::Preference,
        Self::Prompt,
    ];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Alpaca => "alpaca",
            Self::Conversations => "conversations",
            Self::Messages => "messages",
            Self::PromptCompletion => "prompt_completion",
            Self::Question => "question",
            Self::Preference => "preference",
            Self::Prompt => "prompt",
        }
    }

    /// Whether a stage of this kind can read such rows. PPO takes its prompts out of dialogues and pairs too.
    pub fn serves(self, kind: StageKind) -> bool {
        match kind {
            StageKind::PT => self == Self::Text,
            StageKind::SFT => {
                matches!(self, Self::Alpaca | Self::Conversations | Self::Messages | Self::PromptCompletion)
            }
            StageKind::RM => matches!(self, Self::Question | Self::Preference),
            StageKind::PPO => self != Self::Text,
        }
    }
}

#[cfg(test)]
mod tests;
