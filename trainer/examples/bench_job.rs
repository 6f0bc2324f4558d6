//! Our side of `make bench` where a job is measured, one process a job; the other side is tests/bench/peer_job.py.
//!
//! `bench_job JOB.json` does the job and prints one line of JSON: its seconds, and what shows that it was done.
//! Jobs that `medtrain` has a command for are run by that command instead.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use burn_flex::Flex;
use medtrain_crds::stage::{Section, StageKind, TrainArgs};
use medtrain_trainer::{
    artifact::{FileDigest, Store, StoreOptions},
    cli::compute::ComputeArgs,
    data::{ChatTemplate, DataFile, DataRequest, Packing, Tokenizer, prepare},
    device::memory,
    failure::{Failure, Result},
    model::load,
    ops::{Segments, to_host},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const SEED: u64 = 42;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Job {
    threads: usize,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Kind {
    /// Tokenises, templates, masks and packs dialogues, as an SFT stage does; `workdir` must be empty.
    Data {
        model: PathBuf,
        file: PathBuf,
        template: String,
        workdir: PathBuf,
        train: Map<String, Value>,
    },
    /// Loads a model as `generate` does, and computes the logits after some tokens.
    Load {
        model: PathBuf,
        ids: Vec<u32>,
    },
    Upload {
        file: PathBuf,
        folder: String,
        name: String,
    },
    /// Fails unless the digest is the expected one.
    Download {
        folder: String,
        name: String,
        file: PathBuf,
        sha256: String,
        size: u64,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("bench_job: {failure}");
            ExitCode::from(failure.exit.code())
        }
    }
}

fn run() -> Result<Value> {
    let path = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or_else(|| Failure::config("usage: bench_job JOB.json (tests/bench/bench.py writes one a row)"))?;
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::io(&path, &error))?;
    let Job { threads, kind } = serde_json::from_str(&text)
        .map_err(|error| Failure::config(format!("{}: not a job: {error}", path.display())))?;
    ComputeArgs { device: "cpu".into(), threads: Some(threads) }.on_threads(|_| {
        let started = Instant::now();
        let mut figures = match kind {
            Kind::Data { model, file, template, workdir, train } => data(&model, file, &template, &workdir, train)?,
            Kind::Load { model, ids } => logits(&model, &ids)?,
            Kind::Upload { file, folder, name } => {
                let digest = Store::open(&folder, &StoreOptions::default())?.upload(&file, &name)?;
                json!({"sha256": digest.sha256, "size": digest.size})
            }
            Kind::Download { folder, name, file, sha256, size } => {
                let digest = FileDigest { sha256, size };
                Store::open(&folder, &StoreOptions::default())?.download(&name, &file, Some(&digest))?;
                json!({"sha256": digest.sha256, "size": digest.size})
            }
        };
        figures["seconds"] = started.elapsed().as_secs_f64().into();
        figures["peakRss"] = memory::peak().into();
        Ok(figures)
    })
}

fn data(
    model: &std::path::Path,
    file: PathBuf,
    template: &str,
    workdir: &std::path::Path,
    train: Map<String, Value>,
) -> Result<Value> {
    let mut fields = Section::Train.defaults(StageKind::SFT);
    fields.extend(train);
    let args: TrainArgs = serde_json::from_value(Value::Object(fields))
        .map_err(|error| Failure::config(format!("the job's arguments: {error}")))?;
    let tokenizer = Tokenizer::load(model)?;
    let template = ChatTemplate::resolve(Some(template), &tokenizer)?;
    let prepared = prepare(&DataRequest {
        kind: StageKind::SFT,
        train: &[DataFile::at(file)],
        eval: &[],
        eval_fraction: 0.0,
        seed: SEED,
        args: &args,
        tokenizer: &tokenizer,
        template: Some(&template),
        workdir,
        scan: None,
    })?;
    let packing = Packing::new(&prepared.train.lengths(), args.max_length, SEED);
    let report = prepared.train_report;
    Ok(json!({
        "rows": report.examples, "tokens": report.tokens, "lossTokens": report.loss_tokens, "packs": packing.len(),
    }))
}

fn logits(model: &std::path::Path, ids: &[u32]) -> Result<Value> {
    let model = load::map::<Flex>(model, ids.len(), &Default::default())?;
    let hidden = model.hidden(ids, &Segments::from_lengths([ids.len()]), None);
    let logits = to_host(&model.logits(&hidden, None));
    let last = &logits[logits.len() - model.config().vocab_size..];
    Ok(json!({"logits": last[..8]}))
}
