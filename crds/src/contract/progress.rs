//! What `/progress` answers while a stage runs.

use serde::{Deserialize, Serialize};

/// What a stage is doing. A stall is no movement of `{phase, step, bytes}`, with a limit for each phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    Starting,
    /// Reading or downloading inputs.
    Fetching,
    Tokenizing,
    Loading,
    Training,
    /// PPO: sampling responses.
    Rollout,
    Evaluating,
    Saving,
    Merging,
    Uploading,
    Done,
}

impl Phase {
    pub const ALL: [Self; 11] = [
        Self::Starting,
        Self::Fetching,
        Self::Tokenizing,
        Self::Loading,
        Self::Training,
        Self::Rollout,
        Self::Evaluating,
        Self::Saving,
        Self::Merging,
        Self::Uploading,
        Self::Done,
    ];

    /// As in JSON; also the metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Fetching => "fetching",
            Self::Tokenizing => "tokenizing",
            Self::Loading => "loading",
            Self::Training => "training",
            Self::Rollout => "rollout",
            Self::Evaluating => "evaluating",
            Self::Saving => "saving",
            Self::Merging => "merging",
            Self::Uploading => "uploading",
            Self::Done => "done",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    pub stage: String,
    pub phase: Phase,
    /// Optimiser steps done, also in phases that make none.
    pub step: u64,
    pub total: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
    /// Step of the newest checkpoint in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_checkpoint: Option<u64>,
    /// Bytes read or written in this phase.
    pub bytes: u64,
}

impl Progress {
    pub fn new(stage: impl Into<String>) -> Self {
        Self {
            stage: stage.into(),
            phase: Phase::Starting,
            step: 0,
            total: 0,
            loss: None,
            tokens_per_second: None,
            eta_seconds: None,
            last_checkpoint: None,
            bytes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_called_the_same_in_json_and_in_labels() {
        for phase in Phase::ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.name());
        }
    }

    #[test]
    fn progress_is_camel_case_json_without_what_is_not_known_yet() {
        let mut progress = Progress::new("sft");
        progress.last_checkpoint = Some(50);
        assert_eq!(
            serde_json::to_string(&progress).unwrap(),
            r#"{"stage":"sft","phase":"starting","step":0,"total":0,"lastCheckpoint":50,"bytes":0}"#
        );
    }
}
