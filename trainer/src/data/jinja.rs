//! Jinja as transformers sets it up for chat templates.
//!
//! Holds: the template is named `chat`; rendering reads no clock; `{% generation %}` leaves [`BEGIN`] and [`END`] in
//! the output.

use std::borrow::Cow;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, escape_formatter};
use minijinja_contrib::pycompat;
use serde_json::ser::Formatter;

/// The day that `strftime_now` tells: the one that Llama's templates fall back on. A clock would make ids depend on
/// the day of the run.
const TODAY: jiff::civil::Date = jiff::civil::date(2024, 7, 26);

/// Stand around what `{% generation %}` encloses; U+FDD0 is a noncharacter, refused in rows.
pub const BEGIN: &str = "\u{FDD0}<generation>\u{FDD0}";
pub const END: &str = "\u{FDD0}</generation>\u{FDD0}";
pub const NONCHARACTER: char = '\u{FDD0}';

/// minijinja refuses the tags `{% generation %}` and `{% endgeneration %}`; as includes of the mark templates they keep
/// the white-space control of a tag.
pub fn mark_generation(source: &str) -> (String, bool) {
    let (mut out, mut rest, mut found) = (String::with_capacity(source.len()), source, false);
    while let Some(at) = rest.find("{%") {
        let Some(close) = rest[at..].find("%}").map(|close| at + close) else { break };
        let inner = &rest[at + 2..close];
        let name = inner.trim_matches(['-', '+']).trim();
        out.push_str(&rest[..at + 2]);
        match name {
            "generation" | "endgeneration" => {
                found = true;
                out.push_str(&inner.replace(name, &format!("include \"{name}\"")));
            }
            _ => out.push_str(inner),
        }
        rest = &rest[close..];
    }
    out.push_str(rest);
    (out, found)
}

/// The environment with `chat` as its template.
pub fn environment(chat: String) -> std::result::Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(method);
    environment.add_function("raise_exception", |message: String| -> std::result::Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| -> std::result::Result<String, Error> {
        jiff::fmt::strtime::format(&format, TODAY.at(0, 0, 0, 0))
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
    });
    environment.set_formatter(|out, state, value| match python_float(value) {
        Some(text) => out.write_str(&text).map_err(Error::from),
        None => escape_formatter(out, state, value),
    });
    // Python can't go through None, and a template asks before it takes the length of `tools`.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_filter("trim", |text: Cow<str>, chars: Option<Cow<str>>| strip(&text, chars, true, true));
    environment.add_filter("string", |value: &Value| python_float(value).unwrap_or_else(|| value.to_string()));
    environment.add_filter("tojson", tojson);
    environment.add_template("generation", BEGIN)?;
    environment.add_template("endgeneration", END)?;
    environment.add_template_owned("chat", chat.replace("\r\n", "\n").replace('\r', "\n"))?;
    Ok(environment)
}

/// Python's methods of strings, lists and maps.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> std::result::Result<Value, Error> {
    let (left, right) = match name {
        "strip" => (true, true),
        "lstrip" => (true, false),
        "rstrip" => (false, true),
        _ => return pycompat::unknown_method_callback(state, value, name, args),
    };
    let Some(text) = value.as_str() else { return pycompat::unknown_method_callback(state, value, name, args) };
    let (chars,): (Option<Cow<str>>,) = from_args(args)?;
    Ok(Value::from(strip(text, chars, left, right)))
}

/// `text` without `chars` at its ends; without white space, to which Python counts the separators U+001C to U+001F,
/// if `chars` is none.
fn strip(text: &str, chars: Option<Cow<str>>, left: bool, right: bool) -> String {
    let goes = |c: char| match &chars {
        Some(chars) => chars.contains(c),
        None => c.is_whitespace() || matches!(c, '\u{1C}'..='\u{1F}'),
    };
    let text = if left { text.trim_start_matches(goes) } else { text };
    let text = if right { text.trim_end_matches(goes) } else { text };
    text.to_owned()
}

/// JSON as Python's `json.dumps(value, ensure_ascii=False, indent=indent)` writes it.
fn tojson(value: &Value, args: Kwargs) -> std::result::Result<Value, Error> {
    let indent: Option<usize> = args.get("indent")?;
    let wrong = |error: serde_json::Error| Error::new(ErrorKind::InvalidOperation, "not JSON").with_source(error);
    let value = serde_json::to_value(value).map_err(wrong)?;
    let mut bytes = Vec::new();
    let format = PythonJson { indent, depth: 0, empty: true };
    serde::Serialize::serialize(&value, &mut serde_json::Serializer::with_formatter(&mut bytes, format))
        .map_err(wrong)?;
    Ok(Value::from_safe_string(String::from_utf8_lossy(&bytes).into_owned()))
}

/// `", "` and `": "` as separators, or a line for each value, and floats as Python writes them.
struct PythonJson {
    indent: Option<usize>,
    depth: usize,
    /// The innermost list or map has no value yet.
    empty: bool,
}

impl PythonJson {
    fn begin<W: ?Sized + io::Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        (self.depth, self.empty) = (self.depth + 1, true);
        out.write_all(bracket)
    }

    fn before_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.empty = false;
        match (first, self.indent) {
            (true, None) => Ok(()),
            (false, None) => out.write_all(b", "),
            (true, Some(_)) => self.new_line(out),
            (false, Some(_)) => {
                out.write_all(b",")?;
                self.new_line(out)
            }
        }
    }

    fn end<W: ?Sized + io::Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !self.empty && self.indent.is_some() {
            self.new_line(out)?;
        }
        self.empty = false;
        out.write_all(bracket)
    }

    fn new_line<W: ?Sized + io::Write>(&self, out: &mut W) -> io::Result<()> {
        write!(out, "\n{:1$}", "", self.indent.unwrap_or(0) * self.depth)
    }
}

impl Formatter for PythonJson {
    fn begin_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"[")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.before_value(out, first)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"]")
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"{")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.before_value(out, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"}")
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        out.write_all(repr(value).as_bytes())
    }
}

/// A float as Python writes it: the shortest digits, with an exponent of two digits below 1e-4 and from 1e16 on.
fn repr(value: f64) -> String {
    let scientific = format!("{value:e}");
    match scientific.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?))) {
        Some((digits, exponent)) if !(-4..16).contains(&exponent) => format!("{digits}e{exponent:+03}"),
        _ => format!("{value:?}"),
    }
}

fn python_float(value: &Value) -> Option<String> {
    let float = value.kind() == ValueKind::Number && !value.is_integer();
    f64::try_from(value.clone()).ok().filter(|_| float).map(repr)
}

/// A template's own text is no patient data: the parser's message can be shown whole.
pub fn syntax_message(error: &Error) -> String {
    let line = error.line().map_or(String::new(), |line| format!("line {line}: "));
    format!("{line}{}", error.detail().unwrap_or("not a Jinja template"))
}
