//! Where models and files come from.
//!
//! Holds: a [`Source`] has a scheme that can be read; the revision of a hub URI is in one place only.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::training::{ModelSpec, SpecError};

/// The model that a pipeline starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ModelSource {
    Uri {
        uri: String,
        revision: Option<String>,
    },
    /// Random weights by this `config.json`, drawn with the training's seed.
    Random {
        config: Map<String, Value>,
        tokenizer: String,
        tokenizer_revision: Option<String>,
    },
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Source {
    /// `spec.model`.
    Model,
    /// A stage before.
    Stage(String),
    Uri {
        uri: String,
        revision: Option<String>,
    },
}

/// How [`super::Identities::inputs`] calls an input: `uri`, or `uri@revision`.
pub fn locator(uri: &str, revision: Option<&str>) -> String {
    revision.map_or_else(|| uri.to_string(), |revision| format!("{uri}@{revision}"))
}

const READABLE: &[&str] = &["hf", "file", "s3", "gs", "az", "memory"];
const WRITABLE: &[&str] = &["file", "s3", "gs", "az", "memory"];

pub(super) fn model(spec: &ModelSpec, errors: &mut Vec<SpecError>) -> Option<ModelSource> {
    match (&spec.uri, &spec.random) {
        (Some(uri), None) => {
            if spec.tokenizer.is_some() {
                errors.push(SpecError::new(
                    "model.tokenizer",
                    "is for a random model; a model by URI has its own, remove the line",
                ));
            }
            let (uri, revision) = readable(uri, spec.revision.as_deref(), ("model", "uri"), errors)?;
            Some(ModelSource::Uri { uri, revision })
        }
        (None, Some(config)) => {
            let Some(tokenizer) = &spec.tokenizer else {
                errors.push(SpecError::new(
                    "model.tokenizer",
                    "is missing; a random model needs a tokenizer from somewhere",
                ));
                return None;
            };
            let (tokenizer, tokenizer_revision) =
                readable(tokenizer, spec.revision.as_deref(), ("model", "tokenizer"), errors)?;
            Some(ModelSource::Random { config: config.clone(), tokenizer, tokenizer_revision })
        }
        (Some(_), Some(_)) => {
            errors.push(SpecError::new("model", "uri and random exclude each other; keep one"));
            None
        }
        (None, None) => {
            errors.push(SpecError::new("model", "needs a uri (or random with a tokenizer)"));
            None
        }
    }
}

/// The URI without its revision, and the revision; `place` is the mapping that holds both and the field of the URI.
pub(super) fn readable(
    uri: &str,
    revision: Option<&str>,
    place: (&str, &str),
    errors: &mut Vec<SpecError>,
) -> Option<(String, Option<String>)> {
    let (path, field) = place;
    let uri_path = format!("{path}.{field}");
    let before = errors.len();
    check_scheme(uri, READABLE, &uri_path, errors);
    let Some(rest) = uri.strip_prefix("hf://") else {
        if revision.is_some() {
            errors.push(SpecError::new(format!("{path}.revision"), "is for models of a hub (hf://…); remove the line"));
        }
        return (errors.len() == before).then(|| (uri.to_string(), None));
    };
    let (repository, written) =
        rest.split_once('@').map_or((rest, None), |(repository, revision)| (repository, Some(revision)));
    let parts: Vec<_> = repository.split('/').collect();
    if parts.len() != 2 || parts.iter().any(|part| part.is_empty()) || written == Some("") {
        errors.push(SpecError::new(
            uri_path,
            format!("{uri:?} is no model of the hub; write hf://organisation/name or hf://organisation/name@revision"),
        ));
    }
    if let (Some(written), Some(revision)) = (written, revision)
        && written != revision
    {
        errors.push(SpecError::new(
            format!("{path}.revision"),
            format!("is {revision:?}, but the URI says @{written}; keep one"),
        ));
    }
    (errors.len() == before).then(|| (format!("hf://{repository}"), written.or(revision).map(str::to_string)))
}

/// A file or glob of a data set.
pub(super) fn data(uri: &str, path: &str, errors: &mut Vec<SpecError>) {
    check_scheme(uri, READABLE, path, errors);
    if let Some(rest) = uri.strip_prefix("hf://")
        && !rest.starts_with("datasets/")
    {
        errors.push(SpecError::new(
            path,
            format!("{uri:?} is no data of the hub; write hf://datasets/organisation/name/path"),
        ));
    }
}

/// The URI without slashes at the end.
pub(super) fn output(uri: &str, errors: &mut Vec<SpecError>) -> String {
    check_scheme(uri, WRITABLE, "output.uri", errors);
    let trimmed = uri.trim_end_matches('/');
    let bare = trimmed.split_once(':').is_some_and(|(scheme, rest)| rest.is_empty() && WRITABLE.contains(&scheme));
    if bare || trimmed.is_empty() { uri.to_string() } else { trimmed.to_string() }
}

fn check_scheme(uri: &str, schemes: &[&str], path: &str, errors: &mut Vec<SpecError>) {
    if let Some((scheme, rest)) = uri.split_once("://") {
        let list = || {
            schemes
                .iter()
                .filter(|scheme| **scheme != "memory")
                .map(|scheme| format!("{scheme}://"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        if !schemes.contains(&scheme) {
            errors
                .push(SpecError::new(path, format!("{scheme}:// can't be used here; use a path or one of {}", list())));
        } else if rest.is_empty() && scheme != "memory" {
            errors.push(SpecError::new(path, format!("{uri:?} names nothing")));
        }
    }
    if uri.chars().any(char::is_control) {
        errors.push(SpecError::new(path, "holds control characters"));
    }
}
