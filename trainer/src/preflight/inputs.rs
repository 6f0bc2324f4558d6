//! The inputs of one stage on this machine: models, tokenizer, template, data.
//!
//! Holds: all stages of a chain read with the tokenizer of the model that the chain starts from; data is what was
//! planned, or the stage fails.

use std::fs;
use std::path::{Path, PathBuf};

use medtrain_crds::contract::Digest;
use medtrain_crds::resolve::{FileIdentity, Plan, PlannedDataset, PlannedInput, PlannedStage, Role};
use medtrain_crds::stage::{DataFormat, StageKind, TrainArgs};

use super::{Workspace, data_files, remote};
use crate::artifact::sha256_hex;
use crate::data::formats::Shape;
use crate::data::{ChatTemplate, DataRequest, Prepared, Tokenizer, prepare};
use crate::failure::{Failure, Result};
use crate::weights::digests::Digests;
use crate::weights::hub_uri::{HubUri, percent_decode};
use crate::weights::{ResolvedModel, Sources};

/// What a tokenizer is read from; `config.json` and its like name tokens that end a generation.
const TOKENIZER_FILES: [&str; 8] = [
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
];

/// A model or adapter as a directory.
///
/// # Errors
/// As [`Sources::model`].
pub fn model(ws: &Workspace, uri: &str, revision: Option<&str>) -> Result<ResolvedModel> {
    with_sources(ws, |sources| sources.model(uri, revision))
}

pub(super) fn with_sources<T>(ws: &Workspace, get: impl FnOnce(&Sources) -> T) -> T {
    let fetch = |uri: &str, target: &Path| remote::copy_model(ws, uri, target);
    get(&Sources { hub: ws.hub.clone(), workdir: &ws.workdir, base: &ws.base, fetch: &fetch })
}

/// The identity that plans and keys have for a model.
///
/// # Errors
/// 70 for a digest that is none.
pub fn digest_of(model: &ResolvedModel) -> Result<Digest> {
    let digest = match &model.commit {
        Some(commit) if *commit == model.digest => Digest::commit(commit),
        _ => Digest::sha256(&model.digest),
    };
    digest.map_err(|error| Failure::internal(error.to_string()))
}

/// A directory with a tokenizer, with or without a model beside it.
#[derive(Debug)]
pub struct TokenizerDir {
    pub dir: PathBuf,
    /// Its identity, which does not depend on the place.
    pub digest: Digest,
    /// Of a repository on the hub.
    pub commit: Option<String>,
}

/// The tokenizer at `uri`; of a model on the hub or in a store only the tokenizer is downloaded.
///
/// # Errors
/// 65 when there is none; as [`model`].
pub fn tokenizer_dir(ws: &Workspace, uri: &str, revision: Option<&str>) -> Result<TokenizerDir> {
    let dir = match uri.split_once("://") {
        _ if uri.ends_with(".gguf") => None,
        Some(("hf", _)) => {
            let uri = HubUri::parse(uri)?.at_revision(revision)?;
            let found = ws.hub.files(&uri, &|name| TOKENIZER_FILES.contains(&name))?;
            let digest = Digest::commit(&found.commit).map_err(|error| Failure::internal(error.to_string()))?;
            return Ok(TokenizerDir { dir: found.dir, digest, commit: Some(found.commit) });
        }
        Some(("file", path)) => Some(PathBuf::from(percent_decode(path))),
        Some(_) => {
            let copy = ws.workdir.join("tokenizers").join(&sha256_hex(uri.as_bytes())[..32]);
            remote::copy_folder(ws, uri, &copy, &|name| TOKENIZER_FILES.contains(&name))?;
            Some(copy)
        }
        None => Some(ws.base.join(uri)),
    };
    let Some(dir) = dir else {
        // The tokenizer of a GGUF file comes with its model.
        let model = model(ws, uri, revision)?;
        return Ok(TokenizerDir { digest: digest_of(&model)?, dir: model.dir, commit: model.commit });
    };
    if !dir.join("tokenizer.json").is_file() && !dir.join("tokenizer.model").is_file() {
        return Err(Failure::input(format!("{uri}: holds no tokenizer.json; name a folder that does")));
    }
    let digests = Digests::new(&ws.workdir);
    let mut listing = String::new();
    for name in TOKENIZER_FILES {
        let path = dir.join(name);
        if fs::exists(&path).map_err(|error| Failure::io(&path, &error))? {
            listing += &format!("{}  {name}\n", digests.sha256(&path)?);
        }
    }
    Ok(TokenizerDir { dir, digest: Digest::of(listing.as_bytes()), commit: None })
}

/// The role of the model that a stage of this kind is trained over.
pub(super) fn trained_role(kind: StageKind) -> Role {
    if kind == StageKind::RM { Role::Base } else { Role::Policy }
}

/// The tokenizer of the model that the stage's chain of inputs starts from, with the tokens that stages of it add.
///
/// # Errors
/// As [`model`] and [`Tokenizer::load`].
pub fn stage_tokenizer(ws: &Workspace, plan: &Plan, stage: &PlannedStage) -> Result<Tokenizer> {
    let mut stage = stage;
    let mut vocabularies = Vec::new();
    loop {
        vocabularies.extend(stage.vocabulary.as_ref().map(|vocabulary| vocabulary.add_tokens.as_slice()));
        let role = trained_role(stage.kind);
        let dir = match stage.inputs.get(&role) {
            Some(PlannedInput::External { uri, revision, .. }) => model(ws, uri, revision.as_deref())?.dir,
            Some(PlannedInput::Random { tokenizer, tokenizer_revision, .. }) => {
                tokenizer_dir(ws, tokenizer, tokenizer_revision.as_deref())?.dir
            }
            Some(PlannedInput::Stage { stage: name, .. }) => {
                stage = plan.stage(name).ok_or_else(|| {
                    Failure::config(format!("the plan has no stage \"{name}\", which \"{}\" starts from", stage.name))
                })?;
                continue;
            }
            None => return Err(Failure::config(format!("the plan names no {role} model for \"{}\"", stage.name))),
        };
        vocabularies.reverse();
        return Tokenizer::load_grown(&dir, &vocabularies);
    }
}

/// The template that the stage's dialogues are rendered with; pre-training has none.
///
/// # Errors
/// As [`ChatTemplate::resolve`].
pub fn stage_template(stage: &PlannedStage, tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>> {
    match stage.kind {
        StageKind::PT => Ok(None),
        _ => ChatTemplate::resolve(stage.train.chat_template.as_deref(), tokenizer).map(Some),
    }
}

/// Reads, checks and encodes the stage's data, or finds that this was done.
///
/// # Errors
/// 65 for a file that is gone or not what was planned; as [`prepare()`]; 66 for rows of another format than the named one.
pub fn stage_data(
    ws: &Workspace,
    stage: &PlannedStage,
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Prepared> {
    sampled_data(ws, stage, None, tokenizer, template)
}

/// The same; of more bytes than `scan` a sample of the rows, as a preflight reads them.
///
/// # Errors
/// As [`stage_data`].
pub fn sampled_data(
    ws: &Workspace,
    stage: &PlannedStage,
    scan: Option<u64>,
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Prepared> {
    let request = Request { kind: stage.kind, dataset: &stage.dataset, seed: stage.seed, args: &stage.train, scan };
    request.prepare(ws, tokenizer, template)
}

/// The data of a stage that may not be planned yet.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub kind: StageKind,
    pub dataset: &'a PlannedDataset,
    pub seed: u64,
    pub args: &'a TrainArgs,
    /// See [`DataRequest::scan`].
    pub scan: Option<u64>,
}

impl Request<'_> {
    pub fn prepare(&self, ws: &Workspace, tokenizer: &Tokenizer, template: Option<&ChatTemplate>) -> Result<Prepared> {
        let (train, eval) = data_files(ws, self.dataset)?;
        let prepared = prepare(&DataRequest {
            kind: self.kind,
            train: &train,
            eval: &eval,
            eval_fraction: self.dataset.eval_fraction,
            seed: self.seed,
            args: self.args,
            tokenizer,
            template,
            workdir: &ws.workdir,
            scan: self.scan,
        })?;
        if let Some(format) = self.dataset.format {
            for file in prepared.train_report.files.iter().chain(&prepared.eval_report.files) {
                if let Some(shape) = file.shape.filter(|shape| !has_format(*shape, format)) {
                    return Err(Failure::data(format!(
                        "{}: the rows are {shape}, but dataset.format says {}; correct it or drop the line",
                        file.uri,
                        format.name()
                    )));
                }
            }
        }
        Ok(prepared)
    }

    /// What is wrong with the data beyond `first`: each file is read on its own, up to its first bad row.
    pub fn problems(
        &self,
        ws: &Workspace,
        tokenizer: &Tokenizer,
        template: Option<&ChatTemplate>,
        first: Failure,
    ) -> Vec<Failure> {
        let mut problems = vec![first];
        let files: Vec<&FileIdentity> = self.dataset.train.iter().chain(&self.dataset.eval).collect();
        if files.len() < 2 {
            return problems;
        }
        let total = files.iter().map(|file| file.size).sum::<u64>().max(1);
        for file in files {
            // As much of it as all files together let be read, so that the second look takes no longer than the first.
            let scan = self.scan.map(|scan| (u128::from(scan) * u128::from(file.size) / u128::from(total)) as u64);
            let alone = FileIdentity { entry: 0, ..file.clone() };
            let dataset = PlannedDataset {
                train: vec![alone],
                eval: Vec::new(),
                eval_fraction: 0.0,
                weights: vec![1.0],
                format: self.dataset.format,
            };
            // Of a file alone that leaves no rows nothing is wrong: only rows and the file itself count here.
            let alone = Request { dataset: &dataset, scan, ..*self }.prepare(ws, tokenizer, template);
            if let Err(failure) = alone
                && failure.message.starts_with(&file.uri)
                && problems.iter().all(|known| known.message != failure.message)
            {
                problems.push(failure);
            }
        }
        problems
    }
}

fn has_format(shape: Shape, format: DataFormat) -> bool {
    match shape {
        Shape::Text => format == DataFormat::Text,
        Shape::Alpaca => format == DataFormat::Alpaca,
        Shape::Conversations => format == DataFormat::Conversations,
        Shape::Messages => format == DataFormat::Messages,
        Shape::PromptCompletion => format == DataFormat::PromptCompletion,
        Shape::QuestionResponses => format == DataFormat::Question,
        Shape::Preference => format == DataFormat::Preference,
        Shape::Prompt | Shape::Question => format == DataFormat::Prompt,
    }
}
