//! Jinja as transformers sets it up for chat templates.
//!
//! Holds: the template is named `chat`; rendering reads no clock; `{% generation %}` leaves [`BEGIN`] and [`END`] in
//! the output.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};

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
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> std::result::Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| -> std::result::Result<String, Error> {
        jiff::fmt::strtime::format(&format, TODAY.at(0, 0, 0, 0))
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
    });
    environment.add_filter("tojson", tojson);
    environment.add_template("generation", BEGIN)?;
    environment.add_template("endgeneration", END)?;
    environment.add_template_owned("chat", chat)?;
    Ok(environment)
}

/// JSON as Python's `json.dumps(value, ensure_ascii=False, indent=indent)` writes it.
fn tojson(value: &Value, args: Kwargs) -> std::result::Result<Value, Error> {
    let indent: Option<usize> = args.get("indent")?;
    let wrong = |error: serde_json::Error| Error::new(ErrorKind::InvalidOperation, "not JSON").with_source(error);
    let value = serde_json::to_value(value).map_err(wrong)?;
    let mut bytes = Vec::new();
    match indent {
        Some(indent) => {
            let spaces = " ".repeat(indent);
            let pretty = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            serde::Serialize::serialize(&value, &mut serde_json::Serializer::with_formatter(&mut bytes, pretty))
        }
        None => {
            serde::Serialize::serialize(&value, &mut serde_json::Serializer::with_formatter(&mut bytes, PythonJson))
        }
    }
    .map_err(wrong)?;
    Ok(Value::from_safe_string(String::from_utf8_lossy(&bytes).into_owned()))
}

/// `", "` and `": "` as separators.
struct PythonJson;

impl serde_json::ser::Formatter for PythonJson {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, out: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

/// A template's own text is no patient data: the parser's message can be shown whole.
pub fn syntax_message(error: &Error) -> String {
    let line = error.line().map_or(String::new(), |line| format!("line {line}: "));
    format!("{line}{}", error.detail().unwrap_or("not a Jinja template"))
}
