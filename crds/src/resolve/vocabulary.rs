//! The tokens that a stage adds to its model's vocabulary.
//!
//! Holds: each is there once, is visible, and stands on one line, so that a person who reads the list reads the tokens.

use serde::{Deserialize, Serialize};

use crate::stage::StageKind;
use crate::training::{SpecError, StageSpec};

/// How a stage grows the vocabulary of the model that it trains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VocabularyArgs {
    /// Never empty, nothing twice; their ids follow those of the model's tokenizer in this order.
    pub add_tokens: Vec<String>,
}

/// The stage's vocabulary; one error for each entry that can be no token.
pub(super) fn resolve(stage: &StageSpec, path: &str, errors: &mut Vec<SpecError>) -> Option<VocabularyArgs> {
    let tokens = &stage.vocabulary.as_ref()?.add_tokens;
    let place = format!("{path}.vocabulary");
    if !matches!(stage.kind, StageKind::PT | StageKind::SFT) {
        let message = format!(
            "has no meaning in {} stages (only in PT, SFT): they keep the tokens of the model that they start from; move \
             it to the PT or SFT stage before",
            stage.kind
        );
        errors.push(SpecError::new(&place, message));
    }
    if stage.inputs.as_ref().is_some_and(|inputs| inputs.adapter.is_some()) {
        let message = "an adapter that is continued keeps its tokens; remove vocabulary or inputs.adapter";
        errors.push(SpecError::new(&place, message));
    }
    if tokens.is_empty() {
        errors.push(SpecError::new(format!("{place}.addTokens"), "is empty; list tokens, or remove vocabulary"));
    }
    for (index, token) in tokens.iter().enumerate() {
        let first = tokens[..index].iter().position(|other| other == token);
        let message = if let Some(first) = first {
            format!("{token:?} is there twice, first as addTokens[{first}]; remove one of them")
        } else if token.trim().is_empty() {
            format!("{token:?} is only white space; remove it")
        } else if token.contains(char::is_control) {
            format!("{token:?} holds a line break or another control character; a token is a piece of one line")
        } else {
            continue;
        };
        errors.push(SpecError::new(format!("{place}.addTokens[{index}]"), message));
    }
    Some(VocabularyArgs { add_tokens: tokens.clone() })
}
