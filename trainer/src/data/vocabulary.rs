//! Growing a tokenizer's vocabulary, as transformers' `tokenizer.add_tokens` does (an `AddedToken` of defaults: matched
//! in the normalised text, nothing stripped around it), and what the new tokens consisted of before.
//!
//! Holds: known tokens keep their ids; new ones follow the highest, in the order given; equal input gives equal bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::Tokenizer;
use crate::failure::{Failure, Result};

/// Reads a `tokenizer.json`.
///
/// # Errors
/// 65 for another file.
pub(super) fn parse(json: &[u8]) -> Result<tokenizers::Tokenizer> {
    tokenizers::Tokenizer::from_bytes(json).map_err(|error| {
        Failure::input(format!(
            "not a tokenizer ({error}); the file is damaged or of another kind: take the model's own"
        ))
    })
}

/// The `tokenizer.json` that `save_pretrained` writes after `add_tokens`.
///
/// # Errors
/// 65 as [`parse`]; 70 when the library can't add or write.
pub(super) fn add_tokens(json: &[u8], tokens: &[String]) -> Result<Vec<u8>> {
    let failed = |error: tokenizers::Error| Failure::internal(format!("the tokenizer can't be grown: {error}"));
    let mut inner = parse(json)?;
    // A token that is listed already stays as it is: added again, a special one would be special no more.
    let listed: BTreeSet<String> = inner.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
    let new = tokens.iter().filter(|token| !listed.contains(*token));
    inner.add_tokens(new.map(|token| AddedToken::from(token.as_str(), false))).map_err(failed)?;
    inner.to_string(true).map(String::into_bytes).map_err(failed)
}

/// Ids of the tokens that `grown` has and `before` has not, each with the ids that `before` reads the same text as.
///
/// # Errors
/// 64 for a token that `before` reads as nothing, so that nothing is known to start its row from.
pub fn pieces(before: &Tokenizer, grown: &Tokenizer, tokens: &[String]) -> Result<BTreeMap<u32, Vec<u32>>> {
    let mut found = BTreeMap::new();
    for (index, token) in tokens.iter().enumerate().filter(|(_, token)| before.id(token).is_none()) {
        let id = grown.id(token).ok_or_else(|| Failure::internal(format!("token {token:?} was not added")))?;
        let pieces = before.encode(token, false)?;
        if pieces.is_empty() {
            return Err(Failure::config(format!(
                "vocabulary.addTokens[{index}]: the model's tokenizer reads nothing in {token:?}; remove it"
            )));
        }
        found.insert(id, pieces);
    }
    Ok(found)
}

/// One sentence for each token that need not be added; each begins with its place.
pub fn known(before: &Tokenizer, tokens: &[String]) -> Result<Vec<String>> {
    let mut sentences = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let place = format!("vocabulary.addTokens[{index}]");
        match (before.id(token), before.encode(token, false)?.as_slice()) {
            (Some(id), _) => sentences.push(format!(
                "{place}: {token:?} is in the vocabulary already (token {id}) and keeps its row; remove it"
            )),
            (None, [id]) => sentences.push(format!(
                "{place}: {token:?} is one token already (token {id}); a second one for it starts from the same row and \
                 gains nothing: remove it"
            )),
            (None, _) => {}
        }
    }
    Ok(sentences)
}

/// The entries of `added_tokens` in a `tokenizer.json`, by id.
///
/// # Errors
/// 70: JSON that this module wrote is none.
pub fn added_tokens(json: &[u8]) -> Result<BTreeMap<u64, Value>> {
    let json: Value = serde_json::from_slice(json)
        .map_err(|error| Failure::internal(format!("a grown tokenizer.json is not JSON: {error}")))?;
    let entries = json["added_tokens"].as_array().cloned().unwrap_or_default();
    Ok(entries.into_iter().filter_map(|entry| Some((entry["id"].as_u64()?, entry))).collect())
}

/// Names the added tokens in the files beside `tokenizer.json` that list them, where they do: `added_tokens_decoder` in
/// `tokenizer_config.json` (transformers 4), and `added_tokens.json` (slow tokenizers).
pub fn list_in_side_files(added: &BTreeMap<u64, Value>, config: &mut Value, added_tokens_json: &mut Value) {
    for (id, entry) in added {
        if let (Some(decoder), Some(entry)) =
            (config.get_mut("added_tokens_decoder").and_then(Value::as_object_mut), entry.as_object())
        {
            let mut entry = entry.clone();
            entry.remove("id");
            decoder.entry(id.to_string()).or_insert(entry.into());
        }
        if let (Some(map), Some(content)) = (added_tokens_json.as_object_mut(), entry["content"].as_str()) {
            map.entry(content.to_owned()).or_insert_with(|| json!(id));
        }
    }
}

#[cfg(test)]
#[path = "vocabulary_tests.rs"]
mod tests;
