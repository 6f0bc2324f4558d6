//! One object to one new file: ranges of it are fetched side by side, written to their places, and hashed behind that.
//!
//! Holds: all ranges are of one version of the object, or nothing is; a range counts when each of its bytes is written;
//! the digest is of what the file holds, read back in order; the file is on disk when it is told; memory is bounded by
//! the requests in flight, whatever the object's size. An error leaves a file that is of no use: the caller deletes it.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, path::Path, sync::mpsc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error, GetOptions, GetResult, ObjectStore, ObjectStoreExt, path::Path as StorePath};

use super::{
    FileDigest,
    digest::RunningDigest,
    retry::{Trouble, persist},
};
use crate::failure::Failure;

/// Bytes of a request. An object of up to this size is fetched by one.
pub(super) const RANGE: u64 = if cfg!(test) { 1 << 20 } else { 16 << 20 };
/// Requests in flight for one object.
const IN_FLIGHT: usize = 6;
/// Bytes that are hashed at once: they stay in a core's cache between reading and hashing.
const HASHED_AT_ONCE: usize = 256 << 10;
/// Written bytes after which the disk is told to begin, so that little is left to wait for in the end.
const SYNC_EVERY: u64 = 128 << 20;

/// An object of a store.
pub(super) struct Source<'a> {
    pub backend: &'a dyn ObjectStore,
    pub at: &'a StorePath,
    pub uri: &'a str,
    /// The store is a folder of this machine.
    pub local: bool,
    /// For how long one range is tried again.
    pub retry_deadline: Duration,
}

/// A file that is being filled.
struct Target<'a> {
    file: File,
    path: &'a Path,
}

type Tried<T> = Result<T, Trouble>;

impl Source<'_> {
    /// Fills `path` with the object, which is expected to have `size` bytes.
    ///
    /// # Errors
    /// [`Error::Precondition`] when the object changed meanwhile: begin again.
    pub async fn download(&self, path: &Path, size: Option<u64>) -> Tried<FileDigest> {
        // Read, too: for the hash.
        let options = File::options().read(true).write(true).create(true).truncate(true).clone();
        let target = Target { file: options.open(path).map_err(|error| here(path, &error))?, path };
        if size.is_none_or(|size| size > RANGE) {
            let found = self.backend.head(self.at).await?;
            // A weak tag stands for several contents, so that none can be asked for by it.
            if let Some(tag) = found.e_tag.filter(|tag| !tag.starts_with("W/") && found.size > RANGE) {
                return self.by_ranges(&target, found.size, &tag).await;
            }
        }
        let found = self.backend.get(self.at).await?;
        let mut digest = RunningDigest::default();
        self.write(&target, found, |bytes| digest.update(bytes)).await?;
        target.file.sync_all().map_err(|error| here(path, &error))?;
        Ok(digest.finish())
    }

    async fn by_ranges(&self, target: &Target<'_>, size: u64, tag: &str) -> Tried<FileDigest> {
        let own = |file: &File| file.try_clone().map_err(|error| here(target.path, &error));
        let (hashing, syncing) = (own(&target.file)?, own(&target.file)?);
        let (written, to_hash) = mpsc::channel();
        let (due, to_sync) = mpsc::channel();
        // Both end when this function does: then nobody sends any more.
        let hashing = tokio::task::spawn_blocking(move || hash_behind(&hashing, &to_hash));
        let syncing = tokio::task::spawn_blocking(move || sync_behind(&syncing, &to_sync));
        let starts = (0..size).step_by(RANGE as usize);
        let ranges = starts.map(|start| self.persist_range(target, start..(start + RANGE).min(size), tag));
        // In order, so that the hash follows closely and finds its bytes in the system's cache.
        let mut ranges = stream::iter(ranges).buffered(IN_FLIGHT);
        while let Some(range) = ranges.try_next().await? {
            // A reader that has ended has failed; it says so below.
            let _ = (written.send(range.clone()), due.send(range));
        }
        drop((written, due));
        let local = |ended: Result<io::Result<FileDigest>, tokio::task::JoinError>| match ended {
            Ok(done) => done.map_err(|error| here(target.path, &error)),
            Err(error) => Err(Trouble::Here(Failure::internal(format!("{}: hashing ended: {error}", self.uri)))),
        };
        let digest = local(hashing.await)?;
        local(syncing.await.map(|done| done.map(|()| digest)))
    }

    /// Fetches `range` of the version that `tag` names until it is written, however often that fails for a while.
    async fn persist_range(&self, target: &Target<'_>, range: Range<u64>, tag: &str) -> Tried<Range<u64>> {
        let same = persist(self.uri, self.local, self.retry_deadline, async || {
            let options = GetOptions {
                range: Some(range.clone().into()),
                if_match: Some(tag.to_owned()),
                ..GetOptions::default()
            };
            match self.backend.get_opts(self.at, options).await {
                // Not every server heeds the condition.
                Ok(found) if found.meta.e_tag.as_deref() != Some(tag) => Ok(false),
                Ok(found) => self.write(target, found, |_| ()).await.map(|()| true),
                Err(Error::Precondition { .. }) => Ok(false),
                Err(error) => Err(error.into()),
            }
        });
        match same.await? {
            true => Ok(range),
            false => Err(Trouble::Store(Error::Precondition {
                path: self.at.to_string(),
                source: "the object was changed while it was downloaded".into(),
            })),
        }
    }

    /// Writes what `found` brings to its place.
    async fn write(&self, target: &Target<'_>, found: GetResult, mut also: impl FnMut(&[u8])) -> Tried<()> {
        let Range { start: mut next, end } = found.range.clone();
        let mut stream = found.into_stream();
        while let Some(bytes) = stream.try_next().await? {
            also(&bytes);
            target.file.write_all_at(&bytes, next).map_err(|error| here(target.path, &error))?;
            next += bytes.len() as u64;
        }
        if next == end {
            return Ok(());
        }
        let source = format!("the answer ended at byte {next} instead of {end}").into();
        Err(Trouble::Store(Error::Generic { store: "download", source }))
    }
}

fn here(path: &Path, error: &io::Error) -> Trouble {
    Trouble::Here(Failure::io(path, error))
}

/// The digest of the ranges, which come in order and without gaps.
fn hash_behind(file: &File, written: &mpsc::Receiver<Range<u64>>) -> io::Result<FileDigest> {
    let mut digest = RunningDigest::default();
    let mut chunk = vec![0; HASHED_AT_ONCE];
    for Range { mut start, end } in written {
        while start < end {
            let chunk = &mut chunk[..HASHED_AT_ONCE.min((end - start) as usize)];
            file.read_exact_at(chunk, start)?;
            digest.update(chunk);
            start += chunk.len() as u64;
        }
    }
    Ok(digest.finish())
}

/// Syncs now and then while ranges come, and once more when all are there.
fn sync_behind(file: &File, written: &mpsc::Receiver<Range<u64>>) -> io::Result<()> {
    let mut waiting = 0;
    for range in written {
        waiting += range.end - range.start;
        // What came during the last sync is taken together.
        waiting += written.try_iter().map(|range| range.end - range.start).sum::<u64>();
        if waiting >= SYNC_EVERY {
            file.sync_data()?;
            waiting = 0;
        }
    }
    file.sync_all()
}
