//! A few rows and the model's answers to them, for people: text in TensorBoard, by `train.logSamples`.
//!
//! Holds: they are made only if the resource asks for them, since they hold text of data rows; they go to the event file
//! alone; answers are greedy and draw from no stream of the training, so its result is the same with and without them.

use std::fmt::Write;

use super::task::View;
use crate::{
    data::{Example, Tokenizer},
    failure::Result,
    generate::{Generation, Request, SamplingArgs, StopRules},
    ops::LmBackend,
};

/// Rows shown at a time, always the first ones, so that a reader can compare steps.
pub const COUNT: usize = 4;
/// New tokens of an answer.
const NEW_TOKENS: u32 = 64;
/// Tokens of a document that the model goes on from.
const OPENING: usize = 32;
/// Characters shown of a text.
const SHOWN: usize = 2_000;

/// A row with what there is to read about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where the row stands, and figures.
    pub title: String,
    /// Named texts, as the model sees them.
    pub parts: Vec<(&'static str, Vec<u32>)>,
}

/// The samples as Markdown. Texts are in code blocks, by indentation, which nothing in them can end.
///
/// # Errors
/// As [`Tokenizer::decode`].
pub fn markdown(samples: &[Sample], tokenizer: &Tokenizer) -> Result<String> {
    let mut out = String::new();
    for Sample { title, parts } in samples {
        let _ = write!(out, "### {title}\n\n");
        for (name, ids) in parts {
            let text = tokenizer.decode(ids, false)?;
            let _ = write!(out, "{name}\n\n");
            for line in cut(&text).lines() {
                let _ = writeln!(out, "    {line}");
            }
            out.push('\n');
        }
    }
    Ok(out)
}

fn cut(text: &str) -> String {
    let more = text.chars().count().saturating_sub(SHOWN);
    match more {
        0 => text.to_owned(),
        more => format!("{}… ({more} characters more)", text.chars().take(SHOWN).collect::<String>()),
    }
}

/// A row of language modelling as prompt and what follows it in the data: everything before the first answer and the
/// answer, or a document's opening and its rest.
pub fn split(example: &Example) -> (Vec<u32>, Vec<u32>) {
    let end = example.segments.first().map_or(0, |length| *length as usize);
    let (ids, mask) = (&example.ids[..end], &example.loss_mask[..end]);
    let first = mask.iter().position(|marked| *marked).unwrap_or(end);
    let start = match first {
        // Everything carries loss.
        0 | 1 => OPENING.min(end.div_ceil(2)),
        first => first,
    };
    let length = mask[start..].iter().take_while(|marked| **marked).count();
    (ids[..start].to_vec(), ids[start..start + length].to_vec())
}

/// What the model says after each of `prompts`; `None` = interrupted.
///
/// # Errors
/// As [`Generation::run`].
pub fn answers<B: LmBackend>(
    view: &View<B>,
    prompts: &[Vec<u32>],
    stop_ids: &[u32],
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<Vec<Vec<u32>>>> {
    let requests: Vec<Request> = prompts.iter().map(|ids| Request { ids: ids.clone(), stream: 0 }).collect();
    let generation = Generation {
        model: &view.model,
        adapter: view.adapter(),
        args: &SamplingArgs::greedy(NEW_TOKENS),
        stop: &StopRules::new(stop_ids.to_vec(), Vec::new(), NEW_TOKENS)?,
        tokenizer: None,
        batch: COUNT,
    };
    let done = generation.run(&requests, &mut |_| {}, interrupted)?;
    Ok(done.map(|done| done.into_iter().map(|completion| completion.ids).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixture::tiny_tokenizer;

    #[test]
    fn a_dialogue_is_cut_before_its_first_answer_and_a_document_after_its_opening() {
        let mask = [false, false, true, true, false, true].to_vec();
        assert_eq!(split(&Example::single((0..6).collect(), mask)), (vec![0, 1], vec![2, 3]));
        let (opening, rest) = split(&Example::single((0..100).collect(), vec![true; 100]));
        assert_eq!((opening.len(), rest.len()), (OPENING, 100 - OPENING));
        let (opening, rest) = split(&Example::single((0..5).collect(), vec![true; 5]));
        assert_eq!((opening, rest), (vec![0, 1, 2], vec![3, 4]));
        // Of packed rows the first one.
        let mask = [false, false, true, true, false, true].to_vec();
        let packed = Example { segments: vec![3, 3], ..Example::single((0..6).collect(), mask) };
        assert_eq!(split(&packed), (vec![0, 1], vec![2]));
    }

    #[test]
    fn texts_are_shown_in_code_blocks_that_they_cannot_leave() {
        let tokenizer = tiny_tokenizer();
        let encode = |text: &str| tokenizer.encode(text, false).unwrap();
        let parts = vec![("prompt", encode("<|im_start|>a\n```\n# b")), ("answer", encode(&"x".repeat(2_100)))];
        let shown = markdown(&[Sample { title: "a.jsonl: line 3".into(), parts }], &tokenizer).unwrap();
        let expected = format!(
            "### a.jsonl: line 3\n\nprompt\n\n    <|im_start|>a\n    ```\n    # b\n\nanswer\n\n    {}… (100 characters \
             more)\n\n",
            "x".repeat(2_000)
        );
        assert_eq!(shown, expected);
    }
}
