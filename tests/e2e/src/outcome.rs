//! What a stage leaves that must not depend on where it ran or how often it was interrupted.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{Scenario, store::Store, training};

/// Where a run on this machine writes, in the scenario's part of the store.
const HERE: &str = "here";

/// What two runs of the same work have in common.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub key: Value,
    pub adapter: Vec<u8>,
    pub adapter_config: String,
}

impl Outcome {
    /// Of a finished stage by its kind in lower-case letters, of which the output holds only one.
    ///
    /// # Errors
    /// There is no manifest, or the store can't be read.
    pub async fn of(store: &Store, output: &str, kind: &str) -> Result<Self> {
        let [folder] = finished(store, output, kind).await?.try_into().map_err(|found: Vec<_>| {
            anyhow::anyhow!("{output}: {} finished stages of kind {kind}, not one: {found:?}", found.len())
        })?;
        let manifest = store.json(&format!("{folder}/manifest.json")).await?;
        let prefix = manifest["prefix"].as_str().with_context(|| format!("{folder}: no prefix in the manifest"))?;
        let file = async |name: &str| store.get(&format!("{folder}/{prefix}/adapter/{name}")).await;
        Ok(Self {
            key: manifest["key"].clone(),
            adapter: file("adapter_model.safetensors").await?.to_vec(),
            adapter_config: without_run(&String::from_utf8(file("adapter_config.json").await?.to_vec())?),
        })
    }
}

/// Folders of the finished stages of a kind.
///
/// # Errors
/// The store can't be read.
pub async fn finished(store: &Store, output: &str, kind: &str) -> Result<Vec<String>> {
    let files = store.list(&format!("{output}/stages")).await?;
    let below = format!("{output}/stages/{kind}-");
    let manifests = files.iter().filter(|path| path.starts_with(&below) && !path.contains("/checkpoints/"));
    Ok(manifests.filter_map(|path| path.strip_suffix("/manifest.json")).map(str::to_owned).collect())
}

/// The run that finished a stage: the first digits of its pod's UID. None: it is not finished.
///
/// # Errors
/// As [`finished`]; the manifest is not one.
pub async fn finisher(store: &Store, output: &str, kind: &str) -> Result<Option<String>> {
    let Some(folder) = finished(store, output, kind).await?.pop() else { return Ok(None) };
    let manifest = store.json(&format!("{folder}/manifest.json")).await?;
    let run = manifest["prefix"].as_str().and_then(|prefix| prefix.rsplit('-').next());
    Ok(Some(run.with_context(|| format!("{folder}: no prefix in the manifest"))?.to_owned()))
}

/// How many runs had a share in what a finished stage left: each that goes on from a checkpoint adds a file of
/// TensorBoard events to those it found there.
///
/// # Errors
/// As [`Outcome::of`].
pub async fn runs(store: &Store, output: &str, kind: &str) -> Result<usize> {
    let folder = finished(store, output, kind).await?.pop().with_context(|| format!("{output}: no {kind} is done"))?;
    let manifest = store.json(&format!("{folder}/manifest.json")).await?;
    let files = manifest["files"].as_array().cloned().unwrap_or_default();
    Ok(files.iter().filter(|file| file["path"].as_str().is_some_and(|path| path.contains("/events.out."))).count())
}

/// Runs a training again on this machine, under an output of its own, so that nothing is taken from the store, and
/// compares what the stages left.
///
/// # Errors
/// They left something else; the run fails.
pub async fn assert_same_as_here(scenario: &Scenario, training: &Value, output: &str) -> Result<()> {
    let mut here = training.clone();
    here["spec"]["output"]["uri"] = scenario.store.uri(HERE).into();
    training::run_here(&scenario.env, &here).await?;
    for stage in training["spec"]["stages"].as_array().into_iter().flatten() {
        let kind = stage["kind"].as_str().unwrap_or_default().to_lowercase();
        let there = Outcome::of(&scenario.store, output, &kind).await?;
        let here = Outcome::of(&scenario.store, HERE, &kind).await?;
        ensure!(there.key == here.key, "{kind}: key {} in pods, {} here", there.key, here.key);
        ensure!(there.adapter == here.adapter, "{kind}: pods wrote other weights");
        ensure!(
            there.adapter_config == here.adapter_config,
            "{kind}: adapter_config.json\n{}\nin pods, here\n{}",
            there.adapter_config,
            here.adapter_config
        );
    }
    Ok(())
}

/// The base's path holds the run that wrote it (`attempt-1-<run8>`).
fn without_run(config: &str) -> String {
    let part = |part: &str| if part.starts_with("attempt-") { "attempt".to_owned() } else { part.to_owned() };
    config.split('/').map(part).collect::<Vec<_>>().join("/")
}
