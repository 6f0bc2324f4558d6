//! The data files that a stage's list names: paths, folders, globs, in any store or on the hub.
//!
//! Holds: files come in the order of the list, and within an entry by name; a planned file is found again by its URI
//! alone, without globs; an entry that matches nothing is an error.

use std::fs;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use medtrain_crds::resolve::{DataIdentity, DatasetArgs, FileIdentity, PlannedDataset};
use sha2::{Digest, Sha256};

use super::{Workspace, inputs, remote};
use crate::data::DataFile;
use crate::failure::{Failure, Result};
use crate::weights::digests::Digests;
use crate::weights::hub_uri::{HubUri, percent_decode};

/// `*` stays within a folder, `**` doesn't; hidden files must be named.
const GLOB: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
/// What a folder is searched for.
const FORMATS: [&str; 4] = [".txt", ".jsonl", ".json", ".ndjson"];

/// A file on this machine and what it is called in plans and messages.
struct Found {
    uri: String,
    path: PathBuf,
}

/// Finds and hashes the files of a stage; `place` is the dataset's path in the resource. What can be found is returned
/// beside the failures, of which there is at most one for an entry.
pub fn identify(ws: &Workspace, dataset: &DatasetArgs, place: &str) -> (DataIdentity, Vec<Failure>) {
    let mut failures = Vec::new();
    let mut side = |field: &str, entries: &[String]| {
        let mut identities = Vec::new();
        for (entry, uri) in entries.iter().enumerate() {
            match find(ws, uri).and_then(|found| hash(ws, &found, entry)) {
                Ok(found) => identities.extend(found),
                Err(failure) => failures.push(failure.at(format!("{place}.{field}[{entry}]"))),
            }
        }
        identities
    };
    let train = side("train", &dataset.train);
    let eval = side("eval", &dataset.eval);
    (DataIdentity { train, eval }, failures)
}

/// The planned files on this machine: training, evaluation.
///
/// # Errors
/// 65 when one is gone. Digests are compared where the data is read.
pub fn data_files(ws: &Workspace, dataset: &PlannedDataset) -> Result<(Vec<DataFile>, Vec<DataFile>)> {
    let side = |field: &str, files: &[FileIdentity], weights: &[f64]| -> Result<Vec<DataFile>> {
        let mut side = Vec::with_capacity(files.len());
        for file in files {
            let path =
                locate(ws, &file.uri).map_err(|failure| failure.at(format!("dataset.{field}[{}]", file.entry)))?;
            let weight = weights.get(file.entry).copied().unwrap_or(1.0);
            side.push(DataFile { path, uri: file.uri.clone(), weight, sha256: file.sha256.clone() });
        }
        Ok(side)
    };
    Ok((side("train", &dataset.train, &dataset.weights)?, side("eval", &dataset.eval, &[])?))
}

fn hash(ws: &Workspace, found: &[Found], entry: usize) -> Result<Vec<FileIdentity>> {
    let digests = Digests::new(&ws.workdir);
    let identity = |file: &Found| {
        let size = fs::metadata(&file.path).map_err(|error| Failure::io(&file.path, &error))?.len();
        let sha256 = Some(digests.sha256(&file.path)?);
        Ok(FileIdentity { uri: file.uri.clone(), sha256, etag: None, size, entry })
    };
    found.iter().map(identity).collect()
}

/// All files of one entry.
fn find(ws: &Workspace, entry: &str) -> Result<Vec<Found>> {
    match entry.split_once("://") {
        None if Path::new(entry).is_absolute() => find_local("", Path::new(""), entry),
        None => find_local("", &ws.base, entry.trim_start_matches("./")),
        Some(("file", path)) => find_local("file://", Path::new(""), &file_path(path)),
        Some(("hf", _)) => find_hub(ws, entry),
        Some(_) => find_remote(ws, entry),
    }
}

/// The one file that a plan calls `uri`.
fn locate(ws: &Workspace, uri: &str) -> Result<PathBuf> {
    match uri.split_once("://") {
        None => existing(uri, ws.base.join(uri)),
        Some(("file", path)) => existing(uri, file_path(path).into()),
        Some(("hf", _)) => {
            let parsed = HubUri::parse(uri)?;
            let path = parsed.path.clone().unwrap_or_default();
            Ok(ws.hub.files(&parsed, &|name| name == path)?.dir.join(path))
        }
        Some(_) => {
            let (store, object) = remote::object(ws, uri)?;
            let copy = copy_path(ws, uri);
            remote::copy(&store, &object, &copy)?;
            Ok(copy)
        }
    }
}

fn existing(uri: &str, path: PathBuf) -> Result<PathBuf> {
    if path.is_file() { Ok(path) } else { Err(Failure::input(format!("{uri}: not found"))) }
}

/// The path of a `file://` URI, without its scheme.
fn file_path(rest: &str) -> String {
    percent_decode(rest.strip_prefix("localhost").unwrap_or(rest))
}

/// `text` below `root`; what is found is called `prefix` and its path below `root`.
fn find_local(prefix: &str, root: &Path, text: &str) -> Result<Vec<Found>> {
    let path = root.join(text);
    let paths = if path.is_file() {
        vec![path]
    } else if path.is_dir() {
        let mut paths = Vec::new();
        files_below(&path, &mut paths)?;
        if paths.is_empty() {
            return Err(no_format(text));
        }
        paths
    } else if is_glob(text) {
        let whole = Path::new(&Pattern::escape(&root.display().to_string())).join(text);
        let matches = glob::glob_with(&whole.display().to_string(), GLOB).map_err(|error| no_glob(text, &error))?;
        let mut paths = Vec::new();
        for found in matches {
            let found = found.map_err(|error| Failure::io(error.path(), error.error()))?;
            paths.extend(found.is_file().then_some(found));
        }
        if paths.is_empty() {
            return Err(no_match(text, root));
        }
        paths
    } else {
        return Err(Failure::input(format!("{text}: not found{}", starts_at(text, root))));
    };
    let mut found: Vec<Found> = paths
        .into_iter()
        .map(|path| Found { uri: format!("{prefix}{}", path.strip_prefix(root).unwrap_or(&path).display()), path })
        .collect();
    found.sort_by(|a, b| a.uri.cmp(&b.uri));
    Ok(found)
}

/// Data files at any depth, hidden ones left out.
fn files_below(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|error| Failure::io(dir, &error))? {
        let path = entry.map_err(|error| Failure::io(dir, &error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            files_below(&path, found)?;
        } else if is_data(&name) {
            found.push(path);
        }
    }
    Ok(())
}

/// The commit stands in each file's URI, so that the plan finds the same bytes when the branch has moved on.
fn find_hub(ws: &Workspace, entry: &str) -> Result<Vec<Found>> {
    let uri = HubUri::parse(entry)?;
    let (commit, files) = inputs::with_sources(ws, |sources| sources.hub_dataset(entry, None))?;
    if files.is_empty() {
        return Err(no_match(entry, Path::new("")));
    }
    let called = |name: &str| format!("hf://datasets/{}@{commit}/{}", uri.repo, name.replace('%', "%25"));
    Ok(files.into_iter().map(|file| Found { uri: called(&file.name), path: file.path }).collect())
}

fn find_remote(ws: &Workspace, entry: &str) -> Result<Vec<Found>> {
    let entry = entry.trim_end_matches('/');
    let copied = |folder: &str, store: &crate::artifact::Store, object: &crate::artifact::Listed| {
        let uri = if object.path.is_empty() { folder.to_owned() } else { format!("{folder}/{}", object.path) };
        let path = copy_path(ws, &uri);
        remote::copy(store, object, &path)?;
        Ok(Found { uri, path })
    };
    if !is_glob(entry) {
        let (folder, name) = remote::parent(entry);
        let store = ws.open_store(folder)?;
        if !name.is_empty()
            && let Some(object) = store.find(name)?
        {
            return Ok(vec![copied(folder, &store, &object)?]);
        }
        let store = ws.open_store(entry)?;
        let objects = store.list("")?;
        if objects.is_empty() {
            return Err(Failure::input(format!("{entry}: not found, neither as a file nor as a folder")));
        }
        let files: Vec<_> = objects.iter().filter(|object| is_data(&object.path)).collect();
        if files.is_empty() {
            return Err(no_format(entry));
        }
        return files.into_iter().map(|object| copied(entry, &store, object)).collect();
    }
    // Listed from the last folder before the first special character.
    let literal = entry.find(['*', '?', '[']).unwrap_or(entry.len());
    let (folder, _) = remote::parent(&entry[..literal]);
    let rest = entry[folder.len()..].trim_start_matches('/');
    let pattern = Pattern::new(rest).map_err(|error| no_glob(entry, &error))?;
    let store = ws.open_store(folder)?;
    let objects = store.list("")?;
    let files: Vec<_> = objects.iter().filter(|object| pattern.matches_with(&object.path, GLOB)).collect();
    if files.is_empty() {
        return Err(no_match(entry, Path::new("")));
    }
    files.into_iter().map(|object| copied(folder, &store, object)).collect()
}

/// Where the copy of a remote file goes: its own name, so that the name's end still tells the format.
fn copy_path(ws: &Workspace, uri: &str) -> PathBuf {
    let folder = hex::encode(&Sha256::digest(uri)[..16]);
    ws.workdir.join("data").join(folder).join(remote::parent(uri).1)
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn is_data(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let stem = lower.strip_suffix(".gz").unwrap_or(&lower);
    FORMATS.iter().any(|format| stem.ends_with(format))
}

fn no_match(entry: &str, root: &Path) -> Failure {
    Failure::input(format!("{entry}: no file matches{}", starts_at(entry, root)))
}

/// Where a relative path was looked for.
fn starts_at(entry: &str, root: &Path) -> String {
    match root.to_str() {
        _ if entry.contains("://") || Path::new(entry).is_absolute() => String::new(),
        Some("") => "; paths start at the folder of the YAML file".to_owned(),
        _ => format!("; paths start at the folder of the YAML file, {}", root.display()),
    }
}

fn no_glob(entry: &str, error: &glob::PatternError) -> Failure {
    Failure::config(format!("{entry}: not a pattern ({error})"))
}

fn no_format(entry: &str) -> Failure {
    Failure::input(format!("{entry}: the folder holds no data; looked for {} (also with .gz)", FORMATS.join(", ")))
}

#[cfg(test)]
#[path = "data_files_tests.rs"]
mod tests;
