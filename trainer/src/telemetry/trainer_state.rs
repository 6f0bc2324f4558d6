//! The result files that Hugging Face's `Trainer` writes, so that tools made for it read ours.
//!
//! Holds: keys are `transformers`' own names; files are sorted and end with a newline, so equal runs give equal files
//! but for the runtimes in them.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::failure::{Failure, Result};

/// `trainer_state.json` (`transformers.TrainerState`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Set where evaluations are compared (`train.metricForBestModel`).
    pub best_global_step: Option<u64>,
    pub best_metric: Option<f64>,
    /// Always null: the best weights are in every checkpoint, not in one that could be pruned.
    pub best_model_checkpoint: Option<String>,
    /// Passes over the training data so far, with the fraction of the current one.
    pub epoch: f64,
    pub eval_steps: u64,
    pub global_step: u64,
    pub is_hyper_param_search: bool,
    pub is_local_process_zero: bool,
    pub is_world_process_zero: bool,
    pub log_history: Vec<LogEntry>,
    pub logging_steps: u64,
    pub max_steps: u64,
    pub num_input_tokens_seen: u64,
    pub num_train_epochs: u64,
    pub save_steps: u64,
    pub stateful_callbacks: BTreeMap<String, Value>,
    /// Floating point operations of the training so far, by `6 · parameters · tokens`.
    pub total_flos: f64,
    /// Rows a device takes at once.
    pub train_batch_size: u64,
    pub trial_name: Option<String>,
    pub trial_params: Option<Value>,
}

impl Default for TrainerState {
    fn default() -> Self {
        Self {
            best_global_step: None,
            best_metric: None,
            best_model_checkpoint: None,
            epoch: 0.0,
            eval_steps: 0,
            global_step: 0,
            is_hyper_param_search: false,
            is_local_process_zero: true,
            is_world_process_zero: true,
            log_history: Vec::new(),
            logging_steps: 0,
            max_steps: 0,
            num_input_tokens_seen: 0,
            num_train_epochs: 0,
            save_steps: 0,
            stateful_callbacks: BTreeMap::new(),
            total_flos: 0.0,
            train_batch_size: 0,
            trial_name: None,
            trial_params: None,
        }
    }
}

/// One line of the log: `{"epoch", "step", "loss", "grad_norm", "learning_rate", "eval_loss", …}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    pub epoch: f64,
    pub step: u64,
    /// By `transformers`' and TRL's names; all finite.
    #[serde(flatten)]
    pub values: BTreeMap<String, f64>,
}

impl LogEntry {
    pub fn new<'a>(step: u64, epoch: f64, values: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        Self { epoch, step, values: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
    }
}

pub const TRAINER_STATE: &str = "trainer_state.json";

impl TrainerState {
    /// # Errors
    /// As [`Failure::io`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(TRAINER_STATE), self)
    }

    /// # Errors
    /// 65 when the file is missing or not what `save` wrote.
    pub fn load(folder: &Path) -> Result<Self> {
        read_json(&folder.join(TRAINER_STATE))
    }
}

/// Writes `<split>_results.json` (`split`: `train` or `eval`) and adds the same values to `all_results.json`, as
/// `Trainer.save_metrics` does.
///
/// # Errors
/// As [`Failure::io`]; 65 when an existing `all_results.json` is damaged.
pub fn save_metrics(folder: &Path, split: &str, values: &BTreeMap<String, Value>) -> Result<()> {
    write_json(&folder.join(format!("{split}_results.json")), values)?;
    let path = folder.join("all_results.json");
    let mut all: BTreeMap<String, Value> = if path.exists() { read_json(&path)? } else { BTreeMap::new() };
    all.extend(values.clone());
    write_json(&path, &all)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|e| Failure::internal(format!("{}: {e}", path.display())))?;
    text.push(b'\n');
    std::fs::write(path, text).map_err(|e| Failure::io(path, &e))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).map_err(|e| Failure::io(path, &e))?;
    serde_json::from_slice(&text).map_err(|e| Failure::input(format!("{}: damaged: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_state_has_the_keys_that_transformers_reads_and_comes_back_exactly() {
        let dir = tempfile::tempdir().unwrap();
        let state = TrainerState {
            global_step: 20,
            epoch: 1.0 / 3.0,
            log_history: vec![
                LogEntry::new(
                    10,
                    0.1,
                    [("loss", f64::from(2.345_678_9f32)), ("learning_rate", 2e-5), ("grad_norm", 1.0)],
                ),
                LogEntry::new(20, 0.2, [("eval_loss", 0.1 + 0.2)]),
            ],
            ..TrainerState::default()
        };
        state.save(dir.path()).unwrap();
        assert_eq!(TrainerState::load(dir.path()).unwrap(), state);
        let json: Value = read_json(&dir.path().join(TRAINER_STATE)).unwrap();
        assert_eq!(json["log_history"][1], json!({"epoch": 0.2, "step": 20, "eval_loss": 0.1 + 0.2}));
        assert_eq!((&json["is_world_process_zero"], &json["best_metric"]), (&json!(true), &Value::Null));
    }

    #[test]
    fn all_results_are_train_and_eval_results_together() {
        let dir = tempfile::tempdir().unwrap();
        save_metrics(
            dir.path(),
            "train",
            &BTreeMap::from([("train_loss".into(), json!(1.5)), ("epoch".into(), json!(1.0))]),
        )
        .unwrap();
        save_metrics(
            dir.path(),
            "eval",
            &BTreeMap::from([("eval_loss".into(), json!(1.25)), ("epoch".into(), json!(1.0))]),
        )
        .unwrap();
        let all: Value = read_json(&dir.path().join("all_results.json")).unwrap();
        assert_eq!(all, json!({"epoch": 1.0, "eval_loss": 1.25, "train_loss": 1.5}));
        let eval: Value = read_json(&dir.path().join("eval_results.json")).unwrap();
        assert_eq!(eval, json!({"epoch": 1.0, "eval_loss": 1.25}));
    }

    #[test]
    fn a_damaged_state_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(TRAINER_STATE), "{\"epoch\":").unwrap();
        let message = TrainerState::load(dir.path()).unwrap_err().message;
        assert!(message.contains("trainer_state.json: damaged: EOF"), "{message}");
    }
}
