//! The commit of a stage: everything is uploaded first, then `manifest.json` by one conditional put.
//!
//! Holds: a reader that sees the manifest sees every file it lists; two writers never both win; a writer that loses
//! leaves only files under its own attempt prefix.

use std::path::Path;

use medtrain_crds::contract::{ContractError, Manifest, Pointer, layout};

use super::{Created, RunId, Store};
use crate::failure::{Failure, Result};

/// How a [`commit`] went.
#[derive(Clone, Debug, PartialEq)]
pub enum Committed {
    Won,
    /// Another attempt finished first: its manifest is the truth, and the loser's work is done too (exit 0).
    Lost(Box<Manifest>),
}

/// Writes `<stage_dir>/manifest.json` if no attempt did yet. The files it lists must be uploaded already.
///
/// # Errors
/// As [`Store::create`]; 65 when the winner's manifest can't be read.
pub fn commit(store: &Store, stage_dir: &str, manifest: &Manifest) -> Result<Committed> {
    let path = format!("{stage_dir}/{}", layout::MANIFEST);
    let bytes = manifest.to_json();
    if store.create(&path, bytes.clone())? == Created::Created {
        return Ok(Committed::Won);
    }
    match store.get(&path)? {
        Some(theirs) if theirs == bytes.as_bytes() => Ok(Committed::Won), // our own put, whose answer was lost
        Some(theirs) => Ok(Committed::Lost(Box::new(readable(store, &path, Manifest::parse(&theirs))?))),
        None => {
            Err(Failure::input(format!("{}: deleted while this attempt was finishing; run again", store.uri_of(&path))))
        }
    }
}

/// The manifest at `path`, `None` if the stage is not done.
///
/// # Errors
/// 65 when the file is no manifest, or of a contract this program can't read.
pub fn read_manifest(store: &Store, path: &str) -> Result<Option<Manifest>> {
    store.get(path)?.map(|bytes| readable(store, path, Manifest::parse(&bytes))).transpose()
}

/// Written when a training is planned and again when its stage is done, so that a garbage collection can count uses.
pub fn write_pointer(store: &Store, path: &str, pointer: &Pointer) -> Result<()> {
    store.put(path, pointer.to_json())
}

pub fn read_pointer(store: &Store, path: &str) -> Result<Option<Pointer>> {
    store.get(path)?.map(|bytes| readable(store, path, Pointer::parse(&bytes))).transpose()
}

/// Points `latest/<name>` at the folder `target` of the same store, atomically. Only for people, only in local stores:
/// elsewhere it does nothing.
///
/// # Errors
/// As [`Failure::io`].
pub fn link_latest(store: &Store, name: &str, target: &str) -> Result<()> {
    let Some(root) = store.local_path("") else { return Ok(()) };
    let up: String = "../".repeat(1 + name.matches('/').count());
    link(&root.join("latest").join(name), &Path::new(&up).join(target))
}

/// Points `<stage_dir>/merged` at the winning attempt's merged model: the name that adapters of later stages give as
/// their base, which must not depend on the attempt. Only in local stores.
///
/// # Errors
/// As [`Failure::io`].
pub fn link_merged(store: &Store, stage_dir: &str, prefix: &str) -> Result<()> {
    let Some(root) = store.local_path(stage_dir) else { return Ok(()) };
    link(&root.join("merged"), &Path::new(prefix).join("merged"))
}

/// Makes `path` a symbolic link to `target`, replacing one that is there.
fn link(path: &Path, target: &Path) -> Result<()> {
    let fails = |e| Failure::io(path, &e);
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(fails)?;
    let fresh = folder.join(format!(".{}.{}", file_name(path), RunId::random()?));
    std::os::unix::fs::symlink(target, &fresh).map_err(fails)?;
    std::fs::rename(&fresh, path).map_err(|e| {
        let _ = std::fs::remove_file(&fresh);
        fails(e)
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A contract file that can't be read is a missing input (65), with its place and the way out.
pub(crate) fn readable<T>(store: &Store, path: &str, parsed: std::result::Result<T, ContractError>) -> Result<T> {
    parsed.map_err(|e| {
        Failure::input(format!("{}: {e}; restore it, or delete its folder to make it again", store.uri_of(path)))
    })
}
