//! The build of a token cache: files to rows to examples, once.
//!
//! Holds: rows are encoded in parallel but written, and failed on, in file order; a failure leaves no cache; only one
//! chunk of rows is in memory; a sample reads the beginning of every file, its first row at least.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use medtrain_crds::stage::StageKind;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::blocks::BlockPacker;
use crate::data::cache::{Cache, CacheWriter, Origin};
use crate::data::dialogue::{self, Verdict};
use crate::data::example::{DropReason, Example};
use crate::data::formats::{Row, Shape, plain};
use crate::data::prepare::{DataFile, DataRequest};
use crate::data::reader::{Layout, RawRow, RowReader};
use crate::data::report::{Counts, column_name};
use crate::data::split::{content_hash, ids_hash, is_eval};
use crate::data::tokenizer::Tokenizer;
use crate::failure::{Failure, Result};

/// Rows encoded at once.
const CHUNK: usize = 512;

/// What stands in a cache's footer.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Footer {
    /// Rows and shape of each file.
    pub files: Vec<(u64, Option<Shape>)>,
    pub train: Counts,
    pub eval: Counts,
    pub ignored_columns: BTreeMap<String, u64>,
    /// Bytes of the files that were read, of a cache that holds a sample.
    #[serde(default)]
    pub read: Option<u64>,
}

/// What a row became, before it is written.
struct Outcome {
    line: u64,
    hash: u64,
    verdicts: Vec<Verdict>,
    /// PT: the document with its separator.
    document: Option<Vec<u32>>,
    ignored: Vec<String>,
}

/// One run over all files.
pub(super) struct Build<'a> {
    request: &'a DataRequest<'a>,
    writer: CacheWriter,
    footer: Footer,
    /// Hashes of the rows in evaluation files.
    eval_hashes: HashSet<u64>,
    /// Share of each file that is read; below 1 for a sample.
    share: f64,
    /// PT: blocks under construction for training and evaluation, with where they begin.
    blocks: [(BlockPacker, Origin); 2],
}

impl<'a> Build<'a> {
    pub fn new(request: &'a DataRequest<'a>, path: &Path, share: f64) -> Result<Self> {
        let block = || (BlockPacker::new(request.args.block_size as usize), Origin::default());
        Ok(Self {
            request,
            writer: CacheWriter::create(path)?,
            footer: Footer { read: (share < 1.0).then_some(0), ..Footer::default() },
            share,
            eval_hashes: HashSet::new(),
            blocks: [block(), block()],
        })
    }

    pub fn run(mut self, files: &[&DataFile]) -> Result<Cache> {
        for (number, file) in files.iter().enumerate() {
            let given_for_eval = number < self.request.eval.len();
            self.file(number, file, given_for_eval)?;
            let next = files.get(number + 1);
            if next.is_none_or(|next| next.weight != file.weight || number + 1 == self.request.eval.len()) {
                self.finish_blocks()?;
            }
        }
        let footer = serde_json::to_vec(&self.footer).map_err(|error| Failure::internal(error.to_string()))?;
        self.writer.commit(&footer)
    }

    fn file(&mut self, number: usize, file: &DataFile, given_for_eval: bool) -> Result<()> {
        let mut reader = RowReader::open(&file.path, &file.uri, self.request.kind)?;
        let layout = reader.layout();
        let size = std::fs::metadata(&file.path).map_err(|error| Failure::io(&file.path, &error))?.len();
        // The beginning stands for the file: rows of a gzip stream or a JSON array can't be found without those before.
        let enough = (self.share < 1.0).then_some((size as f64 * self.share) as u64);
        let read;
        let (mut rows, mut shape) = (0, (layout == Layout::Text).then_some(Shape::Text));
        loop {
            let (mut chunk, mut failed) = (Vec::with_capacity(CHUNK), None);
            while chunk.len() < CHUNK {
                match reader.next() {
                    Some(Ok(row)) => chunk.push(row),
                    // Told after the failures of the rows before it.
                    Some(Err(failure)) => failed = Some(failure),
                    None => break,
                }
                if enough.is_some_and(|enough| reader.position() >= enough) {
                    break;
                }
            }
            if let (None, Some(first)) = (shape, chunk.first()) {
                let found = Shape::detect(&first.object(&file.uri)?, self.request.kind);
                shape = Some(found.map_err(|failure| failure.at(place(file, first)))?);
            }
            let fields = shape.filter(|_| layout != Layout::Text);
            let encoded: Vec<Result<Outcome>> =
                chunk.par_iter().map(|row| encode_row(self.request, file, row, fields)).collect();
            for outcome in encoded {
                self.write(number, outcome?, given_for_eval)?;
            }
            rows += chunk.len() as u64;
            match failed {
                Some(failure) => return Err(failure),
                None if chunk.is_empty() => {
                    read = size;
                    break;
                }
                None if enough.is_some_and(|enough| reader.position() >= enough) => {
                    read = reader.position().min(size);
                    break;
                }
                None => {}
            }
        }
        if let Some(all) = &mut self.footer.read {
            *all += read;
        }
        if rows == 0 {
            return Err(Failure::data(format!(
                "{}: no rows: the file is empty; write some, or take it off the list",
                file.uri
            )));
        }
        self.footer.files.push((rows, shape));
        Ok(())
    }

    fn write(&mut self, file: usize, outcome: Outcome, given_for_eval: bool) -> Result<()> {
        let eval = given_for_eval || is_eval(outcome.hash, self.request.eval_fraction);
        for name in &outcome.ignored {
            let shown = column_name(name, &self.footer.ignored_columns);
            *self.footer.ignored_columns.entry(shown).or_default() += 1;
        }
        if given_for_eval {
            self.eval_hashes.insert(outcome.hash);
        }
        let counts = if eval { &mut self.footer.eval } else { &mut self.footer.train };
        counts.rows += 1;
        counts.also_in_eval += u64::from(!eval && self.eval_hashes.contains(&outcome.hash));
        counts.rows_split_by_turn += u64::from(outcome.verdicts.len() > 1);
        let line = u32::try_from(outcome.line).unwrap_or(u32::MAX);
        let origin = Origin { hash: outcome.hash, file: file as u32, line, eval };
        for verdict in outcome.verdicts {
            match verdict {
                Verdict::Drop(reason) => counts.drop(reason),
                Verdict::Keep { example, truncated } => {
                    counts.truncated += u64::from(truncated);
                    counts.overlong += u64::from(truncated);
                    self.writer.push(&example, self.request.kind == StageKind::RM, origin)?;
                }
            }
        }
        if let Some(document) = outcome.document {
            let (packer, begin) = &mut self.blocks[usize::from(eval)];
            if packer.is_empty() {
                *begin = origin;
            }
            for block in packer.push(&document) {
                write_block(&mut self.writer, &block, *begin, self.request.seed)?;
                *begin = origin;
            }
        }
        Ok(())
    }

    fn finish_blocks(&mut self) -> Result<()> {
        for (packer, begin) in &mut self.blocks {
            if let Some(block) = packer.finish() {
                write_block(&mut self.writer, &block, *begin, self.request.seed)?;
            }
        }
        Ok(())
    }
}

fn write_block(writer: &mut CacheWriter, block: &Example, begin: Origin, seed: u64) -> Result<()> {
    writer.push(block, false, Origin { hash: ids_hash(&block.ids, seed), ..begin })
}

fn place(file: &DataFile, row: &RawRow) -> String {
    format!("{}: line {}", file.uri, row.line)
}

/// One row as examples; `shape` is `None` for lines of text.
fn encode_row(request: &DataRequest, file: &DataFile, raw: &RawRow, shape: Option<Shape>) -> Result<Outcome> {
    let (kind, args, tokenizer) = (request.kind, request.args, request.tokenizer);
    let at = |failure: Failure| failure.at(place(file, raw));
    let (row, ignored) = match shape {
        None => (plain(raw.text.clone(), kind), Vec::new()),
        Some(shape) => {
            let object = raw.object(&file.uri)?;
            let known = shape.columns(kind);
            let ignored = object.keys().filter(|name| !known.contains(&name.as_str())).cloned().collect();
            (shape.parse(&object, kind).map_err(at)?, ignored)
        }
    };
    let hash = content_hash(&row, request.seed);
    let (mut verdicts, mut document) = (Vec::new(), None);
    match (&row, request.template) {
        (Row::Document(text), _) => match encode_document(tokenizer, text).map_err(at)? {
            ids if ids.len() < 2 => verdicts.push(Verdict::Drop(DropReason::NoLossTokens)),
            ids => document = Some(ids),
        },
        (_, None) => return Err(Failure::internal(format!("{kind:?} data without a chat template"))),
        (Row::Dialogue { messages, tools }, Some(template)) => {
            for rendered in template.render_turns(messages, tools.as_ref()).map_err(at)? {
                verdicts.push(dialogue::supervised(tokenizer, &rendered, args).map_err(at)?);
            }
        }
        (Row::Preference { prompt, chosen, rejected, tools }, Some(template)) => {
            let (prompt, answers) = ((prompt.as_slice(), tools.as_ref()), (chosen.as_slice(), rejected.as_slice()));
            verdicts.push(dialogue::preference(tokenizer, template, prompt, answers, args).map_err(at)?);
        }
        (Row::Prompt { messages, tools }, Some(template)) => {
            verdicts.push(dialogue::prompt(tokenizer, template, messages, tools.as_ref(), args).map_err(at)?);
        }
    }
    Ok(Outcome { line: raw.line, hash, verdicts, document, ignored })
}

/// A document as the tokenizer frames it, ended by exactly one separator.
fn encode_document(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    let mut ids = tokenizer.encode(text, true)?;
    let separator = tokenizer.document_separator();
    if tokenizer.eos().is_some() && ids.last().copied() == tokenizer.eos() {
        ids.pop();
    }
    if ids.last().copied() != separator {
        ids.extend(separator);
    }
    Ok(ids)
}
