//! From a URI to a backend of `object_store`, with credentials from the environment or from named settings only.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use object_store::{
    BackoffConfig, ObjectStore, RetryConfig, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder, local::LocalFileSystem, memory::InMemory, path::Path as StorePath,
};

use crate::failure::{Failure, Result};

/// Where a URI points: the backend, the folder in it, and its place on this machine if it has one.
pub(super) struct Location {
    pub backend: Arc<dyn ObjectStore>,
    pub base: StorePath,
    pub uri: String,
    pub local: Option<PathBuf>,
}

/// Memory stores live as long as the process and are found again by name, as buckets are.
static MEMORY: Mutex<BTreeMap<String, Arc<InMemory>>> = Mutex::new(BTreeMap::new());

const SCHEMES: &str = "file://, s3://, gs://, az:// or a path";

impl Location {
    /// # Errors
    /// 64 for an unknown scheme, a URI without bucket, an unknown or unusable setting.
    pub fn parse(uri: &str, settings: &BTreeMap<String, String>, retry_deadline: Duration) -> Result<Self> {
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Self::local(uri, absolute(Path::new(uri))?);
        };
        match scheme {
            "file" => {
                let rest = rest.strip_prefix("localhost").unwrap_or(rest);
                let path = StorePath::from_url_path(rest).map_err(|e| invalid(uri, &e))?;
                if !rest.starts_with('/') {
                    return Err(Failure::config(format!(
                        "{uri}: a file URI needs an absolute path: write file:///{rest}, or a plain path"
                    )));
                }
                Self::local(uri, Path::new("/").join(path.as_ref()))
            }
            "memory" => {
                let (name, base) = split(uri, rest, settings)?;
                let mut stores = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
                let backend = Arc::clone(stores.entry(name.to_owned()).or_default());
                Ok(Self { backend, base, uri: trimmed(uri), local: None })
            }
            "s3" | "s3a" => {
                let (bucket, base) = split(uri, rest, &BTreeMap::new())?;
                plain_http_is_meant(uri, settings)?;
                let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retries(retry_deadline));
                let builder = apply(uri, settings, builder, AmazonS3Builder::with_config)?;
                Self::remote(uri, base, builder.build())
            }
            "gs" => {
                let (bucket, base) = split(uri, rest, &BTreeMap::new())?;
                let builder =
                    GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retries(retry_deadline));
                let builder = apply(uri, settings, builder, GoogleCloudStorageBuilder::with_config)?;
                Self::remote(uri, base, builder.build())
            }
            "az" | "abfs" | "abfss" => {
                let (_, base) = split(uri, rest, &BTreeMap::new())?;
                let builder = MicrosoftAzureBuilder::from_env().with_url(uri).with_retry(retries(retry_deadline));
                let builder = apply(uri, settings, builder, MicrosoftAzureBuilder::with_config)?;
                Self::remote(uri, base, builder.build())
            }
            _ => Err(Failure::config(format!("{uri}: unknown scheme \"{scheme}\"; use {SCHEMES}"))),
        }
    }

    fn local(uri: &str, path: PathBuf) -> Result<Self> {
        let text =
            path.to_str().ok_or_else(|| Failure::config(format!("{}: the path is not valid UTF-8", path.display())))?;
        let base = StorePath::parse(text).map_err(|e| invalid(uri, &e))?;
        let backend = LocalFileSystem::new().with_fsync(true);
        Ok(Self { backend: Arc::new(backend), base, uri: format!("file://{}", trimmed(text)), local: Some(path) })
    }

    fn remote<S: ObjectStore>(uri: &str, base: StorePath, built: object_store::Result<S>) -> Result<Self> {
        let backend = built.map_err(|e| Failure::config(format!("{uri}: {e}")))?;
        Ok(Self { backend: Arc::new(backend), base, uri: trimmed(uri), local: None })
    }
}

fn trimmed(uri: &str) -> String {
    uri.trim_end_matches('/').to_owned()
}

fn invalid(uri: &str, error: &object_store::path::Error) -> Failure {
    Failure::config(format!("{uri}: not a usable path: {error}"))
}

/// `bucket/a/b` to the bucket and its folder. `settings` must be empty: a store that takes none must not ignore any.
fn split<'a>(uri: &str, rest: &'a str, settings: &BTreeMap<String, String>) -> Result<(&'a str, StorePath)> {
    if let Some(key) = settings.keys().next() {
        return Err(Failure::config(format!("{uri}: this store takes no settings, but \"{key}\" is set")));
    }
    let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(Failure::config(format!("{uri}: no bucket; write scheme://bucket/folder")));
    }
    Ok((bucket, StorePath::parse(path.trim_end_matches('/')).map_err(|e| invalid(uri, &e))?))
}

/// Settings by the names of `object_store` (`endpoint`, `region`, `allow_http`, `aws_access_key_id`, …).
fn apply<B, K: FromStr>(
    uri: &str,
    settings: &BTreeMap<String, String>,
    builder: B,
    with: impl Fn(B, K, String) -> B,
) -> Result<B> {
    settings.iter().try_fold(builder, |builder, (key, value)| match key.to_ascii_lowercase().parse() {
        Ok(known) => Ok(with(builder, known, value.clone())),
        Err(_) => Err(Failure::config(format!("{uri}: unknown store setting \"{key}\""))),
    })
}

/// Unencrypted transport has to be asked for; without this the first request would fail after minutes of retries.
fn plain_http_is_meant(uri: &str, settings: &BTreeMap<String, String>) -> Result<()> {
    let setting = |names: &[&str]| {
        let named =
            settings.iter().find(|(key, _)| names.contains(&key.to_ascii_lowercase().as_str())).map(|(_, v)| v.clone());
        named.or_else(|| names.iter().find_map(|name| std::env::var(name.to_ascii_uppercase()).ok()))
    };
    let endpoint = setting(&["aws_endpoint_url_s3", "aws_endpoint_url", "aws_endpoint", "endpoint", "endpoint_url"]);
    let allowed = setting(&["aws_allow_http", "allow_http"])
        .is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "true" | "1" | "yes"));
    match endpoint {
        Some(endpoint) if endpoint.starts_with("http://") && !allowed => Err(Failure::config(format!(
            "{uri}: the endpoint {endpoint} is not encrypted; use https://, or set allow_http=true (AWS_ALLOW_HTTP=true) if that is meant"
        ))),
        _ => Ok(()),
    }
}

/// Retries inside one request; [`super::retry`] goes on around it with fresh credentials.
fn retries(deadline: Duration) -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(15), base: 2. };
    RetryConfig { backoff, max_retries: 20, retry_timeout: deadline.min(Duration::from_secs(120)) }
}

/// An absolute path without `.` and `..`; what exists of it is resolved as the file system does.
fn absolute(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(Failure::config(format!("an empty path is not a store; use {SCHEMES}")));
    }
    let mut resolved = PathBuf::new();
    for component in std::path::absolute(path).map_err(|e| Failure::io(path, &e))?.components() {
        if component == Component::ParentDir {
            resolved = resolved.canonicalize().unwrap_or(resolved);
            resolved.pop();
        } else {
            resolved.push(component);
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(uri: &str, settings: &[(&str, &str)]) -> Failure {
        let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        match Location::parse(uri, &settings, Duration::ZERO) {
            Ok(location) => panic!("{uri} was accepted as {}", location.uri),
            Err(failure) => failure,
        }
    }

    #[test]
    fn a_wrong_uri_says_what_would_be_right() {
        for (uri, expected) in [
            ("ftp://host/x", "ftp://host/x: unknown scheme \"ftp\"; use file://, s3://, gs://, az:// or a path"),
            ("s3:///x", "s3:///x: no bucket; write scheme://bucket/folder"),
            ("file://a/b", "file://a/b: a file URI needs an absolute path: write file:///a/b, or a plain path"),
            ("", "an empty path is not a store; use file://, s3://, gs://, az:// or a path"),
        ] {
            assert_eq!(failure(uri, &[]).message, expected);
        }
    }

    #[test]
    fn an_unknown_setting_is_refused_not_ignored() {
        assert_eq!(failure("s3://b/x", &[("regoin", "eu")]).message, "s3://b/x: unknown store setting \"regoin\"");
        assert_eq!(
            failure("memory://b", &[("region", "eu")]).message,
            "memory://b: this store takes no settings, but \"region\" is set"
        );
    }

    #[test]
    fn unencrypted_endpoints_must_be_asked_for() {
        let message = failure("s3://b/x", &[("endpoint", "http://minio:9000")]).message;
        assert!(message.contains("set allow_http=true (AWS_ALLOW_HTTP=true)"), "{message}");
    }

    #[test]
    fn every_cloud_builds_from_settings_alone() {
        let settings = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let s3 = settings(&[("endpoint", "http://localhost:9"), ("allow_http", "true"), ("region", "eu-west-1")]);
        let az = settings(&[("account_name", "acc"), ("access_key", "a2V5")]);
        for (uri, settings, base) in [("s3://b/a/x/", s3, "a/x"), ("az://container/y", az, "y")] {
            assert_eq!(Location::parse(uri, &settings, Duration::ZERO).map(|l| l.base.to_string()).unwrap(), base);
        }
    }

    #[test]
    fn parent_folders_and_spaces_resolve() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a")).unwrap();
        let wanted = root.join("out put");
        let bare = format!("{}/a/../out put", root.display());
        let encoded = format!("file://{}/out%20put", root.display());
        for uri in [bare, encoded] {
            assert_eq!(
                Location::parse(&uri, &BTreeMap::new(), Duration::ZERO).unwrap().local,
                Some(wanted.clone()),
                "{uri}"
            );
        }
    }
}
