//! Rendered dialogues into ids: which token belongs to which turn, and what is cut when a row is too long.
//!
//! Holds: no token that contains text of a user is marked; every marked turn keeps its stop token, truncated or not;
//! a cut never splits a character.

use std::ops::Range;

use medtrain_crds::stage::{OverlongPolicy, TrainArgs};
use tokenizers::Encoding;

use crate::data::example::{DropReason, Example, PreferencePair};
use crate::data::formats::Message;
use crate::data::roles::{self, RoleRun, RoleSpan};
use crate::data::template::{ChatTemplate, Rendered};
use crate::data::tokenizer::Tokenizer;
use crate::failure::{Failure, Result};

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Keep { example: Example, truncated: bool },
    Drop(DropReason),
}

/// Ids of a rendered dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub ids: Vec<u32>,
    /// Bytes of the rendered text behind each id; the tokens of one character share its bytes.
    offsets: Vec<Range<usize>>,
    /// Tokens of the assistant turns, stop token included.
    pub turns: Vec<Range<usize>>,
}

/// Encodes the whole text once. Where the text before a turn is encoded differently when it stands alone, as it does
/// when the model generates, the text is encoded in pieces that meet there.
///
/// # Errors
/// As [`Tokenizer::encode`].
pub fn encode(tokenizer: &Tokenizer, rendered: &Rendered) -> Result<Encoded> {
    let text = rendered.text.as_str();
    let whole = tokenizer.encode_with_offsets(text)?;
    let mut crossed = Vec::new();
    for start in rendered.turns.iter().map(|turn| turn.start) {
        if !meets(tokenizer, text, &whole, start)? {
            crossed.push(start);
        }
    }
    let (mut ids, mut offsets) = (Vec::new(), Vec::new());
    let mut add = |encoding: &Encoding, base: usize| {
        ids.extend_from_slice(encoding.get_ids());
        offsets.extend(encoding.get_offsets().iter().map(|(from, to)| base + from..base + to));
    };
    if crossed.is_empty() {
        add(&whole, 0);
    } else {
        let ends = crossed.iter().copied().chain([text.len()]);
        for (from, to) in [0].into_iter().chain(crossed.iter().copied()).zip(ends) {
            add(&tokenizer.encode_with_offsets(&text[from..to])?, from);
        }
        // Tokenizers that put a space before every text (SentencePiece's) cannot be fed in pieces.
        if tokenizer.decode(&ids, false)? != tokenizer.decode(whole.get_ids(), false)? {
            ids = whole.get_ids().to_vec();
            offsets = whole.get_offsets().iter().map(|(from, to)| *from..*to).collect();
        }
    }
    let turns = rendered.turns.iter().map(|turn| tokens_of(turn, &offsets, text)).collect();
    Ok(Encoded { ids, offsets, turns })
}

/// Whether the text before byte `at` has the same ids alone as in `whole`. No token reaches over a special one, so the
/// text since the last of those tells.
fn meets(tokenizer: &Tokenizer, text: &str, whole: &Encoding, at: usize) -> Result<bool> {
    let (ids, offsets) = (whole.get_ids(), whole.get_offsets());
    let end = offsets.partition_point(|(from, _)| *from < at);
    let begin = ids[..end].iter().rposition(|id| tokenizer.is_special(*id)).map_or(0, |special| special + 1);
    let from = begin.checked_sub(1).map_or(0, |special| offsets[special].1);
    Ok(tokenizer.encode(&text[from..at], false)? == ids[begin..end])
}

/// Tokens whose bytes lie in `turn`; one that begins before it counts if only white space of the template does.
fn tokens_of(turn: &Range<usize>, offsets: &[Range<usize>], text: &str) -> Range<usize> {
    let mut start = offsets.partition_point(|token| token.start < turn.start);
    if let Some(before) = start.checked_sub(1).map(|i| &offsets[i])
        && before.end > turn.start
        && text.get(before.start..turn.start).is_some_and(|lead| lead.trim().is_empty())
    {
        start -= 1;
    }
    let end = offsets.partition_point(|token| token.end <= turn.end && token.start < turn.end.max(1));
    start..end.max(start)
}

impl Encoded {
    /// Whose text the tokens hold, by the spans of the rendered text.
    fn roles(&self, spans: &[RoleSpan]) -> Vec<RoleRun> {
        roles::runs(&self.offsets, spans, &self.turns)
    }

    /// Cuts to `max` tokens: inside a turn its stop token is kept, after a turn the cut moves back to that turn's end.
    /// `false` when nothing of an answer would be left.
    fn truncate(&mut self, max: usize) -> bool {
        while let Some(turn) = self.turns.pop() {
            let mut end = turn.end;
            if end > max {
                let stop = self.ids[end - 1];
                let mut keep = max.saturating_sub(1);
                while keep > turn.start && self.offsets[keep].start < self.offsets[keep - 1].end {
                    keep -= 1;
                }
                if keep <= turn.start {
                    continue;
                }
                self.ids[keep] = stop;
                end = keep + 1;
            }
            self.ids.truncate(end);
            self.offsets.truncate(end);
            self.turns.push(turn.start..end);
            return true;
        }
        false
    }

    /// Applies `maxLength`; `Some` is the reason to leave the row out, the flag tells whether it was cut.
    fn fit(&mut self, args: &TrainArgs) -> Result<(bool, Option<DropReason>)> {
        let max = args.max_length as usize;
        if self.ids.len() <= max {
            return Ok((false, None));
        }
        match args.overlong {
            OverlongPolicy::Error => Err(overlong(self.ids.len(), max)),
            OverlongPolicy::Drop => Ok((false, Some(DropReason::Overlong))),
            OverlongPolicy::Truncate if self.truncate(max) => Ok((true, None)),
            OverlongPolicy::Truncate => Ok((false, Some(DropReason::PromptTooLong))),
        }
    }
}

fn overlong(tokens: usize, max: usize) -> Failure {
    Failure::data(format!(
        "the row has {tokens} tokens, train.maxLength is {max}; raise it, or set train.overlong to truncate or drop"
    ))
}

/// A row of supervised fine-tuning.
///
/// # Errors
/// 66 for a row longer than `maxLength` under `overlong: error`.
pub fn supervised(tokenizer: &Tokenizer, rendered: &Rendered, args: &TrainArgs) -> Result<Verdict> {
    let mut encoded = encode(tokenizer, rendered)?;
    if encoded.turns.iter().all(Range::is_empty) {
        return Ok(Verdict::Drop(DropReason::NoLossTokens));
    }
    let truncated = match encoded.fit(args)? {
        (_, Some(reason)) => return Ok(Verdict::Drop(reason)),
        (truncated, None) => truncated,
    };
    let mut mask = vec![args.train_on_inputs; encoded.ids.len()];
    for turn in &encoded.turns {
        mask[turn.clone()].fill(true);
    }
    let roles = encoded.roles(&rendered.spans);
    let example = Example { roles, ..Example::single(encoded.ids, mask) };
    match example.loss_tokens() {
        0 => Ok(Verdict::Drop(DropReason::NoLossTokens)),
        _ => Ok(Verdict::Keep { example, truncated }),
    }
}

/// A preference: both dialogues up to the stop token of their last answer.
///
/// # Errors
/// As [`supervised`], and as [`ChatTemplate::render`].
pub fn preference(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    (prompt, tools): (&[Message], Option<&serde_json::Value>),
    (chosen, rejected): (&[Message], &[Message]),
    args: &TrainArgs,
) -> Result<Verdict> {
    if chosen == rejected {
        return Ok(Verdict::Drop(DropReason::IdenticalPair));
    }
    let side = |answer: &[Message]| -> Result<(Encoded, Vec<RoleSpan>)> {
        let rendered = template.render_last_turn(&[prompt, answer].concat(), tools)?;
        let mut encoded = encode(tokenizer, &rendered)?;
        let end = encoded.turns.last().map_or(0, |turn| turn.end);
        encoded.ids.truncate(end);
        encoded.offsets.truncate(end);
        Ok((encoded, rendered.spans))
    };
    let ((mut chosen, chosen_spans), (mut rejected, rejected_spans)) = (side(chosen)?, side(rejected)?);
    let mut truncated = false;
    for side in [&mut chosen, &mut rejected] {
        match side.fit(args)? {
            (_, Some(reason)) => return Ok(Verdict::Drop(reason)),
            (cut, None) => truncated |= cut,
        }
        if side.turns.last().is_none_or(Range::is_empty) {
            return Ok(Verdict::Drop(DropReason::NoLossTokens));
        }
    }
    if chosen.ids == rejected.ids {
        return Ok(Verdict::Drop(DropReason::IdenticalPair));
    }
    let answers = [&chosen, &rejected].map(|side| side.turns.last().map_or(0, |turn| turn.start));
    let shared = chosen.ids.iter().zip(&rejected.ids).take_while(|(a, b)| a == b).count();
    let prompt_len = shared.min(answers[0]).min(answers[1]);
    let roles = [chosen.roles(&chosen_spans), rejected.roles(&rejected_spans)].concat();
    let pair = PreferencePair { chosen: chosen.ids, rejected: rejected.ids, prompt_len };
    Ok(Verdict::Keep { example: pair.into_example(roles), truncated })
}

/// A PPO prompt: the dialogue up to where the answer begins.
///
/// # Errors
/// As [`supervised`], and as [`ChatTemplate::render`].
pub fn prompt(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    messages: &[Message],
    tools: Option<&serde_json::Value>,
    args: &TrainArgs,
) -> Result<Verdict> {
    let rendered = template.render_prompt(messages, tools)?;
    let encoded = encode(tokenizer, &rendered)?;
    let roles = encoded.roles(&rendered.spans);
    let ids = encoded.ids;
    let (tokens, max) = (ids.len(), args.max_length as usize);
    if tokens > max {
        return match args.overlong {
            OverlongPolicy::Error => Err(overlong(tokens, max)),
            // A prompt cut short asks something else.
            OverlongPolicy::Drop | OverlongPolicy::Truncate => Ok(Verdict::Drop(DropReason::Overlong)),
        };
    }
    let example = Example { prompt_len: tokens as u32, roles, ..Example::single(ids, vec![false; tokens]) };
    Ok(Verdict::Keep { example, truncated: false })
}

#[cfg(test)]
#[path = "dialogue_tests.rs"]
pub(crate) mod tests;
