//! The token cache: one file that holds every example of a stage's data.
//!
//! ```text
//! rows     per example: segment lengths, ids, loss mask (32 tokens a word), runs of tokens of one role (role in the
//!          upper 3 bits, tokens in the lower 29), all u32 little-endian
//! index    one [`Record`] per example
//! footer   JSON: what was counted while reading
//! trailer  magic, length of index and footer, sha256 over index, footer and both lengths
//! ```
//!
//! Holds: a file under its final name is whole (it is written aside and renamed); a damaged one is told by length,
//! checksum or, row by row, by the record's check word; only the index is held in memory.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use medtrain_crds::contract::TokenRole;
use sha2::{Digest, Sha256};

use crate::data::example::Example;
use crate::data::roles::RoleRun;
use crate::failure::{Failure, Result};

const MAGIC: &[u8; 8] = b"MEDTOK02";
/// Bits of a run's length; its role stands above them.
const RUN_BITS: u32 = 29;
const TRAILER: usize = 8 + 8 + 8 + 32;

/// Where an example comes from and which side it is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Seeded hash of the content.
    pub hash: u64,
    /// Index of the file in the request.
    pub file: u32,
    /// Line in that file, of a block's first document.
    pub line: u32,
    pub eval: bool,
}

/// What is known of an example without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub origin: Origin,
    /// Byte at which the row begins.
    offset: u64,
    pub tokens: u32,
    /// Longest sequence that a model sees at once: the longer side of a preference, else `tokens`.
    pub longest: u32,
    pub loss_tokens: u32,
    segments: u32,
    prompt_len: u32,
    runs: u32,
    check: u32,
}

impl Record {
    const BYTES: usize = 2 * 8 + 10 * 4;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let words = [
            self.tokens,
            self.longest,
            self.loss_tokens,
            self.segments,
            self.prompt_len,
            self.origin.file,
            self.origin.line,
            u32::from(self.origin.eval),
            self.runs,
            self.check,
        ];
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.origin.hash.to_le_bytes());
        for (place, word) in bytes[16..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let word = |n: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[16 + 4 * n + i]));
        Self {
            origin: Origin { hash: long(8), file: word(5), line: word(6), eval: word(7) == 1 },
            offset: long(0),
            tokens: word(0),
            longest: word(1),
            loss_tokens: word(2),
            segments: word(3),
            prompt_len: word(4),
            runs: word(8),
            check: word(9),
        }
    }

    fn words(&self) -> usize {
        self.segments as usize + self.tokens as usize + self.tokens.div_ceil(32) as usize + self.runs as usize
    }
}

/// FNV-1a over words.
fn check(words: &[u32]) -> u32 {
    words.iter().fold(0x811C_9DC5, |hash, word| (hash ^ word).wrapping_mul(0x0100_0193))
}

/// Writes a cache aside; nothing stands under its name before [`Self::commit`].
pub struct CacheWriter {
    path: PathBuf,
    aside: PathBuf,
    out: BufWriter<File>,
    offset: u64,
    records: Vec<Record>,
}

impl CacheWriter {
    /// # Errors
    /// As [`Failure::io`].
    pub fn create(path: &Path) -> Result<Self> {
        let aside = path.with_extension(format!("partial-{}", std::process::id()));
        let dir = folder(path);
        fs::create_dir_all(dir).map_err(|error| Failure::io(dir, &error))?;
        let file = File::create(&aside).map_err(|error| Failure::io(folder(path), &error))?;
        let out = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { path: path.to_owned(), aside, out, offset: 0, records: Vec::new() })
    }

    /// Adds an example; of a `pair`, the two segments are read apart.
    ///
    /// # Errors
    /// As [`Failure::io`].
    pub fn push(&mut self, example: &Example, pair: bool, origin: Origin) -> Result<()> {
        let mut words = [example.segments.as_slice(), example.ids.as_slice()].concat();
        for marks in example.loss_mask.chunks(32) {
            words.push(marks.iter().enumerate().fold(0, |word, (bit, marked)| word | u32::from(*marked) << bit));
        }
        words.extend(example.roles.iter().map(|run| (run.role as u32) << RUN_BITS | run.tokens));
        let longest = if pair { example.segments.iter().copied().max() } else { None };
        self.records.push(Record {
            origin,
            offset: self.offset,
            tokens: example.ids.len() as u32,
            longest: longest.unwrap_or(example.ids.len() as u32),
            loss_tokens: example.loss_tokens() as u32,
            segments: example.segments.len() as u32,
            prompt_len: example.prompt_len,
            runs: example.roles.len() as u32,
            check: check(&words),
        });
        self.offset += 4 * words.len() as u64;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.out.write_all(&bytes).map_err(|error| Failure::io(folder(&self.path), &error))
    }

    /// # Errors
    /// As [`Failure::io`].
    pub fn commit(mut self, footer: &[u8]) -> Result<Cache> {
        let index: Vec<u8> = self.records.iter().flat_map(|record| record.to_bytes()).collect();
        let finish = |writer: &mut Self| -> std::io::Result<()> {
            writer.out.write_all(&index)?;
            writer.out.write_all(footer)?;
            writer.out.write_all(&trailer(&index, footer))?;
            writer.out.flush()?;
            fs::rename(&writer.aside, &writer.path)
        };
        finish(&mut self).map_err(|error| Failure::io(folder(&self.path), &error))?;
        Cache::open(&self.path)?
            .ok_or_else(|| Failure::internal(format!("{}: just written, unreadable", self.path.display())))
    }
}

impl Drop for CacheWriter {
    /// Leaves nothing behind when reading failed; after a commit there is nothing to remove.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.aside);
    }
}

/// Of the folder alone errors can speak: the names in it mean nothing to people.
fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn trailer(index: &[u8], footer: &[u8]) -> [u8; TRAILER] {
    let lengths = [(index.len() as u64).to_le_bytes(), (footer.len() as u64).to_le_bytes()].concat();
    let digest = Sha256::new().chain_update(index).chain_update(footer).chain_update(&lengths).finalize();
    let mut trailer = [0; TRAILER];
    trailer[..8].copy_from_slice(MAGIC);
    trailer[8..24].copy_from_slice(&lengths);
    trailer[24..].copy_from_slice(&digest);
    trailer
}

/// An open cache.
pub struct Cache {
    path: PathBuf,
    file: File,
    pub records: Vec<Record>,
    pub footer: Vec<u8>,
}

impl Cache {
    /// `None` when there is no whole cache at `path`: build it.
    ///
    /// # Errors
    /// As [`Failure::io`], for anything but absence.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let wrap = |error: std::io::Error| Failure::io(path, &error);
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(wrap)?,
        };
        let length = file.metadata().map_err(wrap)?.len();
        let Some(body) = length.checked_sub(TRAILER as u64) else { return Ok(None) };
        let mut end = [0; TRAILER];
        file.read_exact_at(&mut end, body).map_err(wrap)?;
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| end[at + i]));
        let (index_len, footer_len) = (long(8), long(16));
        let tail =
            index_len.checked_add(footer_len).filter(|tail| *tail <= body && index_len % Record::BYTES as u64 == 0);
        let (Some(tail), true) = (tail, end.starts_with(MAGIC)) else { return Ok(None) };
        let mut index = vec![0; tail as usize];
        file.read_exact_at(&mut index, body - tail).map_err(wrap)?;
        let footer = index.split_off(index_len as usize);
        if trailer(&index, &footer) != end {
            return Ok(None);
        }
        let records: Vec<Record> = index.chunks_exact(Record::BYTES).map(Record::from_bytes).collect();
        let rows = records.last().map_or(0, |last| last.offset + 4 * last.words() as u64);
        Ok((rows == body - tail).then(|| Self { path: path.to_owned(), file, records, footer }))
    }

    /// # Errors
    /// 70 when the row is damaged on disk; as [`Failure::io`] when it can't be read.
    pub fn read(&self, record: &Record) -> Result<Example> {
        let mut bytes = vec![0; 4 * record.words()];
        self.file.read_exact_at(&mut bytes, record.offset).map_err(|error| Failure::io(&self.path, &error))?;
        let words: Vec<u32> =
            bytes.chunks_exact(4).map(|word| u32::from_le_bytes(std::array::from_fn(|i| word[i]))).collect();
        if check(&words) != record.check {
            return Err(Failure::internal(format!(
                "{}: the token cache is damaged; delete it and run again, it will be rebuilt",
                self.path.display()
            )));
        }
        let (segments, rest) = words.split_at(record.segments as usize);
        let (ids, marks) = rest.split_at(record.tokens as usize);
        let loss_mask = (0..ids.len()).map(|token| marks[token / 32] >> (token % 32) & 1 == 1).collect();
        let role = |run: u32| TokenRole::ALL.get((run >> RUN_BITS) as usize).copied().unwrap_or(TokenRole::Template);
        let roles = marks[ids.len().div_ceil(32)..]
            .iter()
            .map(|&run| RoleRun { role: role(run), tokens: run & ((1 << RUN_BITS) - 1) })
            .collect();
        let (ids, segments) = (ids.to_vec(), segments.to_vec());
        Ok(Example { ids, loss_mask, segments, prompt_len: record.prompt_len, roles })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(tokens: u32) -> Example {
        let mask = (0..tokens).map(|token| token % 3 == 1).collect();
        let roles = vec![
            RoleRun { role: TokenRole::Template, tokens: tokens - 1 },
            RoleRun { role: TokenRole::Assistant, tokens: 1 },
        ];
        let ids = (0..tokens).map(|id| id * 7).collect();
        Example { ids, loss_mask: mask, segments: vec![tokens], prompt_len: 0, roles }
    }

    fn write(path: &Path) -> Cache {
        let mut writer = CacheWriter::create(path).unwrap();
        for tokens in [1, 31, 32, 33, 200] {
            writer.push(&example(tokens), false, Origin { line: tokens, ..Origin::default() }).unwrap();
        }
        writer.commit(b"{}").unwrap()
    }

    #[test]
    fn examples_come_back_as_they_went_in() {
        let dir = tempfile::tempdir().unwrap();
        let cache = write(&dir.path().join("tokens"));
        for record in &cache.records {
            let read = cache.read(record).unwrap();
            assert_eq!(read, example(record.origin.line));
            assert_eq!(record.loss_tokens as usize, read.loss_tokens());
        }
        assert_eq!(cache.footer, b"{}");
    }

    #[test]
    fn a_cache_cut_short_or_changed_anywhere_is_never_read_as_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        write(&path);
        let good = fs::read(&path).unwrap();
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            assert!(Cache::open(&path).unwrap().is_none(), "cut to {length}");
        }
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 4;
            fs::write(&path, &bad).unwrap();
            let damaged = match Cache::open(&path).unwrap() {
                None => true,
                Some(cache) => cache.records.iter().any(|record| cache.read(record).is_err()),
            };
            assert!(damaged, "byte {place}");
        }
    }

    #[test]
    fn a_writer_that_gives_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = CacheWriter::create(&dir.path().join("tokens")).unwrap();
        writer.push(&example(5), false, Origin::default()).unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
