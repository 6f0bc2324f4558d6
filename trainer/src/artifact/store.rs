//! One synchronous door to every kind of object store.
//!
//! Holds: paths are relative to the opened URI; a put is whole or absent; a digest is checked before a downloaded file
//! takes its name; memory stays bounded whatever a file's size; transient errors are retried until a deadline, refused
//! access never. Calls block, so they must not come from inside a tokio runtime.

use std::{
    collections::BTreeMap,
    future::Future,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures::TryStreamExt;
use medtrain_crds::contract::ExitCode;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, WriteMultipart, path::Path as StorePath};
use tokio::runtime::Runtime;

use super::{
    FileDigest,
    digest::RunningDigest,
    download::Source,
    location::Location,
    retry::{Trouble, persist},
};
use crate::failure::{Failure, Result};

/// How to reach a store. Credentials come from the environment (the provider's own variables, workload identity)
/// unless a setting names them.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `endpoint`, `region`, `allow_http`, … by the names of `object_store`; an unknown one is an error.
    pub settings: BTreeMap<String, String>,
    /// Variables as the provider calls them (`AWS_ACCESS_KEY_ID`), in place of the process's own. Empty: those.
    pub credentials: BTreeMap<String, String>,
    /// PEM bundle that is trusted besides the public certificates.
    pub ca_file: Option<PathBuf>,
    /// Which part of the resource says so, for messages about refused access.
    pub entry: Option<String>,
    /// For how long a failing operation is tried again before it ends the process with exit code 75.
    pub retry_deadline: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            settings: BTreeMap::new(),
            credentials: BTreeMap::new(),
            ca_file: None,
            entry: None,
            retry_deadline: Duration::from_secs(300),
        }
    }
}

/// Outcome of [`Store::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Created,
    /// Someone else's object has this path; it was left alone.
    Exists,
}

/// An object found by [`Store::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Relative to the store's URI.
    pub path: String,
    pub size: u64,
    /// Changes with the object's content, where the store has such a tag.
    pub etag: Option<String>,
}

#[derive(Clone)]
pub struct Store {
    pub(super) backend: Arc<dyn ObjectStore>,
    base: StorePath,
    uri: String,
    local: Option<PathBuf>,
    /// See [`StoreOptions::entry`].
    entry: Option<String>,
    retry_deadline: Duration,
}

/// Files up to this size go up by one put, larger ones in parts of it (or larger: S3 allows 10,000 parts).
pub(super) const PART: usize = 8 << 20;
/// Parts in flight: with [`PART`], what bounds an upload's memory.
const PARTS_IN_FLIGHT: usize = 6;

impl Store {
    /// Opens `uri`: `file://`, a bare path, `memory://name`, `s3://`, `gs://`, `az://`. Nothing is read or written yet.
    ///
    /// # Errors
    /// 64 when the URI or a setting is wrong.
    pub fn open(uri: &str, options: &StoreOptions) -> Result<Self> {
        let Location { backend, base, uri, local } = Location::parse(uri, options)?;
        let StoreOptions { entry, retry_deadline, .. } = options.clone();
        Ok(Self { backend, base, uri, local, entry, retry_deadline })
    }

    /// Canonical URI, without a trailing slash.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    pub fn uri_of(&self, path: &str) -> String {
        if path.is_empty() { self.uri.clone() } else { format!("{}/{path}", self.uri) }
    }

    /// The file or folder itself, if this store is a folder of this machine: readers may use it in place.
    pub fn local_path(&self, path: &str) -> Option<PathBuf> {
        self.local.as_ref().map(|root| if path.is_empty() { root.clone() } else { root.join(path) })
    }

    /// The object's bytes, `None` if there is none.
    ///
    /// # Errors
    /// As every method here: 77 when refused, 75 when it kept failing, 64 for an unusable path.
    pub fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let at = self.locate(path)?;
        self.run(path, async || match self.backend.get(&at).await {
            Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    pub fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.find(path)?.is_some())
    }

    /// The object at `path`, `None` if there is none.
    pub fn find(&self, path: &str) -> Result<Option<Listed>> {
        let at = self.locate(path)?;
        self.run(path, async || match self.backend.head(&at).await {
            Ok(found) => Ok(Some(Listed { path: path.to_owned(), size: found.size, etag: found.e_tag })),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    /// Writes or replaces an object.
    pub fn put(&self, path: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let (at, bytes) = (self.locate(path)?, bytes.into());
        self.run(path, async || {
            self.backend.put(&at, bytes.clone().into()).await?;
            Ok(())
        })
    }

    /// Writes an object only if there is none at `path`; of several writers one gets `Created`.
    ///
    /// After a lost answer the winner may be told `Exists`: compare the content if it is unique to the writer.
    pub fn create(&self, path: &str, bytes: impl Into<Bytes>) -> Result<Created> {
        let (at, bytes) = (self.locate(path)?, bytes.into());
        self.run(path, async || {
            match self.backend.put_opts(&at, bytes.clone().into(), PutOptions::from(PutMode::Create)).await {
                Ok(_) => Ok(Created::Created),
                Err(Error::AlreadyExists { .. }) => Ok(Created::Exists),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Copies a local file up, in parts, and returns the digest of what was sent.
    pub fn upload(&self, file: &Path, path: &str) -> Result<FileDigest> {
        let at = self.locate(path)?;
        self.run(path, async || {
            let here = |e: std::io::Error| Trouble::Here(Failure::io(file, &e));
            let mut source = std::fs::File::open(file).map_err(here)?;
            let length = source.metadata().map_err(here)?.len();
            let part = PART.max(usize::try_from(length / 9_000 + 1).unwrap_or(usize::MAX));
            let mut digest = RunningDigest::default();
            let mut chunk = read_part(&mut source, part).map_err(here)?;
            digest.update(&chunk);
            if chunk.len() < part {
                self.backend.put(&at, chunk.into()).await?;
                return Ok(digest.finish());
            }
            let mut parts = WriteMultipart::new_with_chunk_size(self.backend.put_multipart(&at).await?, part);
            while !chunk.is_empty() {
                if let Err(error) = parts.wait_for_capacity(PARTS_IN_FLIGHT).await {
                    let _ = parts.abort().await; // the first error is the one that matters
                    return Err(error.into());
                }
                parts.put(chunk);
                chunk = match read_part(&mut source, part) {
                    Ok(chunk) => chunk,
                    Err(error) => {
                        let _ = parts.abort().await;
                        return Err(here(error));
                    }
                };
                digest.update(&chunk);
            }
            parts.finish().await?;
            Ok(digest.finish())
        })
    }

    /// Copies an object down to `file`, by way of a temporary file beside it.
    ///
    /// # Errors
    /// 65 when there is no object, or when its digest is not the expected one; then `file` is untouched.
    pub fn download(&self, path: &str, file: &Path, expect: Option<&FileDigest>) -> Result<()> {
        let at = self.locate(path)?;
        let here = |e: std::io::Error| Failure::io(file, &e);
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(here)?;
        let partial = Partial(partial_name(file)?);
        let source = Source {
            backend: self.backend.as_ref(),
            at: &at,
            uri: &self.uri_of(path),
            local: self.local.is_some(),
            retry_deadline: self.retry_deadline,
        };
        let size = expect.map(|expected| expected.size);
        let found = self.run(path, async || source.download(&partial.0, size).await)?;
        if let Some(expected) = expect {
            self.compare(path, expected, &found)?;
        }
        std::fs::rename(&partial.0, file).map_err(here)
    }

    /// Hashes an object without keeping it; `None` if there is none.
    pub fn digest(&self, path: &str) -> Result<Option<FileDigest>> {
        let at = self.locate(path)?;
        self.run(path, async || {
            let mut stream = match self.backend.get(&at).await {
                Ok(found) => found.into_stream(),
                Err(Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let mut digest = RunningDigest::default();
            while let Some(bytes) = stream.try_next().await? {
                digest.update(&bytes);
            }
            Ok(Some(digest.finish()))
        })
    }

    /// Everything below the folder `prefix`, at any depth, sorted by path; empty if there is no such folder.
    pub fn list(&self, prefix: &str) -> Result<Vec<Listed>> {
        let at = self.locate(prefix)?;
        let mut found =
            self.run(prefix, async || match self.backend.list(Some(&at)).try_collect::<Vec<_>>().await {
                Ok(found) => Ok(found),
                Err(Error::NotFound { .. }) => Ok(Vec::new()),
                Err(error) => Err(error.into()),
            })?;
        found.sort_by(|a, b| a.location.cmp(&b.location));
        let below_base = |location: &StorePath| -> Option<String> {
            let parts: Vec<_> = location.prefix_match(&self.base)?.map(|part| part.as_ref().to_owned()).collect();
            Some(parts.join("/"))
        };
        Ok(found
            .iter()
            .filter_map(|o| Some(Listed { path: below_base(&o.location)?, size: o.size, etag: o.e_tag.clone() }))
            .collect())
    }

    /// Deletes the object or folder `path`; a `manifest.json` in it goes first, so that no reader trusts what is left.
    pub fn delete(&self, path: &str) -> Result<()> {
        if path.is_empty() {
            return Err(Failure::internal(format!("{}: refusing to delete a whole store", self.uri)));
        }
        let mut paths: Vec<String> = self.list(path)?.into_iter().map(|o| o.path).collect();
        paths.push(path.to_owned());
        paths.sort_by_key(|p| !p.ends_with("/manifest.json"));
        for one in &paths {
            let at = self.locate(one)?;
            if self.local_path(one).is_some_and(|p| p.is_dir()) {
                continue;
            }
            self.run(one, async || match self.backend.delete(&at).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            })?;
        }
        match self.local_path(path) {
            Some(folder) if folder.is_dir() => std::fs::remove_dir_all(&folder).map_err(|e| Failure::io(&folder, &e)),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// 65, naming both digests, if they differ.
    pub(super) fn compare(&self, path: &str, expected: &FileDigest, found: &FileDigest) -> Result<()> {
        if expected == found {
            return Ok(());
        }
        Err(Failure::input(format!(
            "{}: not the file that was recorded: expected sha256 {} ({} bytes), found {} ({} bytes); it was changed or damaged: restore it, or delete its stage folder to make it again",
            self.uri_of(path),
            expected.sha256,
            expected.size,
            found.sha256,
            found.size
        )))
    }

    fn locate(&self, path: &str) -> Result<StorePath> {
        let below = StorePath::parse(path)
            .map_err(|e| Failure::config(format!("{}: not a usable path: {e}", self.uri_of(path))))?;
        Ok(self.base.parts().chain(below.parts()).collect())
    }

    fn run<T>(&self, path: &str, attempt: impl AsyncFnMut() -> std::result::Result<T, Trouble>) -> Result<T> {
        let uri = self.uri_of(path);
        block_on(persist(&uri, self.local.is_some(), self.retry_deadline, attempt))?.map_err(|failure| {
            match (&self.entry, failure.exit) {
                (Some(entry), ExitCode::Permission) => {
                    Failure::new(failure.exit, format!("{}; it was reached as {entry} says", failure.message))
                }
                _ => failure,
            }
        })
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.uri).finish()
    }
}

/// All stores share one runtime, which lives as long as the process.
fn block_on<F: Future>(future: F) -> Result<F::Output> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let start =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("store").enable_all().build();
    match RUNTIME.get_or_init(start) {
        Ok(runtime) => Ok(runtime.block_on(future)),
        Err(error) => Err(Failure::internal(format!("the threads for storage can't be started: {error}"))),
    }
}

/// Up to `size` bytes; fewer only at the end of the file.
fn read_part(source: &mut std::fs::File, size: usize) -> std::io::Result<Bytes> {
    let mut part = Vec::with_capacity(size);
    source.take(size as u64).read_to_end(&mut part)?;
    Ok(part.into())
}

/// Deletes a half-written download unless it got its name.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // renamed away or never made: nothing to delete
    }
}

fn partial_name(file: &Path) -> Result<PathBuf> {
    let name = file
        .file_name()
        .ok_or_else(|| Failure::internal(format!("{}: a download needs a file name", file.display())))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.partial", super::RunId::random()?));
    Ok(file.with_file_name(hidden))
}
