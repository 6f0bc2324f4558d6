//! Promises of [`super::read`] and [`super::write_whole`].

use super::*;

fn prompts(name: &str, text: &str) -> Result<Vec<Vec<Message>>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    fs::write(&file, text).unwrap();
    let read = read(&file).map_err(|mut failure| {
        failure.message = failure.message.replace(&format!("{}/", dir.path().display()), "");
        failure
    });
    Ok(read?.into_iter().map(|prompt| prompt.messages).collect())
}

#[test]
fn a_line_of_a_text_file_is_a_question() {
    assert_eq!(prompts("a.txt", "one\n\n two \n").unwrap(), [[Message::user("one")], [Message::user("two")]]);
}

#[test]
fn rows_of_all_shapes_are_dialogues_up_to_the_last_question() {
    let one = [Message::user("q")];
    for row in [
        r#"{"prompt": "q"}"#,
        r#"{"question": "q"}"#,
        r#"{"instruction": "q", "output": "a"}"#,
        r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}"#,
        r#"{"conversations": [{"from": "human", "value": "q"}]}"#,
    ] {
        assert_eq!(prompts("a.jsonl", row).unwrap(), std::slice::from_ref(&one), "{row}");
    }
    let row = r#"[{"instruction": "q", "input": "more", "system": "s"}]"#;
    assert_eq!(prompts("a.json", row).unwrap(), [[Message::system("s"), Message::user("q\nmore")]]);
}

#[test]
fn a_wrong_row_is_told_by_its_line_and_never_quoted() {
    let message = prompts("a.jsonl", "{\"prompt\": \"q\"}\n{\"text\": \"secret\"}\n").unwrap_err().message;
    assert_eq!(
        message,
        "a.jsonl: line 2: field \"prompt\" is missing (the file's rows are prompt; rows of prompts need prompt, question, \
         instruction, conversations or messages)"
    );
    assert_eq!(prompts("a.txt", "\n").unwrap_err().message, "a.txt: no rows: the file is empty");
}

#[test]
fn a_predictions_file_replaces_an_old_one_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out.jsonl");
    fs::write(&file, "old and longer").unwrap();
    write_whole(&file, "new\n").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "new\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("out.jsonl");
    fs::create_dir(&folder).unwrap();
    assert!(write_whole(&folder, "new\n").is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
