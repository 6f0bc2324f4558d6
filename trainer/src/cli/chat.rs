//! The interactive mode of `medtrain generate`: several turns on standard input and output, answers as they come.
//!
//! Holds: answers alone go to `out`, whatever else is said goes to `notes`, so a piped chat can be read by a program;
//! a turn that fails is told and forgotten, and the chat goes on.

use std::{
    cell::RefCell,
    io::{self, BufRead, Write},
};

use super::{
    interrupts::Interrupts,
    speaker::{Speaker, record},
};
use crate::{
    data::Message,
    failure::{Failure, Result},
    generate::Request,
    ops::LmBackend,
};

pub const HELP: &str = "\
/reset          forget the dialogue and start over
/system TEXT    set the system message (none: without one) and start over
/help           this list
/exit           leave (Ctrl-D too); Ctrl-C stops an answer";

/// A dialogue with one person.
pub struct Chat<'a, 'm, B: LmBackend> {
    pub speaker: &'a mut Speaker<'m, B>,
    pub out: &'a mut dyn Write,
    pub notes: &'a mut dyn Write,
    /// Somebody watches: ask for each question.
    pub asks: bool,
    /// One JSON object an answer instead of its text.
    pub json: bool,
    pub interrupts: &'a Interrupts,
}

impl<B: LmBackend> Chat<'_, '_, B> {
    /// Answers line by line until `/exit`, the end of `lines` or until nobody reads `out` any more.
    ///
    /// # Errors
    /// When `lines` can't be read or `out` not be written.
    pub fn run(&mut self, lines: &mut dyn BufRead) -> Result<()> {
        let mut dialogue: Vec<Message> = Vec::new();
        let mut turn = 0;
        loop {
            if self.asks {
                self.note("> ");
            }
            let Some(line) = self.next_line(lines)? else { return Ok(()) };
            let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
            match command {
                "" => {}
                "/exit" | "/quit" => return Ok(()),
                "/help" => self.say(HELP),
                "/reset" => dialogue.clear(),
                "/system" if self.speaker.template.is_none() => self.say("--raw knows no system message"),
                "/system" => {
                    self.speaker.system = Some(rest.trim().to_owned()).filter(|text| !text.is_empty());
                    dialogue.clear();
                }
                _ if command.starts_with('/') && !command[1..].contains('/') => {
                    self.say(&format!("{command}: no such command\n{HELP}"));
                }
                _ => {
                    if self.speaker.template.is_none() {
                        dialogue.clear();
                    }
                    dialogue.push(Message::user(line));
                    match self.answer(&mut dialogue, turn) {
                        Ok(Answered::Yes) => {}
                        Ok(Answered::NobodyReads) => return Ok(()),
                        Err(failure) => {
                            dialogue.pop();
                            self.say(&failure.message);
                        }
                    }
                    turn += 1;
                }
            }
        }
    }

    fn answer(&mut self, dialogue: &mut Vec<Message>, turn: u64) -> Result<Answered> {
        let ids = self.fitting(dialogue)?;
        let request = Request { ids, stream: turn };
        let (mut text, mut tokens, mut finish) = (String::new(), 0, None);
        let unwritten: RefCell<Option<io::Error>> = RefCell::new(None);
        self.interrupts.begin_answer();
        let (out, json) = (&mut *self.out, self.json);
        let outcome = self.speaker.answer(
            &[request],
            1,
            &mut |token| {
                text.push_str(token.text);
                tokens += 1;
                finish = token.finish;
                if !json && let Err(error) = out.write_all(token.text.as_bytes()).and_then(|()| out.flush()) {
                    *unwritten.borrow_mut() = Some(error);
                }
            },
            &|| unwritten.borrow().is_some() || self.interrupts.stop_requested(),
        );
        self.interrupts.end_answer();
        outcome?;
        if let Some(error) = unwritten.take() {
            return broken(&error);
        }
        let end = match self.json {
            true => format!("{}\n", record(&dialogue[dialogue.len() - 1].content, &text, finish, tokens)),
            false => "\n".to_owned(),
        };
        if let Err(error) = self.out.write_all(end.as_bytes()).and_then(|()| self.out.flush()) {
            return broken(&error);
        }
        dialogue.push(Message::assistant(text));
        Ok(Answered::Yes)
    }

    /// Tokens of the dialogue; its oldest turns go if the context has no room for an answer otherwise.
    fn fitting(&mut self, dialogue: &mut Vec<Message>) -> Result<Vec<u32>> {
        let context = self.speaker.model.max_positions();
        let room = (self.speaker.sampling.max_new_tokens as usize).min(context / 2);
        let mut dropped = 0;
        loop {
            let ids = self.speaker.encode(dialogue, None)?;
            if ids.len() + room <= context || dialogue.len() < 3 {
                if dropped > 0 {
                    self.say(&format!("(the oldest {dropped} messages no longer fit the context and are forgotten)"));
                }
                return Ok(ids);
            }
            dialogue.drain(..2);
            dropped += 2;
        }
    }

    /// The next line, trimmed; `None` at the end.
    fn next_line(&mut self, lines: &mut dyn BufRead) -> Result<Option<String>> {
        loop {
            let mut bytes = Vec::new();
            let read = lines.read_until(b'\n', &mut bytes);
            match read.map_err(|error| Failure::internal(format!("standard input can't be read: {error}")))? {
                0 => return Ok(None),
                _ => match String::from_utf8(bytes) {
                    Ok(line) => return Ok(Some(line.trim().to_owned())),
                    Err(_) => self.say("that line is not UTF-8 text; it is ignored"),
                },
            }
        }
    }

    fn say(&mut self, sentence: &str) {
        self.note(&format!("{sentence}\n"));
    }

    /// Notes that nobody can read are no reason to stop.
    fn note(&mut self, text: &str) {
        let _ = self.notes.write_all(text.as_bytes()).and_then(|()| self.notes.flush());
    }
}

enum Answered {
    Yes,
    NobodyReads,
}

/// A reader that left (`… | head`) ends the chat in peace.
fn broken(error: &io::Error) -> Result<Answered> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(Answered::NobodyReads),
        _ => Err(Failure::internal(format!("standard output can't be written: {error}"))),
    }
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
