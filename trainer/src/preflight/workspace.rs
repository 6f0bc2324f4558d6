//! Where a training's inputs, caches and results are on this machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use medtrain_crds::contract::ExitCode;
use medtrain_crds::resolve::Resolved;
use medtrain_crds::training::{HubSpec, StorageSpec};

use crate::artifact::{RunId, Store, StoreOptions};
use crate::failure::{Failure, Result};
use crate::weights::Hub;

/// How messages call the places of a run.
const WORKDIR: &str = "work directory (--workdir)";
const OUTPUT: &str = "output.uri";

#[derive(Clone, Debug)]
pub struct Workspace {
    /// Relative paths of the resource start here: the folder of its file.
    pub base: PathBuf,
    /// Caches and scratch; may be deleted at any time.
    pub workdir: PathBuf,
    /// The output: where every artifact goes.
    pub store: Store,
    pub hub: Hub,
    storage: Vec<StorageSpec>,
}

impl Workspace {
    /// The workspace of a local run. Without an output in the resource it is `outputs/<name>` of the current directory;
    /// without `workdir` it is `medtrain` in the user's cache directory. The work directory is made, the output isn't.
    ///
    /// # Errors
    /// 64 for an output that is no place for files, 77 for a work directory that can't be written.
    pub fn open(resolved: &Resolved, yaml_folder: &Path, workdir: Option<PathBuf>) -> Result<Self> {
        let output = match &resolved.output {
            Some(uri) if uri.contains("://") => uri.clone(),
            Some(path) => yaml_folder.join(path).display().to_string(),
            None => format!("outputs/{}", resolved.name),
        };
        Self::at(&output, yaml_folder, workdir, resolved.storage.clone(), resolved.hub.as_ref())
    }

    /// The workspace of a stage that knows no resource, only its plan: stores and hub are reached as the environment
    /// says.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_stage(output: &str, base: &Path, workdir: Option<PathBuf>) -> Result<Self> {
        Self::at(output, base, workdir, Vec::new(), None)
    }

    fn at(
        output: &str,
        base: &Path,
        workdir: Option<PathBuf>,
        storage: Vec<StorageSpec>,
        hub: Option<&HubSpec>,
    ) -> Result<Self> {
        let workdir = workdir.map_or_else(default_workdir, Ok)?;
        let workdir = std::path::absolute(&workdir).map_err(|error| Failure::io(&workdir, &error))?;
        make_writable(&workdir).map_err(|failure| failure.at(WORKDIR))?;
        let store = Store::open(output, &store_options(output, &storage)).map_err(|failure| failure.at(OUTPUT))?;
        let mut from_env = Hub::from_env();
        from_env.endpoint = hub.and_then(|hub| hub.endpoint.clone());
        Ok(Self { base: base.to_owned(), workdir, store, hub: from_env, storage })
    }

    /// Whether artifacts can be written. A folder of this machine is not made for it: the nearest one that exists is
    /// tried.
    ///
    /// # Errors
    /// 77 when writing is refused, 75 when the disk is full, 64 for an output that is no folder or a store that can't
    /// hold finished stages.
    pub fn check_output(&self) -> Result<()> {
        let Some(root) = self.store.local_path("") else { return self.store.probe() };
        let nearest = root.ancestors().find(|path| fs::symlink_metadata(path).is_ok()).unwrap_or(Path::new("/"));
        if !nearest.is_dir() {
            return Err(Failure::config(format!("{}: is a file; choose a folder for the output", nearest.display())));
        }
        probe(nearest)
    }

    /// Puts in front of a failing disk's message which place of the run it is, as people name it: the files in the work
    /// directory are none that they know.
    #[must_use]
    pub fn explain(&self, failure: Failure) -> Failure {
        if !matches!(failure.exit, ExitCode::TransientIo | ExitCode::Permission) {
            return failure;
        }
        let roots = [(Some(self.workdir.clone()), WORKDIR), (self.store.local_path(""), OUTPUT)];
        let found = roots
            .into_iter()
            .filter_map(|(root, name)| Some((root?.display().to_string(), name)))
            .filter(|(root, _)| failure.message.contains(root))
            .max_by_key(|(root, _)| root.len());
        match found {
            Some((_, name)) if !failure.message.starts_with(name) => failure.at(name),
            _ => failure,
        }
    }

    /// Opens the store of an input, with the settings that the resource has for it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_store(&self, uri: &str) -> Result<Store> {
        Store::open(uri, &store_options(uri, &self.storage))
    }
}

/// # Errors
/// 64 when a file has this name, 77 when writing is refused, 75 when the disk is full.
fn make_writable(dir: &Path) -> Result<()> {
    if dir.is_file() {
        return Err(Failure::config(format!("{}: is a file; name a folder", dir.display())));
    }
    fs::create_dir_all(dir).map_err(|error| Failure::io(dir, &error))?;
    probe(dir)
}

/// Writes a file into `dir` and removes it.
fn probe(dir: &Path) -> Result<()> {
    let probe = dir.join(format!(".medtrain-probe-{}", RunId::random()?.as_str()));
    let written = fs::write(&probe, "probe");
    let _ = fs::remove_file(&probe); // not there if it could not be written
    written.map_err(|error| Failure::io(dir, &error))
}

/// Endpoint and region of the longest prefix that `uri` begins with. Credentials are the environment's.
fn store_options(uri: &str, storage: &[StorageSpec]) -> StoreOptions {
    let fitting = storage.iter().filter(|entry| uri.starts_with(&entry.uri_prefix));
    let mut options = StoreOptions::default();
    if let Some(entry) = fitting.max_by_key(|entry| entry.uri_prefix.len()) {
        let settings = [("endpoint", &entry.endpoint), ("region", &entry.region)];
        let set = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        options.settings.extend(set);
    }
    options
}

fn default_workdir() -> Result<PathBuf> {
    let dir = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = dir("XDG_CACHE_HOME").or_else(|| Some(dir("HOME")?.join(".cache")));
    cache
        .map(|cache| cache.join("medtrain"))
        .ok_or_else(|| Failure::config("neither XDG_CACHE_HOME nor HOME is set; name a work directory by --workdir"))
}
