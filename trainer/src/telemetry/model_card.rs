//! `README.md` of an artifact: what the model is, how it was made, how well it does, how to load it, what it is not for.
//!
//! Holds: the front matter is valid for the Hugging Face hub; equal facts give equal bytes; every figure was measured
//! by the stage that writes the card.

use std::{collections::BTreeMap, fmt::Write};

use medtrain_crds::stage::StageKind;
use serde::Serialize;

use crate::failure::{Failure, Result};

/// What a folder of weights holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// A PEFT adapter, to be put over its base.
    Adapter,
    /// A whole model: base and adapter merged, or trained in full.
    Whole,
}

/// The facts of a card.
#[derive(Clone, Debug)]
pub struct ModelCard {
    /// Title: `cardio-135m / sft`.
    pub title: String,
    pub kind: StageKind,
    pub weights: Weights,
    /// Hub id, or a path relative to the artifact.
    pub base_model: String,
    /// Rows of the embedding, if the stage gave it more than its base has.
    pub resized_to: Option<usize>,
    /// ISO 639-1, if known.
    pub languages: Vec<String>,
    /// SPDX id of the weights' licence, if known: it is the base model's.
    pub license: Option<String>,
    /// By their Hugging Face names.
    pub hyperparameters: BTreeMap<String, String>,
    /// Counts by what they count: `training rows`, `training tokens`, `rows dropped (too_long)`.
    pub data: Vec<(String, u64)>,
    pub evaluation: Vec<Evaluation>,
    pub seed: u64,
    /// Key of the stage: equal keys mean equal work.
    pub key: String,
    pub trainer_version: String,
}

/// One row of the table of held-out figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// `eval_loss`.
    pub metric: String,
    pub before: Option<f64>,
    pub after: f64,
}

#[derive(Serialize)]
struct FrontMatter<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    base_model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_model_relation: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    language: &'a [String],
    library_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<&'a str>,
    pipeline_tag: &'a str,
    tags: Vec<&'a str>,
}

impl ModelCard {
    /// The text of `README.md`.
    ///
    /// # Errors
    /// 70 if the front matter can't be written: a bug.
    pub fn render(&self) -> Result<String> {
        let front =
            serde_yaml::to_string(&self.front_matter()).map_err(|e| Failure::internal(format!("model card: {e}")))?;
        let mut text = format!("---\n{front}---\n\n# {}\n\n{}\n\n", self.title, self.summary());
        text.push_str("## How to load it\n\n");
        text.push_str(&self.loading());
        text.push_str("\n## Held-out figures\n\n");
        text.push_str(&self.figures());
        text.push_str("\n## How it was made\n\n");
        self.making(&mut text);
        text.push_str("\n## Intended use and limits\n\n");
        text.push_str(self.limits());
        Ok(text)
    }

    fn front_matter(&self) -> FrontMatter<'_> {
        let on_hub = is_hub_id(&self.base_model).then_some(self.base_model.as_str());
        let lora = self.weights == Weights::Adapter;
        let stage = match self.kind {
            StageKind::PT => "continued-pretraining",
            StageKind::SFT => "sft",
            StageKind::RM => "reward-model",
            StageKind::PPO => "ppo",
        };
        FrontMatter {
            base_model: on_hub,
            base_model_relation: on_hub.map(|_| if lora { "adapter" } else { "finetune" }),
            language: &self.languages,
            library_name: if lora { "peft" } else { "transformers" },
            license: self.license.as_deref(),
            pipeline_tag: if self.kind == StageKind::RM { "text-classification" } else { "text-generation" },
            tags: ["medical", "medtrain", stage].into_iter().chain(lora.then_some("lora")).collect(),
        }
    }

    fn summary(&self) -> String {
        let what = match self.weights {
            Weights::Adapter => "A LoRA adapter",
            Weights::Whole => "A model",
        };
        let how = match self.kind {
            StageKind::PT => "continued pre-training on medical documents",
            StageKind::SFT => "supervised fine-tuning on medical dialogues",
            StageKind::RM => "reward modelling on pairs of a preferred and a rejected answer",
            StageKind::PPO => "reinforcement learning (PPO) against a reward model",
        };
        format!("{what} made from `{}` by {how}, trained with MedTrain {}.", self.base_model, self.trainer_version)
    }

    fn loading(&self) -> String {
        let (class, arguments) = match self.kind {
            StageKind::RM => ("AutoModelForSequenceClassification", ", num_labels=1"),
            _ => ("AutoModelForCausalLM", ""),
        };
        match self.weights {
            Weights::Adapter => {
                let resize = self.resized_to.map_or(String::new(), |rows| {
                    format!(
                        "base.resize_token_embeddings({rows})  # for the added tokens; their rows are in the adapter\n"
                    )
                });
                format!(
                    "```python\nfrom peft import PeftModel\nfrom transformers import {class}, AutoTokenizer\n\n\
                 folder = \".\"  # this folder\n\
                 base = {class}.from_pretrained(\"{}\"{arguments})\n{resize}\
                 model = PeftModel.from_pretrained(base, folder)\n\
                 tokenizer = AutoTokenizer.from_pretrained(folder)\n```\n",
                    self.base_model
                )
            }
            Weights::Whole => format!(
                "```python\nfrom transformers import {class}, AutoTokenizer\n\n\
                 folder = \".\"  # this folder\n\
                 model = {class}.from_pretrained(folder)\n\
                 tokenizer = AutoTokenizer.from_pretrained(folder)\n```\n"
            ),
        }
    }

    fn figures(&self) -> String {
        if self.evaluation.is_empty() {
            return "None: the stage had no held-out rows. Measure before use.\n".to_owned();
        }
        let mut text = "| figure | before | after |\n|---|---:|---:|\n".to_owned();
        for Evaluation { metric, before, after } in &self.evaluation {
            let before = before.map_or("–".to_owned(), |value| format!("{value:.4}"));
            let _ = writeln!(text, "| {} | {before} | {after:.4} |", cell(metric)); // writing to a String can't fail
        }
        text.push_str("\nMeasured on rows of the training's own data that were held out, not on a public benchmark.\n");
        text
    }

    fn making(&self, text: &mut String) {
        text.push_str("| hyperparameter | value |\n|---|---|\n");
        for (name, value) in &self.hyperparameters {
            let _ = writeln!(text, "| {} | {} |", cell(name), cell(value));
        }
        text.push_str("\n| data | count |\n|---|---:|\n");
        for (name, count) in &self.data {
            let _ = writeln!(text, "| {} | {count} |", cell(name));
        }
        let _ = writeln!(text, "\nSeed {}; stage key `{}`: the same key is the same work.", self.seed, self.key);
    }

    fn limits(&self) -> &'static str {
        match self.kind {
            StageKind::RM => {
                "For ranking answers while training or testing a medical language model. A score is a learned preference, not a \
                 measure of medical correctness: a wrong answer in a pleasing form can score high. Not for judging people, \
                 answers given to patients, or the work of clinicians.\n"
            }
            _ => {
                "For research and development of medical language models. Not a medical device, and no replacement for a clinician: \
                 it can state false things fluently, miss emergencies, and repeat biases of its data. Don't show its answers to \
                 patients without review by a qualified person, and don't use it for diagnosis, dosing or triage without the \
                 clinical evaluation and the approvals that your jurisdiction asks for. Training data may be partly memorised: \
                 treat the weights as confidentially as the data.\n"
            }
        }
    }
}

/// `org/name`, as the hub takes it; relative paths are none.
fn is_hub_id(text: &str) -> bool {
    let part = |p: &str| {
        !p.is_empty() && !p.starts_with(['.', '-']) && p.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    text.split_once('/').is_some_and(|(org, name)| part(org) && part(name))
}

/// Text in a table's cell must not end the cell or the row.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(kind: StageKind, weights: Weights, base_model: &str) -> ModelCard {
        ModelCard {
            resized_to: None,
            title: "demo / sft".into(),
            kind,
            weights,
            base_model: base_model.into(),
            languages: vec!["en".into(), "no".into()],
            license: Some("apache-2.0".into()),
            hyperparameters: BTreeMap::from([
                ("learning_rate".into(), "2e-5".into()),
                ("separator".into(), "a|b\nc".into()),
            ]),
            data: vec![("training rows".into(), 600)],
            evaluation: vec![Evaluation { metric: "eval_loss".into(), before: Some(2.0), after: 1.5 }],
            seed: 42,
            key: "ab".repeat(32),
            trainer_version: "0.1.0".into(),
        }
    }

    fn front(text: &str) -> serde_yaml::Value {
        serde_yaml::from_str(text.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap().0).unwrap()
    }

    #[test]
    fn an_adapter_names_its_base_and_how_to_load_it() {
        let text = card(StageKind::SFT, Weights::Adapter, "org/Base-1.0").render().unwrap();
        let front = front(&text);
        assert_eq!(
            (front["base_model"].as_str(), front["library_name"].as_str()),
            (Some("org/Base-1.0"), Some("peft"))
        );
        assert_eq!(front["language"][1].as_str(), Some("no"), "Norwegian must not turn into false");
        assert!(text.contains("base = AutoModelForCausalLM.from_pretrained(\"org/Base-1.0\")\nmodel = PeftModel.from_pretrained(base, folder)"));
        assert!(text.contains("| eval_loss | 2.0000 | 1.5000 |\n") && text.contains("Not a medical device"), "{text}");
        assert!(text.contains("| separator | a\\|b c |\n"), "{text}");
    }

    #[test]
    fn a_relative_base_is_no_hub_id() {
        let text = card(StageKind::RM, Weights::Whole, "../../sft/merged").render().unwrap();
        assert!(front(&text).get("base_model").is_none());
        assert_eq!(front(&text)["pipeline_tag"].as_str(), Some("text-classification"));
        assert!(text.contains("AutoModelForSequenceClassification.from_pretrained(folder)"), "{text}");
    }

    #[test]
    fn a_card_without_figures_says_so() {
        let mut card = card(StageKind::PT, Weights::Whole, "org/base");
        card.evaluation.clear();
        assert!(card.render().unwrap().contains("None: the stage had no held-out rows"));
    }
}
