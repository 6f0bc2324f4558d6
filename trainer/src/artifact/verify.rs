//! Does the store still hold what a manifest says? [`finished`] looks whether the files are there, [`verify`] hashes
//! every one again.

use std::{collections::BTreeMap, fmt};

use medtrain_crds::contract::{FileEntry, Manifest, layout};

use super::{FileDigest, Store, read_manifest, tree::expected};
use crate::failure::{Failure, Result};

/// Outcome of [`verify`]; `Display` is the report a person reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// URI of the folder whose files were checked.
    pub uri: String,
    pub files: usize,
    pub bytes: u64,
    /// Sorted by path; empty means that everything is as recorded.
    pub problems: Vec<FileProblem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileProblem {
    Missing { path: String },
    Differs { path: String, expected: FileDigest, found: FileDigest },
}

impl VerifyReport {
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// # Errors
    /// 65 with every problem, if there is one.
    pub fn into_result(self) -> Result<()> {
        if self.is_ok() { Ok(()) } else { Err(Failure::input(self.to_string())) }
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} files, {} bytes, ", self.uri, self.files, self.bytes)?;
        match self.problems.len() {
            0 => f.write_str("all as recorded")?,
            n => write!(f, "{n} not as recorded")?,
        }
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(f, "{path}: missing"),
            Self::Differs { path, expected: e, found } => {
                write!(
                    f,
                    "{path}: expected sha256 {} ({} bytes), found {} ({} bytes)",
                    e.sha256, e.size, found.sha256, found.size
                )
            }
        }
    }
}

/// The manifest of the stage in `stage_dir`, `None` if it is not done. Its files are there, of the sizes that it states.
///
/// # Errors
/// As [`read_manifest`]; 65 when a file is gone or of another size: such a stage can't be used and must not be made over.
pub fn finished(store: &Store, stage_dir: &str) -> Result<Option<Manifest>> {
    let Some(manifest) = read_manifest(store, &below(stage_dir, layout::MANIFEST))? else { return Ok(None) };
    let home = format!("{stage_dir}/");
    let sizes: BTreeMap<String, u64> = store
        .list(stage_dir)?
        .into_iter()
        .filter_map(|listed| Some((listed.path.strip_prefix(&home)?.to_owned(), listed.size)))
        .collect();
    let wrong = |entry: &&FileEntry| sizes.get(&entry.path) != Some(&entry.size);
    let Some(first) = manifest.files.iter().find(wrong) else { return Ok(Some(manifest)) };
    let what = match sizes.get(&first.path) {
        None => "is gone".to_owned(),
        Some(size) => format!("has {size} bytes instead of {}", first.size),
    };
    Err(Failure::input(format!(
        "{}: is finished by its manifest, but {} {what} ({} of {} files are not as recorded); restore them, or delete \
         the folder to run the stage again",
        store.uri_of(stage_dir),
        first.path,
        manifest.files.iter().filter(wrong).count(),
        manifest.files.len()
    )))
}

/// Hashes every file that the manifest at `path`, or in the folder `path`, lists.
///
/// # Errors
/// 65 when there is no manifest; a damaged file is not an error but a problem in the report.
pub fn verify(store: &Store, path: &str) -> Result<VerifyReport> {
    let folder = path.strip_suffix(layout::MANIFEST).unwrap_or(path).trim_end_matches('/');
    let path = below(folder, layout::MANIFEST);
    let absent = || {
        Failure::input(format!("{}: not found: the stage is not done, or this is not its folder", store.uri_of(&path)))
    };
    let manifest = read_manifest(store, &path)?.ok_or_else(absent)?;
    verify_files(store, folder, &manifest.files)
}

/// Hashes `entries`, whose paths are relative to `folder`.
pub fn verify_files(store: &Store, folder: &str, entries: &[FileEntry]) -> Result<VerifyReport> {
    let mut report = VerifyReport { uri: store.uri_of(folder), files: entries.len(), bytes: 0, problems: Vec::new() };
    for entry in entries {
        let path = entry.path.clone();
        let expected = expected(entry);
        match store.digest(&below(folder, &path))? {
            None => report.problems.push(FileProblem::Missing { path }),
            Some(found) => {
                report.bytes += found.size;
                if found != expected {
                    report.problems.push(FileProblem::Differs { path, expected, found });
                }
            }
        }
    }
    report.problems.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(report)
}

fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

impl FileProblem {
    pub fn path(&self) -> &str {
        match self {
            Self::Missing { path } | Self::Differs { path, .. } => path,
        }
    }
}
