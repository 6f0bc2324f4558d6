//! Where a training's inputs, caches and results are on this machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use medtrain_crds::contract::{ExitCode, StoreAccess};
use medtrain_crds::resolve::Resolved;
use medtrain_crds::training::HubSpec;

use crate::artifact::{Access, RunId, Store};
use crate::device;
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
    access: Access,
    /// The most memory that a stage may take, where it will run here.
    pub(super) memory: Option<u64>,
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
        let mut ws = Self::at(&output, yaml_folder, workdir, Access::local(&resolved.storage), resolved.hub.as_ref())?;
        ws.memory = device::memory::limit();
        Ok(ws)
    }

    /// The workspace of a preflight pod; the stages run elsewhere. `output` and all paths are absolute.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn in_pod(output: &str, workdir: Option<PathBuf>, access: Access, hub: Option<&HubSpec>) -> Result<Self> {
        let mut ws = Self::at(output, Path::new("/"), workdir, access, hub)?;
        ws.adapt_hub_to_pod();
        Ok(ws)
    }

    /// The workspace of a stage that knows no resource, only its plan and how its stores are reached; the hub is reached
    /// as the environment says.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_stage(output: &str, base: &Path, workdir: Option<PathBuf>, storage: Vec<StoreAccess>) -> Result<Self> {
        let mut ws = Self::at(output, base, workdir, Access::in_pod(storage), None)?;
        ws.adapt_hub_to_pod();
        Ok(ws)
    }

    /// A pod has no home directory: what it downloads goes where its volume is. Nobody waits for it at a terminal: an
    /// outage of the network is waited out.
    fn adapt_hub_to_pod(&mut self) {
        self.hub.patience_to_reach = self.hub.patience;
        if ["HF_HUB_CACHE", "HF_HOME"].iter().all(|name| env::var_os(name).is_none()) {
            self.hub.cache_dir = Some(self.workdir.join("hub"));
        }
    }

    fn at(output: &str, base: &Path, workdir: Option<PathBuf>, access: Access, hub: Option<&HubSpec>) -> Result<Self> {
        let workdir = workdir.map_or_else(default_workdir, Ok)?;
        let workdir = std::path::absolute(&workdir).map_err(|error| Failure::io(&workdir, &error))?;
        make_writable(&workdir).map_err(|failure| failure.at(WORKDIR))?;
        let store = Store::open(output, &access.options(output)).map_err(|failure| failure.at(OUTPUT))?;
        let mut from_env = Hub::from_env();
        from_env.endpoint = hub.and_then(|hub| hub.endpoint.clone());
        Ok(Self { base: base.to_owned(), workdir, store, hub: from_env, access, memory: None })
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
        Store::open(uri, &self.access.options(uri))
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

fn default_workdir() -> Result<PathBuf> {
    let dir = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = dir("XDG_CACHE_HOME").or_else(|| Some(dir("HOME")?.join(".cache")));
    cache
        .map(|cache| cache.join("medtrain"))
        .ok_or_else(|| Failure::config("neither XDG_CACHE_HOME nor HOME is set; name a work directory by --workdir"))
}
