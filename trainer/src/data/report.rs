//! What preparing the data found: counts for the plan, the manifest and the logs, never contents.

use std::collections::BTreeMap;

use medtrain_crds::contract::SplitCounts;
use serde::{Deserialize, Serialize};

use crate::data::example::DropReason;
use crate::data::formats::Shape;

/// One side (training or evaluation) of a stage's data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataReport {
    pub files: Vec<FileReport>,
    /// Rows read, blank lines aside.
    pub rows: u64,
    /// Examples an epoch, after drops, weights and `maxTrainSamples` or `maxEvalSamples`.
    pub examples: u64,
    /// Tokens an epoch.
    pub tokens: u64,
    /// Tokens an epoch that carry loss.
    pub loss_tokens: u64,
    /// Rows left out, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Columns that no one reads, by name, with the rows that have them.
    pub ignored_columns: BTreeMap<String, u64>,
    /// Rows longer than `maxLength`: cut or left out.
    pub overlong: u64,
    pub truncated: u64,
    /// Rows that became one example per assistant turn, since the template rewrites earlier turns.
    pub rows_split_by_turn: u64,
    /// Training rows whose content is also in a file given for evaluation.
    pub also_in_eval: u64,
    /// Longest example in tokens.
    pub max_len: u32,
    /// Examples by length: the key is the bucket's upper bound, a power of two.
    pub histogram: BTreeMap<u32, u64>,
    /// Choices that differ from the model's files (pad, separator).
    pub notes: Vec<String>,
}

impl DataReport {
    /// What the manifest keeps of it.
    pub fn counts(&self) -> SplitCounts {
        SplitCounts {
            rows: self.rows,
            examples: self.examples,
            tokens: self.tokens,
            target_tokens: self.loss_tokens,
            truncated: self.truncated,
            dropped: self.dropped.clone(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    pub uri: String,
    pub sha256: String,
    pub rows: u64,
    pub shape: Option<Shape>,
    pub weight: f64,
}

/// What is counted while rows are read; the rest of a report comes from the examples in use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub rows: u64,
    pub dropped: BTreeMap<String, u64>,
    pub overlong: u64,
    pub truncated: u64,
    pub rows_split_by_turn: u64,
    pub also_in_eval: u64,
}

impl Counts {
    pub fn drop(&mut self, reason: DropReason) {
        *self.dropped.entry(reason.name().to_owned()).or_default() += 1;
        if matches!(reason, DropReason::Overlong | DropReason::PromptTooLong) {
            self.overlong += 1;
        }
    }

    /// `10: chosen and rejected are the same`, one after another.
    pub fn drops(&self) -> String {
        let each = self.dropped.iter().map(|(reason, count)| format!("{count}: {}", DropReason::explain(reason)));
        each.collect::<Vec<_>>().join("; ")
    }
}

/// A column's name as a report may show it: names that look like data (keys taken from a form) are not shown.
pub(crate) fn column_name(name: &str, shown: &BTreeMap<String, u64>) -> String {
    let plain = name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if plain && (shown.contains_key(name) || shown.len() < 32) { name.to_owned() } else { "(other)".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_names_that_may_be_data_are_not_shown() {
        let none = BTreeMap::new();
        assert_eq!(column_name("source_id", &none), "source_id");
        assert_eq!(column_name("Jane Doe, born 1970", &none), "(other)");
        assert_eq!(column_name("患者", &none), "(other)");
        let many = (0..32).map(|i| (format!("c{i}"), 1)).collect();
        assert_eq!(column_name("c7", &many), "c7");
        assert_eq!(column_name("c99", &many), "(other)");
    }
}
