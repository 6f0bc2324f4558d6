//! A training small enough to run in seconds: random weights, a tiny tokenizer, invented sentences.
#![allow(dead_code)] // each test file uses its own part

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

const COMPLAINTS: [&str; 8] =
    ["cough", "headache", "rash", "back pain", "fever", "sore throat", "heartburn", "dizziness"];
const ADVICE: [&str; 6] = ["rest", "walk", "sleep", "drink", "eat well", "keep warm"];
/// What the reward model learns to tell apart.
const ENDINGS: [&str; 2] = ["see a doctor", "it is nothing"];

/// Rows of each file of training data.
pub const ROWS: usize = 96;

/// A folder with a training file, its data, and room for outputs.
pub struct Lab {
    pub dir: TempDir,
}

/// How long the stages are, and whether the first two train all weights (random ones learn little by LoRA alone).
struct Size {
    pt: usize,
    sft: usize,
    rm: usize,
    rollouts: usize,
    full: bool,
}

fn yaml(tokenizer: &Path, size: &Size) -> String {
    let tokenizer = tokenizer.display();
    let Size { pt, sft, rm, rollouts, full } = size;
    let (tuning, pt_rate, sft_rate) = if *full { ("\n      full: {}", "1e-2", "5e-3") } else { ("", "2e-2", "2e-2") };
    format!(
        r#"
apiVersion: medtrain.io/v1alpha1
kind: MedicalTraining
metadata: {{name: lab}}
spec:
  model:
    tokenizer: "{tokenizer}"
    random:
      architectures: [LlamaForCausalLM]
      model_type: llama
      vocab_size: 304
      hidden_size: 32
      intermediate_size: 64
      num_hidden_layers: 2
      num_attention_heads: 4
      num_key_value_heads: 2
      max_position_embeddings: 512
      rms_norm_eps: 0.00001
      tie_word_embeddings: true
      initializer_range: 0.1
  seed: 7
  output: {{uri: out}}
  lora: {{rank: 4, alpha: "8", dropout: "0.1", targetModules: [all-linear]}}
  stages:
    - name: pt
      kind: PT{tuning}
      dataset: {{train: [pt.txt], eval: [pt-eval.txt]}}
      train: {{maxSteps: {pt}, blockSize: 64, learningRate: "{pt_rate}", perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 2, loggingSteps: 1, saveSteps: 2, evalStrategy: "no"}}
    - name: sft
      kind: SFT{tuning}
      dataset: {{train: [sft.jsonl], eval: [sft-eval.jsonl]}}
      train: {{maxSteps: {sft}, maxLength: 160, packing: true, learningRate: "{sft_rate}", perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 1, loggingSteps: 1, saveSteps: 2, evalStrategy: "no"}}
    - name: rm
      kind: RM
      dataset: {{train: [rm.jsonl], eval: [rm-eval.jsonl]}}
      train: {{maxSteps: {rm}, maxLength: 256, learningRate: "1e-2", perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 1, loggingSteps: 1, saveSteps: 2, evalStrategy: "no"}}
    - name: ppo
      kind: PPO
      dataset: {{train: [ppo.jsonl], eval: [ppo-eval.jsonl]}}
      train: {{maxSteps: {rollouts}, learningRate: "5e-3", perDeviceTrainBatchSize: 4, perDeviceEvalBatchSize: 8, loggingSteps: 1, saveSteps: 1, evalStrategy: "no"}}
      ppo: {{batchSize: 16, miniBatchSize: 8, numPpoEpochs: 2, maxNewTokens: 24, minNewTokens: 2, initKlCoef: "0.05", missingEosPenalty: "0"}}
"#
    )
}

fn write(path: PathBuf, lines: impl Iterator<Item = String>) {
    fs::write(path, lines.map(|line| line + "\n").collect::<String>()).unwrap();
}

impl Lab {
    /// The four stages, LoRA in each; `steps` scales them.
    pub fn new(steps: usize) -> Self {
        let size = Size { pt: 3 * steps, sft: 3 * steps, rm: 3 * steps, rollouts: steps.div_ceil(2), full: false };
        Self::of(&size)
    }

    /// The four stages, long enough to learn.
    pub fn that_learns() -> Self {
        Self::of(&Size { pt: 60, sft: 100, rm: 40, rollouts: 20, full: true })
    }

    fn of(size: &Size) -> Self {
        let dir = TempDir::new().unwrap();
        let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-tokenizer");
        fs::write(dir.path().join("training.yaml"), yaml(&tokenizer, size)).unwrap();
        let lab = Self { dir };
        let words = |i: usize, ending: usize| (COMPLAINTS[i % 8], ADVICE[i / 8 % 6], ENDINGS[ending % 2]);
        for (suffix, rows) in [("", 0..ROWS), ("-eval", 100..132)] {
            let rows = || rows.clone();
            let file = |name: &str, end: &str| lab.path(&format!("{name}{suffix}.{end}"));
            let document = |i| {
                let (complaint, advice, ending) = words(i, i + usize::from(i % 3 == 0));
                format!("With {complaint} for {} days {advice}, {ending}.", 2 + i % 9)
            };
            let dialogue = |i| {
                let (complaint, advice, ending) = words(i, i + i / 8);
                format!(r#"{{"instruction":"What helps with {complaint}?","output":"{advice}, {ending}"}}"#)
            };
            let pair = |i| {
                let (complaint, advice, _) = words(i, 0);
                let [good, bad] = ENDINGS.map(|ending| format!("{advice}, {ending}"));
                format!(
                    r#"{{"question":"What helps with {complaint}?","response_chosen":"{good}","response_rejected":"{bad}"}}"#
                )
            };
            let prompt = |i: usize| format!(r#"{{"prompt":"What helps with {}?"}}"#, COMPLAINTS[i % 8]);
            write(file("pt", "txt"), rows().map(document));
            write(file("sft", "jsonl"), rows().map(dialogue));
            write(file("rm", "jsonl"), rows().map(pair));
            write(file("ppo", "jsonl"), rows().map(prompt));
        }
        lab
    }

    /// Replaces `from`, which must be there, in one of the lab's files, wherever it stands.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "{file} holds no {from:?}");
        fs::write(self.path(file), text.replace(from, to)).unwrap();
    }

    /// Puts another row in place of the 17th of a data file.
    pub fn replace_row(&self, file: &str, row: &[u8]) {
        let bytes = fs::read(self.path(file)).unwrap();
        let mut rows: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        rows[16] = row;
        fs::write(self.path(file), rows.join(&b'\n')).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `medtrain run` over the training file; `output` and caches are the lab's own.
    pub fn run(&self) -> Command {
        let mut command = self.medtrain();
        command.args(["run", "training.yaml", "--workdir", "work"]);
        command
    }

    pub fn medtrain(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_medtrain"));
        command.current_dir(self.dir.path()).env_remove("MEDTRAIN_THREADS");
        command
    }

    /// The files of a finished stage.
    pub fn artifact(&self, stage: &str) -> PathBuf {
        self.path("out/latest").join(stage)
    }

    pub fn json(&self, path: impl AsRef<Path>) -> Value {
        serde_json::from_slice(&fs::read(self.dir.path().join(path)).unwrap()).unwrap()
    }

    /// What must not depend on interruptions or threads: adapter bytes, and every logged figure.
    pub fn result(&self, stage: &str) -> (Vec<u8>, Vec<u8>, Value) {
        let artifact = self.artifact(stage);
        (
            fs::read(artifact.join("adapter/adapter_model.safetensors")).unwrap(),
            fs::read(artifact.join("adapter/adapter_config.json")).unwrap(),
            self.json(artifact.join("trainer_state.json"))["log_history"].clone(),
        )
    }

    /// `manifest.json` of a finished stage.
    pub fn manifest(&self, stage: &str) -> Value {
        let artifact = fs::canonicalize(self.artifact(stage)).unwrap();
        self.json(artifact.parent().unwrap().join("manifest.json"))
    }
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub fn assert_ok(output: &Output) {
    assert!(output.status.success(), "{:?}\n{}", output.status.code(), text(output));
}

/// The files below `folder` that hold `word`.
pub fn files_with(folder: &Path, word: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, word));
        } else if fs::read(&path).unwrap().windows(word.len()).any(|window| window == word.as_bytes()) {
            found.push(path);
        }
    }
    found
}
