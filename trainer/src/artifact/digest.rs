//! SHA-256 of bytes and files, as lower-case hex: the identity of everything that crosses a stage border.

use std::{fs::File, io::Read, path::Path};

use sha2::{Digest, Sha256};

use crate::failure::{Failure, Result};

/// Digest and size of a file's content, whatever it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDigest {
    /// Lower-case hex, 64 digits.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Hashes the file at `path` in constant memory.
///
/// # Errors
/// As [`Failure::io`].
pub fn hash_file(path: &Path) -> Result<FileDigest> {
    let mut file = File::open(path).map_err(|e| Failure::io(path, &e))?;
    let mut hasher = RunningDigest::default();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut chunk).map_err(|e| Failure::io(path, &e))?;
        if n == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&chunk[..n]);
    }
}

/// A digest that grows with a stream.
#[derive(Default)]
pub(super) struct RunningDigest {
    hasher: Sha256,
    size: u64,
}

impl RunningDigest {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
    }

    pub(super) fn finish(self) -> FileDigest {
        FileDigest { sha256: hex::encode(self.hasher.finalize()), size: self.size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_hashes_as_its_bytes_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, b"abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-4, appendix B.1
        assert_eq!(hash_file(&path).unwrap(), FileDigest { sha256: expected.into(), size: 3 });
        assert_eq!(sha256_hex(b"abc"), expected);
    }
}
