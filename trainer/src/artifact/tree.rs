//! Whole folders up and down, file by file.

use std::path::{Component, Path, PathBuf};

use medtrain_crds::contract::FileEntry;

use super::{FileDigest, Store};
use crate::failure::{Failure, Result};

/// Uploads every file below the local `folder` to `<home>/<below>/…`.
///
/// `home` is the folder of the manifest that will list the entries: their paths are relative to it, and sorted.
///
/// # Errors
/// As [`Store::upload`]; 64 for a name that is not UTF-8.
pub fn upload_dir(store: &Store, folder: &Path, home: &str, below: &str) -> Result<Vec<FileEntry>> {
    let mut entries = Vec::new();
    for relative in files_below(folder)? {
        let path = if below.is_empty() { relative.clone() } else { format!("{below}/{relative}") };
        let FileDigest { sha256, size } = store.upload(&folder.join(&relative), &format!("{home}/{path}"))?;
        entries.push(FileEntry { path, sha256, size });
    }
    Ok(entries)
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
        store.download(&format!("{home}/{}", entry.path), &folder.join(&entry.path), Some(&expected(entry)))?;
    }
    Ok(())
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
