//! The inputs of one stage on this machine: models, tokenizer, template, data.
//!
//! Holds: all stages of a chain read with the tokenizer of the model that the chain starts from; data is what was
//! planned, or the stage fails.

use std::path::Path;

use medtrain_crds::contract::Digest;
use medtrain_crds::resolve::{Plan, PlannedInput, PlannedStage, Role};
use medtrain_crds::stage::{DataFormat, StageKind};

use super::{Workspace, data_files, remote};
use crate::data::formats::Shape;
use crate::data::{ChatTemplate, DataRequest, Prepared, Tokenizer, prepare};
use crate::failure::{Failure, Result};
use crate::weights::{ResolvedModel, Sources};

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

/// The tokenizer of the model that the stage's chain of inputs starts from.
///
/// # Errors
/// As [`model`] and [`Tokenizer::load`].
pub fn stage_tokenizer(ws: &Workspace, plan: &Plan, stage: &PlannedStage) -> Result<Tokenizer> {
    let mut stage = stage;
    loop {
        let role = if stage.kind == StageKind::RM { Role::Base } else { Role::Policy };
        let (uri, revision) = match stage.inputs.get(&role) {
            Some(PlannedInput::External { uri, revision, .. }) => (uri, revision),
            Some(PlannedInput::Random { tokenizer, tokenizer_revision, .. }) => (tokenizer, tokenizer_revision),
            Some(PlannedInput::Stage { stage: name, .. }) => {
                stage = plan.stage(name).ok_or_else(|| {
                    Failure::config(format!("the plan has no stage \"{name}\", which \"{}\" starts from", stage.name))
                })?;
                continue;
            }
            None => return Err(Failure::config(format!("the plan names no {role} model for \"{}\"", stage.name))),
        };
        return Tokenizer::load(&model(ws, uri, revision.as_deref())?.dir);
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
/// 65 for a file that is gone or not what was planned; as [`prepare`]; 66 for rows of another format than the named one.
pub fn stage_data(
    ws: &Workspace,
    stage: &PlannedStage,
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Prepared> {
    let (train, eval) = data_files(ws, &stage.dataset)?;
    let prepared = prepare(&DataRequest {
        kind: stage.kind,
        train: &train,
        eval: &eval,
        eval_fraction: stage.dataset.eval_fraction,
        seed: stage.seed,
        args: &stage.train,
        tokenizer,
        template,
        workdir: &ws.workdir,
    })?;
    if let Some(format) = stage.dataset.format {
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
