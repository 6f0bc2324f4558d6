//! Examples by number, for training loops: ids from disk, lengths from memory.
//!
//! Holds: order and number of rows are those of the files, of their weights and of `maxTrainSamples`; shuffling is
//! the [`Sampler`](crate::data::Sampler)'s.

use std::sync::Arc;

#[cfg(test)]
use crate::data::cache::Origin;
use crate::data::cache::{Cache, Record};
use crate::data::example::{Example, PreferencePair};
use crate::failure::{Failure, Result};

/// Examples on disk, in file order; the lengths are in memory.
#[derive(Clone)]
pub struct TokenizedDataset {
    pub(super) cache: Arc<Cache>,
    /// Places in the cache; one appears as often as its file's weight says.
    pub(super) rows: Vec<u32>,
    pub(super) uris: Arc<Vec<String>>,
}

impl TokenizedDataset {
    /// Every example of `cache` once, in its order; `uri` is where error messages say that they come from.
    pub fn whole(cache: Cache, uri: &str) -> Self {
        let rows = (0..cache.records.len() as u32).collect();
        Self { cache: Arc::new(cache), rows, uris: Arc::new(vec![uri.to_owned()]) }
    }

    /// These examples in this order, or these `pairs`.
    #[cfg(test)]
    pub(crate) fn of(examples: &[Example], pairs: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = crate::data::cache::CacheWriter::create(&dir.path().join("rows")).unwrap();
        for (line, example) in examples.iter().enumerate() {
            cache.push(example, pairs, Origin { line: line as u32 + 1, ..Origin::default() }).unwrap();
        }
        // The cache holds the file open; its name may go.
        Self::whole(cache.commit(b"").unwrap(), "examples")
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn record(&self, row: usize) -> &Record {
        &self.cache.records[self.rows[row] as usize]
    }

    /// # Errors
    /// 70 when the cache is damaged; as [`Failure::io`] when it can't be read.
    pub fn row(&self, row: usize) -> Result<Example> {
        self.cache.read(self.record(row))
    }

    /// The two sides of a row of reward modelling.
    ///
    /// # Errors
    /// As [`Self::row`]; 70 for a row that is no pair.
    pub fn pair(&self, row: usize) -> Result<PreferencePair> {
        let Example { mut ids, segments, prompt_len, .. } = self.row(row)?;
        let [chosen, _] = segments[..] else {
            return Err(Failure::internal(format!("{}: not a preference pair", self.origin(row))));
        };
        let rejected = ids.split_off(chosen as usize);
        Ok(PreferencePair { chosen: ids, rejected, prompt_len: prompt_len as usize })
    }

    /// Tokens of the row; of a pair, of its longer side.
    pub fn length(&self, row: usize) -> u32 {
        self.record(row).longest
    }

    /// Tokens of the row; of a pair, of both sides.
    pub fn tokens(&self, row: usize) -> u32 {
        self.record(row).tokens
    }

    pub fn lengths(&self) -> Vec<u32> {
        (0..self.len()).map(|row| self.length(row)).collect()
    }

    pub fn loss_tokens(&self, row: usize) -> u32 {
        self.record(row).loss_tokens
    }

    /// Where the row stands, to name a batch by: `data/sft.jsonl: line 17`.
    pub fn origin(&self, row: usize) -> String {
        let origin = self.record(row).origin;
        format!("{}: line {}", self.uris[origin.file as usize], origin.line)
    }
}
