//! From a URI to a backend of `object_store`, with credentials from the environment or from named settings only.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder, local::LocalFileSystem, memory::InMemory,
    path::Path as StorePath,
};

use super::{StoreOptions, connector::Connector, retry::with_cause};
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
    /// 64 for an unknown scheme, a URI without bucket, an unknown or unusable setting, a CA bundle that is none.
    pub fn parse(uri: &str, options: &StoreOptions) -> Result<Self> {
        let settings = &options.settings;
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
                plain_http_is_meant(uri, options)?;
                let start =
                    if options.credentials.is_empty() { AmazonS3Builder::from_env() } else { AmazonS3Builder::new() };
                let builder =
                    start.with_bucket_name(bucket).with_http_connector(Connector).with_retry(retries(options));
                let (client, with) = (AmazonS3Builder::with_client_options, AmazonS3Builder::with_config);
                Self::remote(uri, base, apply(uri, options, "AWS_", builder, client, with)?.build())
            }
            "gs" => {
                let (bucket, base) = split(uri, rest, &BTreeMap::new())?;
                let own = !options.credentials.is_empty();
                let start = if own { GoogleCloudStorageBuilder::new() } else { GoogleCloudStorageBuilder::from_env() };
                let builder =
                    start.with_bucket_name(bucket).with_http_connector(Connector).with_retry(retries(options));
                let client = GoogleCloudStorageBuilder::with_client_options;
                let builder = apply(uri, options, "GOOGLE_", builder, client, GoogleCloudStorageBuilder::with_config)?;
                Self::remote(uri, base, builder.build())
            }
            "az" | "abfs" | "abfss" => {
                let (_, base) = split(uri, rest, &BTreeMap::new())?;
                let own = !options.credentials.is_empty();
                let start = if own { MicrosoftAzureBuilder::new() } else { MicrosoftAzureBuilder::from_env() };
                let builder = start.with_url(uri).with_http_connector(Connector).with_retry(retries(options));
                let (client, with) = (MicrosoftAzureBuilder::with_client_options, MicrosoftAzureBuilder::with_config);
                Self::remote(uri, base, apply(uri, options, "AZURE_", builder, client, with)?.build())
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
        let backend = built.map_err(|e| Failure::config(format!("{uri}: {}", with_cause(&e))))?;
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

/// The CA bundle, then credentials, then settings, all by the names of `object_store` (`endpoint`, `region`,
/// `allow_http`, `aws_access_key_id`, …). A setting must be known; of an environment what is known is taken.
fn apply<B, K: FromStr>(
    uri: &str,
    options: &StoreOptions,
    prefix: &str,
    mut builder: B,
    client: impl Fn(B, ClientOptions) -> B,
    with: impl Fn(B, K, String) -> B,
) -> Result<B> {
    if let Some(file) = &options.ca_file {
        // Replaces what the environment said of the client, so that is said again below.
        builder = client(builder, trusting(file)?);
    }
    let environment: Vec<(String, String)> = match options.credentials.is_empty() {
        true => std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect(),
        false => options.credentials.clone().into_iter().collect(),
    };
    for (name, value) in environment.into_iter().filter(|(name, _)| name.starts_with(prefix)) {
        if let Ok(known) = name.to_ascii_lowercase().parse() {
            builder = with(builder, known, value);
        }
    }
    options.settings.iter().try_fold(builder, |builder, (key, value)| match key.to_ascii_lowercase().parse() {
        Ok(known) => Ok(with(builder, known, value.clone())),
        Err(_) => Err(Failure::config(format!("{uri}: unknown store setting \"{key}\""))),
    })
}

/// A client that trusts the certificates in `file` besides the public ones.
fn trusting(file: &Path) -> Result<ClientOptions> {
    let bytes = std::fs::read(file).map_err(|error| Failure::io(file, &error))?;
    let unusable = || Failure::config(format!("{}: holds no CA certificates in PEM; correct it", file.display()));
    let certificates = Certificate::from_pem_bundle(&bytes).map_err(|_| unusable())?;
    if certificates.is_empty() {
        return Err(unusable());
    }
    Ok(certificates.into_iter().fold(ClientOptions::default(), ClientOptions::with_root_certificate))
}

/// Unencrypted transport has to be asked for; without this the first request would fail after minutes of retries.
fn plain_http_is_meant(uri: &str, options: &StoreOptions) -> Result<()> {
    let environment = |name: String| match options.credentials.is_empty() {
        true => std::env::var(name).ok(),
        false => options.credentials.get(&name).cloned(),
    };
    let setting = |names: &[&str]| {
        let known = |key: &str| names.contains(&key.to_ascii_lowercase().as_str());
        let named = options.settings.iter().find(|(key, _)| known(key)).map(|(_, v)| v.clone());
        named.or_else(|| names.iter().find_map(|name| environment(name.to_ascii_uppercase())))
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
fn retries(options: &StoreOptions) -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(15), base: 2. };
    let retry_timeout = options.retry_deadline.min(Duration::from_secs(120));
    RetryConfig { backoff, max_retries: 20, retry_timeout }
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

    fn options(settings: &[(&str, &str)]) -> StoreOptions {
        let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        StoreOptions { settings, retry_deadline: Duration::ZERO, ..StoreOptions::default() }
    }

    fn failure(uri: &str, settings: &[(&str, &str)]) -> Failure {
        match Location::parse(uri, &options(settings)) {
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
        let s3 = options(&[("endpoint", "http://localhost:9"), ("allow_http", "true"), ("region", "eu-west-1")]);
        let az = options(&[("account_name", "acc"), ("access_key", "a2V5")]);
        for (uri, settings, base) in [("s3://b/a/x/", s3, "a/x"), ("az://container/y", az, "y")] {
            assert_eq!(Location::parse(uri, &settings).map(|l| l.base.to_string()).unwrap(), base);
        }
    }

    #[test]
    fn an_entrys_own_credentials_count_alone_and_unknown_names_in_its_secret_are_left() {
        let pairs = [("AWS_ENDPOINT", "http://minio:9000"), ("PASSWORD_OF_SOMETHING", "x")];
        let credentials: BTreeMap<String, String> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let mut own = StoreOptions { credentials, ..options(&[]) };
        let refused = Location::parse("s3://b/x", &own).err().map(|failure| failure.message).unwrap_or_default();
        assert!(refused.contains("http://minio:9000 is not encrypted"), "{refused}");
        own.credentials.insert("AWS_ALLOW_HTTP".to_owned(), "true".to_owned());
        assert!(Location::parse("s3://b/x", &own).is_ok());
    }

    #[test]
    fn a_ca_bundle_that_is_none_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.crt");
        std::fs::write(&file, "hello").unwrap();
        let bad = StoreOptions { ca_file: Some(file.clone()), ..options(&[]) };
        let message = Location::parse("s3://b/x", &bad).err().map(|failure| failure.message).unwrap_or_default();
        assert_eq!(message, format!("{}: holds no CA certificates in PEM; correct it", file.display()));
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
            assert_eq!(Location::parse(&uri, &options(&[])).unwrap().local, Some(wanted.clone()), "{uri}");
        }
    }
}
