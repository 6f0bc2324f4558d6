//! The tokens that stages add: which a stage's model has by then, and whether those of the stage itself can be added.

use medtrain_crds::resolve::{Resolved, Source};
use medtrain_crds::stage::Tuning;

use super::inputs;
use super::origins::Origin;
use crate::adapter::{trains_tied_embedding, with_vocabulary};
use crate::data::vocabulary::{known, pieces};
use crate::failure::Result;

/// The tokens that stages of `source`'s chain add, list after list.
pub(super) fn vocabularies<'a>(resolved: &'a Resolved, source: &Source) -> Vec<&'a [String]> {
    let mut lists = Vec::new();
    let mut next = Some(source);
    while let Some(Source::Stage(name)) = next {
        let Some(stage) = resolved.stage(name) else { break };
        lists.extend(stage.vocabulary.as_ref().map(|vocabulary| vocabulary.add_tokens.as_slice()));
        next = stage.inputs.get(&inputs::trained_role(stage.kind));
    }
    lists.reverse();
    lists
}

/// Warnings about tokens that need not be added to the model `before`, and which ids the others have in `grown`; each
/// sentence begins with its field.
///
/// # Errors
/// 64 for a token or saved modules that the model can't have; the message begins with the field.
pub(super) fn look(
    tokens: &[String],
    tuning: &Tuning,
    (before, grown): (&Origin, &Origin),
) -> Result<(Vec<String>, Option<String>)> {
    let warnings = known(&before.tokenizer, tokens)?;
    let new = pieces(&before.tokenizer, &grown.tokenizer, tokens)?;
    if let Some(facts) = &grown.model
        && let Tuning::Lora(lora) = with_vocabulary(tuning, facts.config.tie_word_embeddings)
    {
        trains_tied_embedding(&lora, &facts.config)?;
    }
    let ends = new.keys().next().zip(new.keys().next_back());
    Ok((warnings, ends.map(|(first, last)| format!("vocabulary: the new tokens have ids {first} to {last}"))))
}
