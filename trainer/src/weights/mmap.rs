//! The only memory mapping of the crate: a whole file, read-only.
//!
//! Holds: `bytes()` is exactly as long as the file was when it was opened; an empty file maps to an empty slice.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

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

    pub fn path(&self) -> &Path {
        &self.path
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

    #[test]
    fn a_directory_and_a_missing_file_are_input_errors() {
        let dir = tempfile::tempdir().unwrap();
        let folder = MappedFile::open(dir.path()).err().unwrap();
        assert_eq!(folder.message, format!("{}: not a regular file", dir.path().display()));
        let missing = MappedFile::open(&dir.path().join("none")).err().unwrap();
        assert!(missing.message.ends_with("none: not found"));
    }
}
