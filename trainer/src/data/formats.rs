//! The row formats people bring, and the typed rows they become.
//!
//! Holds: the first row of a file decides its shape, every other row must have it; messages name fields and lines,
//! never values.

use std::fmt;

use medtrain_crds::stage::StageKind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::{Failure, Result};

/// One turn of a dialogue, as chat templates read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub role: String,
    pub content: String,
    /// Whatever else the row says about the turn (`tool_calls`, `reasoning_content`, `name`): for the template.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Message {
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), other: Map::new() }
    }

    pub fn system(content: impl Into<String>) -> Self {
        Self::new("system", content)
    }

    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }

    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content)
    }

    pub fn is_assistant(&self) -> bool {
        self.role == "assistant"
    }
}

/// A row, whatever it looked like in the file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Row {
    Document(String),
    Dialogue { messages: Vec<Message>, tools: Option<Value> },
    Preference { prompt: Vec<Message>, chosen: Vec<Message>, rejected: Vec<Message>, tools: Option<Value> },
    Prompt { messages: Vec<Message>, tools: Option<Value> },
}

/// The shape of a file's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// `{text}`, or a line of a text file.
    Text,
    /// `{instruction, input?, output, system?, history?}`.
    Alpaca,
    /// ShareGPT: `{conversations: [{from, value}], system?, tools?}`.
    Conversations,
    /// `{messages: [{role, content}], tools?}`.
    Messages,
    /// `{prompt, completion}`, strings or message lists.
    PromptCompletion,
    /// `{question, response_chosen, response_rejected, system?, history?}`.
    QuestionResponses,
    /// `{chosen, rejected, prompt | conversations | messages}`, strings or message lists.
    Preference,
    /// `{prompt}`: a string or a message list.
    Prompt,
    /// `{question}`.
    Question,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Alpaca => "instruction/output",
            Self::Conversations => "conversations",
            Self::Messages => "messages",
            Self::PromptCompletion => "prompt/completion",
            Self::QuestionResponses => "question/response_chosen/response_rejected",
            Self::Preference => "chosen/rejected",
            Self::Prompt => "prompt",
            Self::Question => "question",
        })
    }
}

/// What rows of a stage may look like, for errors.
fn needs(kind: StageKind) -> &'static str {
    match kind {
        StageKind::PT => "PT rows need text",
        StageKind::SFT => "SFT rows need instruction/output, conversations, messages or prompt/completion",
        StageKind::RM => {
            "RM rows need question/response_chosen/response_rejected, or chosen/rejected with prompt, conversations or messages"
        }
        StageKind::PPO => "rows of prompts need prompt, question, instruction, conversations or messages",
    }
}

impl Shape {
    /// The shape that `row` has for a stage of `kind`.
    ///
    /// # Errors
    /// 66 when it has none; the message lists what the stage reads.
    pub fn detect(row: &Map<String, Value>, kind: StageKind) -> Result<Self> {
        let has = |name: &str| row.contains_key(name);
        let dialogue = || match () {
            () if has("conversations") => Some(Self::Conversations),
            () if has("messages") => Some(Self::Messages),
            () => None,
        };
        let found = match kind {
            StageKind::PT => has("text").then_some(Self::Text),
            StageKind::SFT => dialogue().or(match () {
                () if has("prompt") && has("completion") => Some(Self::PromptCompletion),
                () if has("instruction") || has("output") => Some(Self::Alpaca),
                () => None,
            }),
            StageKind::RM => match () {
                () if has("response_chosen") || has("response_rejected") => Some(Self::QuestionResponses),
                () if has("chosen") || has("rejected") => Some(Self::Preference),
                () => None,
            },
            StageKind::PPO => dialogue().or(match () {
                () if has("prompt") => Some(Self::Prompt),
                () if has("question") => Some(Self::Question),
                () if has("instruction") => Some(Self::Alpaca),
                () if has("chosen") => Some(Self::Preference),
                () => None,
            }),
        };
        found.ok_or_else(|| {
            let near = row.keys().find_map(|key| {
                let known = KNOWN.iter().find(|known| strsim::jaro_winkler(key, known) > 0.9)?;
                Some(format!("; is one of its fields a misspelt \"{known}\"?"))
            });
            Failure::data(format!("no known fields ({}){}", needs(kind), near.unwrap_or_default()))
        })
    }

    /// Columns that a row of this shape may have; others are ignored and counted.
    pub fn columns(self, kind: StageKind) -> &'static [&'static str] {
        match self {
            Self::Text => &["text"],
            Self::Alpaca => &["instruction", "input", "output", "system", "history"],
            Self::Conversations if kind == StageKind::PPO => {
                &["conversations", "system", "tools", "chosen", "rejected"]
            }
            Self::Conversations => &["conversations", "system", "tools"],
            Self::Messages if kind == StageKind::PPO => &["messages", "system", "tools", "chosen", "rejected"],
            Self::Messages => &["messages", "system", "tools"],
            Self::PromptCompletion => &["prompt", "completion", "system", "tools"],
            Self::QuestionResponses => &["question", "response_chosen", "response_rejected", "system", "history"],
            Self::Preference => &["prompt", "conversations", "messages", "chosen", "rejected", "system", "tools"],
            Self::Prompt => &["prompt", "completion", "chosen", "rejected", "system", "tools"],
            Self::Question => &["question", "response_chosen", "response_rejected", "system", "history"],
        }
    }

    /// The typed row.
    ///
    /// # Errors
    /// 66 with the field's name and, for a missing one, what the stage reads.
    pub fn parse(self, row: &Map<String, Value>, kind: StageKind) -> Result<Row> {
        let fields = Fields { row, shape: self, kind };
        let tools = fields.tools()?;
        let mut messages = match self {
            Self::Text => return Ok(Row::Document(fields.text("text")?.to_owned())),
            Self::Preference => return fields.preference(kind, tools),
            Self::Alpaca => {
                let mut messages = fields.history()?;
                let (instruction, input) = (fields.text("instruction")?, fields.optional("input")?.unwrap_or_default());
                let both = [instruction, input].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
                messages.push(Message::user(both.join("\n")));
                if kind == StageKind::SFT {
                    messages.push(Message::assistant(fields.text("output")?));
                }
                messages
            }
            Self::Conversations => fields.messages("conversations")?,
            Self::Messages => fields.messages("messages")?,
            Self::PromptCompletion => {
                let mut messages = fields.turns("prompt", "user")?;
                messages.extend(fields.turns("completion", "assistant")?);
                messages
            }
            Self::Prompt => fields.turns("prompt", "user")?,
            Self::Question | Self::QuestionResponses => {
                let mut messages = fields.history()?;
                messages.push(Message::user(fields.text("question")?));
                messages
            }
        };
        if let Some(system) = fields.optional("system")?.filter(|system| !system.is_empty())
            && messages.first().is_none_or(|first| first.role != "system")
        {
            messages.insert(0, Message::system(system));
        }
        match kind {
            StageKind::PPO => prompt(messages, tools),
            StageKind::RM => {
                let answer = |name| Ok::<_, Failure>(vec![Message::assistant(fields.text(name)?)]);
                let (chosen, rejected) = (answer("response_chosen")?, answer("response_rejected")?);
                Ok(Row::Preference { prompt: messages, chosen, rejected, tools })
            }
            StageKind::PT | StageKind::SFT => Ok(Row::Dialogue { messages, tools }),
        }
    }
}

/// A line of a text file: a document for PT, a prompt for PPO.
pub fn plain(text: String, kind: StageKind) -> Row {
    match kind {
        StageKind::PPO => Row::Prompt { messages: vec![Message::user(text)], tools: None },
        _ => Row::Document(text),
    }
}

/// Every field name that some shape knows.
const KNOWN: [&str; 14] = [
    "chosen",
    "completion",
    "conversations",
    "history",
    "input",
    "instruction",
    "messages",
    "output",
    "prompt",
    "question",
    "rejected",
    "response_chosen",
    "response_rejected",
    "text",
];

/// The dialogue up to the last answer.
fn prompt(mut messages: Vec<Message>, tools: Option<Value>) -> Result<Row> {
    while messages.last().is_some_and(Message::is_assistant) {
        messages.pop();
    }
    if messages.iter().all(|message| message.role == "system") {
        return Err(Failure::data("no user turn to answer; a prompt ends with one"));
    }
    Ok(Row::Prompt { messages, tools })
}

/// A row's fields, read with errors that name them.
struct Fields<'r> {
    row: &'r Map<String, Value>,
    shape: Shape,
    kind: StageKind,
}

impl<'r> Fields<'r> {
    /// `null` counts as absent.
    fn get(&self, name: &str) -> Option<&'r Value> {
        self.row.get(name).filter(|value| !value.is_null())
    }

    fn required(&self, name: &str) -> Result<&'r Value> {
        self.get(name).ok_or_else(|| {
            let why = if self.row.contains_key(name) { "null" } else { "missing" };
            Failure::data(format!(
                "field \"{name}\" is {why} (the file's rows are {}; {})",
                self.shape,
                needs(self.kind)
            ))
        })
    }

    fn text(&self, name: &str) -> Result<&'r str> {
        text(self.required(name)?, name)
    }

    fn optional(&self, name: &str) -> Result<Option<&'r str>> {
        self.get(name).map(|value| text(value, name)).transpose()
    }

    /// `history: [[question, answer], …]` after `system`.
    fn history(&self) -> Result<Vec<Message>> {
        let Some(history) = self.get("history") else { return Ok(Vec::new()) };
        let mut messages = Vec::new();
        for (i, pair) in list(history, "history")?.iter().enumerate() {
            let name = format!("history[{i}]");
            match list(pair, &name)?.as_slice() {
                [question, answer] => {
                    messages.push(Message::user(text(question, &format!("{name}[0]"))?));
                    messages.push(Message::assistant(text(answer, &format!("{name}[1]"))?));
                }
                other => {
                    return Err(Failure::data(format!(
                        "field \"{name}\" has {} entries; a turn of history is [question, answer]",
                        other.len()
                    )));
                }
            }
        }
        Ok(messages)
    }

    /// Tools as a list, or as JSON text of one (ShareGPT).
    fn tools(&self) -> Result<Option<Value>> {
        match self.get("tools") {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text)
                .map(Some)
                .map_err(|_| Failure::data("field \"tools\" is text, but not JSON; give a list of tools")),
            Some(Value::Array(tools)) if tools.is_empty() => Ok(None),
            Some(tools) => list(tools, "tools").map(|_| Some(tools.clone())),
        }
    }

    fn messages(&self, name: &str) -> Result<Vec<Message>> {
        let turns = list(self.required(name)?, name)?;
        if turns.is_empty() {
            return Err(Failure::data(format!("field \"{name}\" is empty; a dialogue has at least one turn")));
        }
        turns.iter().enumerate().map(|(i, turn)| message(turn, &format!("{name}[{i}]"))).collect()
    }

    /// One turn of `role` as text, one message, or a list of messages.
    fn turns(&self, name: &str, role: &str) -> Result<Vec<Message>> {
        match self.required(name)? {
            Value::String(text) => Ok(vec![Message::new(role, text)]),
            Value::Array(_) => self.messages(name),
            turn @ Value::Object(_) => Ok(vec![message(turn, name)?]),
            other => Err(Failure::data(format!(
                "field \"{name}\" is {}, not a string or a list of messages",
                type_of(other)
            ))),
        }
    }

    fn preference(&self, kind: StageKind, tools: Option<Value>) -> Result<Row> {
        let given = ["prompt", "conversations", "messages"].into_iter().find(|name| self.get(name).is_some());
        let mut prompt_turns = match given {
            Some(name) => self.turns(name, "user")?,
            None if self.required("chosen")?.is_array() => Vec::new(),
            None => {
                self.required("prompt")?;
                Vec::new()
            }
        };
        if kind == StageKind::PPO && !prompt_turns.is_empty() {
            return prompt(prompt_turns, tools);
        }
        let mut chosen = self.turns("chosen", "assistant")?;
        let mut rejected = self.turns("rejected", "assistant")?;
        if prompt_turns.is_empty() {
            // TRL's implicit prompt: what both dialogues begin with.
            let shared = chosen.iter().zip(&rejected).take_while(|(a, b)| a == b).count();
            let shared = shared.min(chosen.len().saturating_sub(1)).min(rejected.len().saturating_sub(1));
            prompt_turns = chosen[..shared].to_vec();
        }
        for (name, turns) in [("chosen", &mut chosen), ("rejected", &mut rejected)] {
            if turns.starts_with(&prompt_turns) {
                turns.drain(..prompt_turns.len());
            }
            if !turns.last().is_some_and(Message::is_assistant) {
                return Err(Failure::data(format!(
                    "field \"{name}\" does not end with an assistant turn after the prompt"
                )));
            }
        }
        if let Some(system) = self.optional("system")?.filter(|system| !system.is_empty())
            && prompt_turns.first().is_none_or(|first| first.role != "system")
        {
            prompt_turns.insert(0, Message::system(system));
        }
        match kind {
            StageKind::PPO => prompt(prompt_turns, tools),
            _ => Ok(Row::Preference { prompt: prompt_turns, chosen, rejected, tools }),
        }
    }
}

/// `{role, content, …}` or ShareGPT's `{from, value}`.
fn message(turn: &Value, place: &str) -> Result<Message> {
    let Value::Object(turn) = turn else {
        return Err(Failure::data(format!("field \"{place}\" is {}, not a message", type_of(turn))));
    };
    let missing = |name| Failure::data(format!("field \"{place}.{name}\" is missing"));
    let (role_name, content_name) = if turn.contains_key("from") { ("from", "value") } else { ("role", "content") };
    let said = text(turn.get(role_name).ok_or_else(|| missing(role_name))?, &format!("{place}.{role_name}"))?;
    let role = match said {
        "human" | "user" => "user",
        "gpt" | "assistant" | "chatgpt" | "bot" | "function_call" => "assistant",
        "system" | "developer" => "system",
        "observation" | "tool" | "function" => "tool",
        _ => {
            return Err(Failure::data(format!(
                "field \"{place}.{role_name}\" is no known role (human/user, gpt/assistant, system, function_call, \
                 observation/tool)"
            )));
        }
    };
    let content = match turn.get(content_name) {
        // A turn that only calls tools.
        Some(Value::Null) | None if turn.contains_key("tool_calls") => String::new(),
        None => return Err(missing(content_name)),
        Some(Value::Array(parts)) => parts_text(parts, &format!("{place}.{content_name}"))?,
        Some(content) => text(content, &format!("{place}.{content_name}"))?.to_owned(),
    };
    let known = [role_name, content_name];
    let other = turn.iter().filter(|(name, _)| !known.contains(&name.as_str()));
    Ok(Message {
        role: role.into(),
        content,
        other: other.map(|(name, value)| (name.clone(), value.clone())).collect(),
    })
}

/// Content as a list of `{type: text, text}` parts.
fn parts_text(parts: &[Value], place: &str) -> Result<String> {
    let mut joined = String::new();
    for (i, part) in parts.iter().enumerate() {
        match part["text"].as_str() {
            Some(text) => joined.push_str(text),
            None => {
                return Err(Failure::data(format!("field \"{place}[{i}]\" is no text; only text can be trained on")));
            }
        }
    }
    Ok(joined)
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str> {
    value.as_str().ok_or_else(|| {
        let way_out = if value.is_number() || value.is_boolean() { "; put it in quotes" } else { "" };
        Failure::data(format!("field \"{name}\" is {}, not a string{way_out}", type_of(value)))
    })
}

fn list<'v>(value: &'v Value, name: &str) -> Result<&'v Vec<Value>> {
    value.as_array().ok_or_else(|| Failure::data(format!("field \"{name}\" is {}, not a list", type_of(value))))
}

pub(crate) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[path = "formats_tests.rs"]
mod tests;
