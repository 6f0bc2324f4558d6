//! The only memory mapping of the crate: a whole file, read-only.
//!
//! Holds: `bytes()` is exactly as long as the file was when it was opened; an empty file maps to an empty slice. Pages
//! that were released are read from the file again when they are needed: `bytes()` is always the same.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Mmap, UncheckedAdvice};

use crate::failure::{Failure, Result};

pub struct MappedFile {
    path: PathBuf,
    /// None for an empty file, which the kernel refuses to map.
    map: Option<Mmap>,
}

impl MappedFile {
    /// Errors: the path can't be opened, isn't a regular file, or doesn't fit the address space.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Failure::io(path, &e))?;
        let metadata = file.metadata().map_err(|e| Failure::io(path, &e))?;
        if !metadata.is_file() {
            return Err(Failure::input(format!("{}: not a regular file", path.display())));
        }
        let map = if metadata.len() == 0 {
            None
        } else {
            // SAFETY: a map is undefined behaviour only if the file shrinks or changes under it. Model files are
            // written under another name and renamed when whole (here, in hf-hub's cache and in artifact downloads),
            // so nothing writes to an inode that a reader can have open.
            #[allow(unsafe_code)]
            let map = unsafe { Mmap::map(&file) }.map_err(|e| Failure::io(path, &e))?;
            Some(map)
        };
        Ok(Self { path: path.to_owned(), map })
    }

    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&[])
    }

    /// A part of the file for a holder that outlives its reader; `None` if the file has no such part.
    pub fn share(self: &Arc<Self>, range: Range<usize>) -> Option<Bytes> {
        self.bytes().get(range.clone())?;
        Some(Bytes::from_owner(Part { file: Arc::clone(self), range }))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the pages of `range` out of this process's memory: for what has been copied and won't be read soon. They
    /// stay in the system's cache as long as it has room.
    pub fn release(&self, range: Range<usize>) {
        let Some(map) = self.map.as_ref().filter(|map| range.start < range.end && range.end <= map.len()) else {
            return;
        };
        // SAFETY: what this advice can lose is what was written to the map; a read-only map of a file has nothing of
        // the kind, and reads the same bytes from the file again.
        #[allow(unsafe_code)]
        let released = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        // Advice that is refused costs memory, not correctness.
        let _ = released;
    }
}

/// Keeps the map as long as a part of it is used.
struct Part {
    file: Arc<MappedFile>,
    range: Range<usize>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.file.bytes()[self.range.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_maps_to_an_empty_slice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        std::fs::write(&path, b"").unwrap();
        assert!(MappedFile::open(&path).unwrap().bytes().is_empty());
    }

    /// Bytes of the file's map that are in this process's memory.
    fn resident(path: &Path) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let ours = maps.split_once(path.to_str().unwrap()).unwrap().1;
        let line = ours.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    #[test]
    fn released_pages_leave_memory_and_read_the_same_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        let bytes: Vec<u8> = (0..4_usize << 20).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = MappedFile::open(&path).unwrap();
        assert!(file.bytes() == bytes);
        assert_eq!(resident(&path), bytes.len());
        file.release(100..bytes.len() - 100);
        assert!(resident(&path) <= 2 * 4096, "the first and the last page may stay");
        assert!(file.bytes() == bytes);
        for nothing in [5..5, 0..bytes.len() + 1] {
            file.release(nothing);
        }
    }

    #[test]
    fn a_shared_part_outlives_the_reader_and_reads_the_same_after_a_release() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        std::fs::write(&path, b"0123456789").unwrap();
        let file = Arc::new(MappedFile::open(&path).unwrap());
        let part = file.share(2..5).unwrap();
        assert!(file.share(9..11).is_none());
        file.release(0..10);
        drop(file);
        assert_eq!(part, b"234"[..]);
    }

    #[test]
    fn a_directory_and_a_missing_file_are_input_errors() {
        let dir = tempfile::tempdir().unwrap();
        let folder = MappedFile::open(dir.path()).err().unwrap();
        assert_eq!(folder.message, format!("{}: not a regular file", dir.path().display()));
        let missing = MappedFile::open(&dir.path().join("none")).err().unwrap();
        assert!(missing.message.ends_with("none: not found"));
    }
}
