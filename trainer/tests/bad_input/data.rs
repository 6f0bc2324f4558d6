//! Data files and rows that can't be trained on.

use std::fs;

use crate::{
    BOTH, PLAN, file,
    support::{Lab, ROWS, assert_ok},
    table::{CANARY, Table, written_below},
    yaml,
};

/// Another row 17 of a data file.
fn replaced(name: &'static str, row: &'static str) -> impl FnOnce(&Lab) {
    move |lab| lab.replace_row(name, row.as_bytes())
}

/// An answer far longer than any `maxLength` of the lab, as row 17 of the SFT data.
fn add_long_row(lab: &Lab) {
    let answer = format!("{CANARY} ").repeat(300);
    lab.replace_row("sft.jsonl", format!(r#"{{"instruction":"q","output":"{answer}"}}"#).as_bytes());
}

#[test]
fn data_that_is_wrong() {
    let mut table = Table::default();
    let mut row = |what: &str, spoil: &dyn Fn(&Lab), exit, errors: &[&str]| {
        table.row(what, spoil, &BOTH, exit, errors);
    };
    row(
        "no file",
        &|lab| fs::remove_file(lab.path("sft.jsonl")).unwrap(),
        65,
        &["stages[1].dataset.train[0]: sft.jsonl: not found; paths start at the folder of the YAML file"],
    );
    row(
        "nothing matches",
        &|lab| yaml("[sft.jsonl]", "['sft/*.jsonl']")(lab),
        65,
        &["stages[1].dataset.train[0]: sft/*.jsonl: no file matches; paths start at the folder of the YAML file"],
    );
    for (what, content) in [("empty", ""), ("blank lines", "\n  \n\n")] {
        row(
            what,
            &|lab| file("sft.jsonl", content)(lab),
            66,
            &["stages[1].dataset: sft.jsonl: no rows: the file is empty; write some, or take it off the list"],
        );
    }
    row(
        "evaluation file empty",
        &|lab| file("pt-eval.txt", "")(lab),
        66,
        &["stages[0].dataset: pt-eval.txt: no rows: the file is empty; write some, or take it off the list"],
    );
    row(
        "malformed JSON",
        &|lab| replaced("sft.jsonl", r#"{"instruction": "CANARY", "output": CANARY}"#)(lab),
        66,
        &["stages[1].dataset: sft.jsonl: line 17, column 37: malformed JSON: expected value"],
    );
    row(
        "a row that ends too early",
        &|lab| replaced("sft.jsonl", r#"{"instruction": "CANARY", "output": "CANARY"#)(lab),
        66,
        &[
            "stages[1].dataset: sft.jsonl: line 17, column 43: malformed JSON: the line ends inside the row; a row is one JSON object on one line",
        ],
    );
    row(
        "a row that is no object",
        &|lab| replaced("sft.jsonl", r#""CANARY""#)(lab),
        66,
        &["stages[1].dataset: sft.jsonl: line 17: the row is a string, not a JSON object"],
    );
    row(
        "missing field",
        &|lab| replaced("sft.jsonl", r#"{"instruction": "CANARY"}"#)(lab),
        66,
        &[
            r#"stages[1].dataset: sft.jsonl: line 17: field "output" is missing (the file's rows are instruction/output; SFT rows need instruction/output, conversations, messages or prompt/completion)"#,
        ],
    );
    row(
        "a field of another type",
        &|lab| {
            replaced("rm.jsonl", r#"{"question": "CANARY", "response_chosen": 7, "response_rejected": "CANARY"}"#)(lab)
        },
        66,
        &[
            r#"stages[2].dataset: rm.jsonl: line 17: field "response_chosen" is a number, not a string; put it in quotes"#,
        ],
    );
    row(
        "no known field, one misspelt",
        &|lab| file("sft.jsonl", r#"{"instructoin": "CANARY", "CANARY": "CANARY"}"#)(lab),
        66,
        &[
            r#"stages[1].dataset: sft.jsonl: line 1: no known fields (SFT rows need instruction/output, conversations, messages or prompt/completion); is one of its fields a misspelt "instruction"?"#,
        ],
    );
    row(
        "invalid UTF-8 in JSON",
        &|lab| lab.replace_row("sft.jsonl", b"{\"instruction\": \"CANARY \xFF\", \"output\": \"x\"}"),
        66,
        &["stages[1].dataset: sft.jsonl: line 17: invalid UTF-8 at byte 25 of the line; save the file as UTF-8"],
    );
    row(
        "invalid UTF-8 in text",
        &|lab| lab.replace_row("pt.txt", b"CANARY \xFF"),
        66,
        &["stages[0].dataset: pt.txt: line 17: invalid UTF-8 at byte 8 of the line; save the file as UTF-8"],
    );
    row(
        "a row that is too long where that is an error",
        &|lab| {
            lab.edit("training.yaml", "maxLength: 160", "maxLength: 160, overlong: error");
            add_long_row(lab);
        },
        66,
        &[
            "stages[1].dataset: sft.jsonl: line 17: the row has 2122 tokens, train.maxLength is 160; raise it, or set train.overlong to truncate or drop",
        ],
    );
    row(
        "all rows too long",
        &|lab| lab.edit("training.yaml", "maxLength: 160", "maxLength: 8, overlong: drop"),
        66,
        &[
            "stages[1].dataset.train: none of the 96 rows can be used (96: longer than train.maxLength; raise it to keep them)",
        ],
    );
    row(
        "nothing to learn in any row",
        &|lab| file("sft.jsonl", r#"{"messages": [{"role": "user", "content": "CANARY"}]}"#)(lab),
        66,
        &[
            "stages[1].dataset.train: none of the 1 rows can be used (1: no token to learn from (no assistant turn, or nothing in it))",
        ],
    );
    row(
        "several files of several stages",
        &|lab| {
            lab.replace_row("sft.jsonl", br#"{"instruction": "CANARY"}"#);
            lab.replace_row("sft-eval.jsonl", b"[]");
            lab.replace_row("rm.jsonl", b"{");
        },
        66,
        &[
            "stages[1].dataset: sft-eval.jsonl: line 17: the row is a list, not a JSON object",
            r#"stages[1].dataset: sft.jsonl: line 17: field "output" is missing (the file's rows are instruction/output; SFT rows need instruction/output, conversations, messages or prompt/completion)"#,
            "stages[2].dataset: rm.jsonl: line 17, column 1: malformed JSON: the line ends inside the row; a row is one JSON object on one line",
        ],
    );
    let prompts = ["generate --model model --data-file prompts.jsonl"];
    table.row(
        "a prompt that is malformed",
        |lab| {
            fs::create_dir(lab.path("model")).unwrap();
            fs::write(lab.path("prompts.jsonl"), r#"{"prompt": "CANARY"#).unwrap();
        },
        &prompts,
        66,
        &["prompts.jsonl: line 1, column 18: malformed JSON: the line ends inside the row; a row is one JSON object on one line"],
    );
    table.holds();
}

#[test]
fn rows_that_do_not_fit_are_counted_and_told_as_each_stage_wants() {
    let mut table = Table::default();
    table.accepted("cut", add_long_row, PLAN, &["stages[1].dataset.train: 1 of 96 rows cut to maxLength"]);
    table.accepted(
        "left out",
        |lab| {
            lab.edit("training.yaml", "maxLength: 160", "maxLength: 160, overlong: drop");
            add_long_row(lab);
        },
        PLAN,
        &["stages[1].dataset.train: 1 of 96 rows left out: longer than train.maxLength; raise it to keep them"],
    );
    table.accepted(
        "left out by one stage, cut by another",
        |lab| {
            lab.edit("training.yaml", "maxLength: 160", "maxLength: 160, overlong: drop");
            lab.edit("training.yaml", "maxLength: 256", "maxLength: 256, overlong: truncate");
            let answer = format!("{CANARY} ").repeat(300);
            let pair = format!(r#"{{"question":"q","response_chosen":"{answer}","response_rejected":"no"}}"#);
            lab.replace_row("rm.jsonl", pair.as_bytes());
            add_long_row(lab);
        },
        PLAN,
        &[
            "stages[1].dataset.train: 1 of 96 rows left out: longer than train.maxLength; raise it to keep them",
            "stages[2].dataset.train: 1 of 96 rows cut to maxLength",
        ],
    );
    table.accepted(
        "nothing to learn in one row",
        |lab| {
            let rows = r#"{"messages": [{"role": "user", "content": "CANARY"}]}
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#;
            fs::write(lab.path("sft.jsonl"), rows).unwrap();
        },
        PLAN,
        &["stages[1].dataset.train: 1 of 2 rows left out: no token to learn from (no assistant turn, or nothing in it)"],
    );
    table.holds();
}

#[test]
fn what_was_cut_and_left_out_stands_in_the_manifest() {
    let lab = Lab::new(1);
    add_long_row(&lab);
    for stage in ["pt", "sft"] {
        assert_ok(&lab.run().args(["--only", stage]).output().unwrap());
    }
    let train = &lab.manifest("sft")["data"]["train"];
    assert_eq!((train["rows"].as_u64(), train["truncated"].as_u64()), (Some(ROWS as u64), Some(1)), "{train}");
    assert_eq!(written_below(&lab.path("out"), CANARY), None);
}
