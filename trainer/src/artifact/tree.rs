//! Whole folders up and down: small files several at a time, large ones one by one, as each is fetched or sent in parts.
//!
//! Holds: of several failures the one of the first file is told, and no new file is begun after one.

use std::{
    panic::resume_unwind,
    path::{Component, Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use medtrain_crds::contract::FileEntry;

use super::{FileDigest, Store, download::RANGE, store::PART};
use crate::failure::{Failure, Result};

/// Small files in flight; each may fill a part's memory.
const AT_ONCE: usize = 4;

/// Uploads every file below the local `folder` to `<home>/<below>/…`.
///
/// `home` is the folder of the manifest that will list the entries: their paths are relative to it, and sorted.
///
/// # Errors
/// As [`Store::upload`]; 64 for a name that is not UTF-8.
pub fn upload_dir(store: &Store, folder: &Path, home: &str, below: &str) -> Result<Vec<FileEntry>> {
    let files = files_below(folder)?;
    let size = |relative: &String| {
        let path = folder.join(relative);
        std::fs::metadata(&path).map(|metadata| metadata.len()).map_err(|error| Failure::io(&path, &error))
    };
    let sizes = files.iter().map(size).collect::<Result<Vec<_>>>()?;
    in_turns(&sizes, PART as u64, |index| {
        let relative = &files[index];
        let path = if below.is_empty() { relative.clone() } else { format!("{below}/{relative}") };
        let FileDigest { sha256, size } = store.upload(&folder.join(relative), &format!("{home}/{path}"))?;
        Ok(FileEntry { path, sha256, size })
    })
}

/// Downloads `entries` (relative to the folder `home`) into `folder`, each checked against its digest.
///
/// # Errors
/// As [`Store::download`]; 65 for an entry that points out of `folder`.
pub fn download_dir(store: &Store, home: &str, entries: &[FileEntry], folder: &Path) -> Result<()> {
    for entry in entries {
        // A manifest comes from a store that others may write: it must not choose places outside `folder`.
        if !Path::new(&entry.path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Failure::input(format!(
                "{}: lists a file outside its own folder: {:?}",
                store.uri_of(home),
                entry.path
            )));
        }
    }
    let sizes: Vec<u64> = entries.iter().map(|entry| entry.size).collect();
    in_turns(&sizes, RANGE, |index| {
        let entry = &entries[index];
        store.download(&format!("{home}/{}", entry.path), &folder.join(&entry.path), Some(&expected(entry)))
    })
    .map(drop)
}

/// The results of `work` for every index of `sizes`: several at once for sizes up to `small`, then the others one after
/// another.
fn in_turns<T: Send>(sizes: &[u64], small: u64, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let (few, large): (Vec<usize>, Vec<usize>) = (0..sizes.len()).partition(|&index| sizes[index] <= small);
    let pending = Mutex::new(few.iter().copied());
    let failed = AtomicBool::new(false);
    let take = || pending.lock().unwrap_or_else(PoisonError::into_inner).next().filter(|_| !failed.load(Relaxed));
    let one = |index| {
        let outcome = work(index);
        failed.fetch_or(outcome.is_err(), Relaxed);
        (index, outcome)
    };
    let mut done: Vec<(usize, Result<T>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE.min(few.len()))
            .map(|_| scope.spawn(|| std::iter::from_fn(take).map(one).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    done.extend(large.into_iter().take_while(|_| !failed.load(Relaxed)).map(one));
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

pub(super) fn expected(entry: &FileEntry) -> FileDigest {
    FileDigest { sha256: entry.sha256.clone(), size: entry.size }
}

/// Regular files at any depth, as sorted `/`-separated paths relative to `folder`. Symbolic links are followed.
fn files_below(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let dir = folder.join(&relative);
        for entry in std::fs::read_dir(&dir).map_err(|e| Failure::io(&dir, &e))? {
            let entry = entry.map_err(|e| Failure::io(&dir, &e))?;
            let relative = relative.join(entry.file_name());
            let path = folder.join(&relative);
            if std::fs::metadata(&path).map_err(|e| Failure::io(&path, &e))?.is_dir() {
                pending.push(relative);
            } else {
                let name = relative
                    .to_str()
                    .ok_or_else(|| Failure::config(format!("{}: the name is not valid UTF-8", path.display())))?;
                found.push(name.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
