//! Copies of a store's objects in the work directory.
//!
//! Holds: a copy is used again only if the store still has the object under the tag and size it was copied with; a copied
//! folder holds nothing that its original has lost.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::json;

use super::Workspace;
use crate::artifact::{Listed, Store};
use crate::failure::{Failure, Result};
use crate::weights::source::is_model_file;

/// Copies `object` to `file`, unless that is a copy of it already.
///
/// # Errors
/// As [`Store::download`].
pub(super) fn copy(store: &Store, object: &Listed, file: &Path) -> Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let receipt = file.with_file_name(format!(".{name}.origin"));
    let origin = json!({"uri": store.uri_of(&object.path), "size": object.size, "etag": object.etag}).to_string();
    let is_copy = object.etag.is_some()
        && fs::metadata(file).is_ok_and(|found| found.len() == object.size)
        && fs::read_to_string(&receipt).is_ok_and(|found| found == origin);
    if is_copy {
        return Ok(());
    }
    // First, so that an old receipt never stands beside a new file.
    let _ = fs::remove_file(&receipt);
    store.download(&object.path, file, None)?;
    fs::write(&receipt, origin).map_err(|error| Failure::io(&receipt, &error))
}

/// What lies under `uri`, a model directory or a `.gguf` file, to `target`.
///
/// # Errors
/// 65 when there is no model; as [`Store::download`].
pub(super) fn copy_model(ws: &Workspace, uri: &str, target: &Path) -> Result<()> {
    if uri.ends_with(".gguf") {
        let (store, object) = object(ws, uri)?;
        return copy(&store, &object, target);
    }
    match copy_folder(ws, uri, target, &is_model_file)? {
        0 => Err(Failure::input(format!("{uri}: no model here; name the folder that holds config.json"))),
        _ => Ok(()),
    }
}

/// The files of the folder `uri` that `wanted` says, without those in folders of it, to `target`; how many there are.
///
/// # Errors
/// As [`Store::download`].
pub(super) fn copy_folder(ws: &Workspace, uri: &str, target: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<usize> {
    let store = ws.open_store(uri)?;
    let files: Vec<Listed> = store.list("")?.into_iter().filter(|object| wanted(&object.path)).collect();
    fs::create_dir_all(target).map_err(|error| Failure::io(target, &error))?;
    for entry in fs::read_dir(target).map_err(|error| Failure::io(target, &error))? {
        let entry = entry.map_err(|error| Failure::io(target, &error))?;
        let is_old = |name: &str| wanted(name) && files.iter().all(|file| file.path != name);
        if entry.file_name().to_str().is_some_and(is_old) {
            match fs::remove_file(entry.path()) {
                // Another run with the same work directory was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.map_err(|error| Failure::io(&entry.path(), &error))?,
            }
        }
    }
    files.iter().try_for_each(|object| copy(&store, object, &target.join(&object.path)))?;
    Ok(files.len())
}

/// The one object at `uri`, in the store of its folder.
///
/// # Errors
/// 65 when there is none.
pub(super) fn object(ws: &Workspace, uri: &str) -> Result<(Store, Listed)> {
    let (folder, name) = parent(uri);
    let store = ws.open_store(folder)?;
    match store.find(name)? {
        Some(object) => Ok((store, object)),
        None => Err(Failure::input(format!("{uri}: not found"))),
    }
}

/// `s3://bucket/a/b.jsonl` to `s3://bucket/a` and `b.jsonl`; a bucket alone has an empty name.
pub(super) fn parent(uri: &str) -> (&str, &str) {
    let after_scheme = uri.find("://").map_or(0, |at| at + 3);
    match uri[after_scheme..].rfind('/') {
        Some(slash) => (&uri[..after_scheme + slash], &uri[after_scheme + slash + 1..]),
        None => (uri, ""),
    }
}
