use super::*;
use crate::data::fixture::{Fixture, tiny_tokenizer};
use crate::data::formats::Shape;
use medtrain_crds::contract::ExitCode;
use medtrain_crds::stage::{IntervalStrategy, LrSchedulerType, OverlongPolicy};
use std::collections::{BTreeMap, HashSet};
use std::fs;

/// Arguments of which only those about data matter here.
pub(crate) fn train_args() -> TrainArgs {
    TrainArgs {
        learning_rate: 1e-4,
        lr_scheduler_type: LrSchedulerType::Linear,
        warmup_ratio: 0.0,
        warmup_steps: 0,
        num_train_epochs: 1.0,
        max_steps: None,
        per_device_train_batch_size: 1,
        per_device_eval_batch_size: 1,
        gradient_accumulation_steps: 1,
        weight_decay: 0.0,
        adam_beta1: 0.9,
        adam_beta2: 0.999,
        adam_epsilon: 1e-8,
        max_grad_norm: 1.0,
        gradient_checkpointing: false,
        eval_strategy: IntervalStrategy::No,
        eval_steps: 1,
        save_strategy: IntervalStrategy::No,
        save_steps: 1,
        save_total_limit: None,
        logging_steps: 1,
        logging_first_step: false,
        max_length: 512,
        block_size: 64,
        packing: false,
        train_on_inputs: false,
        overlong: OverlongPolicy::Truncate,
        max_train_samples: None,
        max_eval_samples: None,
        chat_template: None,
        save_dtype: None,
        log_samples: false,
        early_stopping_patience: None,
        early_stopping_threshold: 0.0,
        load_best_model_at_end: false,
        metric_for_best_model: None,
        greater_is_better: None,
    }
}

/// A folder with data files and a work directory, prepared for one stage.
struct Case {
    dir: tempfile::TempDir,
    kind: StageKind,
    train: Vec<DataFile>,
    eval: Vec<DataFile>,
    eval_fraction: f64,
    seed: u64,
    args: TrainArgs,
    tokenizer: Tokenizer,
    scan: Option<u64>,
}

impl Case {
    fn new(kind: StageKind, name: &str, text: &str) -> Self {
        let mut case = Self {
            dir: tempfile::tempdir().unwrap(),
            kind,
            train: Vec::new(),
            eval: Vec::new(),
            eval_fraction: 0.0,
            seed: 42,
            args: train_args(),
            tokenizer: tiny_tokenizer(),
            scan: None,
        };
        case.train = vec![case.file(name, text)];
        case
    }

    fn file(&self, name: &str, text: &str) -> DataFile {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        DataFile { uri: format!("data/{name}"), ..DataFile::at(path) }
    }

    fn prepare(&self) -> Result<Prepared> {
        let template = ChatTemplate::resolve(None, &self.tokenizer).ok();
        prepare(&DataRequest {
            kind: self.kind,
            train: &self.train,
            eval: &self.eval,
            eval_fraction: self.eval_fraction,
            seed: self.seed,
            args: &self.args,
            tokenizer: &self.tokenizer,
            template: template.as_ref(),
            workdir: self.dir.path(),
            scan: self.scan,
        })
    }

    fn failure(&self) -> Failure {
        self.prepare().err().unwrap()
    }

    fn cached(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.dir.path().join("tokens")).unwrap();
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn alpaca(rows: usize) -> String {
    (0..rows).map(|i| format!("{{\"instruction\": \"q{i}\", \"output\": \"a{i}\"}}\n")).collect()
}

fn texts(data: &TokenizedDataset, tokenizer: &Tokenizer) -> Vec<String> {
    (0..data.len()).map(|row| tokenizer.decode(&data.row(row).unwrap().ids, true).unwrap()).collect()
}

#[test]
fn documents_become_blocks_with_a_separator_after_each() {
    let case = Case::new(StageKind::PT, "a.txt", "the patient has a fever\n\n患者发热\nthe pain\n");
    let prepared = case.prepare().unwrap();
    let data = &prepared.train;
    assert_eq!(data.len(), 1);
    let block = data.row(0).unwrap();
    assert_eq!(block.segments.len(), 3);
    let separator = case.tokenizer.document_separator().unwrap();
    assert_eq!(block.ids.iter().filter(|id| **id == separator).count(), 3);
    assert_eq!(block.ids.last(), Some(&separator));
    assert_eq!(block.loss_tokens(), block.ids.len() - 3);
    let report = &prepared.train_report;
    assert_eq!((report.rows, report.examples, report.tokens), (3, 1, block.ids.len() as u64));
    assert_eq!(data.origin(0), "data/a.txt: line 1");
}

#[test]
fn documents_of_a_model_with_bos_begin_with_it_once() {
    let mut case = Case::new(StageKind::PT, "a.jsonl", "{\"text\": \"the fever\"}\n{\"text\": \"pain\"}\n");
    case.tokenizer = Fixture::with_bos().load();
    let block = case.prepare().unwrap().train.row(0).unwrap();
    let text = case.tokenizer.decode(&block.ids, false).unwrap();
    assert_eq!(text, "<s>the fever</s><s>pain</s>");
}

#[test]
fn dialogues_become_examples_in_file_order() {
    let case = Case::new(StageKind::SFT, "a.jsonl", &alpaca(1300));
    let prepared = case.prepare().unwrap();
    assert_eq!(prepared.train.len(), 1300);
    let texts = texts(&prepared.train, &case.tokenizer);
    assert!(
        texts
            .iter()
            .enumerate()
            .all(|(i, text)| text.contains(&format!("q{i}\n")) && text.contains(&format!("a{i}\n")))
    );
    assert_eq!(prepared.train.origin(1299), "data/a.jsonl: line 1300");
    assert_eq!(prepared.train.lengths().len(), 1300);
    assert_eq!(prepared.train.length(7) as usize, prepared.train.row(7).unwrap().ids.len());
    let report = &prepared.train_report;
    assert_eq!(report.loss_tokens, (0..1300).map(|row| u64::from(prepared.train.loss_tokens(row))).sum::<u64>());
    assert_eq!(report.histogram.values().sum::<u64>(), 1300);
    assert_eq!(report.files[0].shape, Some(Shape::Alpaca));
}

#[test]
fn pairs_and_prompts_come_back_whole() {
    let pairs = "{\"question\": \"q\", \"response_chosen\": \"good\", \"response_rejected\": \"not good\"}\n";
    let case = Case::new(StageKind::RM, "a.jsonl", pairs);
    let data = case.prepare().unwrap().train;
    let pair = data.pair(0).unwrap();
    assert!(case.tokenizer.decode(&pair.chosen, false).unwrap().ends_with("assistant\ngood<|im_end|>"));
    assert!(case.tokenizer.decode(&pair.rejected, false).unwrap().ends_with("assistant\nnot good<|im_end|>"));
    assert_eq!(pair.chosen[..pair.prompt_len], pair.rejected[..pair.prompt_len]);
    assert_eq!(data.length(0) as usize, pair.rejected.len());

    let case = Case { kind: StageKind::PPO, ..case };
    let prompt = case.prepare().unwrap().train.row(0).unwrap();
    assert!(case.tokenizer.decode(&prompt.ids, false).unwrap().ends_with("<|im_start|>assistant\n"));
}

#[test]
fn a_second_run_reads_the_cache_and_a_damaged_cache_is_rebuilt() {
    let case = Case::new(StageKind::SFT, "a.jsonl", &alpaca(20));
    let first = texts(&case.prepare().unwrap().train, &case.tokenizer);
    let [path] = &case.cached()[..] else { panic!() };
    let (bytes, written) = (fs::read(path).unwrap(), fs::metadata(path).unwrap().modified().unwrap());
    case.prepare().unwrap();
    assert_eq!(fs::metadata(path).unwrap().modified().unwrap(), written);
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(texts(&case.prepare().unwrap().train, &case.tokenizer), first);
    assert_eq!(fs::read(path).unwrap(), bytes);
}

#[test]
fn everything_that_changes_examples_changes_the_cache_and_nothing_else_does() {
    let mut case = Case::new(StageKind::SFT, "a.jsonl", &alpaca(20));
    case.prepare().unwrap();
    case.args.learning_rate = 1.0;
    case.args.max_train_samples = Some(3);
    case.train[0].uri = "s3://elsewhere/b.jsonl".into();
    case.train[0].weight = 2.0;
    case.prepare().unwrap();
    assert_eq!(case.cached().len(), 1);
    case.args.max_length = 100;
    case.prepare().unwrap();
    case.seed = 1;
    case.prepare().unwrap();
    case.eval_fraction = 0.2;
    case.prepare().unwrap();
    case.args.train_on_inputs = true;
    case.prepare().unwrap();
    case.train[0] = case.file("a.jsonl", &alpaca(21));
    case.prepare().unwrap();
    assert_eq!(case.cached().len(), 6);
}

#[test]
fn duplicates_never_straddle_the_split() {
    let mut case = Case::new(StageKind::SFT, "a.jsonl", &alpaca(200).repeat(2));
    case.eval_fraction = 0.2;
    let prepared = case.prepare().unwrap();
    let eval: HashSet<String> = texts(&prepared.eval, &case.tokenizer).into_iter().collect();
    assert!(texts(&prepared.train, &case.tokenizer).iter().all(|text| !eval.contains(text)));
    assert_eq!(prepared.train.len() + prepared.eval.len(), 400);
    // 40 distinct rows expected, standard deviation 6.
    assert!((20..60).contains(&eval.len()), "{}", eval.len());
}

#[test]
fn files_given_for_evaluation_are_kept_apart_and_overlaps_counted() {
    let mut case = Case::new(StageKind::SFT, "a.jsonl", &alpaca(10));
    case.eval = vec![case.file("b.jsonl", &alpaca(3))];
    let prepared = case.prepare().unwrap();
    assert_eq!((prepared.train.len(), prepared.eval.len()), (10, 3));
    assert_eq!(prepared.train_report.also_in_eval, 3);
    assert_eq!(prepared.train_report.files[0].uri, "data/a.jsonl");
    assert_eq!(prepared.eval_report.files[0].uri, "data/b.jsonl");
    assert_eq!(
        prepared.sha256,
        [&prepared.train_report.files[0], &prepared.eval_report.files[0]].map(|f| f.sha256.clone())
    );
}

#[test]
fn weights_repeat_rows_and_samples_limit_them() {
    let mut case = Case::new(StageKind::SFT, "a.jsonl", &alpaca(40));
    case.train.push(DataFile { weight: 2.0, ..case.file("b.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", \"content\": \"y\"}]}\n") });
    case.train[0].weight = 0.5;
    let prepared = case.prepare().unwrap();
    let texts = texts(&prepared.train, &case.tokenizer);
    assert_eq!(texts.iter().filter(|text| text.contains('x')).count(), 2);
    assert!((10..34).contains(&texts.len()), "{}", texts.len());
    assert_eq!(prepared.train_report.rows, 41);
    case.args.max_train_samples = Some(5);
    assert_eq!(case.prepare().unwrap().train.len(), 5);
}

#[test]
fn unknown_columns_are_counted_and_drops_have_reasons() {
    let rows = "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"a\"}], \"id\": 1, \"Jane Doe\": 2}\n\
                {\"messages\": [{\"role\": \"user\", \"content\": \"q\"}], \"id\": 2}\n";
    let report = Case::new(StageKind::SFT, "a.jsonl", rows).prepare().unwrap().train_report;
    assert_eq!(report.ignored_columns, BTreeMap::from([("(other)".into(), 1), ("id".into(), 2)]));
    assert_eq!(report.dropped, BTreeMap::from([("noLossTokens".into(), 1)]));
    assert_eq!((report.rows, report.examples), (2, 1));
}

#[test]
fn long_rows_are_counted_by_what_became_of_them() {
    let mut case = Case::new(StageKind::SFT, "a.jsonl", &(alpaca(1) + &alpaca(1).replace("a0", &"long ".repeat(50))));
    case.args.max_length = 64;
    let report = case.prepare().unwrap().train_report;
    assert_eq!((report.overlong, report.truncated, report.examples, report.max_len), (1, 1, 2, 64));
    case.args.overlong = OverlongPolicy::Drop;
    let report = case.prepare().unwrap().train_report;
    assert_eq!((report.overlong, report.truncated, report.examples), (1, 0, 1));
    case.args.overlong = OverlongPolicy::Error;
    let failure = case.failure();
    assert!(failure.message.starts_with("data/a.jsonl: line 2: the row has "), "{failure}");
    assert_eq!(failure.exit, ExitCode::Data);
}

#[test]
fn bad_data_is_told_with_file_and_line_and_leaves_no_cache() {
    let good = alpaca(600);
    let cases = [
        (String::new(), "data/a.jsonl: no rows: the file is empty; write some, or take it off the list"),
        (
            good.clone() + "{\"messages\": []}\n",
            "data/a.jsonl: line 601: field \"instruction\" is missing (the file's rows are instruction/output",
        ),
        (good.clone() + "{\"instruction\": \"Jane\n", "data/a.jsonl: line 601, column 21: malformed JSON"),
        ("{\"who\": \"Jane\"}\n".into(), "data/a.jsonl: line 1: no known fields (SFT rows need"),
        (
            "{\"messages\": [{\"role\": \"user\", \"content\": \"Jane\"}]}\n".into(),
            "dataset.train: none of the 1 rows can be used (1: no token to learn from (no assistant turn, or nothing in it))",
        ),
    ];
    for (text, wanted) in cases {
        let case = Case::new(StageKind::SFT, "a.jsonl", &text);
        let failure = case.failure();
        assert!(failure.message.starts_with(wanted), "{failure}");
        assert!(!failure.message.contains("Jane"));
        assert_eq!(failure.exit, ExitCode::Data);
        assert!(wanted.starts_with("dataset") || case.cached().is_empty());
    }
}

#[test]
fn the_first_bad_row_is_the_one_told() {
    let bad = alpaca(3) + "{\"instruction\": 1, \"output\": \"a\"}\n{\"instruction\": \n" + &alpaca(2);
    let failure = Case::new(StageKind::SFT, "a.jsonl", &bad).failure();
    assert_eq!(
        failure.message,
        "data/a.jsonl: line 4: field \"instruction\" is a number, not a string; put it in quotes"
    );
}

#[test]
fn a_file_that_changed_since_the_plan_is_refused() {
    let mut case = Case::new(StageKind::SFT, "a.jsonl", &alpaca(3));
    case.train[0].sha256 = Some("0".repeat(64));
    let failure = case.failure();
    assert_eq!(failure.exit, ExitCode::Input);
    assert!(
        failure.message.starts_with("data/a.jsonl: the file has changed since the plan was made (sha256 "),
        "{failure}"
    );
}

#[test]
fn no_files_and_a_template_that_never_stops_are_config_errors() {
    let mut case = Case::new(StageKind::SFT, "a.jsonl", &alpaca(3));
    case.tokenizer = Fixture::chatml().template("{% for m in messages %}{{ m.content }}{% endfor %}").load();
    assert_eq!(case.failure().exit, ExitCode::Config);
    case.train.clear();
    assert_eq!(case.failure().message, "dataset.train: no files; name at least one");
}

#[test]
fn blocks_never_mix_files_of_different_weight() {
    let mut case = Case::new(StageKind::PT, "a.txt", "the fever\n");
    case.train.push(DataFile { weight: 3.0, ..case.file("b.txt", "the pain\n") });
    let prepared = case.prepare().unwrap();
    let texts = texts(&prepared.train, &case.tokenizer);
    assert_eq!(texts, ["the fever", "the pain", "the pain", "the pain"]);
}

/// Rows of about 100 bytes.
fn long_rows(rows: usize) -> String {
    (0..rows).map(|i| format!("{{\"instruction\": \"question {i:070}\", \"output\": \"a\"}}\n")).collect()
}

#[test]
fn a_sample_reads_the_beginning_of_every_file_and_training_reads_all() {
    let mut case = Case::new(StageKind::SFT, "a.jsonl", &long_rows(8_000));
    let packed = case.file("b.jsonl.gz", "");
    let mut gzip = flate2::write::GzEncoder::new(fs::File::create(&packed.path).unwrap(), Default::default());
    std::io::Write::write_all(&mut gzip, long_rows(8_000).as_bytes()).unwrap();
    gzip.finish().unwrap();
    case.train.push(packed);
    let whole = case.prepare().unwrap();
    assert_eq!((whole.sample, whole.train_report.rows), (None, 16_000));

    let total = case.train.iter().map(|file| fs::metadata(&file.path).unwrap().len()).sum::<u64>();
    case.scan = Some(total / 4);
    let part = case.prepare().unwrap();
    let sample = part.sample.unwrap();
    assert_eq!(sample.total, total);
    for file in &part.train_report.files {
        assert!((1_900..2_100).contains(&file.rows), "{}: {} rows", file.uri, file.rows);
    }
    let scaled = sample.scaled(part.train_report.rows) as f64;
    assert!((scaled / 16_000.0 - 1.0).abs() < 0.15, "{scaled} rows");

    // Another cache, so that training never takes the sample for the data; and none where all fits.
    assert_eq!(case.cached().len(), 2);
    case.scan = Some(total);
    assert_eq!(case.prepare().unwrap().train_report, whole.train_report);
    assert_eq!(case.cached().len(), 2);
}

#[test]
fn of_few_long_rows_no_more_are_read_than_the_bound_allows_and_one_at_least() {
    let mut case = Case::new(StageKind::SFT, "a.jsonl", &long_rows(300));
    let row = fs::metadata(&case.train[0].path).unwrap().len() / 300;
    case.scan = Some(10 * row);
    assert_eq!(case.prepare().unwrap().train_report.rows, 10);
    case.scan = Some(1);
    assert_eq!(case.prepare().unwrap().train_report.rows, 1);
}

#[test]
fn a_sample_without_a_usable_row_says_that_it_is_one() {
    let mut case = Case::new(StageKind::PPO, "a.jsonl", "{\"prompt\": \"the fever the fever\"}\n{\"prompt\": \"a\"}\n");
    (case.args.max_length, case.args.overlong, case.scan) = (16, OverlongPolicy::Drop, Some(1));
    let message = case.failure().message;
    assert_eq!(
        message,
        "dataset.train: none of the 1 rows of the sample can be used (1: longer than train.maxLength; raise it \
         to keep them); 34 of 50 bytes were read: raise dataset.maxScanBytes to look further"
    );
}
