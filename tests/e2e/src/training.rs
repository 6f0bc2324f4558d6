//! The training of most scenarios: random weights, a tiny tokenizer, invented sentences; four stages in seconds.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{Environment, store::Store};

/// Name of the Secret with the store's credentials in every scenario's namespace.
pub const STORE_SECRET: &str = "store";
/// Steps of each stage but PPO, which makes two rollouts.
pub const STEPS: u64 = 24;
/// Steps of a stage that a test disturbs.
pub const LONG: u64 = 1000;

const COMPLAINTS: [&str; 8] =
    ["cough", "headache", "rash", "back pain", "fever", "sore throat", "heartburn", "dizziness"];
const ADVICE: [&str; 6] = ["rest", "walk", "sleep", "drink", "eat well", "keep warm"];
const ROWS: usize = 96;

/// Puts tokenizer and data where [`tiny`] finds them.
///
/// # Errors
/// The tokenizer's files are not in the checkout; the store refuses.
pub async fn upload(store: &Store) -> Result<()> {
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../trainer/tests/fixtures/tiny-tokenizer");
    for entry in std::fs::read_dir(&tokenizer).with_context(|| tokenizer.display().to_string())? {
        let entry = entry?;
        let name = format!("tokenizer/{}", entry.file_name().display());
        store.put(&name, std::fs::read(entry.path())?).await?;
    }
    let lines = |row: &dyn Fn(usize) -> String| (0..ROWS).map(|i| row(i) + "\n").collect::<String>();
    let words = |i: usize| (COMPLAINTS[i % 8], ADVICE[i / 8 % 6]);
    let document = |i| {
        let (complaint, advice) = words(i);
        format!("With {complaint} for {} days {advice}.", 2 + i % 9)
    };
    let dialogue = |i| {
        let (complaint, advice) = words(i);
        json!({"instruction": format!("What helps with {complaint}?"), "output": advice}).to_string()
    };
    let pair = |i| {
        let (complaint, advice) = words(i);
        let question = format!("What helps with {complaint}?");
        let [good, bad] = ["see a doctor", "it is nothing"].map(|ending| format!("{advice}, {ending}"));
        json!({"question": question, "response_chosen": good, "response_rejected": bad}).to_string()
    };
    let prompt = |i| json!({"prompt": format!("What helps with {}?", words(i).0)}).to_string();
    store.put("data/pt.txt", lines(&document)).await?;
    store.put("data/sft.jsonl", lines(&dialogue)).await?;
    store.put("data/rm.jsonl", lines(&pair)).await?;
    store.put("data/ppo.jsonl", lines(&prompt)).await
}

/// `spec.storage` for the scenario's store.
pub fn storage(env: &Environment) -> Value {
    json!([{
        "uriPrefix": "s3://", "secretRef": {"name": STORE_SECRET}, "endpoint": env.endpoint, "region": env.region
    }])
}

/// A MedicalTraining of the four stages; its output is `output` in the scenario's part of the store.
pub fn tiny(env: &Environment, store: &Store, name: &str, output: &str) -> Value {
    let train = |more: Value| {
        let mut train = json!({"loggingSteps": 1, "saveSteps": 2, "evalStrategy": "no"});
        if let (Some(all), Value::Object(more)) = (train.as_object_mut(), more) {
            all.extend(more);
        }
        train
    };
    let data = |file: &str| json!({"train": [store.uri(&format!("data/{file}"))]});
    json!({
        "apiVersion": "medtrain.io/v1alpha1",
        "kind": "MedicalTraining",
        "metadata": {"name": name},
        "spec": {
            "model": {
                "tokenizer": store.uri("tokenizer"),
                "random": {
                    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 304,
                    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
                    "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 0.00001,
                    "tie_word_embeddings": true, "initializer_range": 0.1
                }
            },
            "seed": 7,
            "output": {"uri": store.uri(output)},
            "storage": storage(env),
            "lora": {"rank": 4, "alpha": "8", "dropout": "0.1", "targetModules": ["all-linear"]},
            "stages": [
                {"name": "pt", "kind": "PT", "dataset": data("pt.txt"), "train": train(json!({
                    "maxSteps": STEPS, "blockSize": 64, "learningRate": "2e-2", "perDeviceTrainBatchSize": 2}))},
                {"name": "sft", "kind": "SFT", "dataset": data("sft.jsonl"), "train": train(json!({
                    "maxSteps": STEPS, "maxLength": 160, "learningRate": "2e-2", "perDeviceTrainBatchSize": 2}))},
                {"name": "rm", "kind": "RM", "dataset": data("rm.jsonl"), "train": train(json!({
                    "maxSteps": STEPS, "maxLength": 256, "learningRate": "1e-2", "perDeviceTrainBatchSize": 4}))},
                {"name": "ppo", "kind": "PPO", "dataset": data("ppo.jsonl"),
                 "train": train(json!({"maxSteps": 2, "saveSteps": 1, "learningRate": "5e-3",
                    "perDeviceTrainBatchSize": 4})),
                 "ppo": {"batchSize": 16, "miniBatchSize": 8, "numPpoEpochs": 2, "maxNewTokens": 24,
                    "minNewTokens": 2, "initKlCoef": "0.05", "missingEosPenalty": "0"}}
            ]
        }
    })
}

/// The same with only these stages, which run in sequence.
pub fn of_stages(env: &Environment, store: &Store, name: &str, output: &str, stages: &[&str]) -> Value {
    let mut training = tiny(env, store, name, output);
    if let Some(all) = training["spec"]["stages"].as_array_mut() {
        all.retain(|stage| stages.iter().any(|name| stage["name"] == *name));
    }
    training
}

/// One PT stage that is long enough to be disturbed.
pub fn long(env: &Environment, store: &Store, name: &str, output: &str) -> Value {
    let mut training = of_stages(env, store, name, output, &["pt"]);
    lengthen(&mut training["spec"]["stages"][0]);
    training
}

/// Makes a stage long enough to be disturbed, with fifty checkpoints.
pub fn lengthen(stage: &mut Value) {
    stage["train"]["maxSteps"] = LONG.into();
    stage["train"]["saveSteps"] = (LONG / 50).into();
}

/// Runs the training on this machine by `medtrain run`, with the store's credentials in the environment.
///
/// # Errors
/// `medtrain` can't be started or fails; its output is in the message.
pub async fn run_here(env: &Environment, training: &Value) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("training.yaml");
    std::fs::write(&file, serde_yaml::to_string(training)?)?;
    let output = tokio::process::Command::new(&env.medtrain)
        .arg("run")
        .arg(&file)
        .arg("--workdir")
        .arg(folder.path().join("work"))
        .current_dir(folder.path())
        .output()
        .await
        .with_context(|| env.medtrain.display().to_string())?;
    let text = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "medtrain run ended with {}:\n{text}", output.status);
    Ok(())
}
