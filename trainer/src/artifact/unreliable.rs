//! A store for tests that fails as it is told.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, memory::InMemory,
    path::Path as StorePath,
};

use super::{Store, tests::options};

/// A read, as a test sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    Head,
    Whole,
    /// The first byte that was asked for.
    Range(u64),
}

/// What happens to a read.
pub enum Fault {
    Outage,
    /// The answer ends after so many bytes.
    CutTo(usize),
    /// The object gets this content just before.
    ReplacedBy(Bytes),
}

/// A memory store that answers the first `failures` requests with a server error.
#[derive(Debug, Default)]
pub struct Unreliable {
    pub inner: InMemory,
    pub failures: AtomicUsize,
    /// Forgets `If-Match` and `If-None-Match`.
    pub ignores_conditions: bool,
    /// Has no tags of objects.
    pub untagged: bool,
    /// What happens to the n-th read of this kind, from 0.
    pub fault: Option<fn(Read, usize) -> Option<Fault>>,
    /// How often each read was asked for.
    pub reads: Mutex<BTreeMap<Read, usize>>,
}

impl fmt::Display for Unreliable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unreliable")
    }
}

impl Unreliable {
    fn stumble(&self) -> object_store::Result<()> {
        match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
            Ok(_) => Err(outage()),
            Err(_) => Ok(()),
        }
    }

    async fn read(&self, at: &StorePath, mut options: GetOptions) -> object_store::Result<GetResult> {
        let read = match &options.range {
            _ if options.head => Read::Head,
            Some(GetRange::Bounded(range)) => Read::Range(range.start),
            _ => Read::Whole,
        };
        let times = {
            let mut reads = self.reads.lock().unwrap();
            let times = reads.entry(read).or_default();
            *times += 1;
            *times - 1
        };
        if self.ignores_conditions {
            options.if_match = None;
        }
        let mut cut = None;
        match self.fault.and_then(|fault| fault(read, times)) {
            None => (),
            Some(Fault::Outage) => return Err(outage()),
            Some(Fault::CutTo(length)) => cut = Some(length),
            Some(Fault::ReplacedBy(bytes)) => {
                self.inner.put(at, bytes.into()).await?;
            }
        }
        let mut found = self.inner.get_opts(at, options).await?;
        if self.untagged {
            found.meta.e_tag = None;
        }
        if let Some(length) = cut {
            let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
            let extensions = found.extensions.clone();
            let bytes = found.bytes().await?.slice(..length);
            let payload = GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed());
            found = GetResult { payload, meta, range, attributes, extensions };
        }
        Ok(found)
    }
}

fn outage() -> Error {
    Error::Generic { store: "Unreliable", source: "status code: 503 Service Unavailable".into() }
}

type Answer<'a, T> = std::pin::Pin<Box<dyn Future<Output = object_store::Result<T>> + Send + 'a>>;

impl ObjectStore for Unreliable {
    fn put_opts<'a: 'c, 'b: 'c, 'c>(
        &'a self,
        at: &'b StorePath,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Answer<'c, PutResult>
    where
        Self: 'c,
    {
        Box::pin(async move {
            self.stumble()?;
            if self.ignores_conditions {
                options.mode = PutMode::Overwrite;
            }
            self.inner.put_opts(at, payload, options).await
        })
    }

    fn put_multipart_opts<'a: 'c, 'b: 'c, 'c>(
        &'a self,
        at: &'b StorePath,
        options: PutMultipartOptions,
    ) -> Answer<'c, Box<dyn MultipartUpload>>
    where
        Self: 'c,
    {
        Box::pin(async move {
            self.stumble()?;
            self.inner.put_multipart_opts(at, options).await
        })
    }

    fn get_opts<'a: 'c, 'b: 'c, 'c>(&'a self, at: &'b StorePath, options: GetOptions) -> Answer<'c, GetResult>
    where
        Self: 'c,
    {
        Box::pin(async move {
            self.stumble()?;
            self.read(at, options).await
        })
    }

    fn delete_stream(
        &self,
        at: BoxStream<'static, object_store::Result<StorePath>>,
    ) -> BoxStream<'static, object_store::Result<StorePath>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_delimiter<'a: 'c, 'b: 'c, 'c>(&'a self, prefix: Option<&'b StorePath>) -> Answer<'c, ListResult>
    where
        Self: 'c,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'a: 'd, 'b: 'd, 'c: 'd, 'd>(
        &'a self,
        from: &'b StorePath,
        to: &'c StorePath,
        options: CopyOptions,
    ) -> Answer<'d, ()>
    where
        Self: 'd,
    {
        self.inner.copy_opts(from, to, options)
    }
}

/// A store over `backend`, and the backend itself.
pub fn over(backend: Unreliable, retry: Duration) -> (Store, Arc<Unreliable>) {
    let mut store = Store::open("memory://unreliable", &options(retry)).unwrap();
    let backend = Arc::new(backend);
    store.backend = backend.clone();
    (store, backend)
}

pub fn unreliable(failures: usize, ignores_conditions: bool, retry: Duration) -> Store {
    over(Unreliable { failures: failures.into(), ignores_conditions, ..Unreliable::default() }, retry).0
}
