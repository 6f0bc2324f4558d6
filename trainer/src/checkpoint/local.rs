//! Checkpoints as folders of this machine.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use super::State;
use crate::{
    artifact::RunId,
    failure::{Failure, Result},
};

const PREFIX: &str = "checkpoint-";

/// A checkpoint being written: add files to [`Draft::path`], then [`Draft::finish`] gives it its name. Dropping an
/// unfinished draft deletes it.
pub struct Draft {
    hidden: PathBuf,
    named: PathBuf,
    state: State,
}

impl Draft {
    /// # Errors
    /// As [`Failure::io`].
    pub fn new(parent: &Path, state: State) -> Result<Self> {
        let name = format!("{PREFIX}{}", state.step);
        let hidden = parent.join(format!(".{name}.{}", RunId::random()?));
        std::fs::create_dir_all(&hidden).map_err(|e| Failure::io(&hidden, &e))?;
        Ok(Self { hidden, named: parent.join(name), state })
    }

    /// Where the adapter, `trainer_state.json` and whatever else belongs to the checkpoint are written to.
    pub fn path(&self) -> &Path {
        &self.hidden
    }

    /// Writes the state, makes everything durable, and renames the folder to `checkpoint-<step>`, replacing one of the
    /// same step. Returns the folder.
    ///
    /// # Errors
    /// As [`Failure::io`]; a checkpoint of the same step that was there before then still is.
    pub fn finish(self) -> Result<PathBuf> {
        self.state.write(&self.hidden)?;
        sync_tree(&self.hidden)?;
        let fails = |e: std::io::Error| Failure::io(&self.named, &e);
        if self.named.exists() {
            let old = self.hidden.with_extension("old");
            std::fs::rename(&self.named, &old).map_err(fails)?;
            std::fs::rename(&self.hidden, &self.named).map_err(fails)?;
            std::fs::remove_dir_all(&old).map_err(fails)?;
        } else {
            std::fs::rename(&self.hidden, &self.named).map_err(fails)?;
        }
        sync(self.named.parent().unwrap_or(Path::new("/")))?;
        Ok(self.named.clone())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.hidden); // gone already when finished
    }
}

/// Writes a checkpoint without further files into `parent`.
///
/// # Errors
/// As [`Draft::finish`].
pub fn save(parent: &Path, state: &State) -> Result<PathBuf> {
    Draft::new(parent, state.clone())?.finish()
}

/// Reads the checkpoint in `folder`.
///
/// # Errors
/// 65, naming the file, when it is missing or damaged.
pub fn load(folder: &Path) -> Result<State> {
    State::read(folder)
}

/// The newest checkpoint below a folder that is not damaged.
#[derive(Debug)]
pub struct Newest {
    pub folder: PathBuf,
    pub state: State,
    /// One sentence for each newer checkpoint that had to be passed over.
    pub skipped: Vec<String>,
}

/// Looks through `parent/checkpoint-*`, newest first, and loads the first one that is whole.
///
/// # Errors
/// As [`Failure::io`] for anything but damage.
pub fn newest_valid_local(parent: &Path) -> Result<Option<Newest>> {
    let mut skipped = Vec::new();
    for (_, folder) in found(parent)?.into_iter().rev() {
        match load(&folder) {
            Ok(state) => return Ok(Some(Newest { folder, state, skipped })),
            Err(failure) if failure.exit == medtrain_crds::contract::ExitCode::Input => skipped.push(failure.message),
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

/// Deletes all but the newest `keep` checkpoints below `parent`, and what interrupted drafts left.
///
/// # Errors
/// As [`Failure::io`].
pub fn prune_local(parent: &Path, keep: usize) -> Result<()> {
    let found = found(parent)?;
    for (_, folder) in &found[..found.len().saturating_sub(keep)] {
        std::fs::remove_dir_all(folder).map_err(|e| Failure::io(folder, &e))?;
    }
    for name in names(parent)?.iter().filter(|name| name.starts_with(&format!(".{PREFIX}"))) {
        let left = parent.join(name);
        std::fs::remove_dir_all(&left).map_err(|e| Failure::io(&left, &e))?;
    }
    Ok(())
}

/// Checkpoints by ascending step.
fn found(parent: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let step = |name: &String| name.strip_prefix(PREFIX)?.parse().ok();
    let mut found: Vec<_> = names(parent)?.iter().filter_map(|name| Some((step(name)?, parent.join(name)))).collect();
    found.sort();
    Ok(found)
}

fn names(parent: &Path) -> Result<Vec<String>> {
    let fails = |e: std::io::Error| Failure::io(parent, &e);
    if !parent.exists() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(parent).map_err(fails)?.collect::<std::io::Result<Vec<_>>>().map_err(fails)?;
    Ok(entries.into_iter().filter_map(|e| e.file_name().into_string().ok()).collect())
}

fn sync_tree(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(|e| Failure::io(folder, &e))? {
        let path = entry.map_err(|e| Failure::io(folder, &e))?.path();
        if path.is_dir() { sync_tree(&path)? } else { sync(&path)? }
    }
    sync(folder)
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| Failure::io(path, &e))
}
