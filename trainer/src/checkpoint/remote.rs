//! Checkpoints in the store: `<stage_dir>/checkpoints/<step>-<run8>/…`, each with its own manifest, written last.
//!
//! Holds: a run writes and prunes only folders with its own `run8`, so an old writer that is still alive harms nobody.

use std::path::{Path, PathBuf};

use medtrain_crds::contract::{CheckpointManifest, ExitCode, layout};

use crate::{
    artifact::{Created, RunId, Store, download_dir, readable, upload_dir, verify_files},
    failure::{Failure, Result},
};

/// A finished checkpoint in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointRef {
    pub step: u64,
    pub run: RunId,
    /// Folder in the store.
    pub folder: String,
    pub manifest: CheckpointManifest,
}

/// A checkpoint that is on this machine and checked.
#[derive(Debug)]
pub struct Restored {
    pub reference: CheckpointRef,
    /// To be read only: in a local store this is the store's own folder.
    pub folder: PathBuf,
    /// One sentence for each newer checkpoint that was damaged.
    pub skipped: Vec<String>,
}

/// Uploads the local checkpoint `folder` and then `manifest` with the files that were uploaded. Publishing a step
/// again does nothing.
///
/// # Errors
/// As [`Store::upload`]; 70 when the manifest's `run8` is none.
pub fn publish(
    store: &Store,
    stage_dir: &str,
    folder: &Path,
    mut manifest: CheckpointManifest,
) -> Result<CheckpointRef> {
    let run =
        RunId::parse(&manifest.run8).ok_or_else(|| Failure::internal(format!("\"{}\" is no run id", manifest.run8)))?;
    let step = manifest.step;
    let home = folder_of(stage_dir, step, &run);
    let path = format!("{home}/{}", layout::MANIFEST);
    if let Some(bytes) = store.get(&path)? {
        let manifest = readable(store, &path, CheckpointManifest::parse(&bytes))?;
        return Ok(CheckpointRef { step, run, manifest, folder: home });
    }
    manifest.files = upload_dir(store, folder, &home, "")?;
    let bytes = manifest.to_json();
    match store.create(&path, bytes.clone())? {
        Created::Created => {}
        Created::Exists if store.get(&path)?.as_deref() == Some(bytes.as_bytes()) => {} // our answer was lost
        Created::Exists => {
            return Err(Failure::internal(format!("{}: another process writes as run {run}", store.uri_of(&path))));
        }
    }
    Ok(CheckpointRef { step, run, folder: home, manifest })
}

/// The newest checkpoint whose every file has its recorded digest, whoever wrote it, and why newer ones were skipped.
///
/// # Errors
/// For anything but damage: a store that can't be read must not look like a stage without checkpoints.
pub fn newest_valid(store: &Store, stage_dir: &str) -> Result<Option<(CheckpointRef, Vec<String>)>> {
    newest_that(store, stage_dir, |reference| {
        verify_files(store, &reference.folder, &reference.manifest.files)?.into_result()
    })
    .map(|found| found.map(|(reference, (), skipped)| (reference, skipped)))
}

/// As [`newest_valid`], and brings the files to this machine: in place for a local store, else below `scratch`.
///
/// # Errors
/// As [`newest_valid`].
pub fn restore(store: &Store, stage_dir: &str, scratch: &Path) -> Result<Option<Restored>> {
    let found = newest_that(store, stage_dir, |reference| match store.local_path(&reference.folder) {
        Some(folder) => {
            verify_files(store, &reference.folder, &reference.manifest.files)?.into_result()?;
            Ok(folder)
        }
        None => {
            let folder = scratch.join(format!("{}-{}", reference.step, reference.run));
            download_dir(store, &reference.folder, &reference.manifest.files, &folder)?;
            Ok(folder)
        }
    })?;
    Ok(found.map(|(reference, folder, skipped)| Restored { reference, folder, skipped }))
}

/// Deletes all but the newest `save_total_limit` checkpoints that `run` wrote (`None` keeps all).
///
/// # Errors
/// As [`Store::delete`].
pub fn prune(store: &Store, stage_dir: &str, run: &RunId, save_total_limit: Option<usize>) -> Result<()> {
    let Some(keep) = save_total_limit else { return Ok(()) };
    let own = finished(store, stage_dir)?.into_iter().filter(|(_, writer)| writer == run);
    for (step, run) in own.skip(keep.max(1)) {
        store.delete(&folder_of(stage_dir, step, &run))?;
    }
    Ok(())
}

/// Deletes all but the newest `save_total_limit` checkpoints of a finished stage, whoever wrote them (`None` keeps all), and
/// what writers left unfinished: after the commit nobody goes on from it.
///
/// # Errors
/// As [`Store::delete`].
pub fn prune_finished(store: &Store, stage_dir: &str, save_total_limit: Option<usize>) -> Result<()> {
    let keep: Vec<String> = finished(store, stage_dir)?
        .iter()
        .take(save_total_limit.unwrap_or(usize::MAX))
        .map(|(step, run)| folder_of(stage_dir, *step, run))
        .collect();
    let prefix = format!("{stage_dir}/checkpoints/");
    let mut folders: Vec<String> = store
        .list(prefix.trim_end_matches('/'))?
        .iter()
        .filter_map(|object| Some(format!("{prefix}{}", object.path.strip_prefix(&prefix)?.split('/').next()?)))
        .collect();
    folders.dedup();
    folders.iter().filter(|folder| !keep.contains(folder)).try_for_each(|folder| store.delete(folder))
}

fn newest_that<T>(
    store: &Store,
    stage_dir: &str,
    usable: impl Fn(&CheckpointRef) -> Result<T>,
) -> Result<Option<(CheckpointRef, T, Vec<String>)>> {
    let mut skipped = Vec::new();
    for (step, run) in finished(store, stage_dir)? {
        let folder = folder_of(stage_dir, step, &run);
        let attempt = || {
            let path = format!("{folder}/{}", layout::MANIFEST);
            let bytes = store
                .get(&path)?
                .ok_or_else(|| Failure::input(format!("{}: pruned meanwhile", store.uri_of(&path))))?;
            let manifest = readable(store, &path, CheckpointManifest::parse(&bytes))?;
            let reference = CheckpointRef { step, run: run.clone(), folder: folder.clone(), manifest };
            let value = usable(&reference)?;
            Ok((reference, value))
        };
        match attempt() {
            Ok((reference, value)) => return Ok(Some((reference, value, skipped))),
            Err(Failure { exit: ExitCode::Input, message, .. }) => skipped.push(message),
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

/// Checkpoints with a manifest, newest first.
fn finished(store: &Store, stage_dir: &str) -> Result<Vec<(u64, RunId)>> {
    let prefix = format!("{stage_dir}/checkpoints");
    let of_manifest = |path: &str| {
        let (step, run) = layout::parse_checkpoint_dir(path.strip_suffix(layout::MANIFEST)?)?;
        Some((step, RunId::parse(run)?))
    };
    let mut found: Vec<(u64, RunId)> = store.list(&prefix)?.iter().filter_map(|o| of_manifest(&o.path)).collect();
    found.sort();
    found.reverse();
    Ok(found)
}

fn folder_of(stage_dir: &str, step: u64, run: &RunId) -> String {
    format!("{stage_dir}/{}", layout::checkpoint_dir(step, run.as_str()))
}
