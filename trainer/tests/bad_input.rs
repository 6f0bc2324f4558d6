//! Whatever a person can get wrong, on the real binary: a row a mistake.
//!
//! Every row promises, beside its own line: one exit code of the contract, errors of one line each, no panic, nothing of
//! a data row in the output or below the output folder, and no stage begun.

#[path = "bad_input/data.rs"]
mod data;
#[path = "bad_input/models.rs"]
mod models;
#[path = "bad_input/places.rs"]
mod places;
mod support;
#[path = "bad_input/table.rs"]
mod table;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use support::{Lab, assert_ok, text};
use table::{CANARY, Table, lines};

const RUN: &str = "run training.yaml --workdir work";
const PLAN: &str = "plan training.yaml --workdir work";
/// Both look at the same things and say the same.
const BOTH: [&str; 2] = [RUN, PLAN];

fn yaml(from: &'static str, to: &'static str) -> impl FnOnce(&Lab) {
    move |lab| lab.edit("training.yaml", from, to)
}

fn file(name: &'static str, content: &'static str) -> impl FnOnce(&Lab) {
    move |lab| fs::write(lab.path(name), content).unwrap()
}

#[test]
fn a_training_file_that_is_none() {
    let mut table = Table::default();
    let mut row = |what: &str, spoil: &dyn Fn(&Lab), errors: &[&str]| table.row(what, spoil, &BOTH, 64, errors);
    row("no file", &|lab| fs::remove_file(lab.path("training.yaml")).unwrap(), &["training.yaml: not found"]);
    row(
        "a folder",
        &|lab| {
            fs::remove_file(lab.path("training.yaml")).unwrap();
            fs::create_dir(lab.path("training.yaml")).unwrap();
        },
        &["training.yaml: is a folder; name the YAML file in it"],
    );
    row("empty", &|lab| file("training.yaml", "")(lab), &["training.yaml: is empty; it should hold a MedicalTraining"]);
    row(
        "no YAML",
        &|lab| file("training.yaml", "this: is: not: yaml")(lab),
        &["training.yaml: is not valid YAML: mapping values are not allowed in this context at line 1 column 9"],
    );
    row(
        "prose",
        &|lab| file("training.yaml", "CANARY has a cough")(lab),
        &["training.yaml: holds no mapping; it should start with apiVersion: medtrain.io/v1alpha1"],
    );
    row(
        "no text",
        &|lab| fs::write(lab.path("training.yaml"), b"a: \xFF").unwrap(),
        &["training.yaml: is no text: save it as UTF-8"],
    );
    table.holds();
}

#[test]
fn fields_that_are_wrong() {
    let mut table = Table::default();
    let mut row = |what: &str, from, to, errors: &[&str]| table.row(what, yaml(from, to), &BOTH, 64, errors);
    row(
        "unknown field",
        "maxSteps: 3, blockSize",
        "maxStep: 3, blockSize",
        &[r#"training.yaml: stages[0].train.maxStep: unknown field; did you mean "maxSteps"?"#],
    );
    row(
        "unknown field at the top",
        "  seed: 7",
        "  sed: 7",
        &[r#"training.yaml: sed: unknown field; did you mean "seed"?"#],
    );
    row(
        "wrong type",
        "blockSize: 64",
        "blockSize: many",
        &[
            r#"training.yaml: stages[0].train.blockSize: must be a whole number from 8 to 1048576, found the text "many""#,
        ],
    );
    row(
        "text for a list",
        "train: [pt.txt]",
        "train: pt.txt",
        &[
            r#"training.yaml: stages[0].dataset.train: must be a list, found the text "pt.txt"; put it in square brackets"#,
        ],
    );
    row(
        "out of range",
        r#"learningRate: "1e-2""#,
        "learningRate: 1e6",
        &[
            "training.yaml: stages[2].train.learningRate: 1000000 is not allowed; it must be a number above 0 and at most 1",
        ],
    );
    row(
        "several at once",
        "blockSize: 64, learningRate",
        "blockSize: 1, learningrate",
        &[
            "training.yaml: stages[0].train.blockSize: 1 is not allowed; it must be a whole number from 8 to 1048576",
            r#"training.yaml: stages[0].train.learningrate: unknown field; did you mean "learningRate"?"#,
        ],
    );
    row(
        "a reward model as policy",
        "      ppo: {",
        "      inputs: {policy: {from: rm}}\n      ppo: {",
        &[
            r#"training.yaml: stages[3].inputs.policy: "rm" is a reward model (one score per sequence); PPO needs a causal model: use an SFT or PT stage, or drop the line to take "sft""#,
        ],
    );
    row(
        "a causal model as reward",
        "      ppo: {",
        "      inputs: {reward: {from: sft}}\n      ppo: {",
        &[
            r#"training.yaml: stages[3].inputs.reward: "sft" is a causal model; PPO needs a reward model here: use an RM stage, or drop the line to take "rm""#,
        ],
    );
    row(
        "an input from nowhere",
        "      ppo: {",
        "      inputs: {policy: {from: stf}}\n      ppo: {",
        &[
            r#"training.yaml: stages[3].inputs.policy: there is no stage "stf"; name one that comes before it ("pt", "sft", "rm"), or drop the line to take "sft""#,
        ],
    );
    row(
        "an unknown chat template",
        "maxLength: 160",
        "maxLength: 160, chatTemplate: llama",
        &["stages[1].train.chatTemplate: no built-in template is named \"llama\"; did you mean \"llama3\"? known are \
           alpaca, chatml, llama3, medicalgpt, mistral, qwen2.5, qwen3, smollm2, vicuna; a template's text is possible too"],
    );
    row(
        "a stage without data",
        "      dataset: {train: [sft.jsonl], eval: [sft-eval.jsonl]}\n",
        "",
        &[
            r#"training.yaml: stages[1].dataset.train: SFT stages need data; list files or globs, like train: ["data/*.jsonl"]"#,
        ],
    );
    row(
        "a stage with an empty list of data",
        "{train: [sft.jsonl], eval: [sft-eval.jsonl]}",
        "{train: []}",
        &[
            r#"training.yaml: stages[1].dataset.train: SFT stages need data; list files or globs, like train: ["data/*.jsonl"]"#,
        ],
    );
    table.holds();
}

#[test]
fn options_that_are_wrong() {
    let mut table = Table::default();
    let mut row = |what: &str, option: &str, errors: &[&str]| {
        let commands = BOTH.map(|command| format!("{command} {option}"));
        table.row(what, |_| (), &commands.each_ref().map(String::as_str), 64, errors);
    };
    row("unknown stage", "--only sff", &["--only sff: there is no such stage; there are pt, sft, rm, ppo"]);
    row(
        "--set in an unknown stage",
        "--set stages.stf.train.maxSteps=1",
        &[r#"--set stages.stf.train.maxSteps: nothing is named "stf"; there are: pt, sft, rm, ppo"#],
    );
    row(
        "--set of an unknown field",
        "--set stages.sft.train.maxStps=1",
        &[r#"training.yaml with --set: stages[1].train.maxStps: unknown field; did you mean "maxSteps"?"#],
    );
    row(
        "--set without a value",
        "--set stages.sft.train.maxSteps",
        &[r#"--set stages.sft.train.maxSteps: has no "="; write it like stages.sft.train.maxSteps=3"#],
    );
    row(
        "--set below a value",
        "--set seed.x=1",
        &[r#"--set seed.x: "x" can't be set: what holds it is a single value"#],
    );
    row("--set with spec", "--set spec.seed=1", &["--set spec.seed: paths start below spec; write seed=1"]);
    row(
        "--set of a wrong type",
        "--set stages.sft.train.maxSteps=many",
        &[
            r#"training.yaml with --set: stages[1].train.maxSteps: must be a whole number from 1 to 1000000000, found the text "many""#,
        ],
    );

    let mut row = |what: &str, option: &str, exit, errors: &[&str]| {
        table.row(what, |_| (), &[&format!("{RUN} {option}")], exit, errors);
    };
    row("no such device", "--device gpu", 64, &["--device gpu: unknown; use auto, cpu, cuda, cuda:N, wgpu or wgpu:N"]);
    row("no thread", "--threads 0", 64, &["--threads: 0 computes nothing; set 1 or more"]);
    row("no questions", "--questions questions.txt", 65, &["--questions: questions.txt: not found"]);
    row(
        "an address that is none",
        "--listen 9400",
        64,
        &["--listen 9400: not an address; write ADDRESS:PORT or :PORT"],
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    row(
        "port taken",
        &format!("--listen {address}"),
        64,
        &[&format!("--listen {address}: another program listens there; choose another port, or 0 for any free one")],
    );
    row(
        "a stage before its inputs",
        "--only sft",
        65,
        &[
            r#"sft.inputs.policy: file://LAB/out/stages/pt-KEY/manifest.json: not there; stage "pt" has not finished: run it first"#,
        ],
    );
    table.holds();
}

#[test]
fn an_unquoted_rate_is_the_quoted_one() {
    let keys = |rate: &str| {
        let lab = Lab::new(1);
        lab.edit("training.yaml", r#""2e-2""#, rate);
        let output = lab.medtrain().args(PLAN.split(' ')).arg("--json").output().unwrap();
        assert_ok(&output);
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        plan["stages"].as_array().unwrap().iter().map(|stage| stage["key"].to_string()).collect::<Vec<_>>()
    };
    let quoted = keys(r#""2e-4""#);
    assert_eq!(quoted.len(), 4);
    for bare in ["2e-4", "0.0002", "2.0E-4"] {
        assert_eq!(keys(bare), quoted, "{bare}");
    }
    assert_ne!(keys("3e-4"), quoted);
}

#[test]
fn a_loss_that_is_no_number_stops_the_stage_and_names_the_rows() {
    let lab = Lab::new(10);
    lab.edit(
        "training.yaml",
        r#"blockSize: 64, learningRate: "2e-2""#,
        r#"blockSize: 64, learningRate: 1, warmupRatio: 0, maxGradNorm: 1e6"#,
    );
    lab.edit("training.yaml", r#"alpha: "8""#, "alpha: 1e6");
    lab.edit("training.yaml", "saveSteps: 2", "saveSteps: 1000");
    lab.replace_row("pt.txt", CANARY.as_bytes());
    let output = lab.run().output().unwrap();
    let errors = lines(&lab, &output, "error: ");
    let [error] = &errors[..] else { panic!("{}", text(&output)) };
    assert!(error.starts_with("step "), "{error}");
    assert!(error.contains(" is not finite; the batch was pt.txt: line "), "{error}");
    assert!(error.ends_with("Lower train.learningRate or train.maxGradNorm, or look at these rows"), "{error}");
    let mut table = Table::default();
    table.check("a loss that is no number", &lab, &output, 70, None);
    table.holds();
}

#[test]
fn a_signal_before_training_begins_ends_at_once_and_leaves_nothing() {
    for signal in ["-INT", "-TERM"] {
        let lab = Lab::new(1);
        let rows = fs::read_to_string(lab.path("pt.txt")).unwrap();
        fs::write(lab.path("pt.txt"), rows.repeat(5000)).unwrap();
        let mut child = lab.run().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut checking = String::new();
        said.read_line(&mut checking).unwrap();
        assert_eq!(checking, "checking training.yaml …\n");
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(85), "{signal}: {rest}");
        assert_eq!(
            rest,
            "stopped; no training was under way, so nothing is lost: run the same command again to go on\n"
        );
        assert!(!lab.path("out").exists(), "{signal}");
    }
}

/// As in `medtrain logits … | head`.
#[test]
fn a_reader_that_goes_away_ends_the_command_without_a_word() {
    let lab = Lab::new(1);
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/parity/fixtures/models/llama");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = lab.medtrain();
    command.arg("logits").arg("--model").arg(model).args(["--ids", "[[1, 2]]"]);
    let output = command.stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), text(&output).as_str()), (Some(0), ""));
}

#[test]
fn choices_of_the_tokenizer_are_noted_once_and_only_where_they_matter() {
    let lab = Lab::new(1);
    let notes = |options: &[&str]| {
        let output = lab.medtrain().args(PLAN.split(' ')).args(options).output().unwrap();
        assert_ok(&output);
        lines(&lab, &output, "note: ")
    };
    let pad = "pad_token is not set: the existing token <|endoftext|> (id 0) pads instead";
    let separator = "documents are separated by <|endoftext|> (id 0)";
    assert_eq!(notes(&[]), [pad, separator]);
    assert_eq!(notes(&["--only", "sft"]), [pad]);
    let output = lab.run().args(["--only", "pt"]).output().unwrap();
    assert_ok(&output);
    assert_eq!(text(&output).matches(separator).count(), 1, "{}", text(&output));
    assert_eq!(lines(&lab, &output, "note: "), [pad, separator]);
}
