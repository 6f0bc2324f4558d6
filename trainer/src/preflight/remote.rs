//! Copies of a store's objects in the work directory.
//!
//! Holds: a copy is used again only if the store still has the object under the tag and size it was copied with.

use std::fs;
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
    let store = ws.open_store(uri)?;
    let files: Vec<Listed> = store.list("")?.into_iter().filter(|object| is_model_file(&object.path)).collect();
    if files.is_empty() {
        return Err(Failure::input(format!("{uri}: no model here; name the folder that holds config.json")));
    }
    files.iter().try_for_each(|object| copy(&store, object, &target.join(&object.path)))
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
