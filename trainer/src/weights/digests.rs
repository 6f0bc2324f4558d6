//! sha256 of files, remembered by path, size, modification time and inode, so that a second run hashes nothing.
//!
//! Holds: a remembered digest is used only if all four still agree and the file had been at rest when it was hashed;
//! the memory may be deleted at any time, and one that can't be written costs time, not correctness.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::failure::{Failure, Result};

/// A file changed more recently than this may change again without a new modification time.
const AT_REST: Duration = Duration::from_secs(2);

pub struct Digests {
    dir: PathBuf,
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    path: PathBuf,
    size: u64,
    mtime: (i64, i64),
    inode: (u64, u64),
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    identity: Identity,
    sha256: String,
}

impl Digests {
    /// `workdir`: the scratch directory; the memory lives below it.
    pub fn new(workdir: &Path) -> Self {
        Self { dir: workdir.join("digests") }
    }

    /// The sha256 of `path` in hex.
    pub fn sha256(&self, path: &Path) -> Result<String> {
        let io = |e: io::Error| Failure::io(path, &e);
        let resolved = path.canonicalize().map_err(io)?;
        let metadata = resolved.metadata().map_err(io)?;
        let identity = Identity {
            size: metadata.len(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            inode: (metadata.dev(), metadata.ino()),
            path: resolved,
        };
        let entry = self.dir.join(hex::encode(Sha256::digest(identity.path.as_os_str().as_encoded_bytes())));
        let remembered = fs::read(&entry).ok().and_then(|json| serde_json::from_slice::<Remembered>(&json).ok());
        if let Some(remembered) = remembered.filter(|remembered| remembered.identity == identity) {
            return Ok(remembered.sha256);
        }
        let sha256 = sha256_of(&identity.path)?;
        let at_rest = metadata.modified().is_ok_and(|time| time + AT_REST < SystemTime::now());
        if at_rest {
            // Not being able to remember is no failure.
            let _ = remember(&entry, &Remembered { identity, sha256: sha256.clone() });
        }
        Ok(sha256)
    }
}

/// By rename, so that a reader never sees half an entry.
fn remember(entry: &Path, remembered: &Remembered) -> io::Result<()> {
    let Some(dir) = entry.parent() else { return Ok(()) };
    fs::create_dir_all(dir)?;
    let staged = entry.with_extension(format!("tmp{}", std::process::id()));
    fs::write(&staged, serde_json::to_vec(remembered)?)?;
    fs::rename(&staged, entry)
}

/// The sha256 of a file, in hex, computed now.
pub fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|e| Failure::io(path, &e))?;
    let mut hasher = Sha256::new();
    io::copy(&mut file, &mut hasher).map_err(|e| Failure::io(path, &e))?;
    Ok(hex::encode(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path, seconds_ago: u64) {
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(SystemTime::now() - Duration::from_secs(seconds_ago))
            .unwrap();
    }

    #[test]
    fn a_changed_file_has_a_new_digest_and_an_unchanged_one_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let digests = Digests::new(&dir.path().join("work"));
        let path = dir.path().join("f");
        fs::write(&path, "one").unwrap();
        at(&path, 100);
        let one = digests.sha256(&path).unwrap();
        assert_eq!(one, hex::encode(Sha256::digest("one")));
        let time = path.metadata().unwrap().modified().unwrap();
        // Same size, same time, same inode: only reading would tell, and it isn't read.
        fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        assert_eq!(digests.sha256(&path).unwrap(), one);
        at(&path, 50);
        assert_eq!(digests.sha256(&path).unwrap(), hex::encode(Sha256::digest("two")));
    }

    #[test]
    fn a_file_still_being_written_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let digests = Digests::new(&dir.path().join("work"));
        let path = dir.path().join("f");
        fs::write(&path, "one").unwrap();
        digests.sha256(&path).unwrap();
        assert!(!dir.path().join("work").exists());
    }

    #[test]
    fn a_damaged_memory_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let digests = Digests::new(dir.path());
        let path = dir.path().join("f");
        fs::write(&path, "one").unwrap();
        at(&path, 100);
        digests.sha256(&path).unwrap();
        let entry = fs::read_dir(dir.path().join("digests")).unwrap().next().unwrap().unwrap().path();
        fs::write(entry, "{").unwrap();
        assert_eq!(digests.sha256(&path).unwrap(), hex::encode(Sha256::digest("one")));
    }
}
