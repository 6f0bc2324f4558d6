//! Samples in TensorBoard: text of data rows for who asked for it, there alone, and no other result.

mod support;

use support::{Lab, assert_ok, files_with, text};

/// What the first held-out row of each stage holds, and no file of the tokenizer does.
const ROWS: [(&str, &str); 4] = [
    ("pt", "With fever for"),
    ("sft", "What helps with fever?"),
    ("rm", "What helps with fever?"),
    ("ppo", "What helps with fever?"),
];

#[test]
fn samples_are_shown_if_asked_for_in_tensorboard_alone_and_change_no_result() {
    let plain = Lab::new(1);
    assert_ok(&plain.run().output().unwrap());
    let asked = Lab::new(1);
    let sets = ROWS.map(|(stage, _)| format!("--set=stages.{stage}.train.logSamples=true"));
    let output = asked.run().args(sets).output().unwrap();
    assert_ok(&output);
    for (stage, row) in ROWS {
        assert_eq!(files_with(&plain.path("out"), row), [] as [std::path::PathBuf; 0]);
        assert!(!text(&output).contains(row));
        let shown = files_with(&asked.path("out"), row);
        assert!(shown.iter().all(|file| file.iter().any(|part| part == "runs")), "{shown:#?}");
        let events = asked.artifact(stage).join("runs");
        for word in [row, "samples/eval"] {
            assert_eq!(files_with(&events, word).len(), 1, "{stage}: {word}");
        }
        assert_eq!(files_with(&events, "samples/rollout").len(), usize::from(stage == "ppo"));
        assert!(plain.result(stage) == asked.result(stage), "{stage}: samples changed the result");
    }
}
