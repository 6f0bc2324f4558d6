use super::*;
use crate::preflight::fixture::{Lab, SPEC, STAGES};

fn lab() -> Lab {
    let lab = Lab::new().with_data();
    lab.training(SPEC, STAGES);
    lab
}

/// Keys hang on the resolver's contract, which has tests of its own; estimates are for people.
fn without_figures_that_move(value: &mut serde_json::Value) {
    for stage in value["stages"].as_array_mut().into_iter().flatten() {
        stage["key"] = json!(stage["key"].as_str().map(str::len));
        for bytes in stage["memory"].as_object_mut().into_iter().flat_map(|memory| memory.values_mut()) {
            *bytes = json!("bytes");
        }
    }
    if value["plan"].is_object() {
        value["plan"] = json!({"sha256": "…", "path": "plans/….json"});
    }
}

fn as_json(lab: &Lab) -> String {
    let (resolved, ws) = lab.open().unwrap();
    let found = preflight::preflight(&resolved, &ws);
    let problems = found.as_ref().err().map_or(&[][..], Vec::as_slice);
    let mut value = report(&resolved, &ws, found.as_ref().ok(), problems).unwrap();
    without_figures_that_move(&mut value);
    lab.shown(&format!("{value:#}\n"))
}

/// `MEDTRAIN_WRITE_FIXTURES=1 cargo test plan` renews the files.
fn check_golden(name: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/cli/golden").join(name);
    if std::env::var_os("MEDTRAIN_WRITE_FIXTURES").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
}

#[test]
fn the_json_of_a_plan_is_the_golden_one() {
    check_golden("plan.json", &as_json(&lab()));
}

#[test]
fn the_json_of_problems_is_the_golden_one() {
    let lab = lab();
    lab.file("sft.jsonl", "{\"instruction\":\"q\"}\n").training(SPEC, &STAGES.replace("[rm.jsonl]", "[gone.jsonl]"));
    check_golden("plan_problems.json", &as_json(&lab));
}

#[test]
fn the_table_has_a_row_a_stage_and_notes_below() {
    let lab = lab();
    let (resolved, ws) = lab.open().unwrap();
    let found = preflight::preflight(&resolved, &ws).unwrap();
    let mut text = lab.shown(&table(&resolved, &ws, &found));
    for (number, stage) in found.stages.iter().enumerate() {
        text = text.replace(stage.key.key12(), &format!("key-of-the-{number}"));
        text = text.replace(&format!("{} MiB", stage.memory.unwrap().total >> 20), "99 MiB");
    }
    assert_eq!(
        text,
        "\
lab (seed 42) -> file://~/out

STAGE  KIND  INPUTS                                 KEY           DONE  ROWS  TOKENS            STEPS  EPOCHS  MEMORY
pt     PT    policy<-model                          key-of-the-0  no     8+6     505                4    1.00  99 MiB
sft    SFT   policy<-pt                             key-of-the-1  no      30    1.4k                3    1.00  99 MiB
rm     RM    base<-sft                              key-of-the-2  no      24    2.0k                6    1.00  99 MiB
ppo    PPO   policy<-sft reference<-sft reward<-rm  key-of-the-3  no      20     750  12 (3 rollouts)    1.20  99 MiB

note: pad_token is not set: the existing token <|endoftext|> (id 0) pads instead
note: documents are separated by <|endoftext|> (id 0)
"
    );
}

#[test]
fn previews_show_rows_and_mark_what_is_learned_and_nothing_else_shows_rows() {
    let lab = Lab::new();
    lab.file("sft.jsonl", "{\"instruction\":\"CANARY\",\"output\":\"PARROT\",\"PIGEON HOLE\":\"CANARY\"}\n")
        .training(SPEC, "    - {name: sft, kind: SFT, dataset: {train: [sft.jsonl]}}");
    let (resolved, ws) = lab.open().unwrap();
    let found = preflight::preflight(&resolved, &ws).unwrap();
    let shown = previews(&resolved, &found, &ws, 5, false).unwrap();
    assert!(shown.contains("=== sft: sft.jsonl: line 1 ===") && shown.contains("CANARY"), "{shown}");
    assert!(shown.contains("«PARROT<|im_end|>»"), "{shown}");
    let (table, json) = (table(&resolved, &ws, &found), as_json(&lab));
    for canary in ["CANARY", "PARROT", "PIGEON"] {
        assert!(!table.contains(canary) && !json.contains(canary), "{canary}");
    }
}

#[test]
fn counts_are_short_enough_for_a_table() {
    assert_eq!([0, 999, 1_000, 12_345, 4_560_000].map(count), ["0", "999", "1.0k", "12.3k", "4.56M"]);
}
