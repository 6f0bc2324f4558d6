//! The termination message: how the operator learns what became of a pod.
//!
//! Holds: at most 1,024 bytes of JSON, cut between characters; no text of a data row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, ExitCode};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    Succeeded,
    /// Stopped by SIGTERM with a checkpoint to go on from.
    Checkpointed,
    Failed,
}

impl From<ExitCode> for Outcome {
    fn from(exit: ExitCode) -> Self {
        match exit {
            ExitCode::Done => Self::Succeeded,
            ExitCode::Checkpointed => Self::Checkpointed,
            _ => Self::Failed,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminationMessage {
    pub outcome: Outcome,
    /// [`ExitCode::reason`], or a finer word of [`super::Reason`] for it.
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Bytes of the files that the manifest lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
}

impl TerminationMessage {
    pub const MAX_BYTES: usize = 1024;

    pub fn new(exit: ExitCode, message: impl Into<String>) -> Self {
        Self {
            outcome: exit.into(),
            reason: exit.reason().to_string(),
            message: message.into(),
            manifest_uri: None,
            manifest_digest: None,
            step: None,
            artifact_bytes: None,
            metrics: BTreeMap::new(),
        }
    }

    /// JSON within [`Self::MAX_BYTES`]. What doesn't fit goes in this order: the end of the message down to 200
    /// characters, metrics from the last name on, the rest of the message, the manifest's URI.
    pub fn to_json(&self) -> String {
        const MESSAGE_WORTH_KEEPING: usize = 200;
        let mut fitted = self.clone();
        fitted.shorten_message(MESSAGE_WORTH_KEEPING);
        while fitted.excess() > 0 && fitted.metrics.pop_last().is_some() {}
        fitted.shorten_message(0);
        if fitted.excess() > 0 {
            fitted.manifest_uri = None;
        }
        fitted.json()
    }

    /// `None` if `text` is something else: a pod may die without a word, or leave the end of its log.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text.trim()).ok()
    }

    fn shorten_message(&mut self, keep: usize) {
        let mut characters = self.message.chars().count();
        while self.excess() > 0 && characters > keep {
            // An escape takes up to six bytes a character; one character less for six bytes too many never overshoots.
            characters = characters.saturating_sub(self.excess().div_ceil(6)).max(keep);
            let mut message: String = self.message.chars().take(characters.saturating_sub(1)).collect();
            if characters > 0 {
                message.push('…');
            }
            self.message = message;
        }
    }

    fn excess(&self) -> usize {
        self.json().len().saturating_sub(Self::MAX_BYTES)
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers under string keys are JSON")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_message_is_whole() {
        let mut message = TerminationMessage::new(ExitCode::Done, "");
        message.step = Some(120);
        message.metrics.insert("eval_loss".into(), 1.25);
        assert_eq!(
            message.to_json(),
            r#"{"outcome":"succeeded","reason":"Completed","step":120,"metrics":{"eval_loss":1.25}}"#
        );
        assert_eq!(TerminationMessage::parse(&message.to_json()), Some(message));
        assert_eq!(TerminationMessage::parse("panicked at …"), None);
    }

    #[test]
    fn a_long_message_loses_its_end_first() {
        let mut message = TerminationMessage::new(ExitCode::Data, "病".repeat(900));
        message.metrics.insert("eval_loss".into(), 1.25);
        let read = TerminationMessage::parse(&message.to_json()).unwrap();
        assert!(read.message.starts_with("病病病") && read.message.ends_with('…'));
        assert_eq!(read.metrics.len(), 1);
    }

    proptest! {
        #[test]
        fn it_always_fits_and_always_reads_back(
            text in "\\PC{0,1500}|[\u{1}-\u{1f}]{0,1500}",
            uri in proptest::option::of("[a-z/]{0,1024}"),
            metrics in proptest::collection::btree_map("[a-z/_]{1,40}", -1e9..1e9, 0..40),
        ) {
            let mut message = TerminationMessage::new(ExitCode::Input, text);
            message.manifest_uri = uri;
            message.metrics = metrics;
            let json = message.to_json();
            prop_assert!(json.len() <= TerminationMessage::MAX_BYTES, "{} bytes", json.len());
            prop_assert_eq!(TerminationMessage::parse(&json).map(|read| read.reason), Some("InputUnavailable".to_string()));
        }
    }
}
