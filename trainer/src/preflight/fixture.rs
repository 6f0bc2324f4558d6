//! A folder with a training in it, small enough to look at in milliseconds.

use std::fs;
use std::path::{Path, PathBuf};

use medtrain_crds::resolve::Resolved;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Preflight, Workspace, preflight};
use crate::adapter::Projection;
use crate::cli::training_file;
use crate::data::fixture::Fixture;
use crate::failure::Failure;
use crate::model::ModelConfig;
use crate::weights::peft::{AdapterConfig, AdapterTensors, TaskType, TensorData, save_adapter};
use crate::weights::{Dtype, MAX_SHARD_BYTES, save_model};

/// Rows of the tiny tokenizer's vocabulary, rounded up.
const VOCABULARY: usize = 304;

pub struct Lab {
    pub dir: TempDir,
}

pub fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 256, "tie_word_embeddings": true,
    })
}

/// A model directory of zeros: enough for everything that looks at headers.
pub fn write_model(dir: &Path, config: &Value) {
    fs::create_dir_all(dir).unwrap();
    Fixture::chatml().write_files(dir);
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let parsed = ModelConfig::from_json(config.clone()).unwrap();
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![parsed.vocab_size, parsed.hidden_size]),
        ("model.norm.weight".to_owned(), vec![parsed.hidden_size]),
    ];
    let head = ("lm_head.weight".to_owned(), vec![parsed.vocab_size, parsed.hidden_size]);
    shapes.extend(Some(head).filter(|_| !parsed.tie_word_embeddings));
    for layer in 0..parsed.num_hidden_layers {
        shapes.extend(Projection::ALL.map(|p| (format!("{}.weight", p.path(layer)), p.shape(&parsed).to_vec())));
        shapes.extend(
            ["input_layernorm", "post_attention_layernorm"]
                .map(|name| (format!("model.layers.{layer}.{name}.weight"), vec![parsed.hidden_size])),
        );
    }
    let zeros = |name: &str| {
        let shape = &shapes.iter().find(|(found, _)| found == name).unwrap().1;
        Ok(vec![0.0; shape.iter().product()])
    };
    save_model(dir, &shapes, Dtype::Float32, MAX_SHARD_BYTES, zeros).unwrap();
}

impl Lab {
    /// An empty folder with a model in `model/`.
    pub fn new() -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        write_model(&lab.path("model"), &config());
        lab
    }

    /// An adapter over `inputs` columns in `adapter/`, of rank 4.
    pub fn write_adapter(&self, inputs: usize, base: &str) {
        let tensor = |shape: [usize; 2]| TensorData { shape: shape.to_vec(), data: vec![0.0; shape[0] * shape[1]] };
        let path = "model.layers.0.self_attn.q_proj";
        let tensors = AdapterTensors::from([
            (format!("{path}.lora_A.weight"), tensor([4, inputs])),
            (format!("{path}.lora_B.weight"), tensor([32, 4])),
        ]);
        let config = AdapterConfig {
            task_type: TaskType::CausalLm,
            r: 4,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            target_modules: vec!["q_proj".into()],
            use_rslora: false,
            modules_to_save: Vec::new(),
            ensure_weight_tying: false,
            base_model_name_or_path: Some(base.to_owned()),
        };
        fs::create_dir_all(self.path("adapter")).unwrap();
        save_adapter(&self.path("adapter"), &config, &tensors).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn file(&self, name: &str, text: &str) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// `count` lines, each by its number.
    pub fn lines(&self, name: &str, count: usize, line: impl Fn(usize) -> String) -> &Self {
        self.file(name, &(0..count).map(|number| line(number) + "\n").collect::<String>())
    }

    /// Data for all four kinds of stage.
    pub fn with_data(self) -> Self {
        self.lines("pt.txt", 20, |i| format!("A person with cough for {i} days should rest."))
            .lines("sft.jsonl", 30, |i| format!(r#"{{"instruction":"What helps on day {i}?","output":"Rest {i}."}}"#))
            .lines("rm.jsonl", 24, |i| {
                format!(
                    r#"{{"question":"What helps on day {i}?","response_chosen":"Rest.","response_rejected":"No."}}"#
                )
            })
            .lines("ppo.jsonl", 20, |i| format!(r#"{{"prompt":"What helps on day {i}?"}}"#));
        self
    }

    /// `training.yaml` with the given model, specification fields and stages.
    pub fn training(&self, spec: &str, stages: &str) -> &Self {
        let head = "apiVersion: medtrain.io/v1alpha1\nkind: MedicalTraining\nmetadata: {name: lab}\nspec:\n";
        self.file("training.yaml", &format!("{head}{spec}\n  stages:\n{stages}\n"))
    }

    pub fn open(&self) -> Result<(Resolved, Workspace), Vec<Failure>> {
        let file = self.path("training.yaml");
        let (_, resolved) = training_file::load(&file, &[])?;
        let ws = Workspace::open(&resolved, training_file::folder(&file), Some(self.path("work")));
        Ok((resolved, ws.map_err(|failure| vec![failure])?))
    }

    pub fn preflight(&self) -> Result<Preflight, Vec<Failure>> {
        let (resolved, ws) = self.open()?;
        preflight(&resolved, &ws)
    }

    /// Problems with their exit codes, the folder written as `~`.
    pub fn problems(&self) -> Vec<(u8, String)> {
        let failures = self.preflight().err().unwrap_or_default();
        failures.into_iter().map(|failure| (failure.exit.code(), self.shown(&failure.message))).collect()
    }

    /// The one problem.
    pub fn problem(&self) -> (u8, String) {
        let mut problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems.remove(0)
    }

    pub fn shown(&self, text: &str) -> String {
        text.replace(&self.dir.path().display().to_string(), "~")
    }
}

pub const SPEC: &str = "  model: {uri: model}\n  output: {uri: out}\n  lora: {rank: 4, alpha: \"8\"}";

pub const STAGES: &str = r#"
    - {name: pt, kind: PT, dataset: {train: [pt.txt], evalFraction: "0.2"}, train: {blockSize: 64, perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 1}}
    - {name: sft, kind: SFT, dataset: {train: [sft.jsonl]}, train: {maxLength: 160, packing: true, numTrainEpochs: "1", gradientAccumulationSteps: 1}}
    - {name: rm, kind: RM, dataset: {train: [rm.jsonl]}, train: {maxLength: 200, numTrainEpochs: "1", gradientAccumulationSteps: 1}}
    - {name: ppo, kind: PPO, dataset: {train: [ppo.jsonl]}, ppo: {batchSize: 8, miniBatchSize: 4, numPpoEpochs: 2, maxNewTokens: 12}}"#;
