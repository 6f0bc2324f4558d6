//! Files into rows: text, JSON lines, JSON arrays, gzip or not, one row in memory at a time.
//!
//! Holds: every row knows its line (1-based, as an editor counts); a byte-order mark, CRLF and blank lines are no
//! part of any row; nothing read is quoted in an error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use medtrain_crds::stage::StageKind;
use serde_json::{Map, Value};

use crate::data::formats::type_of;
use crate::failure::{Failure, Result};

/// Longest row: one that is longer is a file without line ends, not a row.
const MAX_ROW_BYTES: u64 = 64 << 20;
const BUFFER: usize = 1 << 18;
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// How a file holds its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A row is a non-empty line of text.
    Text,
    /// A row is a line with a JSON object.
    JsonLines,
    /// A row is an element of the one JSON array in the file.
    JsonArray,
}

/// A row's text and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRow {
    pub line: u64,
    /// Column of the first character in its line, 1-based.
    pub column: u64,
    pub text: String,
}

/// The rows of one file.
pub struct RowReader {
    source: Box<dyn BufRead + Send>,
    /// Bytes of the rows so far, unpacked.
    consumed: u64,
    gzip: Option<Gzip>,
    layout: Layout,
    name: String,
    /// Line of the next byte.
    line: u64,
    column: u64,
    array: ArrayState,
    done: bool,
}

/// Bytes that went into the decoder and that came out of it.
#[derive(Default)]
struct Gzip {
    packed: Arc<AtomicU64>,
    unpacked: Arc<AtomicU64>,
}

/// Counts what is taken from it, not what it reads ahead.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, taken: usize) {
        self.count.fetch_add(taken as u64, Ordering::Relaxed);
        self.inner.consume(taken);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ArrayState {
    Before,
    /// `[` or `,` was read: an element must follow (after `[`, or the end).
    Element {
        first: bool,
    },
    Separator,
    After,
}

impl RowReader {
    /// Opens the file at `path`, called `name` in errors. Gzip is told by its first bytes, the layout by the name's
    /// extension and, for JSON, by the first character.
    ///
    /// # Errors
    /// 65 when the file is missing, 66 when its name tells no format the stage reads.
    pub fn open(path: &Path, name: &str, kind: StageKind) -> Result<Self> {
        let wrap = |error: io::Error| Failure::io(path, &error);
        let mut file = File::open(path).map_err(wrap)?;
        let mut magic = [0; 2];
        let gzip = matches!(file.read(&mut magic).map_err(wrap)?, 2) && magic == [0x1F, 0x8B];
        file.seek(SeekFrom::Start(0)).map_err(wrap)?;
        let gzip = gzip.then(Gzip::default);
        let mut source: Box<dyn BufRead + Send> = match &gzip {
            Some(Gzip { packed, unpacked }) => {
                let packed = Counted { inner: BufReader::new(file), count: Arc::clone(packed) };
                let unpacked = Counted { inner: MultiGzDecoder::new(packed), count: Arc::clone(unpacked) };
                Box::new(BufReader::with_capacity(BUFFER, unpacked))
            }
            None => Box::new(BufReader::with_capacity(BUFFER, file)),
        };
        let wrong = |error: io::Error| read_failure(name, 1, &error);
        let ahead = source.fill_buf().map_err(wrong)?;
        if ahead.starts_with(BOM) {
            source.consume(BOM.len());
        }
        let first = source.fill_buf().map_err(wrong)?.iter().copied().find(|byte| !byte.is_ascii_whitespace());
        let layout = layout(name, first, kind)?;
        let array = ArrayState::Before;
        let name = name.to_owned();
        Ok(Self { source, consumed: 0, gzip, layout, name, line: 1, column: 1, array, done: false })
    }

    /// Bytes of the file behind the rows so far; of a gzip stream about, as if all that is unpacked ahead were packed alike.
    pub fn position(&self) -> u64 {
        let Some(Gzip { packed, unpacked }) = &self.gzip else { return self.consumed };
        let share = self.consumed as f64 / unpacked.load(Ordering::Relaxed).max(1) as f64;
        (packed.load(Ordering::Relaxed) as f64 * share) as u64
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    fn fail(&self, line: u64, message: &str) -> Failure {
        Failure::data(format!("{}: line {line}: {message}", self.name))
    }

    fn next_line(&mut self) -> Result<Option<RawRow>> {
        loop {
            let mut bytes = Vec::new();
            let line = self.line;
            let limited = (&mut self.source).take(MAX_ROW_BYTES + 1).read_until(b'\n', &mut bytes);
            let read = limited.map_err(|error| read_failure(&self.name, line, &error))?;
            if read == 0 {
                return Ok(None);
            }
            self.consumed += read as u64;
            if bytes.len() as u64 > MAX_ROW_BYTES {
                return Err(self.fail(line, "longer than 64 MiB; split it into rows"));
            }
            self.line += 1;
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
            let text = self.utf8(bytes, line)?;
            if !text.trim().is_empty() {
                return Ok(Some(RawRow { line, column: 1, text }));
            }
        }
    }

    fn utf8(&self, bytes: Vec<u8>, line: u64) -> Result<String> {
        String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = line + before.iter().filter(|byte| **byte == b'\n').count() as u64;
            let at = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
            self.fail(line, &format!("invalid UTF-8 at byte {at} of the line; save the file as UTF-8"))
        })
    }

    /// The array's next byte, counted; `None` at the end of the file.
    fn byte(&mut self) -> Result<Option<u8>> {
        let buffer = self.source.fill_buf().map_err(|error| read_failure(&self.name, self.line, &error))?;
        let Some(&byte) = buffer.first() else { return Ok(None) };
        self.source.consume(1);
        self.consumed += 1;
        if byte == b'\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Ok(Some(byte))
    }

    fn next_element(&mut self) -> Result<Option<RawRow>> {
        loop {
            let (line, column) = (self.line, self.column);
            let byte = match self.byte()? {
                None if self.array == ArrayState::After => return Ok(None),
                None => return Err(self.fail(self.line, "the JSON array is not closed; was the file cut short?")),
                Some(byte) if byte.is_ascii_whitespace() => continue,
                Some(byte) => byte,
            };
            self.array = match (self.array, byte) {
                (ArrayState::Before, b'[') => ArrayState::Element { first: true },
                (ArrayState::Separator, b',') => ArrayState::Element { first: false },
                (ArrayState::Separator | ArrayState::Element { first: true }, b']') => ArrayState::After,
                (ArrayState::Element { .. }, b'{') => {
                    self.array = ArrayState::Separator;
                    return self.object(line, column).map(Some);
                }
                (ArrayState::Element { .. }, _) => {
                    return Err(self.fail(line, &format!("column {column}: a row of the JSON array is no object")));
                }
                (ArrayState::After, _) => {
                    return Err(self.fail(line, &format!("column {column}: text after the end of the JSON array")));
                }
                _ => {
                    return Err(
                        self.fail(line, &format!("column {column}: malformed JSON: a comma or ] must follow a row"))
                    );
                }
            };
        }
    }

    /// The rest of an object whose `{` has been read.
    fn object(&mut self, line: u64, column: u64) -> Result<RawRow> {
        let mut bytes = vec![b'{'];
        let (mut depth, mut in_string, mut escaped) = (1u32, false, false);
        while depth > 0 {
            let Some(byte) = self.byte()? else {
                return Err(self.fail(line, "the row that begins here is not closed; was the file cut short?"));
            };
            bytes.push(byte);
            if bytes.len() as u64 > MAX_ROW_BYTES {
                return Err(self.fail(line, "the row that begins here is longer than 64 MiB"));
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => depth += 1,
                b'}' | b']' if !in_string => depth -= 1,
                _ => {}
            }
        }
        Ok(RawRow { line, column, text: self.utf8(bytes, line)? })
    }
}

impl Iterator for RowReader {
    type Item = Result<RawRow>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let row = match self.layout {
            Layout::Text | Layout::JsonLines => self.next_line(),
            Layout::JsonArray => self.next_element(),
        };
        self.done = !matches!(row, Ok(Some(_)));
        row.transpose()
    }
}

impl RawRow {
    /// The row as a JSON object; `name` is the file's.
    ///
    /// # Errors
    /// 66 with line and column when it is malformed or no object.
    pub fn object(&self, name: &str) -> Result<Map<String, Value>> {
        match serde_json::from_str(&self.text) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(other) => {
                let line = self.line;
                Err(Failure::data(format!("{name}: line {line}: the row is {}, not a JSON object", type_of(&other))))
            }
            Err(error) => {
                let line = self.line + error.line() as u64 - 1;
                let column = error.column() as u64 + if error.line() == 1 { self.column - 1 } else { 0 };
                let text = error.to_string();
                let what = match error.classify() {
                    serde_json::error::Category::Eof => {
                        "the line ends inside the row; a row is one JSON object on one line"
                    }
                    // Messages of the parser itself hold no text of the row; those of type conversions might.
                    serde_json::error::Category::Syntax => text.rsplit_once(" at line ").map_or("", |(what, _)| what),
                    _ => "a value that JSON does not allow",
                };
                Err(Failure::data(format!("{name}: line {line}, column {column}: malformed JSON: {what}")))
            }
        }
    }
}

fn layout(name: &str, first: Option<u8>, kind: StageKind) -> Result<Layout> {
    let lower = name.to_ascii_lowercase();
    let stem = lower.strip_suffix(".gz").unwrap_or(&lower);
    let extension = stem.rsplit(['/', '.']).next().unwrap_or_default();
    match extension {
        "txt" if matches!(kind, StageKind::PT | StageKind::PPO) => Ok(Layout::Text),
        "txt" => Err(Failure::data(format!(
            "{name}: a text file has no fields, and {kind:?} needs them; give JSON lines (.jsonl) or a JSON array (.json)"
        ))),
        "json" | "jsonl" | "ndjson" if first == Some(b'[') => Ok(Layout::JsonArray),
        "json" | "jsonl" | "ndjson" => Ok(Layout::JsonLines),
        _ => Err(Failure::data(format!(
            "{name}: the format is told by the name's end: .txt (PT documents, PPO prompts), .jsonl or .json, each also \
             with .gz"
        ))),
    }
}

fn read_failure(name: &str, line: u64, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            Failure::data(format!("{name}: line {line}: the gzip stream is damaged or cut short"))
        }
        _ => Failure::io(Path::new(name), error),
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
