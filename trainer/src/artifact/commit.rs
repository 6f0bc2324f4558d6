//! The commit of a stage: everything is uploaded first, then `manifest.json` by one conditional put.
//!
//! Holds: a reader that sees the manifest sees every file it lists; two writers never both win; a writer that loses
//! leaves only files under its own attempt prefix.

use std::path::Path;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Created, Manifest, RunId, Store};
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
    let path = format!("{stage_dir}/manifest.json");
    let bytes = to_json(manifest)?;
    if store.create(&path, bytes.clone())? == Created::Created {
        return Ok(Committed::Won);
    }
    match store.get(&path)? {
        Some(theirs) if theirs == bytes => Ok(Committed::Won), // our own put, whose answer was lost
        Some(theirs) => Ok(Committed::Lost(Box::new(parse(store, &path, &theirs)?))),
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
    store.get(path)?.map(|bytes| parse(store, path, &bytes)).transpose()
}

/// What `trainings/<namespace>.<name>/<stage>.json` holds: where a training's stage is or will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pointer {
    /// The stage's whole key.
    pub key: String,
    /// Path of the stage's manifest in the same store; the stage is done when it exists.
    pub manifest: String,
}

/// Written when a training is planned and again when its stage is done, so that a garbage collection can count uses.
pub fn write_pointer(store: &Store, path: &str, pointer: &Pointer) -> Result<()> {
    store.put(path, to_json(pointer)?)
}

pub fn read_pointer(store: &Store, path: &str) -> Result<Option<Pointer>> {
    store.get(path)?.map(|bytes| parse(store, path, &bytes)).transpose()
}

/// Points `latest/<name>` at the folder `target` of the same store, atomically. Only for people, only in local stores:
/// elsewhere it does nothing.
///
/// # Errors
/// As [`Failure::io`].
pub fn link_latest(store: &Store, name: &str, target: &str) -> Result<()> {
    let Some(root) = store.local_path("") else { return Ok(()) };
    let link = root.join("latest").join(name);
    let up: String = "../".repeat(1 + name.matches('/').count());
    let fails = |e| Failure::io(&link, &e);
    let folder = link.parent().unwrap_or(&root);
    std::fs::create_dir_all(folder).map_err(fails)?;
    let fresh = folder.join(format!(".{}.{}", file_name(&link), RunId::random()?));
    std::os::unix::fs::symlink(Path::new(&up).join(target), &fresh).map_err(fails)?;
    std::fs::rename(&fresh, &link).map_err(|e| {
        let _ = std::fs::remove_file(&fresh);
        fails(e)
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Pretty, with a final newline: people read these files.
pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| Failure::internal(format!("a contract file can't be written: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

pub(crate) fn parse<T: DeserializeOwned>(store: &Store, path: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| {
        Failure::input(format!(
            "{}: damaged or of another version of medtrain: {e}; restore it, or delete its folder to make it again",
            store.uri_of(path)
        ))
    })
}
