//! The batch mode of `medtrain generate`: a file of prompts in, one JSON object an answer out.
//!
//! Holds: answers are in the order of the prompts; a predictions file appears whole or not at all.

use std::{
    fs::{self, File},
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use medtrain_crds::stage::StageKind;
use serde_json::Value;

use super::speaker::{Speaker, record};
use crate::{
    data::{
        Message,
        formats::{Row, Shape},
        reader::{Layout, RowReader},
    },
    failure::{Failure, Result},
    generate::Request,
    ops::LmBackend,
};

/// Without a terminal, a line of progress comes no faster than this.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A dialogue to be answered, and the line of the file it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    pub line: u64,
    pub messages: Vec<Message>,
    pub tools: Option<Value>,
}

/// The prompts of `file`: lines of a text file, or rows of JSON as PPO reads them.
///
/// # Errors
/// 65 when the file is missing; 66 when a row is wrong or there is none, with the line.
pub fn read(file: &Path) -> Result<Vec<Prompt>> {
    let name = file.display().to_string();
    let reader = RowReader::open(file, &name, StageKind::PPO)?;
    let text = reader.layout() == Layout::Text;
    let mut shape = None;
    let mut prompts = Vec::new();
    for row in reader {
        let row = row?;
        let (messages, tools) = if text {
            (vec![Message::user(row.text.trim())], None)
        } else {
            let at = |failure: Failure| failure.at(format_args!("{name}: line {}", row.line));
            let object = row.object(&name)?;
            let known = match shape {
                Some(known) => known,
                None => *shape.insert(Shape::detect(&object, StageKind::PPO).map_err(at)?),
            };
            match known.parse(&object, StageKind::PPO).map_err(at)? {
                Row::Prompt { messages, tools } => (messages, tools),
                other => return Err(Failure::internal(format!("a prompt was read as {}", kind_of(&other)))),
            }
        };
        prompts.push(Prompt { line: row.line, messages, tools });
    }
    if prompts.is_empty() {
        return Err(Failure::data(format!("{name}: no rows: the file is empty")));
    }
    Ok(prompts)
}

fn kind_of(row: &Row) -> &'static str {
    match row {
        Row::Document(_) => "a document",
        Row::Dialogue { .. } => "a dialogue",
        Row::Preference { .. } => "a preference",
        Row::Prompt { .. } => "a prompt",
    }
}

/// Answers the prompts of `file` and gives one JSON object an answer, each on a line.
///
/// # Errors
/// As [`read`]; 66 for a prompt that the template refuses or that fills the context, with its line.
pub fn predict<B: LmBackend>(speaker: &Speaker<B>, file: &Path, batch: usize) -> Result<String> {
    let prompts = read(file)?;
    let mut requests = Vec::with_capacity(prompts.len());
    for (stream, prompt) in (0..).zip(&prompts) {
        let at = |failure: Failure| failure.at(format_args!("{}: line {}", file.display(), prompt.line));
        let ids = speaker.encode(&prompt.messages, prompt.tools.as_ref()).map_err(at)?;
        let (tokens, context) = (ids.len(), speaker.model.max_positions());
        if tokens >= context {
            return Err(at(Failure::data(format!(
                "the prompt's {tokens} tokens leave no room for an answer in the context of {context}; shorten it"
            ))));
        }
        requests.push(Request { ids, stream });
    }
    let mut watch = Watch::new(requests.len());
    let answers = speaker.answer(&requests, batch, &mut |token| watch.token(token.finish.is_some()), &|| false)?;
    watch.end();
    let mut lines = String::new();
    for (prompt, answer) in prompts.iter().zip(answers.unwrap_or_default()) {
        let asked = prompt.messages.last().map_or("", |message| &message.content);
        lines.push_str(&record(asked, &answer.text, Some(answer.finish), answer.ids.len()).to_string());
        lines.push('\n');
    }
    Ok(lines)
}

/// Writes `text` to `path` by way of a file beside it.
///
/// # Errors
/// 65, 75 or 77 as [`Failure::io`].
pub fn write_whole(path: &Path, text: &str) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.part", std::process::id()));
    let aside = PathBuf::from(aside);
    let written = File::create(&aside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&aside, path));
    written.map_err(|error| {
        // What is left of a failed write; the failure itself is what counts.
        let _ = fs::remove_file(&aside);
        Failure::io(path, &error)
    })
}

/// Progress on standard error: a bar on a terminal, else a line now and then.
struct Watch {
    bar: ProgressBar,
    lines: bool,
    begun: Instant,
    last: Instant,
    tokens: usize,
    answers: usize,
    total: usize,
}

impl Watch {
    fn new(total: usize) -> Self {
        let lines = !std::io::stderr().is_terminal();
        let bar = if lines { ProgressBar::hidden() } else { ProgressBar::new(total as u64) };
        if let Ok(style) = ProgressStyle::with_template("answers {bar:30} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self { bar, lines, begun: now, last: now, tokens: 0, answers: 0, total }
    }

    fn token(&mut self, ends: bool) {
        self.tokens += 1;
        if !ends {
            return;
        }
        self.answers += 1;
        self.bar.set_position(self.answers as u64);
        self.bar.set_message(format!("{:.0} tokens/s", self.speed()));
        if self.lines && self.answers < self.total && self.last.elapsed() >= LINE_EVERY {
            self.last = Instant::now();
            eprintln!("{}/{} answers, {:.0} tokens/s", self.answers, self.total, self.speed());
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
        let seconds = self.begun.elapsed().as_secs_f64();
        eprintln!("{} answers, {} tokens in {seconds:.1} s ({:.0} tokens/s)", self.answers, self.tokens, self.speed());
    }

    fn speed(&self) -> f64 {
        self.tokens as f64 / self.begun.elapsed().as_secs_f64().max(1e-9)
    }
}

#[cfg(test)]
#[path = "predictions_tests.rs"]
mod tests;
