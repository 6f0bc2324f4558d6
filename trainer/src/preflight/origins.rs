//! The models that chains of stages start from, looked at as far as headers go.
//!
//! Holds: a model is fetched once, however many stages use it; what is wrong with it is said once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use medtrain_crds::contract::Digest;
use medtrain_crds::resolve::{ModelSource, Resolved, Source, locator};
use medtrain_crds::stage::StageKind;
use serde_json::Value;

use super::{Workspace, check_fits, digest_of, inputs};
use crate::adapter::Projection;
use crate::data::Tokenizer;
use crate::failure::{Failure, Result};
use crate::model::ModelConfig;
use crate::weights::{Dtype, ModelFiles, peft};

/// A model or an adapter that no stage of the training makes.
pub(super) struct External {
    pub dir: PathBuf,
    pub digest: Digest,
    /// Of a repository on the hub.
    pub commit: Option<String>,
    pub uri: String,
}

/// A model that stages are trained over.
pub(super) struct Origin {
    pub tokenizer: Tokenizer,
    /// `None` if something is wrong with it; data can be looked at even so.
    pub model: Option<Facts>,
}

/// What headers tell about a model.
#[derive(Clone)]
pub(super) struct Facts {
    pub config: ModelConfig,
    /// The type that the model is stored in.
    pub stored: Dtype,
}

/// The name of a model that tokens are added to, and the lists of them.
type GrownName = (String, Vec<Vec<String>>);

/// What was found out about each external input; failures are remembered, so that each is told once.
#[derive(Default)]
pub(super) struct Origins {
    found: BTreeMap<String, Option<Rc<External>>>,
    origins: BTreeMap<String, Option<Rc<Origin>>>,
    grown: BTreeMap<GrownName, Option<Rc<Origin>>>,
}

/// How a source that is no stage is called here.
fn name_of(source: &Source) -> Option<String> {
    match source {
        Source::Model => Some(String::new()),
        Source::Uri { uri, revision } => Some(locator(uri, revision.as_deref())),
        Source::Stage(_) => None,
    }
}

impl Origins {
    /// The input on this machine; `None` if it is a stage's result, or if it can't be had, which goes to `failures` the
    /// first time.
    pub fn external(
        &mut self,
        ws: &Workspace,
        resolved: &Resolved,
        source: &Source,
        place: &str,
        failures: &mut Vec<Failure>,
    ) -> Option<Rc<External>> {
        let name = name_of(source)?;
        if let Some(known) = self.found.get(&name) {
            return known.clone();
        }
        let (uri, revision, place) = match (source, &resolved.model) {
            (Source::Uri { uri, revision }, _) => (uri, revision, place),
            (_, ModelSource::Uri { uri, revision }) => (uri, revision, "model.uri"),
            (_, ModelSource::Random { tokenizer, tokenizer_revision, .. }) => {
                (tokenizer, tokenizer_revision, "model.tokenizer")
            }
        };
        let tokenizer_only = *source == Source::Model && matches!(resolved.model, ModelSource::Random { .. });
        let found =
            fetch(ws, uri, revision.as_deref(), tokenizer_only).map_err(|failure| failures.push(failure.at(place)));
        let found = found.ok().map(Rc::new);
        self.found.insert(name, found.clone());
        found
    }

    /// The model that `source`, which is no stage, holds, checked for being one that can be trained.
    pub fn origin(
        &mut self,
        ws: &Workspace,
        resolved: &Resolved,
        source: &Source,
        place: &str,
        failures: &mut Vec<Failure>,
    ) -> Option<Rc<Origin>> {
        let external = self.external(ws, resolved, source, place, failures)?;
        let name = name_of(source)?;
        if let Some(known) = self.origins.get(&name) {
            return known.clone();
        }
        let random = match (source, &resolved.model) {
            (Source::Model, ModelSource::Random { config, .. }) => Some(config),
            _ => None,
        };
        let place = match (source, random) {
            (Source::Uri { .. }, _) => place,
            (_, Some(_)) => "model.random",
            _ => "model.uri",
        };
        let facts = match random {
            Some(config) => random_model(Value::Object(config.clone()), ws.memory),
            None => stored_model(&external),
        };
        let model = facts.map_err(|failure| failures.push(failure.at(place))).ok();
        let is_adapter = peft::is_adapter(&external.dir);
        let origin = match Tokenizer::load(&external.dir) {
            Ok(tokenizer) => {
                if let Some(facts) = &model
                    && let Err(failure) = check_vocabulary(&facts.config, &tokenizer, random.is_some())
                {
                    failures.push(failure.at(place));
                }
                Some(Rc::new(Origin { tokenizer, model }))
            }
            // What an adapter lacks is beside the point.
            Err(_) if is_adapter => None,
            Err(failure) => {
                let place = if random.is_some() { "model.tokenizer" } else { place };
                failures.push(failure.at(place));
                None
            }
        };
        self.origins.insert(name, origin.clone());
        origin
    }

    /// [`Self::origin`] as stages with these vocabularies leave it.
    pub fn grown(
        &mut self,
        ws: &Workspace,
        resolved: &Resolved,
        source: &Source,
        vocabularies: &[&[String]],
        place: &str,
        failures: &mut Vec<Failure>,
    ) -> Option<Rc<Origin>> {
        let origin = self.origin(ws, resolved, source, place, failures)?;
        if vocabularies.is_empty() {
            return Some(origin);
        }
        let key = (name_of(source)?, vocabularies.iter().map(|tokens| tokens.to_vec()).collect());
        if let Some(known) = self.grown.get(&key) {
            return known.clone();
        }
        let external = self.external(ws, resolved, source, place, failures)?;
        let found = Tokenizer::load_grown(&external.dir, vocabularies).map(|tokenizer| {
            let model = origin.model.clone().map(|mut facts| {
                facts.config.vocab_size = facts.config.vocab_size.max(tokenizer.vocab_size());
                facts
            });
            Rc::new(Origin { tokenizer, model })
        });
        let found = found.map_err(|failure| failures.push(failure.at(place))).ok();
        self.grown.insert(key, found.clone());
        found
    }

    /// The commit that a source on the hub was resolved to.
    pub fn commit(&self, source: &Source) -> Option<String> {
        self.found.get(&name_of(source)?)?.as_ref()?.commit.clone()
    }

    /// Digests by the names that identities have; `None` if one is missing.
    pub fn digest(&self, source: &Source) -> Option<Digest> {
        Some(self.found.get(&name_of(source)?)?.as_ref()?.digest.clone())
    }
}

/// The source at the start of a stage's chain: of what it is trained over, and so on.
pub(super) fn chain_start<'a>(resolved: &'a Resolved, source: &'a Source) -> Option<&'a Source> {
    let mut source = source;
    while let Source::Stage(name) = source {
        let stage = resolved.stage(name)?;
        source = stage.inputs.get(&inputs::trained_role(stage.kind))?;
    }
    Some(source)
}

fn fetch(ws: &Workspace, uri: &str, revision: Option<&str>, tokenizer_only: bool) -> Result<External> {
    if tokenizer_only {
        let inputs::TokenizerDir { dir, digest, commit } = inputs::tokenizer_dir(ws, uri, revision)?;
        return Ok(External { dir, digest, commit, uri: uri.to_owned() });
    }
    let model = inputs::model(ws, uri, revision)?;
    Ok(External { digest: digest_of(&model)?, dir: model.dir, commit: model.commit, uri: uri.to_owned() })
}

fn random_model(config: Value, memory: Option<u64>) -> Result<Facts> {
    let config = ModelConfig::from_json(config).map_err(|failure| Failure::config(failure.message))?;
    check_fits(&config, memory)?;
    Ok(Facts { config, stored: Dtype::Float32 })
}

fn stored_model(external: &External) -> Result<Facts> {
    let dir = &external.dir;
    if peft::is_adapter(dir) {
        return Err(Failure::config(format!(
            "{}: is an adapter, not a model; name it by inputs.adapter and the model under it here",
            external.uri
        )));
    }
    let config = ModelConfig::load(dir)?;
    let files = ModelFiles::open(dir)?;
    check_shapes(dir, &config, &files)?;
    let stored = files.dtype("model.embed_tokens.weight")?;
    Ok(Facts { config, stored })
}

fn check_vocabulary(config: &ModelConfig, tokenizer: &Tokenizer, random: bool) -> Result<()> {
    let (tokens, rows) = (tokenizer.vocab_size(), config.vocab_size);
    if random && tokens > rows {
        let message = format!("vocab_size is {rows}, but the tokenizer has {tokens} tokens; set it to that");
        return Err(Failure::config(message));
    }
    tokenizer.check_fits(rows)
}

/// The matrices have the shapes that the configuration calls for; values are not looked at.
fn check_shapes(dir: &Path, config: &ModelConfig, files: &ModelFiles) -> Result<()> {
    let mut wanted = vec![
        ("model.embed_tokens.weight".to_owned(), vec![config.vocab_size, config.hidden_size]),
        ("model.norm.weight".to_owned(), vec![config.hidden_size]),
    ];
    for layer in 0..config.num_hidden_layers {
        let matrices = Projection::ALL
            .map(|projection| (format!("{}.weight", projection.path(layer)), projection.shape(config).to_vec()));
        wanted.extend(matrices);
    }
    for (name, shape) in wanted {
        if !files.contains(&name) {
            return Err(Failure::input(format!(
                "{}: tensor \"{name}\" is missing; the download is incomplete, or config.json belongs to another model",
                dir.display()
            )));
        }
        let found = files.shape(&name)?;
        if found != shape {
            return Err(Failure::input(format!(
                "{}: tensor \"{name}\" has shape {found:?}, config.json calls for {shape:?}; they belong to different \
                 models",
                dir.display()
            )));
        }
    }
    Ok(())
}

/// Whether the model gives one score a sequence instead of logits.
fn is_reward_model(config: &ModelConfig) -> bool {
    let named = config.raw.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
    named.is_some_and(|name| name.ends_with("ForSequenceClassification"))
}

/// A model that is trained over must be a causal one.
pub(super) fn check_causal(model: &Facts, kind: StageKind, place: &str, uri: &str) -> Result<()> {
    if !is_reward_model(&model.config) {
        return Ok(());
    }
    Err(Failure::config(format!(
        "{place}: {uri} is a reward model (one score per sequence); {kind} needs a causal model"
    )))
}

/// The models of PPO read the same ids, so they must mean the same tokens.
pub(super) fn check_same_tokens(policy: &Tokenizer, other: &Tokenizer, uri: &str) -> Result<()> {
    let ids = 0..policy.vocab_size().max(other.vocab_size()) as u32;
    match ids.into_iter().find(|id| policy.token(*id) != other.token(*id)) {
        None => Ok(()),
        Some(id) => Err(Failure::config(format!(
            "{uri}: has another tokenizer than the policy (the first difference is token {id}); use a model with the \
             policy's tokenizer"
        ))),
    }
}

/// The reward of PPO must be a whole reward model.
pub(super) fn check_reward(external: &External) -> Result<()> {
    let dir = &external.dir;
    if peft::is_adapter(dir) {
        return Err(Failure::config(format!(
            "{}: is an adapter; a reward model from outside must be whole: merge it into its base by `medtrain merge` and \
             name the result",
            external.uri
        )));
    }
    if is_reward_model(&ModelConfig::load(dir)?) && ModelFiles::open(dir)?.contains("score.weight") {
        return Ok(());
    }
    Err(Failure::config(format!(
        "{}: is no reward model (nothing in it gives a score); use the result of an RM stage or a model for sequence \
         classification with one label",
        external.uri
    )))
}
