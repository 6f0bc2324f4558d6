//! Data files into a [`TokenizedDataset`] for training and one for evaluation, by way of the token cache.
//!
//! Holds: the cache's key covers all that decides its bytes, so a hit is always right; weights and sample limits only
//! choose among examples, so they never cause a rebuild.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use medtrain_crds::stage::{StageKind, TrainArgs};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::data::build::{Build, Footer};
use crate::data::cache::Cache;
use crate::data::dataset::TokenizedDataset;
use crate::data::report::{Counts, DataReport, FileReport};
use crate::data::split::{copies, keep_smallest};
use crate::data::template::ChatTemplate;
use crate::data::tokenizer::Tokenizer;
use crate::failure::{Failure, Result};

/// Bumped when the same rows give other ids, masks, roles or hashes.
const CACHE_VERSION: u32 = 2;
/// A data file on this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFile {
    pub path: PathBuf,
    /// What the user wrote, for messages and reports; its end tells the format.
    pub uri: String,
    /// How often each row comes an epoch: 2 is twice, 0.5 a seeded half. Not for evaluation.
    pub weight: f64,
    /// The planned digest; `None` takes the file as it is.
    pub sha256: Option<String>,
}

impl DataFile {
    /// A file under its own name, weight 1.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { uri: path.display().to_string(), path, weight: 1.0, sha256: None }
    }
}

/// What to prepare, and for whom.
pub struct DataRequest<'a> {
    pub kind: StageKind,
    pub train: &'a [DataFile],
    pub eval: &'a [DataFile],
    /// Share of the training rows to hold out.
    pub eval_fraction: f64,
    pub seed: u64,
    pub args: &'a TrainArgs,
    pub tokenizer: &'a Tokenizer,
    /// Every kind but PT needs one.
    pub template: Option<&'a ChatTemplate>,
    /// Caches go to `<workdir>/tokens`; always deletable.
    pub workdir: &'a Path,
    /// Of more bytes of data, the rows of about so many are read, for a forecast; `None`: all, for training.
    pub scan: Option<u64>,
}

pub struct Prepared {
    pub train: TokenizedDataset,
    pub eval: TokenizedDataset,
    pub train_report: DataReport,
    pub eval_report: DataReport,
    /// The data's digests in order, as they stand in keys and manifests: training, then evaluation.
    pub sha256: Vec<String>,
    /// Set if only a sample of the rows was read.
    pub sample: Option<Sample>,
}

/// How much of the data a sample is; bytes of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    pub read: u64,
    pub total: u64,
}

impl Sample {
    /// What a count over the sample is about over all.
    pub fn scaled(&self, count: u64) -> u64 {
        (count as f64 * self.total as f64 / self.read.max(1) as f64).round() as u64
    }
}

/// Reads, checks, renders and encodes the data, or finds that this has been done.
///
/// # Errors
/// 65 for a missing file or one whose digest is not the planned one, 66 for bad rows or none left to train on, 64 for
/// a template that can't be trained with.
pub fn prepare(request: &DataRequest) -> Result<Prepared> {
    if request.train.is_empty() {
        return Err(Failure::config("dataset.train: no files; name at least one"));
    }
    check_template(request)?;
    // Evaluation first: training rows can then be looked up in it.
    let files: Vec<&DataFile> = request.eval.iter().chain(request.train).collect();
    let mut sha256 = files.par_iter().map(|file| digest(file)).collect::<Result<Vec<_>>>()?;
    let total = files.iter().map(|file| size(file)).sum::<Result<u64>>()?;
    // A limit that all fits into is none, so that the stage finds what its forecast has read.
    let scan = request.scan.filter(|scan| *scan < total);
    let path = request.workdir.join("tokens").join(format!("{}.bin", key(request, &files, &sha256, scan)));
    let cache = match Cache::open(&path)? {
        Some(cache) => cache,
        None => Build::new(request, &path, scan.map_or(1.0, |scan| scan as f64 / total as f64))?.run(&files)?,
    };
    let footer: Footer = serde_json::from_slice(&cache.footer)
        .map_err(|_| Failure::internal(format!("{}: unreadable; delete it and run again", path.display())))?;
    let uris = Arc::new(files.iter().map(|file| file.uri.clone()).collect::<Vec<_>>());
    let cache = Arc::new(cache);
    let side = |eval: bool| {
        let mut rows = Vec::new();
        for (place, record) in cache.records.iter().enumerate().filter(|(_, record)| record.origin.eval == eval) {
            let weight = files[record.origin.file as usize].weight;
            let times = if eval { 1 } else { copies(record.origin.hash, weight) };
            rows.extend(std::iter::repeat_n(place as u32, times as usize));
        }
        let max = if eval { request.args.max_eval_samples } else { request.args.max_train_samples };
        if let Some(max) = max {
            keep_smallest(&mut rows, max as usize, |row| cache.records[row as usize].origin.hash);
        }
        TokenizedDataset { cache: Arc::clone(&cache), rows, uris: Arc::clone(&uris) }
    };
    let (train, eval) = (side(false), side(true));
    let sample = footer.read.filter(|read| *read < total).map(|read| Sample { read, total });
    if train.is_empty() {
        return Err(nothing_left("train", &footer.train, request.eval_fraction, sample));
    }
    if eval.is_empty() && !request.eval.is_empty() {
        return Err(nothing_left("eval", &footer.eval, 0.0, sample));
    }
    let reports = files.iter().zip(&sha256).zip(&footer.files).map(|((file, sha256), (rows, shape))| FileReport {
        uri: file.uri.clone(),
        sha256: sha256.clone(),
        rows: *rows,
        shape: *shape,
        weight: file.weight,
    });
    let (eval_files, train_files): (Vec<_>, Vec<_>) = reports.enumerate().partition(|(i, _)| *i < request.eval.len());
    let report = |files: Vec<(usize, FileReport)>, counts: &Counts, data: &TokenizedDataset| DataReport {
        files: files.into_iter().map(|(_, file)| file).collect(),
        ignored_columns: footer.ignored_columns.clone(),
        notes: request.tokenizer.notes(request.kind),
        ..summary(counts, data)
    };
    let train_report = report(train_files, &footer.train, &train);
    let eval_report = report(eval_files, &footer.eval, &eval);
    sha256.rotate_left(request.eval.len());
    Ok(Prepared { train_report, eval_report, train, eval, sha256, sample })
}

fn check_template(request: &DataRequest) -> Result<()> {
    match (request.kind, request.template) {
        (StageKind::PT, _) if request.tokenizer.document_separator().is_none() => Err(Failure::config(
            "the tokenizer has no end-of-sequence token to end documents with; name it as eos_token in \
             tokenizer_config.json",
        )),
        (StageKind::PT, _) => Ok(()),
        (kind, None) => Err(Failure::internal(format!("{kind:?} data without a chat template"))),
        (_, Some(template)) => template.require_turn_end(),
    }
}

fn nothing_left(side: &str, counts: &Counts, eval_fraction: f64, sample: Option<Sample>) -> Failure {
    let rows = counts.rows;
    let why = match counts.drops() {
        drops if !drops.is_empty() => drops,
        _ if eval_fraction > 0.0 => format!("evalFraction {eval_fraction} and the weights leave none"),
        _ => "the weights leave none".to_owned(),
    };
    match sample {
        None => Failure::data(format!("dataset.{side}: none of the {rows} rows can be used ({why})")),
        Some(Sample { read, total }) => Failure::data(format!(
            "dataset.{side}: none of the {rows} rows of the sample can be used ({why}); {read} of {total} bytes were \
             read: raise dataset.maxScanBytes to look further"
        )),
    }
}

fn summary(counts: &Counts, data: &TokenizedDataset) -> DataReport {
    let mut report = DataReport {
        rows: counts.rows,
        examples: data.len() as u64,
        dropped: counts.dropped.clone(),
        overlong: counts.overlong,
        truncated: counts.truncated,
        rows_split_by_turn: counts.rows_split_by_turn,
        also_in_eval: counts.also_in_eval,
        ..DataReport::default()
    };
    for record in data.rows.iter().map(|row| &data.cache.records[*row as usize]) {
        report.tokens += u64::from(record.tokens);
        report.loss_tokens += u64::from(record.loss_tokens);
        report.max_len = report.max_len.max(record.longest);
        *report.histogram.entry(record.longest.next_power_of_two()).or_default() += 1;
    }
    report
}

fn size(file: &DataFile) -> Result<u64> {
    Ok(std::fs::metadata(&file.path).map_err(|error| Failure::io(&file.path, &error))?.len())
}

/// sha256 of a file, checked against the planned one.
fn digest(file: &DataFile) -> Result<String> {
    let wrap = |error: std::io::Error| Failure::io(&file.path, &error);
    let mut reader = File::open(&file.path).map_err(wrap)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match reader.read(&mut buffer).map_err(wrap)? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    let found = hex::encode(hash.finalize());
    match &file.sha256 {
        Some(planned) if *planned != found => Err(Failure::input(format!(
            "{}: the file has changed since the plan was made (sha256 {found}, planned {planned}); plan again",
            file.uri
        ))),
        _ => Ok(found),
    }
}

/// sha256 over all that decides the cache's bytes.
fn key(request: &DataRequest, files: &[&DataFile], sha256: &[String], scan: Option<u64>) -> String {
    let args = request.args;
    let is_pt = request.kind == StageKind::PT;
    // Blocks never mix files of different weight; the name's end decides the layout.
    let weights = files.iter().map(|file| is_pt.then_some(file.weight)).collect::<Vec<_>>();
    let names = files.iter().map(|file| file.uri.rsplit(['/', '.']).next()).collect::<Vec<_>>();
    let mut key = json!({
        "version": CACHE_VERSION, "kind": request.kind, "data": sha256, "weights": weights, "names": names,
        "evalFiles": request.eval.len(), "evalFraction": request.eval_fraction, "seed": request.seed,
        "tokenizer": request.tokenizer.digest(), "template": request.template.filter(|_| !is_pt).map(ChatTemplate::digest),
        "maxLength": args.max_length, "blockSize": args.block_size, "overlong": args.overlong,
        "trainOnInputs": args.train_on_inputs,
    });
    if let Some(scan) = scan {
        key["scan"] = json!(scan);
    }
    hex::encode(Sha256::digest(key.to_string()))
}

#[cfg(test)]
#[path = "prepare_tests.rs"]
pub(crate) mod tests;
