//! `medtrain logits`, for developers: raw logits of given token ids, to be held against transformers and PEFT
//! (tests/parity/check_artifacts.py --ours).

use std::collections::BTreeMap;

use burn_flex::Flex;
use serde_json::{Value, json};

use super::loaded_model::{LoadedModel, ModelArgs};
use crate::{
    adapter::Adapter,
    failure::{Failure, Result},
    ops::{LmBackend, Segments, to_host},
};

/// Print the logits of token ids as JSON: {"input_ids", "logits": {"base" | "adapter"}}
#[derive(Clone, Debug, clap::Args)]
pub struct LogitsArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Rows of token ids, as JSON
    #[arg(long, value_name = "[[ID, …], …]")]
    pub ids: String,
    /// Name of the logits of the model without adapter
    #[arg(long, default_value = "base", value_parser = ["base", "merged"])]
    pub name: String,
}

/// # Errors
/// 64 for ids that are no rows of token ids of the model; 65 for a model that does not load.
pub fn run(args: LogitsArgs) -> Result<()> {
    let text = args.model.clone().on_threads(move || {
        let rows: Vec<Vec<u32>> = serde_json::from_str(&args.ids).map_err(|error| {
            Failure::config(format!("--ids: not rows of token ids, such as [[1, 2], [3]]: {error}"))
        })?;
        let loaded = args.model.load::<Flex>(&Default::default())?;
        check(&rows, &loaded)?;
        Ok(logits(&loaded, &rows, &args.name)?.to_string())
    })?;
    println!("{text}");
    Ok(())
}

fn check<B: LmBackend>(rows: &[Vec<u32>], loaded: &LoadedModel<B>) -> Result<()> {
    let (vocabulary, context) = (loaded.model.config().vocab_size, loaded.model.max_positions());
    for (index, row) in rows.iter().enumerate() {
        if row.is_empty() || row.len() > context || row.iter().any(|id| *id as usize >= vocabulary) {
            return Err(Failure::config(format!(
                "--ids: row {index} must have 1 to {context} ids below {vocabulary}, the model's vocabulary"
            )));
        }
    }
    Ok(())
}

/// Logits `[rows][tokens][vocab]`, or `[rows][1][1]` of a reward model, without and with the adapter.
fn logits<B: LmBackend>(loaded: &LoadedModel<B>, rows: &[Vec<u32>], name: &str) -> Result<Value> {
    let mut found = BTreeMap::new();
    let score = if loaded.reward_model().is_some() { loaded.score_head()? } else { None };
    let rows_of = |adapter: Option<&Adapter<B>>| -> Vec<Vec<Vec<f32>>> {
        rows.iter().map(|row| row_logits(loaded, row, adapter, score.as_deref())).collect()
    };
    // A reward adapter's base has no head of its own.
    if loaded.adapter.as_ref().is_none_or(|adapter| !adapter.is_reward_model()) {
        found.insert(name, rows_of(None));
    }
    if let Some(adapter) = &loaded.adapter {
        found.insert("adapter", rows_of(Some(&adapter.view(loaded.model.config()))));
    }
    Ok(json!({"input_ids": rows, "logits": found}))
}

fn row_logits<B: LmBackend>(
    loaded: &LoadedModel<B>,
    row: &[u32],
    adapter: Option<&Adapter<B>>,
    score: Option<&[f32]>,
) -> Vec<Vec<f32>> {
    let model = &loaded.model;
    let hidden = model.hidden(row, &Segments::from_lengths([row.len()]), adapter);
    match score {
        Some(score) => {
            let last = to_host(&hidden.narrow(0, row.len() - 1, 1));
            let sum: f64 = last.iter().zip(score).map(|(h, w)| f64::from(*h) * f64::from(*w)).sum();
            vec![vec![sum as f32]]
        }
        None => {
            to_host(&model.logits(&hidden, adapter)).chunks(model.config().vocab_size).map(<[f32]>::to_vec).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{parity, weights::ModelFiles};

    fn expect(path: &str) -> Value {
        parity::fixture(&format!("{path}/expect"))
    }

    fn ours(model: &str, adapter: Option<&str>, rows: &Value) -> Value {
        let path = |path: &str| parity::fixture_path(path).display().to_string();
        let args = ModelArgs { model: path(model), adapter: adapter.map(path), ..unused() };
        let rows: Vec<Vec<u32>> = serde_json::from_value(rows.clone()).unwrap();
        logits(&args.load::<Flex>(&Default::default()).unwrap(), &rows, "base").unwrap()
    }

    fn unused() -> ModelArgs {
        crate::cli::fixture::model_args(Path::new("unused"))
    }

    fn assert_row(ours: &Value, case: &str, tensor: &str) {
        let ours: Vec<Vec<f32>> = serde_json::from_value(ours.clone()).unwrap();
        let expect = ModelFiles::open_file(&parity::fixture_path(case).join("expect.safetensors")).unwrap();
        let (_, theirs) = expect.read_f32(tensor).unwrap();
        parity::hold_values("medtrain logits", &format!("{case} {tensor}"), &ours.concat(), &theirs, |_| 1.0, 2e-5);
    }

    #[test]
    fn logits_of_base_and_adapter_are_those_of_transformers_and_peft() {
        let rows = &expect("models/llama")["input_ids"];
        let found = ours("models/llama", Some("lora/all_linear/adapter"), rows);
        assert_eq!(&found["input_ids"], rows);
        for row in 0..2 {
            assert_row(&found["logits"]["base"][row], "models/llama", &format!("logits.{row}"));
            assert_row(&found["logits"]["adapter"][row], "lora/all_linear", &format!("logits.{row}"));
        }
    }

    #[test]
    fn a_reward_model_has_one_score_a_row_and_it_is_transformers() {
        for (name, model, adapter) in
            [("base", "models/llama_reward", None), ("adapter", "models/llama", Some("lora/reward/adapter"))]
        {
            let expect = expect(if adapter.is_some() { "lora/reward" } else { model });
            for answer in ["chosen", "rejected"] {
                let rows = json!([expect["pairs"][0][answer], expect["pairs"][1][answer]]);
                let found = ours(model, adapter, &rows);
                for row in 0..2 {
                    let ours = found["logits"][name][row][0][0].as_f64().unwrap();
                    let theirs = expect["scores"][row][answer].as_f64().unwrap();
                    let case = format!("{name} {answer} {row}");
                    parity::hold("medtrain logits: scores", &case, ours, theirs, (ours - theirs).abs(), 2e-5);
                }
            }
        }
    }

    #[test]
    fn ids_that_are_no_tokens_of_the_model_are_refused() {
        let args = ModelArgs { model: parity::fixture_path("models/llama").display().to_string(), ..unused() };
        let loaded = args.load::<Flex>(&Default::default()).unwrap();
        let message = check(&[vec![1], vec![2, 128]], &loaded).unwrap_err().message;
        assert_eq!(message, "--ids: row 1 must have 1 to 256 ids below 128, the model's vocabulary");
    }
}
