//! From a model URI to a local directory with a digest: the hub, a local directory, a GGUF file, an object store.
//!
//! Holds: equal digests mean equal configuration, tokenizer, template and weights; whatever is made on the way lies
//! below the work directory, which may be deleted at any time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::digests::Digests;
use super::dtype::Dtype;
use super::gguf_import::{RECEIPT, import_gguf};
use super::hub::Hub;
use super::hub_uri::{HubUri, RepoKind, percent_decode};
use super::model_files::{INDEX, SINGLE};
use super::peft;
use crate::failure::{Failure, Result};

/// A model or an adapter on the local disk.
#[derive(Debug, PartialEq, Eq)]
pub struct ResolvedModel {
    pub dir: PathBuf,
    /// The hub commit, or the sha256 over the files that matter.
    pub digest: String,
    /// Set for models of the hub.
    pub commit: Option<String>,
}

/// One file of a data set of the hub.
#[derive(Debug, PartialEq, Eq)]
pub struct HubDataFile {
    /// Path in the repository.
    pub name: String,
    pub path: PathBuf,
}

/// What is needed to get models.
pub struct Sources<'a> {
    pub hub: Hub,
    /// Caches and scratch.
    pub workdir: &'a Path,
    /// Relative paths start here: the folder of the YAML.
    pub base: &'a Path,
    /// Copies what lies under a URI of an object store to a local directory, or to a file for one `.gguf`; called each
    /// time, so it may skip what is there.
    pub fetch: &'a dyn Fn(&str, &Path) -> Result<()>,
}

impl Sources<'_> {
    /// `uri`: `hf://…`, `file://…`, a path, or a URI that `fetch` knows; each may end in `.gguf`.
    ///
    /// Errors: see [`Hub::files`] and [`import_gguf`]; a directory that holds neither a model nor an adapter.
    pub fn model(&self, uri: &str, revision: Option<&str>) -> Result<ResolvedModel> {
        if uri.starts_with("hf://") {
            return self.hub_model(HubUri::parse(uri)?.at_revision(revision)?);
        }
        if let Some(revision) = revision {
            return Err(Failure::config(format!(
                "{uri}: revision \"{revision}\" is for models of the hub (hf://); drop it"
            )));
        }
        let path = match uri.split_once("://") {
            Some(("file", path)) => PathBuf::from(percent_decode(path)),
            None => self.base.join(uri),
            Some(_) => self.fetched(uri)?,
        };
        if is_gguf(uri) { self.imported(&path) } else { self.local(path) }
    }

    /// The files of `hf://datasets/org/name[@revision]/glob`, sorted by path, and their commit. In the glob `*` stays
    /// within a folder and `**` doesn't.
    pub fn hub_dataset(&self, uri: &str, revision: Option<&str>) -> Result<(String, Vec<HubDataFile>)> {
        let uri = HubUri::parse(uri)?.at_revision(revision)?;
        let (RepoKind::Dataset, Some(path)) = (uri.kind, &uri.path) else {
            return Err(Failure::config(format!("{uri}: is a model; data is hf://datasets/org/name/path")));
        };
        let pattern = glob::Pattern::new(path).map_err(|e| Failure::config(format!("{uri}: not a glob ({e})")))?;
        let options = glob::MatchOptions { require_literal_separator: true, ..Default::default() };
        let found = self.hub.files(&uri, &|path| pattern.matches_with(path, options))?;
        let files = found.files.into_iter().map(|name| HubDataFile { path: found.dir.join(&name), name }).collect();
        Ok((found.commit, files))
    }

    fn hub_model(&self, uri: HubUri) -> Result<ResolvedModel> {
        if uri.kind == RepoKind::Dataset {
            return Err(Failure::config(format!("{uri}: is a data set; a model is hf://org/name")));
        }
        if let Some(path) = uri.path.clone() {
            if !is_gguf(&path) {
                return Err(Failure::config(format!("{uri}: only a .gguf file can be named inside a repository")));
            }
            let found = self.hub.files(&uri, &|name| name == path)?;
            let imported = self.imported(&found.dir.join(path))?;
            return Ok(ResolvedModel { commit: Some(found.commit), ..imported });
        }
        let found = self.hub.files(&uri, &is_model_file)?;
        let place = |failure: Failure| failure.at(&uri);
        check_complete(&found.dir).map_err(place)?;
        Ok(ResolvedModel { dir: found.dir, digest: found.commit.clone(), commit: Some(found.commit) })
    }

    fn local(&self, dir: PathBuf) -> Result<ResolvedModel> {
        if dir.is_file() {
            return Err(Failure::config(format!(
                "{}: is a file; name a model directory or a .gguf file",
                dir.display()
            )));
        }
        check_complete(&dir)?;
        let digest = directory_digest(&dir, &Digests::new(self.workdir))?;
        Ok(ResolvedModel { dir, digest, commit: None })
    }

    /// The import of a GGUF file, in f32, kept under the file's own digest.
    fn imported(&self, gguf: &Path) -> Result<ResolvedModel> {
        let sha256 = Digests::new(self.workdir).sha256(gguf)?;
        let imports = self.workdir.join("imports");
        let dir = imports.join(&sha256);
        if !dir.join(RECEIPT).exists() {
            fs::create_dir_all(&imports).map_err(|e| Failure::io(&imports, &e))?;
            // Two runs that share a work directory import a file once.
            let lock_path = imports.join(".lock");
            let lock = File::create(&lock_path).map_err(|e| Failure::io(&lock_path, &e))?;
            lock.lock().map_err(|e| Failure::io(&lock_path, &e))?;
            import_gguf(gguf, &dir, Dtype::Float32)?;
        }
        self.local(dir)
    }

    fn fetched(&self, uri: &str) -> Result<PathBuf> {
        let folder = hex::encode(&Sha256::digest(uri)[..16]);
        let dir = self.workdir.join("models").join(folder);
        let target = if is_gguf(uri) { dir.join("model.gguf") } else { dir.clone() };
        fs::create_dir_all(&dir).map_err(|e| Failure::io(&dir, &e))?;
        (self.fetch)(uri, &target)?;
        Ok(target)
    }
}

/// Is a file of this name, at the top of a repository, needed of a model or an adapter?
pub fn is_model_file(name: &str) -> bool {
    decides_results(name) || name == peft::BASE_RECORD
}

/// Of the files that are needed, those that make the model or the adapter what it is. The record of an adapter's base
/// only guards its use, and an adapter is the same with and without it.
fn decides_results(name: &str) -> bool {
    const NAMES: [&str; 13] = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "chat_template.jinja",
        "chat_template.json",
        peft::CONFIG,
        peft::WEIGHTS,
    ];
    let weights = name.starts_with("model") && (name.ends_with(".safetensors") || name == INDEX);
    !name.contains('/') && (NAMES.contains(&name) || weights)
}

/// sha256 over the names and digests of the files that make up a model or an adapter.
pub fn directory_digest(dir: &Path, digests: &Digests) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| Failure::io(dir, &e))? {
        let entry = entry.map_err(|e| Failure::io(dir, &e))?;
        names.extend(entry.file_name().into_string().ok().filter(|name| decides_results(name)));
    }
    names.sort();
    let mut hasher = Sha256::new();
    for name in names {
        hasher.update(format!("{}  {name}\n", digests.sha256(&dir.join(&name))?));
    }
    Ok(hex::encode(hasher.finalize()))
}

/// `; did you mean …?` for the folder of a stage, whose model and adapter lie a level down, else nothing: the folders in
/// `dir` that hold one of `files`.
pub fn did_you_mean(dir: &Path, files: &[&str]) -> String {
    let holds = |folder: &PathBuf| files.iter().any(|file| folder.join(file).is_file());
    let found = ["adapter", "merged"].iter().map(|name| dir.join(name)).filter(holds);
    match found.map(|folder| folder.display().to_string()).collect::<Vec<_>>() {
        none if none.is_empty() => String::new(),
        some => format!("; did you mean {}?", some.join(" or ")),
    }
}

/// Errors if `dir` holds neither a whole model nor a whole adapter, as far as names tell.
fn check_complete(dir: &Path) -> Result<()> {
    if peft::is_adapter(dir) {
        return Ok(());
    }
    if !dir.is_dir() {
        return Err(Failure::input(format!(
            "{}: no such directory; a model of the hub is written hf://org/name",
            dir.display()
        )));
    }
    if !dir.join("config.json").is_file() {
        return Err(Failure::input(format!(
            "{}: neither config.json nor {}, so this is no model and no adapter{}",
            dir.display(),
            peft::CONFIG,
            did_you_mean(dir, &["config.json", peft::CONFIG])
        )));
    }
    // Headers are read when the weights are; a name that is missing should not wait for that.
    if dir.join(SINGLE).is_file() || dir.join(INDEX).is_file() {
        Ok(())
    } else {
        super::ModelFiles::open(dir).map(drop)
    }
}

fn is_gguf(uri: &str) -> bool {
    uri.ends_with(".gguf")
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
