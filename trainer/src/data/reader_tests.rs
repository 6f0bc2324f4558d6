use super::*;
use StageKind::{PT, SFT};
use std::io::Write;

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn read(name: &str, bytes: &[u8], kind: StageKind) -> Result<Vec<(u64, String)>> {
    let (_dir, path) = file(name, bytes);
    RowReader::open(&path, name, kind)?.map(|row| row.map(|row| (row.line, row.text))).collect()
}

/// The failure of reading and parsing a file as objects.
fn failure(name: &str, bytes: &[u8]) -> String {
    let (_dir, path) = file(name, bytes);
    let rows = RowReader::open(&path, name, SFT)
        .and_then(|rows| rows.map(|row| row?.object(name)).collect::<Result<Vec<_>>>());
    rows.unwrap_err().message
}

fn rows(wanted: &[(u64, &str)]) -> Vec<(u64, String)> {
    wanted.iter().map(|(line, text)| (*line, (*text).to_owned())).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_document_is_a_non_empty_line() {
    let text = "\u{FEFF}one\r\n\n  \ntwo  \r\n三";
    assert_eq!(read("a.txt", text.as_bytes(), PT).unwrap(), rows(&[(1, "one"), (4, "two  "), (5, "三")]));
}

#[test]
fn json_lines_and_arrays_give_rows_with_their_lines() {
    let lines = b"{\"a\": 1}\r\n\r\n{\"a\": 2}";
    assert_eq!(read("a.jsonl", lines, SFT).unwrap(), rows(&[(1, "{\"a\": 1}"), (3, "{\"a\": 2}")]));
    let array = "\u{FEFF} [\n {\"a\": \"}]\\\"{\"},\n\n  {\"b\":\n [1, {\"c\": 2}]}\n]\n";
    let wanted = rows(&[(2, "{\"a\": \"}]\\\"{\"}"), (4, "{\"b\":\n [1, {\"c\": 2}]}")]);
    assert_eq!(read("a.json", array.as_bytes(), SFT).unwrap(), wanted);
    assert_eq!(read("a.jsonl", b"[]", SFT).unwrap(), []);
}

#[test]
fn gzip_is_told_by_its_bytes_whatever_the_name_says() {
    assert_eq!(read("a.txt.gz", &gzip(b"one\ntwo\n"), PT).unwrap(), rows(&[(1, "one"), (2, "two")]));
    assert_eq!(read("a.txt", &gzip(b"one\n"), PT).unwrap(), rows(&[(1, "one")]));
    // Two streams in one file, as `cat a.gz b.gz` makes them.
    assert_eq!(
        read("a.txt.gz", &[gzip(b"one\n"), gzip(b"two\n")].concat(), PT).unwrap(),
        rows(&[(1, "one"), (2, "two")])
    );
}

#[test]
fn a_row_may_be_longer_than_any_buffer() {
    let long = "x".repeat(3 << 20);
    let text = format!("[{{\"a\": \"{long}\"}}]");
    assert_eq!(read("a.json", text.as_bytes(), SFT).unwrap()[0].1.len(), long.len() + 9);
}

#[test]
fn an_empty_file_has_no_rows() {
    assert_eq!(read("a.txt", b"", PT).unwrap(), []);
    assert_eq!(read("a.jsonl", b"\n \n", SFT).unwrap(), []);
}

#[test]
fn errors_name_file_line_and_column_and_never_the_content() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("a.jsonl", b"{\"a\": 1}\n{\"a\": Jane}\n", "a.jsonl: line 2, column 7: malformed JSON: expected value"),
        (
            "a.jsonl",
            b"{\"a\": \"Jane",
            "a.jsonl: line 1, column 11: malformed JSON: the line ends inside the row; a row is one JSON object on one line",
        ),
        ("a.jsonl", b"{\"a\": 1} {\"a\": 1}", "a.jsonl: line 1, column 10: malformed JSON: trailing characters"),
        ("a.jsonl", b"\"Jane\"", "a.jsonl: line 1: the row is a string, not a JSON object"),
        ("a.json", b"[\n{\"a\": 1},\n {\"a\":\n Jane}]", "a.json: line 4, column 2: malformed JSON: expected value"),
        ("a.json", b"[{\"a\": 1}, {\"a\" 1}]", "a.json: line 1, column 17: malformed JSON: expected `:`"),
        ("a.json", b"[\n {\"a\": 1}\n", "a.json: line 3: the JSON array is not closed; was the file cut short?"),
        ("a.json", b"[\n {\"a\": 1", "a.json: line 2: the row that begins here is not closed; was the file cut short?"),
        (
            "a.json",
            b"[{\"a\": 1} {\"a\": 2}]",
            "a.json: line 1: column 11: malformed JSON: a comma or ] must follow a row",
        ),
        ("a.json", b"[{\"a\": 1},]", "a.json: line 1: column 11: a row of the JSON array is no object"),
        ("a.json", b"[\"Jane\"]", "a.json: line 1: column 2: a row of the JSON array is no object"),
        ("a.json", b"[]\nJane", "a.json: line 2: column 1: text after the end of the JSON array"),
        (
            "a.jsonl",
            b"{}\n{\"a\": \"\xFF\"}",
            "a.jsonl: line 2: invalid UTF-8 at byte 8 of the line; save the file as UTF-8",
        ),
        (
            "a.json",
            b"[{},\n{\n\"a\": \"\xFF\"}]",
            "a.json: line 3: invalid UTF-8 at byte 7 of the line; save the file as UTF-8",
        ),
        (
            "a.txt",
            b"x",
            "a.txt: a text file has no fields, and SFT needs them; give JSON lines (.jsonl) or a JSON array (.json)",
        ),
        (
            "a.csv",
            b"x",
            "a.csv: the format is told by the name's end: .txt (PT documents, PPO prompts), .jsonl or .json, each also \
             with .gz",
        ),
    ];
    for (name, bytes, wanted) in cases {
        assert_eq!(failure(name, bytes), *wanted);
    }
}

#[test]
fn a_damaged_gzip_stream_is_a_data_error() {
    let mut cut = gzip(&b"{\"a\": 1}\n".repeat(1000));
    cut.truncate(cut.len() / 2);
    let (_dir, path) = file("a.jsonl.gz", &cut);
    let failure = RowReader::open(&path, "a.jsonl.gz", SFT).and_then(Iterator::collect::<Result<Vec<_>>>).unwrap_err();
    assert!(failure.message.ends_with("the gzip stream is damaged or cut short"), "{failure}");
    assert_eq!(failure.exit, medtrain_crds::contract::ExitCode::Data);
}

#[test]
fn a_missing_file_is_a_missing_input() {
    let failure = RowReader::open(Path::new("nowhere.jsonl"), "nowhere.jsonl", SFT).err().unwrap();
    assert_eq!(
        (failure.exit, failure.message.as_str()),
        (medtrain_crds::contract::ExitCode::Input, "nowhere.jsonl: not found")
    );
}

#[test]
fn nothing_follows_an_error() {
    let (_dir, path) = file("a.jsonl", b"\xFF\n{}\n");
    let mut rows = RowReader::open(&path, "a.jsonl", SFT).unwrap();
    assert!(rows.next().unwrap().is_err());
    assert!(rows.next().is_none());
}
