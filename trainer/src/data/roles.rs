//! Whose text each token of a dialogue holds, for the loss-mask certificate.
//!
//! Holds: roles are found by marks around the messages' own texts, apart from the spans that are trained, so a user's
//! text that is trained by mistake shows as the user's.

use std::ops::Range;

use medtrain_crds::contract::TokenRole;
use serde_json::Value;

use crate::data::jinja::NONCHARACTER;
use crate::data::{ChatTemplate, Message};

/// A message's text within a rendered dialogue, in bytes.
pub type RoleSpan = (Range<usize>, TokenRole);

/// Tokens in a row that are of one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleRun {
    pub role: TokenRole,
    pub tokens: u32,
}

/// The role of a message, by what its row calls it.
fn role_of(message: &Message) -> TokenRole {
    match message.role.as_str() {
        "system" | "developer" => TokenRole::System,
        "assistant" => TokenRole::Assistant,
        "tool" | "function" | "ipython" | "observation" => TokenRole::Tool,
        _ => TokenRole::User,
    }
}

/// Where the messages' texts lie in `text`, which the template has made of these messages, or of those up to one of
/// the answers; in order. Empty where the template shows a marked text differently from a bare one.
pub fn spans(template: &ChatTemplate, messages: &[Message], tools: Option<&Value>, text: &str) -> Vec<RoleSpan> {
    let marked: Vec<Message> = messages.iter().enumerate().map(|(index, message)| mark(index, message)).collect();
    let render = |end: usize, prompt: bool| {
        let rendered = template.render_unchecked(&marked[..end], tools, prompt).ok()?;
        unmark(&rendered, messages)
    };
    let answers = (1..messages.len()).rev().filter(|&index| messages[index].is_assistant());
    let ends = [messages.len()].into_iter().chain(answers.clone().map(|answer| answer + 1));
    let whole = ends.flat_map(|end| [(end, false), (end, true)]).filter_map(|(end, prompt)| render(end, prompt));
    // A prompt that is written differently once an answer follows stands before that answer as it is in generation.
    let prompts = answers.filter_map(|answer| render(answer, true)).filter(|(plain, _)| text.starts_with(plain));
    whole.filter(|(plain, _)| plain == text).chain(prompts).next().map(|(_, spans)| spans).unwrap_or_default()
}

/// The message with marks around its text, inside the white space that templates take off.
fn mark(index: usize, message: &Message) -> Message {
    let content = message.content.as_str();
    let core = content.trim();
    if core.is_empty() {
        return message.clone();
    }
    let at = content.len() - content.trim_start().len();
    let (lead, tail) = (&content[..at], &content[at + core.len()..]);
    let content =
        format!("{lead}{NONCHARACTER}<{index}>{NONCHARACTER}{core}{NONCHARACTER}</{index}>{NONCHARACTER}{tail}");
    Message { content, ..message.clone() }
}

/// The text without marks and what they enclose; `None` if a template has torn them.
fn unmark(marked: &str, messages: &[Message]) -> Option<(String, Vec<RoleSpan>)> {
    let (mut text, mut spans, mut open) = (String::with_capacity(marked.len()), Vec::new(), None);
    for (place, piece) in marked.split(NONCHARACTER).enumerate() {
        if place % 2 == 0 {
            text.push_str(piece);
            continue;
        }
        let name = piece.strip_prefix('<')?.strip_suffix('>')?;
        match (name, name.strip_prefix('/')) {
            ("generation" | "/generation", _) => {}
            (_, Some(index)) => {
                let (start, begun) = open.take()?;
                if index != begun {
                    return None;
                }
                spans.push((start..text.len(), role_of(messages.get(index.parse::<usize>().ok()?)?)));
            }
            (index, None) => {
                if open.replace((text.len(), index)).is_some() {
                    return None;
                }
            }
        }
    }
    open.is_none().then_some((text, spans))
}

/// Roles of tokens, given the bytes behind each, the messages' `spans` and which tokens are in `turns` of the assistant.
/// Text of anyone else goes before the assistant's.
pub fn runs(offsets: &[Range<usize>], spans: &[RoleSpan], turns: &[Range<usize>]) -> Vec<RoleRun> {
    let mut runs: Vec<RoleRun> = Vec::new();
    let mut first = 0;
    for (token, bytes) in offsets.iter().enumerate() {
        while spans.get(first).is_some_and(|(span, _)| span.end <= bytes.start) {
            first += 1;
        }
        let overlapping = spans[first..].iter().take_while(|(span, _)| span.start < bytes.end);
        let mut roles = overlapping.filter(|(span, _)| bytes.start < span.end).map(|(_, role)| *role);
        let in_turn = turns.iter().any(|turn| turn.contains(&token));
        let found = match (roles.clone().find(|role| *role != TokenRole::Assistant), roles.next()) {
            (Some(other), _) => other,
            (None, Some(assistant)) => assistant,
            (None, None) if in_turn => TokenRole::Assistant,
            (None, None) => TokenRole::Template,
        };
        match runs.last_mut() {
            Some(run) if run.role == found => run.tokens += 1,
            _ => runs.push(RoleRun { role: found, tokens: 1 }),
        }
    }
    runs
}

#[cfg(test)]
#[path = "roles_tests.rs"]
mod tests;
