//! A scenario's part of the bucket.

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, aws::AmazonS3, aws::AmazonS3Builder, buffered::BufWriter, path::Path};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::Environment;

/// Bytes read at once.
const PART: usize = 1 << 20;

/// Files below `s3://<bucket>/<prefix>/`.
#[derive(Clone, Debug)]
pub struct Store {
    inner: std::sync::Arc<AmazonS3>,
    bucket: String,
    prefix: String,
}

impl Store {
    /// # Errors
    /// The environment's settings make no S3 client.
    pub fn open(env: &Environment, prefix: &str) -> Result<Self> {
        let inner = AmazonS3Builder::new()
            .with_endpoint(&env.endpoint)
            .with_allow_http(true)
            .with_region(&env.region)
            .with_bucket_name(&env.bucket)
            .with_access_key_id(&env.access_key_id)
            .with_secret_access_key(&env.secret_access_key)
            .build()?;
        Ok(Self { inner: inner.into(), bucket: env.bucket.clone(), prefix: prefix.to_owned() })
    }

    /// `s3://<bucket>/<prefix>/<path>`.
    pub fn uri(&self, path: &str) -> String {
        format!("s3://{}/{}/{path}", self.bucket, self.prefix)
    }

    fn at(&self, path: &str) -> Path {
        Path::from(format!("{}/{path}", self.prefix))
    }

    /// # Errors
    /// The server refuses or can't be reached.
    pub async fn put(&self, path: &str, content: impl Into<Bytes>) -> Result<()> {
        self.inner.put(&self.at(path), content.into().into()).await.with_context(|| self.uri(path))?;
        Ok(())
    }

    /// Puts a file of this machine there, part by part.
    ///
    /// # Errors
    /// As [`Self::put`]; the file can't be read.
    pub async fn upload(&self, path: &str, file: &std::path::Path) -> Result<()> {
        let name = || file.display().to_string();
        let mut file = tokio::fs::File::open(file).await.with_context(name)?;
        let mut writer = BufWriter::new(self.inner.clone(), self.at(path));
        tokio::io::copy_buf(&mut tokio::io::BufReader::with_capacity(PART, &mut file), &mut writer)
            .await
            .with_context(|| format!("{} to {}", name(), self.uri(path)))?;
        writer.shutdown().await.with_context(|| self.uri(path))
    }

    /// # Errors
    /// As [`Self::put`]; there is no such file.
    pub async fn get(&self, path: &str) -> Result<Bytes> {
        let found = self.inner.get(&self.at(path)).await.with_context(|| self.uri(path))?;
        Ok(found.bytes().await?)
    }

    /// # Errors
    /// As [`Self::get`]; it is not JSON.
    pub async fn json(&self, path: &str) -> Result<Value> {
        serde_json::from_slice(&self.get(path).await?).with_context(|| self.uri(path))
    }

    /// The files below `folder`, relative to the scenario's part, sorted.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let below = format!("{}/", self.prefix);
        let found: Vec<_> = self.inner.list(Some(&self.at(folder))).try_collect().await?;
        let mut names: Vec<String> =
            found.iter().filter_map(|meta| Some(meta.location.as_ref().strip_prefix(&below)?.to_owned())).collect();
        names.sort();
        Ok(names)
    }
}
