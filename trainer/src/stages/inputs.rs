//! The models a stage stands on, as directories of this machine.
//!
//! Holds: what is used is what was planned: an external input's digest is compared, a stage's manifest names its key.

use std::path::{Path, PathBuf};

use medtrain_crds::{
    contract::{Digest, Manifest, StageKey, layout},
    resolve::{PlannedInput, PlannedStage, Role, random_digest},
};

use super::outputs::write_tokenizer;
use crate::{
    artifact::{download_dir, read_manifest, sha256_hex, verify_files},
    data::Tokenizer,
    device::memory,
    failure::{Failure, Result},
    model::{ModelConfig, load},
    ops::{LmBackend, to_host},
    preflight::{self, Workspace},
    weights::{Dtype, MAX_SHARD_BYTES, hub_uri::percent_decode, save_model},
};

/// A model directory and what it is.
#[derive(Clone, Debug)]
pub struct ModelInput {
    pub dir: PathBuf,
    /// Adapter directory, when a stage before trained one.
    pub adapter: Option<PathBuf>,
    pub uri: String,
    pub revision: Option<String>,
    pub digest: Digest,
    pub key: Option<StageKey>,
    pub manifest: Option<Manifest>,
    /// What `base_model_name_or_path` says: a hub id, a path, or a path relative to the new adapter.
    pub name: String,
}

impl ModelInput {
    /// What tells two inputs to be the same weights.
    pub fn identity(&self) -> &str {
        self.key.as_ref().map_or(self.digest.as_str(), StageKey::as_str)
    }

    /// Where the adapter is, if this is one or the result of a stage that trained one.
    pub fn adapter_dir(&self) -> &Path {
        self.adapter.as_deref().unwrap_or(&self.dir)
    }
}

/// The input of `role`; `None` if the stage has none.
///
/// # Errors
/// 65 when it is missing or not what was planned.
pub fn model_input<B: LmBackend>(
    workspace: &Workspace,
    stage: &PlannedStage,
    role: Role,
    device: &B::Device,
) -> Result<Option<ModelInput>> {
    let Some(planned) = stage.inputs.get(&role) else { return Ok(None) };
    let input = match planned {
        PlannedInput::External { uri, revision, digest } => external(workspace, uri, revision.as_deref(), digest),
        PlannedInput::Stage { stage, manifest, .. } => of_stage(workspace, stage, manifest),
        PlannedInput::Random { config, tokenizer, tokenizer_revision, digest } => {
            random::<B>(workspace, config, (tokenizer, tokenizer_revision.as_deref()), digest, stage.seed, device)
        }
    };
    input.map(Some).map_err(|failure| failure.at(format!("{}.inputs.{role}", stage.name)))
}

fn external(workspace: &Workspace, uri: &str, revision: Option<&str>, planned: &Digest) -> Result<ModelInput> {
    let resolved = preflight::model(workspace, uri, revision)?;
    let digest = preflight::digest_of(&resolved)?;
    if digest != *planned {
        return Err(Failure::input(format!(
            "{uri}: is {digest} now, but {planned} was planned; the model has changed since. Run again to plan with it"
        )));
    }
    let absolute = |path: &Path| {
        let path = std::path::absolute(path).map_err(|error| Failure::io(path, &error))?;
        Ok(path.display().to_string())
    };
    // What lies in the work directory is none that others know; a relative path would be taken as one from the adapter.
    let name = match uri.split_once("://") {
        Some(("hf", id)) => id.split('@').next().unwrap_or(id).to_owned(),
        Some((scheme, _)) if scheme != "file" => uri.to_owned(),
        Some((_, file)) if uri.ends_with(".gguf") => absolute(Path::new(&percent_decode(file)))?,
        None if uri.ends_with(".gguf") => absolute(&workspace.base.join(uri))?,
        _ => absolute(&resolved.dir)?,
    };
    Ok(ModelInput {
        dir: resolved.dir,
        adapter: None,
        uri: uri.to_owned(),
        revision: revision.map(str::to_owned),
        digest,
        key: None,
        manifest: None,
        name,
    })
}

fn of_stage(workspace: &Workspace, stage: &str, path: &str) -> Result<ModelInput> {
    let store = &workspace.store;
    let manifest = read_manifest(store, path)?.ok_or_else(|| {
        Failure::input(format!("{}: not there; stage \"{stage}\" has not finished: run it first", store.uri_of(path)))
    })?;
    let home = path.trim_end_matches(layout::MANIFEST).trim_end_matches('/');
    let fetch = |part: &str| -> Result<Option<PathBuf>> {
        let folder = format!("{}/{part}", manifest.prefix);
        let entries: Vec<_> = manifest.files_in(part).cloned().collect();
        if entries.is_empty() {
            return Ok(None);
        }
        if let Some(local) = store.local_path(&format!("{home}/{folder}")) {
            verify_files(store, home, &entries)?.into_result().map_err(|failure| {
                failure
                    .at(format!("stage \"{stage}\" is not what it was; delete {} to make it again", store.uri_of(path)))
            })?;
            return Ok(Some(local));
        }
        let cache = workspace.workdir.join("artifacts").join(manifest.key.key12());
        download_dir(store, home, &entries, &cache)?;
        Ok(Some(cache.join(folder)))
    };
    let dir = fetch("merged")?.ok_or_else(|| {
        Failure::input(format!("{}: lists no merged model; it was not written by a stage", store.uri_of(path)))
    })?;
    Ok(ModelInput {
        dir,
        adapter: fetch("adapter")?,
        uri: store.uri_of(path),
        revision: None,
        digest: Digest::of(manifest.to_json().as_bytes()),
        key: Some(manifest.key.clone()),
        // From `stages/<this>/attempt-<n>-<run8>/adapter` to a name that does not depend on the attempt.
        name: format!("../../../{}/merged", home.rsplit('/').next().unwrap_or(home)),
        manifest: Some(manifest),
    })
}

/// Random weights as a model directory in the working folder, made once.
fn random<B: LmBackend>(
    workspace: &Workspace,
    config: &serde_json::Map<String, serde_json::Value>,
    (tokenizer, revision): (&str, Option<&str>),
    digest: &Digest,
    seed: u64,
    device: &B::Device,
) -> Result<ModelInput> {
    let dir = workspace.workdir.join("random").join(&sha256_hex(digest.as_str().as_bytes())[..16]);
    if !dir.join("config.json").exists() {
        let found = preflight::tokenizer_dir(workspace, tokenizer, revision)?;
        let now = random_digest(config, &found.digest, seed);
        if now != *digest {
            return Err(Failure::input(format!(
                "{tokenizer}: with this tokenizer the random model is {now} now, but {digest} was planned; the tokenizer \
                 has changed since. Run again to plan with it"
            )));
        }
        write_random::<B>(&dir, config, &found.dir, seed, device)?;
    }
    Ok(ModelInput {
        name: format!("random-{}", &sha256_hex(digest.as_str().as_bytes())[..16]),
        dir,
        adapter: None,
        uri: "random".into(),
        revision: None,
        digest: digest.clone(),
        key: None,
        manifest: None,
    })
}

fn write_random<B: LmBackend>(
    dir: &Path,
    config: &serde_json::Map<String, serde_json::Value>,
    tokenizer: &Path,
    seed: u64,
    device: &B::Device,
) -> Result<()> {
    let fresh = dir.with_extension("tmp");
    std::fs::create_dir_all(&fresh).map_err(|error| Failure::io(&fresh, &error))?;
    let parsed = ModelConfig::from_json(serde_json::Value::Object(config.clone()))
        .map_err(|failure| Failure::config(format!("model.random: {}", failure.message)))?;
    preflight::check_fits(&parsed, memory::limit()).map_err(|failure| failure.at("model.random"))?;
    let model = load::random::<B>(parsed, 1, seed, device)?;
    let parameters = model.parameters();
    let names: Vec<_> = parameters.iter().map(|(name, parameter)| (name.clone(), parameter.shape.clone())).collect();
    save_model(&fresh, &names, Dtype::Float32, MAX_SHARD_BYTES, |name| Ok(to_host(&parameters[name].value)))?;
    write_tokenizer(tokenizer, &fresh, &Tokenizer::load(tokenizer)?, None, true)?;
    let config = serde_json::Value::Object(config.clone());
    super::outputs::write_json(&fresh.join("config.json"), &config)?;
    std::fs::rename(&fresh, dir).map_err(|error| Failure::io(dir, &error))
}
