//! The Hugging Face hub: `hf://org/name[@revision]` and `hf://datasets/org/name[@revision]/glob` to files in its cache.
//!
//! hf-hub honours HF_ENDPOINT, HF_TOKEN and HF_HOME; offline mode, the check of what was downloaded (hf-hub writes the
//! body of any answer to its cache) and retries over minutes are done here.
//!
//! Holds: a revision is resolved to a commit once, and every file comes from that commit; a file that is returned has
//! the size, and for large files the sha256, that the hub states; offline, nothing is sent.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClient, HFError, HFRepository, RepoType, RepoTypeDataset, RepoTypeModel};
use medtrain_crds::contract::ExitCode;

use super::digests::sha256_of;
use super::hub_uri::{HubUri, RepoKind};
use crate::failure::{Failure, Result};

/// Files downloaded at once.
const PARALLEL: usize = 4;

/// Where and how to reach the hub.
#[derive(Clone, Debug)]
pub struct Hub {
    /// None: HF_ENDPOINT, else the public hub.
    pub endpoint: Option<String>,
    /// None: HF_TOKEN, else the token of `hf auth login`.
    pub token: Option<String>,
    /// None: HF_HUB_CACHE, else HF_HOME.
    pub cache_dir: Option<PathBuf>,
    /// Use the cache only.
    pub offline: bool,
    /// How long a failing network is tried again before it becomes a failure.
    pub patience: Duration,
    /// The same for a hub that can't be reached (no name, no route, nobody listening), until it has answered once.
    pub patience_to_reach: Duration,
}

/// Files of one commit.
#[derive(Debug, PartialEq, Eq)]
pub struct HubFiles {
    /// 40 hexadecimal digits.
    pub commit: String,
    /// The directory that the paths below are relative to.
    pub dir: PathBuf,
    /// Path in the repository, sorted.
    pub files: Vec<String>,
}

/// How far a download has come, over all attempts.
#[derive(Default)]
struct Headway {
    /// The hub has answered as it should.
    reached: Cell<bool>,
    /// Files that have arrived.
    files: Cell<usize>,
}

/// The time that requests have been failing for; a file that arrives ends it.
#[derive(Default)]
struct Outage(Option<(Instant, usize)>);

impl Outage {
    /// One more failure, when `files` have arrived: how long it has been failing.
    fn failed(&mut self, now: Instant, files: usize) -> Duration {
        let began = self.0.filter(|(_, before)| *before == files).map_or(now, |(began, _)| began);
        self.0 = Some((began, files));
        now - began
    }
}

/// An error of one attempt, and whether another one may help.
struct Attempt {
    failure: Failure,
    transient: bool,
    unreachable: bool,
}

impl Hub {
    /// As the environment says; HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE as `huggingface_hub` reads them.
    pub fn from_env() -> Self {
        let is_true = |name: &str| {
            std::env::var(name).is_ok_and(|value| matches!(value.to_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"))
        };
        Self {
            endpoint: None,
            token: None,
            cache_dir: None,
            offline: is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE"),
            patience: Duration::from_secs(5 * 60),
            patience_to_reach: Duration::from_secs(5),
        }
    }

    /// The files of `uri` that `wanted` selects by path, downloaded unless they are in the cache.
    ///
    /// Errors: no such repository or revision, nothing selected (65); token missing or refused (77); a network that
    /// fails for longer than `patience` (75); a cache that can't be written.
    pub fn files(&self, uri: &HubUri, wanted: &(dyn Fn(&str) -> bool + Sync)) -> Result<HubFiles> {
        // A thread of its own: the caller may or may not run inside a tokio runtime, where blocking is forbidden.
        std::thread::scope(|scope| {
            let download = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(|e| Failure::internal(format!("no async runtime: {e}")))?;
                runtime.block_on(self.files_async(uri, wanted))
            });
            download.join().unwrap_or_else(|_| Err(Failure::internal(format!("{uri}: the download panicked"))))
        })
    }

    async fn files_async(&self, uri: &HubUri, wanted: &(dyn Fn(&str) -> bool + Sync)) -> Result<HubFiles> {
        let client = self.client()?;
        if self.offline {
            return cached(&client, uri, wanted);
        }
        const FIRST_PAUSE: Duration = Duration::from_secs(2);
        let (headway, mut outage) = (Headway::default(), Outage::default());
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            let attempt = match uri.kind {
                RepoKind::Model => {
                    let repo = client.model(uri.owner(), uri.name());
                    let commit = repo.info().revision(uri.revision()).send().await.map(|info| info.sha);
                    download::<RepoTypeModel>(&client, &repo, uri, commit, wanted, &headway).await
                }
                RepoKind::Dataset => {
                    let repo = client.dataset(uri.owner(), uri.name());
                    let commit = repo.info().revision(uri.revision()).send().await.map(|info| info.sha);
                    download::<RepoTypeDataset>(&client, &repo, uri, commit, wanted, &headway).await
                }
            };
            let Attempt { failure, transient, unreachable } = match attempt {
                Ok(files) => return Ok(files),
                Err(attempt) => attempt,
            };
            if !transient {
                return Err(failure);
            }
            let failing = outage.failed(Instant::now(), headway.files.get());
            if failing.is_zero() {
                pause = FIRST_PAUSE;
            }
            let patience = match unreachable && !headway.reached.get() {
                true => self.patience_to_reach,
                false => self.patience,
            };
            if failing + pause > patience {
                return Err(Failure::new(
                    failure.exit,
                    format!(
                        "{}; tried for {} s: check the network and HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use a cached copy",
                        failure.message,
                        failing.as_secs()
                    ),
                ));
            }
            if !told {
                eprintln!("{}; trying again for {} s at most", failure.message, patience.as_secs());
                told = true;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }

    fn client(&self) -> Result<HFClient> {
        // Short: longer waits are ours, up to `patience`.
        let mut builder = HFClient::builder().retry_max_attempts(2);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.endpoint(endpoint);
        }
        if let Some(token) = &self.token {
            builder = builder.token(token);
        }
        if let Some(dir) = &self.cache_dir {
            builder = builder.cache_dir(dir);
        }
        builder.build().map_err(|e| Failure::config(format!("the hub client can't be set up ({e}); check HF_ENDPOINT")))
    }
}

async fn download<T: RepoType>(
    client: &HFClient,
    repo: &HFRepository<T>,
    uri: &HubUri,
    commit: std::result::Result<Option<String>, HFError>,
    wanted: &(dyn Fn(&str) -> bool + Sync),
    headway: &Headway,
) -> std::result::Result<HubFiles, Attempt> {
    let commit = commit
        .map_err(|e| attempt(client, uri, e))?
        .filter(|commit| commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()))
        .ok_or_else(|| Attempt::last(Failure::input(format!("{uri}: the hub names no commit for it"))))?;
    headway.reached.set(true);
    let entries: Vec<RepoTreeEntry> = repo
        .list_tree()
        .revision(commit.clone())
        .recursive(true)
        .send()
        .map_err(|e| attempt(client, uri, e))?
        .try_collect()
        .await
        .map_err(|e| attempt(client, uri, e))?;
    let mut files: Vec<(String, u64)> = entries
        .into_iter()
        .filter_map(|entry| match entry {
            RepoTreeEntry::File { path, size, .. } => Some((path, size)),
            RepoTreeEntry::Directory { .. } => None,
        })
        .filter(|(path, _)| is_inside(path) && wanted(path))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Attempt::last(Failure::input(format!("{uri}: no file of commit {commit} is one that is needed"))));
    }
    let folder = repo_folder(client, uri);
    let dir = folder.join("snapshots").join(&commit);
    futures::stream::iter(&files)
        .map(|(path, size)| file(client, repo, uri, &commit, &dir, path, *size))
        .buffer_unordered(PARALLEL)
        .try_for_each(|arrived| {
            headway.files.set(headway.files.get() + usize::from(arrived));
            std::future::ready(Ok(()))
        })
        .await?;
    if uri.revision() != commit {
        let reference = folder.join("refs").join(uri.revision());
        reference
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&reference, &commit))
            .map_err(|e| Attempt::last(Failure::io(&reference, &e)))?;
    }
    Ok(HubFiles { commit, dir, files: files.into_iter().map(|(path, _)| path).collect() })
}

/// One file: present with the right size, or downloaded and checked. Returns whether it was downloaded.
async fn file<T: RepoType>(
    client: &HFClient,
    repo: &HFRepository<T>,
    uri: &HubUri,
    commit: &str,
    dir: &Path,
    path: &str,
    size: u64,
) -> std::result::Result<bool, Attempt> {
    let target = dir.join(path);
    let size_of = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.len());
    match size_of(&target) {
        Some(found) if found == size => return Ok(false),
        Some(_) => forget(&target),
        None => {}
    }
    let downloaded =
        repo.download_file().filename(path).revision(commit).send().await.map_err(|e| attempt(client, uri, e))?;
    let mut problem = match size_of(&downloaded) {
        Some(found) if found == size => None,
        found => Some(format!("{} of {size} bytes arrived", found.unwrap_or(0))),
    };
    // Blobs are named by ETag, and the ETag of a large file is its sha256.
    let blob = downloaded.canonicalize().ok().and_then(|blob| Some(blob.file_name()?.to_str()?.to_owned()));
    if let Some(expected) = blob.filter(|name| problem.is_none() && name.len() == 64)
        && sha256_of(&downloaded).map_err(Attempt::last)? != expected
    {
        problem = Some("its sha256 is not the one that the hub states".to_owned());
    }
    match problem {
        None => Ok(true),
        Some(problem) => {
            forget(&downloaded);
            let message = format!("{uri}: {path}: {problem}");
            let failure = Failure::new(ExitCode::TransientIo, message);
            Err(Attempt { failure, transient: true, unreachable: false })
        }
    }
}

/// Removes a file of the cache and the blob that it points to, so that the next attempt downloads it.
fn forget(pointer: &Path) {
    // What can't be removed shows again as the same mismatch, with its message.
    if let Ok(blob) = pointer.canonicalize() {
        let _ = fs::remove_file(blob);
    }
    let _ = fs::remove_file(pointer);
}

/// What the cache holds of `uri`, without the network.
fn cached(client: &HFClient, uri: &HubUri, wanted: &(dyn Fn(&str) -> bool + Sync)) -> Result<HubFiles> {
    let folder = repo_folder(client, uri);
    let absent = || {
        Failure::input(format!(
            "{uri}: not in the cache ({}), and HF_HUB_OFFLINE is set; unset it, or run once with network access",
            folder.display()
        ))
    };
    let revision = uri.revision();
    let commit = fs::read_to_string(folder.join("refs").join(revision))
        .map_or(revision.to_owned(), |commit| commit.trim().to_owned());
    let dir = folder.join("snapshots").join(&commit);
    let pattern = format!("{}/**/*", glob::Pattern::escape(&dir.display().to_string()));
    let mut files: Vec<String> = glob::glob(&pattern)
        .map_err(|e| Failure::internal(format!("{pattern}: {e}")))?
        .flatten()
        .filter(|path| path.is_file())
        .filter_map(|path| Some(path.strip_prefix(&dir).ok()?.to_str()?.to_owned()))
        .filter(|path| wanted(path))
        .collect();
    files.sort();
    if files.is_empty() { Err(absent()) } else { Ok(HubFiles { commit, dir, files }) }
}

/// The folder of a repository in the cache: the layout that all Hugging Face libraries share.
fn repo_folder(client: &HFClient, uri: &HubUri) -> PathBuf {
    client.cache_dir().join(format!("{}--{}", uri.kind.plural(), uri.repo.replace('/', "--")))
}

/// A path that stays below the directory it is joined to.
fn is_inside(path: &str) -> bool {
    path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

impl Attempt {
    fn last(failure: Failure) -> Self {
        Self { failure, transient: false, unreachable: false }
    }
}

/// What an error of hf-hub means to the user.
fn attempt(client: &HFClient, uri: &HubUri, error: HFError) -> Attempt {
    let permission = |message: String| Attempt::last(Failure::new(ExitCode::Permission, message));
    let input = |message: String| Attempt::last(Failure::input(message));
    let transient = |message: String| Attempt {
        failure: Failure::new(ExitCode::TransientIo, message),
        transient: true,
        unreachable: false,
    };
    let no_repository = || {
        input(format!(
            "{uri}: no such repository on {}; check the name, and HF_TOKEN if it is private",
            client.endpoint()
        ))
    };
    match error {
        HFError::AuthRequired { .. } => permission(format!(
            "{uri}: the hub wants a token that may read it: set HF_TOKEN; a repository that doesn't exist looks the \
             same without one, so check the name too"
        )),
        HFError::Forbidden { .. } => permission(format!(
            "{uri}: the hub refuses access: accept its conditions on its page with the account that HF_TOKEN belongs to"
        )),
        HFError::RevisionNotFound { context, .. } => {
            let repository_is_absent = context.is_some_and(|c| c.error_code.as_deref() == Some("RepoNotFound"));
            if repository_is_absent {
                no_repository()
            } else {
                input(format!("{uri}: the repository has no revision \"{}\"", uri.revision()))
            }
        }
        HFError::RepoNotFound { .. } => no_repository(),
        HFError::EntryNotFound { path, .. } => input(format!("{uri}: the repository has no file \"{path}\"")),
        HFError::Io(e) => Attempt::last(Failure::io(client.cache_dir(), &e)),
        HFError::Http { context } if is_final(context.status.as_u16()) => {
            input(format!("{uri}: the hub answers {}", context.status))
        }
        HFError::InvalidParameter(problem) => Attempt::last(Failure::config(format!("{uri}: {problem}"))),
        HFError::Http { context } => transient(format!("{uri}: the hub answers {}", context.status)),
        HFError::RateLimited { .. } => {
            transient(format!("{uri}: the hub limits the rate of requests; HF_TOKEN raises the limit"))
        }
        other => Attempt {
            unreachable: is_unreachable(&other),
            ..transient(format!("{uri}: no usable answer from {}: {}", client.endpoint(), innermost(&other)))
        },
    }
}

/// A client error that another attempt would give again.
fn is_final(status: u16) -> bool {
    (400..500).contains(&status) && status != 408
}

/// No name, no route, or nobody listening.
fn is_unreachable(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if error.to_string().contains("dns error")
            || matches!(io, Some(ConnectionRefused | HostUnreachable | NetworkUnreachable))
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The last cause of an error. The outer ones repeat the URL, which may be a signed one.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
