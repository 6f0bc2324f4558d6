//! What the program in a pod would do with its configuration: checks it as the contract says and finds its last words.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod};
use medtrain_crds::contract::{
    Digest, ExitCode, PlanRef, PreflightConfig, PreflightMessage, StageConfig, StageForecast, TerminationMessage, pod,
};
use serde_json::Value;

use crate::store::Store;
use crate::work::{Fate, PREFLIGHT, STAGES, Work};

/// Steps that every stage has.
const STEPS: u64 = 100;
/// Where artifacts would lie.
pub const OUTPUT: &str = "s3://scale/out";

/// A pod's program with all that it was given.
#[derive(Debug)]
pub struct Trainer {
    pub work: Work,
    pub attempt: u32,
    config: Config,
}

#[derive(Debug)]
enum Config {
    Preflight(PreflightConfig),
    Stage,
}

/// The name of the ConfigMap that the container has in [`pod::CONFIG_DIR`].
pub fn config_map_of(pod: &Pod) -> Result<String> {
    let container = container(pod)?;
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    let mount =
        mounts.iter().find(|mount| mount.mount_path == pod::CONFIG_DIR).context("no volume of configuration")?;
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let volume = volumes.iter().find(|volume| volume.name == mount.name).context("no volume of that name")?;
    Ok(volume.config_map.as_ref().context("the configuration is no ConfigMap")?.name.clone())
}

fn container(pod: &Pod) -> Result<&Container> {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    containers.iter().find(|container| container.name == pod::CONTAINER).context("no container called trainer")
}

impl Trainer {
    /// Reads arguments, environment and file of a pod.
    ///
    /// # Errors
    /// What the operator wrote is not what a trainer takes.
    pub fn start(pod: &Pod, files: &ConfigMap) -> Result<Self> {
        let container = container(pod)?;
        let arguments = container.args.as_deref().unwrap_or_default();
        let [command, flag, path] = arguments else { anyhow::bail!("arguments {arguments:?}") };
        ensure!(flag == "--config", "arguments {arguments:?}");
        let file = path.strip_prefix(pod::CONFIG_DIR).and_then(|file| file.strip_prefix('/'));
        let content =
            file.and_then(|file| files.data.as_ref()?.get(file)).with_context(|| format!("no file {path}"))?;
        let variables = container.env.as_deref().unwrap_or_default();
        let attempt = variables.iter().find(|variable| variable.name == pod::env::ATTEMPT);
        let attempt = attempt.and_then(|attempt| attempt.value.as_ref()?.parse().ok()).context(pod::env::ATTEMPT)?;
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        match command.as_str() {
            "preflight" => {
                let config = PreflightConfig::parse(content.as_bytes())?;
                let name = config.training["metadata"]["name"].as_str().context("a training without a name")?;
                ensure!(config.training["metadata"]["namespace"] == namespace, "a training of another namespace");
                let work = Work::new(namespace, name, PREFLIGHT);
                Ok(Self { work, attempt, config: Config::Preflight(config) })
            }
            "stage" => {
                let config = StageConfig::parse(content.as_bytes())?;
                // Stages can't tell whose they are, and need not; the operator's labels are for people and for us.
                let labels = pod.metadata.labels.as_ref().context("no labels")?;
                let training = labels.get("medtrain.io/training").context("no label medtrain.io/training")?;
                let work = Work::new(namespace, training, &config.stage);
                ensure!(config.plan == plan(&work), "the plan of another training: {:?}", config.plan);
                Ok(Self { work, attempt, config: Config::Stage })
            }
            other => anyhow::bail!("no such command: {other}"),
        }
    }

    /// A probe after a pod whose end nobody saw, not a look at the whole.
    fn is_probe(&self) -> bool {
        matches!(&self.config, Config::Preflight(config) if !config.only.is_empty())
    }

    pub fn is_to_be_evicted(&self) -> bool {
        self.work.fate() == Fate::Evicted && !self.is_probe()
    }

    /// Runs to its end: exit code and termination message.
    pub fn finish(&self, store: &Store) -> (ExitCode, String) {
        let fails = self.work.fate() == Fate::Fails && self.attempt == 1 && !self.is_probe();
        let unreachable = "s3://scale could not be reached for five minutes; it is tried again";
        match &self.config {
            Config::Preflight(_) if fails => {
                let exit = ExitCode::TransientIo;
                (exit, PreflightMessage::failed(exit, vec![unreachable.to_owned()]).to_json())
            }
            Config::Preflight(config) => (ExitCode::Done, self.forecast(config, store).to_json()),
            Config::Stage if fails => {
                let exit = ExitCode::TransientIo;
                (exit, TerminationMessage::new(exit, unreachable).to_json())
            }
            Config::Stage => {
                let key = self.work.key();
                let mut message = TerminationMessage::new(ExitCode::Done, "");
                message.manifest_uri = Some(format!("{OUTPUT}/stages/{}-{key}/manifest.json", self.work.stage));
                message.manifest_digest = Some(Digest::of(key.as_bytes()));
                message.step = Some(STEPS);
                message.metrics = BTreeMap::from([("train_loss".to_owned(), 1.25), ("eval_loss".to_owned(), 1.5)]);
                store.commit(key);
                (ExitCode::Done, message.to_json())
            }
        }
    }

    fn forecast(&self, config: &PreflightConfig, store: &Store) -> PreflightMessage {
        let stages = config.training["spec"]["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names = stages.iter().filter_map(|stage| stage["name"].as_str());
        let looked_at = names.filter(|name| !self.is_probe() || config.only.iter().any(|only| only == name));
        let stages = looked_at.map(|name| {
            let key = Work::new(&self.work.namespace, &self.work.training, name).key();
            StageForecast { name: name.to_owned(), done: store.has(&key), key, steps: STEPS, mib: Some(300) }
        });
        let mut message = PreflightMessage::ready(plan(&self.work), stages.collect());
        if self.is_probe() {
            message.plan = None;
        }
        message
    }
}

/// The last words of a trainer that was told to stop and had time to save.
pub fn checkpointed() -> (ExitCode, String) {
    let message = TerminationMessage::new(ExitCode::Checkpointed, "stopped with a checkpoint");
    (ExitCode::Checkpointed, message.to_json())
}

fn plan(work: &Work) -> PlanRef {
    let sha256 = work.plan_sha256();
    PlanRef { uri: format!("{OUTPUT}/plans/{sha256}.json"), sha256 }
}

/// The spec of the trainings: four stages that chain.
pub fn spec() -> Value {
    let stages = STAGES.map(|name| {
        let data = format!("s3://scale/data/{name}.jsonl");
        serde_json::json!({"name": name, "kind": name.to_uppercase(), "dataset": {"train": [data]}})
    });
    serde_json::json!({
        "model": {"uri": "s3://scale/model"},
        "output": {"uri": OUTPUT},
        "podTemplate": {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "4Gi"}}},
        "stages": stages,
    })
}
