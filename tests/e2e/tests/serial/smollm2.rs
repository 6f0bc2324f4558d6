//! The demo with its real model, SmolLM2-135M-Instruct, and few steps, as pods: what `make demo` does on one machine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use medtrain_crds::{
    contract::Digest,
    training::status::{StageState, StageStatus},
};
use medtrain_e2e::{Scenario, environment, training};
use serde_json::{Value, json};

/// Where the pods write, in the scenario's part of the store.
const OUTPUT: &str = "pods";

/// `crds/examples/demo.yaml` with so few steps that loading and writing the model take most of the time.
fn demo() -> Result<(Value, PathBuf)> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/examples").canonicalize()?;
    let mut demo: Value = serde_yaml::from_str(&std::fs::read_to_string(examples.join("demo.yaml"))?)?;
    let few = |stage: &mut Value, section: &str, values: Value| {
        if let (Some(section), Value::Object(values)) = (stage[section].as_object_mut(), values) {
            section.extend(values);
        }
    };
    for stage in demo["spec"]["stages"].as_array_mut().context("the demo has no stages")? {
        few(stage, "train", json!({"perDeviceTrainBatchSize": 2, "maxTrainSamples": 8, "maxEvalSamples": 2}));
        match stage["kind"].as_str() {
            Some("PT") => few(stage, "train", json!({"maxSteps": 2, "blockSize": 64})),
            Some("PPO") => {
                few(stage, "train", json!({"perDeviceEvalBatchSize": 2}));
                let ppo = json!({"totalEpisodes": 4, "batchSize": 4, "miniBatchSize": 2, "numPpoEpochs": 1,
                    "maxNewTokens": 8, "minNewTokens": 2});
                few(stage, "ppo", ppo);
            }
            _ => few(stage, "train", json!({"maxSteps": 2, "maxLength": 96})),
        }
    }
    Ok((demo, examples))
}

/// Replaces every path of data by what `place` makes of the file.
async fn place_data(demo: &mut Value, folder: &Path, place: impl AsyncFn(PathBuf) -> Result<String>) -> Result<()> {
    for stage in demo["spec"]["stages"].as_array_mut().into_iter().flatten() {
        for split in ["train", "eval"] {
            for path in stage["dataset"][split].as_array_mut().into_iter().flatten() {
                let file = folder.join(path.as_str().context("a path of data is no text")?).canonicalize()?;
                *path = place(file).await?.into();
            }
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| path.display().to_string())?.to_owned())
}

/// What the stages left in a folder of this machine, by kind: key and weights of the adapter.
fn outcomes_here(output: &Path) -> Result<BTreeMap<String, (Value, Vec<u8>)>> {
    let mut outcomes = BTreeMap::new();
    for entry in std::fs::read_dir(output.join("stages"))? {
        let folder = entry?.path();
        let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("manifest.json"))?)?;
        let prefix = manifest["prefix"].as_str().context("no prefix in the manifest")?;
        let adapter = std::fs::read(folder.join(prefix).join("adapter/adapter_model.safetensors"))?;
        let kind = manifest["kind"].as_str().context("no kind in the manifest")?.to_lowercase();
        outcomes.insert(kind, (manifest["key"].clone(), adapter));
    }
    Ok(outcomes)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_in_pods_chains_by_digest_and_writes_the_adapters_of_a_run_on_this_machine() -> Result<()> {
    let model = PathBuf::from(environment::variable("MEDTRAIN_SMOLLM2")?);
    let (mut demo, examples) = demo()?;
    let here = tempfile::tempdir()?;
    let output = here.path().join("output");
    let mut local = demo.clone();
    local["spec"]["model"]["uri"] = text(&model)?.into();
    local["spec"]["output"]["uri"] = text(&output)?.into();
    place_data(&mut local, &examples, async |file| text(&file)).await?;

    let scenario = Scenario::begin("smollm2").await?;
    let store = &scenario.store;
    for entry in std::fs::read_dir(&model)? {
        let entry = entry?;
        store.upload(&format!("model/{}", entry.file_name().display()), &entry.path()).await?;
    }
    place_data(&mut demo, &examples, async |file| {
        let name = format!("data/{}", file.file_name().context("no name")?.display());
        store.upload(&name, &file).await?;
        Ok(store.uri(&name))
    })
    .await?;
    demo["spec"]["model"]["uri"] = store.uri("model").into();
    demo["spec"]["output"] = json!({"uri": store.uri(OUTPUT)});
    demo["spec"]["storage"] = training::storage(&scenario.env);
    scenario.apply(&demo).await?;
    let mut told = BTreeMap::new();
    for name in ["pt", "sft", "rm", "ppo"] {
        let over = |stage: &StageStatus| stage.state.is_terminal();
        let stage = scenario.stage_until("demo", name, "the end", over).await?;
        ensure!(stage.state == StageState::Succeeded, "{stage:?}");
        told.insert(name, stage);
    }
    scenario.reaches("demo", "Complete").await?;

    let mut manifests = BTreeMap::new();
    for (name, stage) in &told {
        let path = format!("{OUTPUT}/stages/{name}-{}/manifest.json", stage.key);
        let bytes = store.get(&path).await?;
        ensure!(stage.manifest_digest.as_deref() == Some(Digest::of(&bytes).as_str()), "{stage:?}");
        manifests.insert(*name, (Digest::of(&bytes), serde_json::from_slice::<Value>(&bytes)?));
    }
    let edges = [
        ("sft", "policy", "pt"),
        ("rm", "base", "sft"),
        ("ppo", "policy", "sft"),
        ("ppo", "reference", "sft"),
        ("ppo", "reward", "rm"),
    ];
    for (stage, role, from) in edges {
        let input = &manifests[stage].1["inputs"][role];
        ensure!(input["digest"] == manifests[from].0.as_str(), "{stage}.{role} is not what {from} left: {input}");
        ensure!(input["key"] == manifests[from].1["key"], "{stage}.{role}: {input}");
    }

    training::run_here(&scenario.env, &local).await?;
    let outcomes = outcomes_here(&output)?;
    for (name, (_, manifest)) in &manifests {
        let (key, adapter) = outcomes.get(*name).with_context(|| format!("{name} did not run here"))?;
        ensure!(manifest["key"] == *key, "{name}: another key here");
        let folder = format!("{OUTPUT}/stages/{name}-{}", told[name].key);
        let prefix = manifest["prefix"].as_str().context("no prefix in the manifest")?;
        let there = store.get(&format!("{folder}/{prefix}/adapter/adapter_model.safetensors")).await?;
        ensure!(there == *adapter, "{name}: pods wrote other weights");
    }
    scenario.end().await
}
